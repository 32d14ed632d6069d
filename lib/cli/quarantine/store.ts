/*
 * What the quarantine action keeps, as files: PATH/FOLDER/DAY/UUID with the message, UUID.json with what the
 * message does not say, and releases.log of what people did with it. Reads only; nothing here changes a file.
 */

import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { parseRecord, type QuarantineRecord, whyKept } from '../../actions/quarantine-record'
import { fitsWildcards } from '../../base/wildcards'
import { accountOf } from '../accounts'
import type { Site } from '../site'
import { UserError } from '../user-error'

/** A message that is kept. */
export interface KeptMessage {
  /** Short, and the same for as long as the message is kept. */
  readonly id: string
  readonly file: string
  readonly record: QuarantineRecord
  readonly keptMs: number
  /** null: the message itself is gone. */
  readonly bytes: number | null
}

export interface Store {
  /** That holds a folder for each day, and the log. */
  readonly directory: string
  readonly kept: readonly KeptMessage[]
  /** Files that could not be made sense of, each with why. */
  readonly odd: readonly string[]
}

/**
 * Where the quarantine of a site is.
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

/**
 * @param mayBeMissing it is the site's own, where a directory is made with the first copy
 * @throws UserError where there is nothing, or nothing that may be read
 */
export async function openStore(directory: string, mayBeMissing: boolean): Promise<Store> {
  let names: string[]
  try {
    names = await readdir(directory, { recursive: true })
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (isMissing && mayBeMissing) return { directory, kept: [], odd: [] }
    throw await accessError(error, directory)
  }
  const kept: KeptMessage[] = []
  const odd: string[] = []
  const files = names.filter((name) => name.endsWith('.json')).map((name) => path.join(directory, name))
  for (const json of files) {
    const file = json.slice(0, -'.json'.length)
    let text: string
    try {
      text = await readFile(json, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
      throw await accessError(error, json)
    }
    const record = parseRecord(text)
    if (record === null) odd.push(`${json}: not a record of the quarantine`)
    else kept.push({ id: '', file, record, keptMs: Date.parse(record.time), bytes: await bytesOf(file) })
  }
  kept.sort((a, b) => a.keptMs - b.keptMs || (a.file < b.file ? -1 : 1))
  return { directory, kept: named(kept), odd }
}

/** Eight characters of the UUID with the number behind it; all of it where that is not enough. */
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

async function bytesOf(file: string): Promise<number | null> {
  return stat(file).then(
    (found) => (found.isFile() ? found.size : null),
    () => null,
  )
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

/** With `*` or `?` the whole text, else any part of it; not case-sensitive. */
export function fits(pattern: string): (text: string) => boolean {
  const small = pattern.toLowerCase()
  if (!/[*?]/.test(pattern)) return (text) => text.toLowerCase().includes(small)
  return (text) => fitsWildcards(text.toLowerCase(), small)
}

/**
 * The messages with these ids, in their order, or all that pass the filters. An id may be the beginning of the UUID, the whole
 * of it, or the path of the file.
 * @throws UserError for an id that is nobody's, or several messages'
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
            `${id}: several messages: ${found.map((each) => path.basename(each.file)).join(', ')}`,
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

/** A refusal of the system, with whose files they are, since that is whom to be. */
export async function accessError(error: unknown, file: string): Promise<UserError> {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return new UserError(`${file}: there is no quarantine here`)
  if (code !== 'EACCES' && code !== 'EPERM') return new UserError(message)
  const owner = await ownerOf(file)
  const whom = owner === 'root' ? 'root' : `root, or ${owner}, whose quarantine it is`
  return new UserError(`${file}: permission denied: be ${whom}`)
}

async function ownerOf(file: string): Promise<string> {
  let place = file
  while (place !== path.dirname(place) && !existsSync(place)) place = path.dirname(place)
  const { uid } = await stat(place)
  return accountOf(String(uid))?.name ?? `the user with id ${uid}`
}
