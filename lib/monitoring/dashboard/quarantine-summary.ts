/*
 * What is in the quarantine, for the page: how many copies, how large, and the newest. Reads the folders of
 * days that actions/quarantine.ts fills, seldom, one file at a time, and never twice what has not changed.
 */

import { open, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { parseRecord, whyKept } from '../../actions/quarantine-record'
import { displayText } from '../../base/text'

export interface QuarantineSummary {
  readonly count: number
  readonly bytes: number
  readonly newest: readonly CopySummary[]
  /** There are more than are counted. */
  readonly isPartial: boolean
}

interface CopySummary {
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly uuid: string
  readonly from: string
  /** Signature name, mask of an attachment, or why it was not scanned. */
  readonly what: string
}

interface Found {
  readonly record: string
  readonly time: number
}

interface Day {
  /** Of the folder, which changes with every copy that comes or goes. */
  readonly changedMs: number
  readonly count: number
  readonly bytes: number
  readonly newest: readonly Found[]
}

const maxNewest = 5
/** Beyond it the count is partial: the page is no reason to read a disk for minutes. */
const maxCopies = 20_000
const maxRecordBytes = 64 * 1024
const freshMs = 15_000

export class Quarantine {
  #days = new Map<string, Day>()
  #looked: { readonly at: number; readonly kept: Promise<QuarantineSummary | null> } | null = null

  /** @param folder of the copies, or null when none are kept; asked at each look */
  constructor(
    private readonly folder: () => string | null,
    private readonly now: () => number,
  ) {}

  /** At most some seconds old. Null when nothing is kept, or cannot be read. Never rejects. */
  look(): Promise<QuarantineSummary | null> {
    const now = this.now()
    if (!this.#looked || now - this.#looked.at >= freshMs) {
      this.#looked = { at: now, kept: this.#read().catch(() => null) }
    }
    return this.#looked.kept
  }

  async #read(): Promise<QuarantineSummary | null> {
    const folder = this.folder()
    if (folder === null) return null
    const names = (await entries(folder)).filter((name) => /^\d{8}$/.test(name)).sort()
    const days = new Map<string, Day>()
    let count = 0
    for (const name of names.reverse()) {
      if (count >= maxCopies) break
      const day = await this.#day(path.join(folder, name), maxCopies - count)
      if (!day) continue
      days.set(path.join(folder, name), day)
      count += day.count
    }
    this.#days = days
    const all = [...days.values()]
    const newest = latest(all.flatMap((day) => day.newest))
    return {
      count,
      bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
      newest: await Promise.all(newest.map(copyOf)),
      isPartial: count >= maxCopies,
    }
  }

  async #day(directory: string, room: number): Promise<Day | null> {
    try {
      const changedMs = (await stat(directory)).mtimeMs
      const known = this.#days.get(directory)
      if (known?.changedMs === changedMs && known.count <= room) return known
      let bytes = 0
      const found: Found[] = []
      const records = (await entries(directory)).filter((name) => name.endsWith('.json')).slice(0, room)
      for (const name of records) {
        const record = path.join(directory, name)
        // The copy itself is written before its record; it may have been taken away since.
        const copy = await stat(record.slice(0, -'.json'.length)).catch(() => null)
        if (!copy) continue
        bytes += copy.size
        found.push({ record, time: copy.mtimeMs })
      }
      return { changedMs, count: found.length, bytes, newest: latest(found) }
    } catch {
      return null
    }
  }
}

async function entries(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    // Made with the first copy.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  })
}

function latest(found: readonly Found[]): Found[] {
  return [...found].sort((a, b) => b.time - a.time).slice(0, maxNewest)
}

async function copyOf({ record: file, time }: Found): Promise<CopySummary> {
  const uuid = displayText(path.basename(file, '.json'), 64)
  const record = parseRecord(await textOf(file).catch(() => ''))
  if (!record) return { time, uuid, from: '', what: 'record cannot be read' }
  return {
    time,
    uuid,
    from: displayText(record.envelope.mail_from, 160),
    what: displayText(whyKept(record), 128),
  }
}

async function textOf(file: string): Promise<string> {
  const handle = await open(file)
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(maxRecordBytes), 0, maxRecordBytes, 0)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}
