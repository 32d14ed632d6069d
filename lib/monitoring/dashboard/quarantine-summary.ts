/*
 * The quarantine for the page: count and bytes, and a list of the newest copies. Reads the day
 * folders of actions/quarantine.ts at most every 15 seconds, one file at a time; what has not changed is not read again.
 */

import { parseRecord, whyKept } from '../../actions/quarantine-record'
import { type Folder, inFolder } from '../../base/safe-files'
import { displayText } from '../../base/text'
import { maxRecipients } from './listed-message'

export interface QuarantineSummary {
  readonly count: number
  readonly bytes: number
  /** There are more copies than were counted. */
  readonly isPartial: boolean
}

/** Strings are bounded and printable. */
export interface CopySummary {
  readonly day: string
  readonly uuid: string
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly bytes: number
  /** Reason: signature name, attachment mask, or unscanned reason. */
  readonly what: string
  readonly from: string
  /** The first few. */
  readonly to: readonly string[]
  readonly recipients: number
  readonly ip: string
  readonly user: string
  readonly messageId: string
  /** The clamd that gave the verdict, and its signatures. */
  readonly engine: string
}

interface Found {
  readonly day: string
  readonly uuid: string
  readonly time: number
  readonly bytes: number
}

interface Day {
  /** Modification time of the folder, which changes with every added or removed copy. */
  readonly changedMs: number
  readonly count: number
  readonly bytes: number
  readonly newest: readonly Found[]
}

/** Copies of the list. */
export const maxListed = 1000
/** Copies that are counted at most, so that the page never reads the disk for minutes. */
const maxCopies = 20_000
const maxRecordBytes = 64 * 1024
const freshMs = 15_000

export class Quarantine {
  #days = new Map<string, Day>()
  #records = new Map<string, CopySummary>()
  #cached: { readonly at: number; readonly kept: Promise<QuarantineSummary | null> } | null = null
  #listing: Promise<readonly CopySummary[]> | null = null

  /** @param folder of the copies, null without quarantine; called for each summary */
  constructor(
    private readonly folder: () => string | null,
    private readonly now: () => number,
  ) {}

  /** At most 15 seconds old. Null without quarantine, or if it cannot be read. Never rejects. */
  look(): Promise<QuarantineSummary | null> {
    const now = this.now()
    if (!this.#cached || now - this.#cached.at >= freshMs) {
      this.#cached = { at: now, kept: this.#read().catch(() => null) }
    }
    return this.#cached.kept
  }

  /** The newest copies, newest first, as of the last look. Never rejects. */
  async list(): Promise<readonly CopySummary[]> {
    await this.look()
    this.#listing ??= this.#readRecords()
      .catch(() => [])
      .finally(() => (this.#listing = null))
    return this.#listing
  }

  async #read(): Promise<QuarantineSummary | null> {
    const folder = this.folder()
    if (folder === null) return null
    try {
      return await inFolder(folder, '', (quarantine) => this.#readIn(quarantine))
    } catch (error) {
      // The folder is created with the first copy.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      this.#days = new Map()
      return { count: 0, bytes: 0, isPartial: false }
    }
  }

  async #readIn(quarantine: Folder): Promise<QuarantineSummary> {
    const names = (await namesIn(quarantine)).filter((name) => /^\d{8}$/.test(name)).sort()
    const days = new Map<string, Day>()
    let count = 0
    for (const name of names.reverse()) {
      if (count >= maxCopies) break
      const day = await this.#day(quarantine, name, maxCopies - count, Math.max(0, maxListed - count))
      if (!day) continue
      days.set(quarantine.pathOf(name), day)
      count += day.count
    }
    this.#days = days
    return {
      count,
      bytes: [...days.values()].reduce((sum, { bytes }) => sum + bytes, 0),
      isPartial: count >= maxCopies,
    }
  }

  /**
   * Null: the folder cannot be read.
   * @param listed how many of its copies may be on the list
   */
  #day(quarantine: Folder, name: string, room: number, listed: number): Promise<Day | null> {
    const reading = quarantine.inside(name, async (folder) => {
      const changedMs = (await folder.stat()).mtimeMs
      const known = this.#days.get(folder.path)
      const hasEnough = known && known.newest.length >= Math.min(known.count, listed)
      if (hasEnough && known.changedMs === changedMs && known.count <= room)
        return { ...known, newest: known.newest.slice(0, listed) }
      let bytes = 0
      const found: Found[] = []
      const records = (await namesIn(folder)).filter((one) => one.endsWith('.json')).slice(0, room)
      for (const record of records) {
        const uuid = record.slice(0, -'.json'.length)
        // The copy is written before its record, and may have been removed since.
        const copy = await folder.ownFile(uuid)
        if (!copy) continue
        bytes += copy.size
        found.push({ day: name, uuid, time: copy.mtimeMs, bytes: copy.size })
      }
      return { changedMs, count: found.length, bytes, newest: newestFirst(found).slice(0, listed) }
    })
    return reading.catch(() => null)
  }

  async #readRecords(): Promise<readonly CopySummary[]> {
    const folder = this.folder()
    const found = newestFirst([...this.#days.values()].flatMap(({ newest }) => newest)).slice(0, maxListed)
    if (folder === null || found.length === 0) return []
    const records = new Map<string, CopySummary>()
    await inFolder(folder, '', async (quarantine) => {
      for (const one of found) {
        const key = `${one.day}/${one.uuid}/${one.time}`
        records.set(key, this.#records.get(key) ?? (await copyOf(quarantine, one)))
      }
    })
    this.#records = records
    return [...records.values()]
  }
}

async function namesIn(folder: Folder): Promise<string[]> {
  return (await folder.entries()).map(({ name }) => name)
}

function newestFirst(found: readonly Found[]): Found[] {
  return [...found].sort((a, b) => b.time - a.time)
}

async function copyOf(quarantine: Folder, { day, uuid: name, time, bytes }: Found): Promise<CopySummary> {
  const text = quarantine.inside(day, (folder) => folder.text(`${name}.json`, maxRecordBytes))
  const record = parseRecord(await text.catch(() => ''))
  const { envelope, client, verdict } = record ?? {}
  const recipients = envelope?.rcpt_to ?? []
  /** The record was parsed, not checked in every field. */
  const shown = (value: unknown, length: number) =>
    typeof value === 'string' ? displayText(value, length) : ''
  return {
    day,
    uuid: displayText(name, 64),
    time,
    bytes,
    what: record ? displayText(whyKept(record), 128) : 'record cannot be read',
    from: shown(envelope?.mail_from, 160),
    to: recipients.slice(0, maxRecipients).map((one) => displayText(one, 160)),
    recipients: recipients.length,
    ip: shown(client?.ip, 64),
    user: shown(record?.user, 100),
    messageId: shown(record?.message_id, 160),
    engine: shown(verdict?.engine, 100),
  }
}
