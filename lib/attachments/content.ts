/*
 * The decoded content of one part as it streams by: is it an archive, or does one begin in it? Only then is
 * it held, from where the archive begins and up to a bound.
 */

import type { BodySink } from './mime'
import { startsAsTnef } from './tnef'
import { findZip, startsAsZip, zipLookahead } from './zip-headers'

export interface Archive {
  readonly kind: 'zip' | 'tnef'
  readonly content: Buffer
}

export class ArchiveWatch implements BodySink {
  /** The last bytes seen, in which a header may begin. */
  #tail = Buffer.alloc(0)
  #atStart = true
  #kind: Archive['kind'] | null = null
  #held: Buffer[] = []
  #heldBytes = 0

  constructor(
    private readonly mostBytes: number,
    private readonly onArchive: (archive: Archive) => void,
    private readonly onTooLarge: () => void,
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
    const content = Buffer.concat(this.#held)
    this.#held = []
    if (this.#kind && this.#heldBytes <= this.mostBytes) this.onArchive({ kind: this.#kind, content })
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
      return 0
    }
    if (!this.zips) return -1
    const start = this.#atStart && startsAsZip(seen) ? 0 : findZip(seen, 0)
    if (start >= 0) this.#kind = 'zip'
    return start
  }

  #hold(bytes: Buffer): void {
    if (this.#heldBytes > this.mostBytes) return
    this.#heldBytes += bytes.length
    if (this.#heldBytes <= this.mostBytes) {
      this.#held.push(bytes)
      return
    }
    this.#held = []
    this.onTooLarge()
  }
}
