/*
 * The decoded content of one part as it streams by: what is it, is it an archive, or does one begin in it? Only then is
 * it held, from where the archive begins and up to a bound.
 */

import { endBytes } from '../../base/file-marks'
import { type Budget, OverBudget } from '../../mime/budget'
import type { BodySink } from '../../mime/mime-reader'
import { headBytes, typesOf, typesOfEnd } from '../file-types'
import { findZip } from './zip-headers'

export interface Archive {
  readonly content: Buffer
  /** What it is; empty: something stands in front of it, so that it may be no archive. */
  readonly types: ReadonlySet<string>
}

/** What is done with a content, by what it is. */
export interface Interest {
  /** What a content is, by its beginning. */
  onTypes(types: ReadonlySet<string>): void
  /** What one is by its end alone, that is not held by then. */
  onTypesOfEnd(types: ReadonlySet<string>): void
  /** Whether all of it is to be handed over. */
  holds(types: ReadonlySet<string>): boolean
  /** Whether zip archives within something else are to be handed over. */
  readonly findsZips: boolean
  /** Takes the archive over, and releases its bytes to the budget when done with it. */
  onArchive(archive: Archive): void
  onOverBudget(why: string): void
}

const noTypes: ReadonlySet<string> = new Set()
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
  /** By which it is told what it is; null: that is done. */
  #head: Gathered | null = new Gathered()
  /** The last bytes seen, in which a header may begin or a footer lie. */
  #tail = Buffer.alloc(0)
  /** Of what is held; null: nothing is. */
  #types: ReadonlySet<string> | null = null
  #overBudget = false
  readonly #held = new Gathered()

  constructor(
    private readonly budget: Budget,
    private readonly interest: Interest,
  ) {}

  write(bytes: Buffer): void {
    if (this.#types !== null) this.#hold(bytes)
    else if (this.#head === null) this.#search(bytes)
    else this.#addToHead(this.#head, bytes)
  }

  end(): void {
    if (this.#head !== null) this.#decide(this.#head.take())
    if (this.#types === null) {
      const types = typesOfEnd(this.#tail)
      if (types.size > 0) this.interest.onTypesOfEnd(types)
    } else if (!this.#overBudget) this.interest.onArchive({ content: this.#held.take(), types: this.#types })
  }

  #addToHead(head: Gathered, bytes: Buffer): void {
    const room = headBytes - head.length
    head.add(bytes.subarray(0, room))
    if (head.length < headBytes) return
    this.#decide(head.take())
    if (bytes.length > room) this.write(bytes.subarray(room))
  }

  #decide(head: Buffer): void {
    this.#head = null
    const types = typesOf(head)
    this.interest.onTypes(types)
    if (this.interest.holds(types)) {
      this.#types = types
      this.#hold(head)
    } else {
      this.#search(head)
    }
  }

  /** For a zip archive that begins in it. */
  #search(bytes: Buffer): void {
    const seen = this.#tail.length > 0 ? Buffer.concat([this.#tail, bytes]) : bytes
    const start = this.interest.findsZips ? findZip(seen, 0) : -1
    if (start < 0) {
      this.#tail = Buffer.from(seen.subarray(-endBytes))
      return
    }
    this.#types = noTypes
    this.#hold(seen.subarray(start))
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
    this.interest.onOverBudget(why)
  }
}
