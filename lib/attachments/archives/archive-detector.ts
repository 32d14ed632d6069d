/*
 * The decoded content of one part as it streams by: is it an archive, or does one begin in it? Only then is
 * it held, from where the archive begins and up to a bound.
 */

import { type Budget, OverBudget } from '../../mime/budget'
import { startsAsTnef } from '../../mime/containers/tnef'
import type { BodySink } from '../../mime/mime-reader'
import { findZip, startsAsZip, zipLookahead } from './zip-headers'

export interface Archive {
  readonly kind: 'zip' | 'tnef'
  readonly content: Buffer
  /** Something stands in front of it, so that it may be none: a program that reads archives has their constants in it. */
  readonly isInside: boolean
}

const firstBlockBytes = 1024
const blockBytes = 64 * 1024

/** Copies, so that what is held is what is paid for: not a buffer per line, nor a chunk for a few bytes of it. */
class Gathered {
  length = 0
  readonly #blocks: Buffer[] = []
  /** Of the last block. */
  #room = 0

  add(bytes: Buffer): void {
    for (let from = 0; from < bytes.length;) {
      const block = this.#block()
      const copied = bytes.copy(block, block.length - this.#room, from)
      this.#room -= copied
      this.length += copied
      from += copied
    }
  }

  /** All of it, which is then no longer kept here. */
  take(): Buffer {
    const all = Buffer.concat(this.#blocks, this.length)
    this.drop()
    return all
  }

  drop(): void {
    this.#blocks.length = this.length = this.#room = 0
  }

  /** The last block, with room in it. Many small archives are not to cost a large block each. */
  #block(): Buffer {
    const last = this.#blocks.at(-1)
    if (last && this.#room > 0) return last
    const block = Buffer.allocUnsafeSlow(Math.min(blockBytes, Math.max(firstBlockBytes, this.length)))
    this.#room = block.length
    this.#blocks.push(block)
    return block
  }
}

export class ArchiveWatch implements BodySink {
  /** The last bytes seen, in which a header may begin. */
  #tail = Buffer.alloc(0)
  #atStart = true
  #kind: Archive['kind'] | null = null
  #isInside = false
  #overBudget = false
  readonly #held = new Gathered()

  constructor(
    private readonly budget: Budget,
    /** Takes the archive over, and releases its bytes to the budget when done with it. */
    private readonly onArchive: (archive: Archive) => void,
    private readonly onOverBudget: (why: string) => void,
    /** Whether zip archives are of interest; TNEF always is. */
    private readonly zips: boolean,
  ) {}

  write(bytes: Buffer): void {
    if (this.#kind) {
      this.#hold(bytes)
      return
    }
    const seen = this.#tail.length > 0 ? Buffer.concat([this.#tail, bytes]) : bytes
    if (this.#atStart && seen.length < zipLookahead) {
      this.#tail = Buffer.from(seen)
      return
    }
    this.#look(seen)
  }

  end(): void {
    if (!this.#kind) this.#look(this.#tail)
    if (!this.#kind || this.#overBudget) return
    this.onArchive({ kind: this.#kind, content: this.#held.take(), isInside: this.#isInside })
  }

  #look(seen: Buffer): void {
    const start = this.#start(seen)
    this.#atStart = false
    if (start >= 0) this.#hold(seen.subarray(start))
    else this.#tail = Buffer.from(seen.subarray(1 - zipLookahead))
  }

  /** Where in these bytes something begins that is worth holding; -1: nowhere. */
  #start(seen: Buffer): number {
    if (this.#atStart && startsAsTnef(seen)) {
      this.#kind = 'tnef'
      this.#isInside = true
      return 0
    }
    if (!this.zips) return -1
    this.#isInside = !this.#atStart || !startsAsZip(seen)
    const start = this.#isInside ? findZip(seen, 0) : 0
    if (start >= 0) this.#kind = 'zip'
    return start
  }

  #hold(bytes: Buffer): void {
    if (this.#overBudget) return
    try {
      this.budget.spendHeld(bytes.length)
      this.#held.add(bytes)
    } catch (error) {
      if (!(error instanceof OverBudget)) throw error
      this.#giveUp(error.message)
    }
  }

  /** Only this archive: a bad name may follow. */
  #giveUp(why: string): void {
    this.#overBudget = true
    this.budget.releaseHeld(this.#held.length)
    this.#held.drop()
    this.onOverBudget(why)
  }
}
