/*
 * Whether copies can be kept: tried as Haraka's user would, and is there room.
 */

import { existsSync, lstatSync, statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import path from 'node:path'
import { installCommand, removeEmpty, tryCopy } from '../../actions/quarantine-trial'
import { type Settings, wantingQuarantine } from '../../config/settings'
import { sizeText } from '../../haraka/limits'
import { accountOf, isName } from '../accounts'
import { quarantineOf } from '../quarantine/store'
import type { Site } from '../site'
import type { AsHaraka } from './as-haraka'
import type { Finding } from './results'

const about = 'quarantine'
const deferred = 'messages that are to be kept are deferred'

/** Asked for only if a rule keeps messages. That queue/quarantine is listed then, the settings have seen to. */
export async function examineQuarantine(
  site: Site,
  settings: Settings,
  haraka: AsHaraka,
): Promise<Finding[]> {
  if (wantingQuarantine(settings).length === 0)
    return [{ level: 'ok', about, text: 'no rule keeps messages' }]
  const { quarantineFolder: folder } = settings
  const base = quarantineOf(site, '')
  const { user, nodes } = site.haraka.get('smtp.ini').main ?? {}
  const place = path.join(base, folder)
  if (isName(user) && !isTriedAs(String(user), haraka))
    return [
      {
        level: 'note',
        about,
        text: `whether ${String(user)} may write to ${place} is not known here`,
        remedy: 'be root, or that user',
      },
    ]
  const remedy = installCommand(base, folder, isName(user) ? String(user) : 'HARAKA')
  const tmp = path.join(base, 'tmp')
  const refused = [tmp, place].map((one) => whyRefused(one, user)).filter((text) => text !== null)
  if (refused.length > 0)
    return refused.map((text) => ({ level: 'failure', about, text: `${text}: ${deferred}`, remedy }))
  // Its master makes it at start, as root, and its workers are somebody else.
  if (isName(user) && nodes && !existsSync(tmp))
    return [
      {
        level: 'failure',
        about,
        text: `${tmp} does not exist, and Haraka makes it as root, not as ${user}: ${deferred}`,
        remedy,
      },
    ]
  let made: string[]
  try {
    made = haraka.act(() => tryCopy(base, folder))
  } catch (error) {
    const asWhom = haraka.user === null ? '' : ` by ${haraka.user}`
    const text = `${(error as Error).message}${asWhom}: ${deferred}`
    return [{ level: 'failure', about, text, remedy }]
  }
  removeEmpty(made)
  if (made.includes(base))
    return [
      {
        level: 'warning',
        about,
        text: `${base} does not exist; Haraka makes it if it may, else ${deferred}`,
        remedy,
      },
    ]
  return roomAndModes(base, place, settings, haraka.user)
}

/** Below quarantine_path the plugin follows no link, and uses no folder in which another user could swap what is there. */
function whyRefused(folder: string, user: unknown): string | null {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  if (found?.isSymbolicLink()) return `${folder} is a symbolic link`
  const haraka = isName(user) ? accountOf(String(user))?.uid : process.geteuid?.()
  if (!found || haraka === undefined || [0, haraka].includes(found.uid)) return null
  return `${folder} belongs to ${accountOf(String(found.uid))?.name ?? `the user with id ${found.uid}`}`
}

/** Root becomes that user; others can only try as themselves. */
function isTriedAs(user: string, haraka: AsHaraka): boolean {
  return haraka.user !== null || (haraka.problem === null && accountOf(user)?.uid === process.geteuid?.())
}

async function roomAndModes(
  base: string,
  place: string,
  { scan }: Settings,
  user: string | null,
): Promise<Finding[]> {
  const found: Finding[] = []
  const { bavail, bsize } = await statfs(base)
  const free = bavail * bsize
  if (free < scan.maxBytes)
    found.push({
      level: 'warning',
      about,
      text: `${base} has room for ${sizeText(free)}, a message may have ${sizeText(scan.maxBytes)}: what does not fit is deferred`,
      remedy: 'clamav-stream quarantine delete --older-than 30d, or more room',
    })
  for (const folder of [base, path.join(base, 'tmp'), place]) {
    const inner = statSync(folder, { throwIfNoEntry: false })
    if (inner && (inner.mode & 0o002) !== 0)
      found.push({
        level: 'warning',
        about,
        text: `everybody may write to ${folder}`,
        remedy: `chmod 0700 ${folder}`,
      })
  }
  if (found.length > 0) return found
  return [{ level: 'ok', about, text: `${place} can be written to${user === null ? '' : ` by ${user}`}` }]
}
