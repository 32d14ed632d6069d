/*
 * What clamd unpacks in one scan: it counts the file that it is sent, every file in it and every file in those against one
 * limit (MaxScanSize), and passes over the rest. Deflated files are inflated here only where the most that they can make
 * would be too much.
 */

import { createInflateRaw } from 'node:zlib'
import type { Budget } from '../../mime/budget'

/** Bytes that a deflated byte makes at most. */
export const maxRatio = 1032

interface Deflated {
  readonly packed: Buffer
  /** Unpacked; null: not counted yet. */
  bytes: number | null
}

export class ScanTotal {
  #bytes = 0
  #hasUnpacked = false
  /** Deflated files that `#bytes` lacks, and the most bytes that they can make. */
  #deflated: Deflated[] = []
  #maxMore = 0

  /** @param maxBytes up to which clamd scans all; Infinity: it says where it stops */
  constructor(readonly maxBytes: number) {}

  /** Bytes that clamd is sent, or that it finds in them without unpacking. */
  add(bytes: number): void {
    this.#bytes += bytes
  }

  addUnpacked(bytes: number): void {
    this.#hasUnpacked ||= bytes > 0
    this.#bytes += bytes
  }

  addDeflated(packed: Buffer): void {
    if (packed.length > 0 && this.maxBytes < Infinity) this.#add({ packed, bytes: null })
  }

  /** Adds the total of a part of the same scan. The same one may be added again. */
  addAll(other: ScanTotal): void {
    this.#hasUnpacked ||= other.#hasUnpacked
    this.#bytes += other.#bytes
    for (const one of other.#deflated) this.#add(one)
  }

  /**
   * Counts what has to be. Rejects with the signal's reason, or with an OverBudget.
   * @returns why not all of it was scanned, for a log; null: all was
   */
  async excess(budget: Budget): Promise<string | null> {
    const { maxBytes } = this
    // The self test has sent messages as large as one without packed files can be.
    if (!this.#hasUnpacked) return null
    // Begins with the largest, so that few are inflated.
    const isUnclear = () => this.#bytes <= maxBytes && this.#bytes + this.#maxMore > maxBytes
    if (isUnclear()) this.#deflated.sort((one, other) => one.packed.length - other.packed.length)
    while (isUnclear()) {
      const one = this.#deflated.pop()
      if (!one) break
      one.bytes ??= (await inflatedBytes(one.packed, maxBytes - this.#bytes + 1, [], budget)).bytes
      this.#bytes += one.bytes
      this.#maxMore -= one.packed.length * maxRatio
    }
    return this.#bytes > maxBytes ? `more than ${maxBytes} bytes with all that is unpacked` : null
  }

  #add(one: Deflated): void {
    this.#hasUnpacked = true
    if (one.bytes === null) {
      this.#deflated.push(one)
      this.#maxMore += one.packed.length * maxRatio
    } else this.#bytes += one.bytes
  }
}

export interface Inflated {
  readonly bytes: number
  /** One of those that were looked for. */
  readonly hasMark: boolean
}

/** Bytes of the longest mark that is looked for, and more. */
const maxMarkBytes = 16

/** What comes out, as far as it is sound, up to some more bytes than `enough`; none of it is kept. */
export async function inflatedBytes(
  packed: Buffer,
  enough: number,
  marks: readonly Buffer[],
  budget: Budget,
): Promise<Inflated> {
  const result = await budget.offTheClock(() => passed(packed, enough, marks))
  await budget.breathe()
  return result
}

async function passed(packed: Buffer, enough: number, marks: readonly Buffer[]): Promise<Inflated> {
  const inflate = createInflateRaw({ chunkSize: 256 * 1024 })
  let bytes = 0
  let hasMark = false
  let tail = Buffer.alloc(0)
  inflate.end(packed)
  try {
    for await (const chunk of inflate as AsyncIterable<Buffer>) {
      bytes += chunk.length
      const seam = Buffer.concat([tail, chunk.subarray(0, maxMarkBytes)])
      hasMark ||= marks.some((mark) => chunk.includes(mark) || seam.includes(mark))
      tail = Buffer.from((chunk.length < maxMarkBytes ? seam : chunk).subarray(-maxMarkBytes))
      if (bytes >= enough) break
    }
  } catch {
    // Damaged: what came out until then counts.
  }
  return { bytes, hasMark }
}
