/*
 * The files of the quarantine: PATH/FOLDER/DAY/UUID with the message, UUID.json with envelope, client and verdict, and
 * releases.log.
 */

import { type Dirent, lstatSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { parseRecord, type QuarantineRecord, whyKept } from '../../actions/quarantine-record'
import { type Folder, inFolder, UnsafePath } from '../../base/safe-files'
import { fitsWildcards } from '../../base/wildcards'
import { accountOf } from '../accounts'
import type { Site } from '../site'
import { escaped } from '../terminal'
import { UserError } from '../user-error'
import { rootDroppedTo } from './privileges'

/** A message in the quarantine. */
export interface KeptMessage {
  /** Short, and stable as long as the message is in the quarantine. */
  readonly id: string
  readonly file: string
  /** Directory of its store. */
  readonly directory: string
  readonly record: QuarantineRecord
  readonly keptMs: number
  /** null: the message file is missing, or is no regular file of the quarantine's owner. */
  readonly bytes: number | null
}

export interface Store {
  /** The directory with one folder for each day, and the log. */
  readonly directory: string
  readonly kept: readonly KeptMessage[]
  /** One line for each entry that is not read, with the reason. */
  readonly warnings: readonly string[]
}

/**
 * The quarantine directory of a site.
 * @param folder `[quarantine] folder` of the settings
 */
export function quarantineOf(site: Site, folder: string): string {
  const ini = site.haraka.get('quarantine.ini')
  const base = ini.main?.quarantine_path
  return path.resolve(
    site.directory,
    typeof base === 'string' && base !== '' ? base : '/var/spool/haraka/quarantine',
    folder,
  )
}

/** Nested folders; the plugin makes one level. */
const maxDepth = 8
/** The record of a message to a hundred thousand recipients is smaller. */
const maxRecordBytes = 16 * 1024 ** 2

/**
 * @param mayBeMissing true for the site's own quarantine: its directory is created with the first copy
 * @throws UserError if the directory is missing or cannot be read
 */
export async function openStore(directory: string, mayBeMissing: boolean): Promise<Store> {
  const kept: KeptMessage[] = []
  const warnings: string[] = []
  const collect = async (folder: Folder, depth: number): Promise<void> => {
    for (const entry of await folder.entries()) {
      try {
        await add(folder, entry, depth)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        if (!(error instanceof UnsafePath)) throw accessError(error, folder.pathOf(entry.name))
        warnings.push(error.message)
      }
    }
  }
  const add = async (folder: Folder, entry: Dirent, depth: number): Promise<void> => {
    const { name } = entry
    const file = folder.pathOf(name)
    const isRecord = name.endsWith('.json')
    if (escaped(name) !== name) throw new UnsafePath(`${file}: not read: not a name of the quarantine`)
    if (entry.isDirectory() && !isRecord) {
      if (depth === maxDepth) throw new UnsafePath(`${file}: not read: more than ${maxDepth} folders deep`)
      await folder.inside(name, (inner) => collect(inner, depth + 1))
    } else if (entry.isSymbolicLink()) throw new UnsafePath(`${file}: is a symbolic link`)
    else if (isRecord) {
      const record = parseRecord(await folder.text(name, maxRecordBytes))
      if (record === null) throw new UnsafePath(`${file}: not read: not a quarantine record`)
      const copy = name.slice(0, -'.json'.length)
      const bytes = (await folder.ownFile(copy))?.size ?? null
      kept.push({
        id: '',
        file: folder.pathOf(copy),
        directory,
        record,
        keptMs: Date.parse(record.time),
        bytes,
      })
    }
  }
  try {
    await inFolder(directory, '', (folder) => collect(folder, 0))
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (isMissing && mayBeMissing) return { directory, kept: [], warnings: [] }
    throw error instanceof UserError ? error : accessError(error, directory)
  }
  kept.sort((a, b) => a.keptMs - b.keptMs || (a.file < b.file ? -1 : 1))
  return { directory, kept: named(kept), warnings }
}

/**
 * Opens the stored message.
 * @throws UserError if it is missing, cannot be read, or is no regular file of the quarantine's owner
 */
export async function openCopy(one: KeptMessage): Promise<FileHandle> {
  try {
    return await inTheFolderOf(one, (folder, name) => folder.open(name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new UserError(`${one.file}: the message file is missing`)
    throw accessError(error, one.file)
  }
}

/** Removes the message before its record: after an interruption the record is still listed and can be deleted. */
export async function removeFiles(one: KeptMessage): Promise<void> {
  try {
    await inTheFolderOf(one, async (folder, name) => {
      await folder.remove(name)
      await folder.remove(`${name}.json`)
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw accessError(error, one.file)
  }
}

function inTheFolderOf<T>(
  { directory, file }: KeptMessage,
  work: (folder: Folder, name: string) => Promise<T>,
): Promise<T> {
  const below = path.relative(directory, path.dirname(file))
  return inFolder(directory, below, (folder) => work(folder, path.basename(file)))
}

/** The first eight characters of the UUID and its transaction number; the whole UUID where those are not unique. */
function named(kept: readonly KeptMessage[]): KeptMessage[] {
  const short = (one: KeptMessage) =>
    path.basename(one.file).replace(/^([0-9a-f]{8})-[0-9a-f-]+(\.\d+)$/i, '$1$2')
  const count = new Map<string, number>()
  for (const one of kept) count.set(short(one), (count.get(short(one)) ?? 0) + 1)
  return kept.map((one) => ({
    ...one,
    id: count.get(short(one)) === 1 ? short(one) : path.basename(one.file),
  }))
}

export interface Filters {
  readonly olderThan?: number
  readonly newerThan?: number
  readonly virus?: string
  readonly sender?: string
  readonly recipient?: string
}

export function hasFilters(filters: Filters): boolean {
  const { olderThan, newerThan, virus, sender, recipient } = filters
  return [olderThan, newerThan, virus, sender, recipient].some((one) => one !== undefined)
}

export function passes({ record, keptMs }: KeptMessage, filters: Filters, nowMs: number): boolean {
  const { olderThan, newerThan, virus, sender, recipient } = filters
  const ageMs = nowMs - keptMs
  return (
    (olderThan === undefined || ageMs >= olderThan) &&
    (newerThan === undefined || ageMs < newerThan) &&
    (virus === undefined || fits(virus)(whyKept(record))) &&
    (sender === undefined || fits(sender)(record.envelope.mail_from)) &&
    (recipient === undefined || record.envelope.rcpt_to.some(fits(recipient)))
  )
}

/** With `*` or `?` the pattern matches the whole text, otherwise any part of it; not case-sensitive. */
export function fits(pattern: string): (text: string) => boolean {
  const lower = pattern.toLowerCase()
  if (!/[*?]/.test(pattern)) return (text) => text.toLowerCase().includes(lower)
  return (text) => fitsWildcards(text.toLowerCase(), lower)
}

/**
 * The messages with these ids, in their order, or all that pass the filters. An id may be the beginning of the UUID, the whole
 * of it, or the path of the file.
 * @throws UserError for an id of no message, or of several
 */
export function chosen(store: Store, ids: readonly string[], filters: Filters, nowMs: number): KeptMessage[] {
  const all = store.kept.filter((one) => passes(one, filters, nowMs))
  if (ids.length === 0) return all
  return [
    ...new Set(
      ids.map((id) => {
        const found = store.kept.filter((one) => isCalled(one, id))
        const exact = found.filter((one) => one.id === id || path.basename(one.file) === id)
        const [one, ...others] = exact.length > 0 ? exact : found
        if (one === undefined) throw new UserError(`${id}: no such message in ${store.directory}`)
        if (others.length > 0)
          throw new UserError(
            `${id}: matches several messages: ${found.map((each) => path.basename(each.file)).join(', ')}`,
          )
        return one
      }),
    ),
  ].filter((one) => all.includes(one))
}

function isCalled({ id, file }: KeptMessage, given: string): boolean {
  const name = path.basename(file).toLowerCase()
  const wanted = given.toLowerCase()
  if (wanted === '') return false
  return id.toLowerCase() === wanted || name.startsWith(wanted) || path.resolve(given) === file
}

/**
 * The message for an error of the system, or of safe-files.ts.
 * @param file that was to be opened
 */
export function accessError(error: unknown, file: string): UserError {
  if (error instanceof UnsafePath) return new UserError(error.message)
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return new UserError(`${file}: no such quarantine folder`)
  if (code !== 'EACCES' && code !== 'EPERM') return new UserError(message)
  const owner = ownerOf(file)
  const dropped = rootDroppedTo()
  if (dropped !== null)
    return new UserError(
      `${file}: permission denied: it belongs to ${owner}, and root works here as ${dropped.name}, the owner of ${dropped.folder}`,
    )
  const users = owner === 'root' ? 'root' : `root or as ${owner}, its owner`
  return new UserError(`${file}: permission denied: run this command as ${users}`)
}

function ownerOf(file: string): string {
  try {
    const { uid } = lstatSync(file)
    return accountOf(String(uid))?.name ?? `the user with id ${uid}`
  } catch {
    // A file in a folder without search permission has no known owner: use the folder's.
    const above = path.dirname(file)
    return above === file ? 'another user' : ownerOf(above)
  }
}
