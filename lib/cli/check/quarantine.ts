/*
 * Checks whether the quarantine can store copies: a trial copy with the permissions of Haraka's user, and free space.
 */

import { existsSync, lstatSync, statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import path from 'node:path'
import { installCommand, removeEmpty, tryCopy } from '../../actions/quarantine-trial'
import { sizeText } from '../../base/text'
import { type Settings, wantingQuarantine } from '../../config/settings'
import { accountOf, isName } from '../accounts'
import { quarantineOf } from '../quarantine/store'
import type { Site } from '../site'
import type { AsHaraka } from './as-haraka'
import type { Finding } from './results'

const about = 'quarantine'
const deferred = 'messages for the quarantine are deferred'

/** Checks only if a rule quarantines messages. parseSettings() has checked that queue/quarantine is listed then. */
export async function examineQuarantine(
  site: Site,
  settings: Settings,
  haraka: AsHaraka,
): Promise<Finding[]> {
  if (wantingQuarantine(settings).length === 0)
    return [{ level: 'ok', about, text: 'no rule quarantines messages' }]
  const { quarantineFolder: folder } = settings
  const base = quarantineOf(site, '')
  const { user, nodes } = site.haraka.get('smtp.ini').main ?? {}
  const target = path.join(base, folder)
  if (isName(user) && !canActAs(String(user), haraka))
    return [
      {
        level: 'note',
        about,
        text: `cannot check whether ${String(user)} may write to ${target}`,
        remedy: `run this command as root or as ${String(user)}`,
      },
    ]
  const remedy = installCommand(base, folder, isName(user) ? String(user) : 'HARAKA')
  const tmp = path.join(base, 'tmp')
  const refused = [tmp, target].map((one) => refusalOf(one, user)).filter((text) => text !== null)
  if (refused.length > 0)
    return refused.map((text) => ({ level: 'failure', about, text: `${text}: ${deferred}`, remedy }))
  // Haraka's master creates it at start, as root; its workers run as `user`.
  if (isName(user) && nodes && !existsSync(tmp))
    return [
      {
        level: 'failure',
        about,
        text: `${tmp} does not exist, and Haraka would create it as root, not as ${user}: ${deferred}`,
        remedy,
      },
    ]
  let made: string[]
  try {
    made = haraka.act(() => tryCopy(base, folder))
  } catch (error) {
    const asUser = haraka.user === null ? '' : ` by ${haraka.user}`
    const text = `${(error as Error).message}${asUser}: ${deferred}`
    return [{ level: 'failure', about, text, remedy }]
  }
  removeEmpty(made)
  if (made.includes(base))
    return [
      {
        level: 'warning',
        about,
        text: `${base} does not exist; if Haraka cannot create it, ${deferred}`,
        remedy,
      },
    ]
  return spaceAndModes(base, target, settings, haraka.user)
}

/** Below quarantine_path the plugin follows no link, and uses no folder in which another user could replace files. */
function refusalOf(folder: string, user: unknown): string | null {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  if (found?.isSymbolicLink()) return `${folder} is a symbolic link`
  const haraka = isName(user) ? accountOf(String(user))?.uid : process.geteuid?.()
  if (!found || haraka === undefined || [0, haraka].includes(found.uid)) return null
  return `${folder} belongs to ${accountOf(String(found.uid))?.name ?? `the user with id ${found.uid}`}`
}

/** Root can act as any user; other users only as themselves. */
function canActAs(user: string, haraka: AsHaraka): boolean {
  return haraka.user !== null || (haraka.problem === null && accountOf(user)?.uid === process.geteuid?.())
}

async function spaceAndModes(
  base: string,
  target: string,
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
      text: `${base} has ${sizeText(free)} free, a message may have ${sizeText(scan.maxBytes)}: messages that do not fit are deferred`,
      remedy: 'clamav-stream quarantine delete --older-than 30d, or a larger disk',
    })
  const modeOf = (folder: string) => statSync(folder, { throwIfNoEntry: false })?.mode ?? 0
  // Others get to nothing below a closed folder; what they may write to is wrong all the same.
  const isClosed = (modeOf(base) & 0o001) === 0
  for (const folder of [base, path.join(base, 'tmp'), target]) {
    const mode = modeOf(folder)
    const isWritable = (mode & 0o002) !== 0
    if (isWritable || (!isClosed && (mode & 0o004) !== 0))
      found.push({
        level: 'warning',
        about,
        text: `${folder} is ${isWritable ? 'writable' : 'readable'} for all users`,
        remedy: `chmod 0700 ${folder}`,
      })
  }
  if (found.length > 0) return found
  return [{ level: 'ok', about, text: `${target} is writable${user === null ? '' : ` by ${user}`}` }]
}
