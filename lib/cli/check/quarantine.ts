/*
 * Whether copies can be kept: is the folder there, may Haraka's user write to it, and is there room.
 */

import { existsSync, lstatSync, statSync } from 'node:fs'
import { access, constants, stat, statfs } from 'node:fs/promises'
import path from 'node:path'
import { type Settings, wantingQuarantine } from '../../config/settings'
import { sizeText } from '../../haraka/limits'
import { accountOf, groupIdOf, isName } from '../accounts'
import { quarantineOf } from '../quarantine/store'
import type { Site } from '../site'
import type { Finding } from './results'

/** Asked for only if a rule keeps messages. That queue/quarantine is listed then, the settings have seen to. */
export async function examineQuarantine(site: Site, settings: Settings): Promise<Finding[]> {
  const about = 'quarantine'
  if (wantingQuarantine(settings).length === 0)
    return [{ level: 'ok', about, text: 'no rule keeps messages' }]
  const folder = quarantineOf(site, settings.quarantineFolder)
  const directory = existsSync(folder) ? folder : path.dirname(folder)
  const { user, group } = site.haraka.get('smtp.ini').main ?? {}
  const deferred = 'messages that are to be kept are deferred'
  if (!existsSync(directory))
    return [
      {
        level: 'warning',
        about,
        text: `${directory} does not exist; Haraka makes it if it may, else ${deferred}`,
        remedy: `install -d -m 0700 ${isName(user) ? `-o ${user} ` : ''}${directory}`,
      },
    ]
  if (!statSync(directory).isDirectory())
    return [{ level: 'failure', about, text: `${directory} is no folder: ${deferred}` }]
  const base = quarantineOf(site, '')
  const refused = ['tmp', settings.quarantineFolder]
    .map((name) => whyRefused(path.join(base, name), user))
    .filter((text) => text !== null)
  if (refused.length > 0)
    return refused.map((text) => ({ level: 'failure', about, text: `${text}: ${deferred}` }))
  const mayWrite = await isWritable(directory, user, group)
  if (mayWrite === null)
    return [
      { level: 'note', about, text: `whether ${String(user)} may write to ${directory} is not known here` },
    ]
  if (mayWrite) return roomAndModes(directory, base, settings)
  return [
    {
      level: 'warning',
      about,
      text: `${directory} cannot be written to by ${isName(user) ? user : 'this user'}: ${deferred}`,
      remedy: `chown -R ${isName(user) ? user : 'HARAKA'} ${directory}`,
    },
  ]
}

/** Below quarantine_path the plugin follows no link, and uses no folder in which another user could swap what is there. */
function whyRefused(folder: string, user: unknown): string | null {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  if (found?.isSymbolicLink()) return `${folder} is a symbolic link`
  const haraka = isName(user) ? accountOf(String(user))?.uid : process.geteuid?.()
  if (!found || haraka === undefined || [0, haraka].includes(found.uid)) return null
  return `${folder} belongs to ${accountOf(String(found.uid))?.name ?? `the user with id ${found.uid}`}`
}

/** Copies are made in `tmp` and linked to where they belong, which only one file system can do. */
async function roomAndModes(
  directory: string,
  base: string,
  { scan, quarantineFolder }: Settings,
): Promise<Finding[]> {
  const about = 'quarantine'
  const found: Finding[] = []
  const { bavail, bsize } = await statfs(directory)
  const free = bavail * bsize
  if (free < scan.maxBytes)
    found.push({
      level: 'warning',
      about,
      text: `${directory} has room for ${sizeText(free)}, a message may have ${sizeText(scan.maxBytes)}: what does not fit is deferred`,
      remedy: 'clamav-stream quarantine delete --older-than 30d, or more room',
    })
  const { dev } = await stat(base)
  for (const folder of [base, path.join(base, 'tmp'), path.join(base, quarantineFolder)]) {
    const inner = statSync(folder, { throwIfNoEntry: false })
    if (inner && inner.dev !== dev)
      found.push({
        level: 'failure',
        about,
        text: `${folder} is on another file system than ${base}: messages that are to be kept are deferred`,
        remedy: `one file system for all of ${base}`,
      })
    if (inner && (inner.mode & 0o002) !== 0)
      found.push({
        level: 'warning',
        about,
        text: `everybody may write to ${folder}`,
        remedy: `chmod 0700 ${folder}`,
      })
  }
  return found.length > 0 ? found : [{ level: 'ok', about, text: `${directory} can be written to` }]
}

/**
 * By whom Haraka runs as, `user` in smtp.ini; without that by whoever asks. Haraka takes on no groups of that user, only
 * `group`, and keeps those it was started with. Null: user or group is not known here.
 */
async function isWritable(directory: string, user: unknown, group: unknown): Promise<boolean | null> {
  if (!isName(user))
    return access(directory, constants.W_OK).then(
      () => true,
      () => false,
    )
  const account = accountOf(String(user))
  if (!account) return null
  if (account.uid === 0) return true
  const { uid, gid, mode } = await stat(directory)
  if (uid === account.uid) return (mode & 0o200) !== 0
  const own = isName(group) ? groupIdOf(String(group)) : (process.getegid?.() ?? null)
  if (own === null) return null
  return (mode & ([own, ...(process.getgroups?.() ?? [])].includes(gid) ? 0o020 : 0o002)) !== 0
}
