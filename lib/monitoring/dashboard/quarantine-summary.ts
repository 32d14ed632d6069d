/*
 * Summary of the quarantine for the page: count, bytes and the newest copies. Reads the day folders of
 * actions/quarantine.ts at most every 15 seconds, one file at a time; unchanged folders are cached.
 */

import { parseRecord, whyKept } from '../../actions/quarantine-record'
import { type Folder, inFolder } from '../../base/safe-files'
import { displayText } from '../../base/text'

export interface QuarantineSummary {
  readonly count: number
  readonly bytes: number
  readonly newest: readonly CopySummary[]
  /** There are more copies than were counted. */
  readonly isPartial: boolean
}

interface CopySummary {
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly uuid: string
  readonly from: string
  /** Reason: signature name, attachment mask, or unscanned reason. */
  readonly what: string
}

interface Found {
  readonly day: string
  readonly uuid: string
  readonly time: number
}

interface Day {
  /** Modification time of the folder, which changes with every added or removed copy. */
  readonly changedMs: number
  readonly count: number
  readonly bytes: number
  readonly newest: readonly Found[]
}

const maxNewest = 5
/** Copies that are counted at most, so that the page never reads the disk for minutes. */
const maxCopies = 20_000
const maxRecordBytes = 64 * 1024
const freshMs = 15_000

export class Quarantine {
  #days = new Map<string, Day>()
  #cached: { readonly at: number; readonly kept: Promise<QuarantineSummary | null> } | null = null

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

  async #read(): Promise<QuarantineSummary | null> {
    const folder = this.folder()
    if (folder === null) return null
    try {
      return await inFolder(folder, '', (quarantine) => this.#readIn(quarantine))
    } catch (error) {
      // The folder is created with the first copy.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return { count: 0, bytes: 0, newest: [], isPartial: false }
    }
  }

  async #readIn(quarantine: Folder): Promise<QuarantineSummary> {
    const names = (await namesIn(quarantine)).filter((name) => /^\d{8}$/.test(name)).sort()
    const days = new Map<string, Day>()
    let count = 0
    for (const name of names.reverse()) {
      if (count >= maxCopies) break
      const day = await this.#day(quarantine, name, maxCopies - count)
      if (!day) continue
      days.set(quarantine.pathOf(name), day)
      count += day.count
    }
    this.#days = days
    const all = [...days.values()]
    const newest = latest(all.flatMap((day) => day.newest))
    return {
      count,
      bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
      newest: await Promise.all(newest.map((found) => copyOf(quarantine, found))),
      isPartial: count >= maxCopies,
    }
  }

  /** Null: the folder cannot be read. */
  #day(quarantine: Folder, name: string, room: number): Promise<Day | null> {
    const reading = quarantine.inside(name, async (folder) => {
      const changedMs = (await folder.stat()).mtimeMs
      const known = this.#days.get(folder.path)
      if (known?.changedMs === changedMs && known.count <= room) return known
      let bytes = 0
      const found: Found[] = []
      const records = (await namesIn(folder)).filter((one) => one.endsWith('.json')).slice(0, room)
      for (const record of records) {
        const uuid = record.slice(0, -'.json'.length)
        // The copy is written before its record, and may have been removed since.
        const copy = await folder.ownFile(uuid)
        if (!copy) continue
        bytes += copy.size
        found.push({ day: name, uuid, time: copy.mtimeMs })
      }
      return { changedMs, count: found.length, bytes, newest: latest(found) }
    })
    return reading.catch(() => null)
  }
}

async function namesIn(folder: Folder): Promise<string[]> {
  return (await folder.entries()).map(({ name }) => name)
}

function latest(found: readonly Found[]): Found[] {
  return [...found].sort((a, b) => b.time - a.time).slice(0, maxNewest)
}

async function copyOf(quarantine: Folder, { day, uuid: name, time }: Found): Promise<CopySummary> {
  const uuid = displayText(name, 64)
  const text = quarantine.inside(day, (folder) => folder.text(`${name}.json`, maxRecordBytes))
  const record = parseRecord(await text.catch(() => ''))
  if (!record) return { time, uuid, from: '', what: 'record cannot be read' }
  return {
    time,
    uuid,
    from: displayText(record.envelope.mail_from, 160),
    what: displayText(whyKept(record), 128),
  }
}
