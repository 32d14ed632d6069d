/*
 * Keeps the bytes of a message while it is sent, for its readings: to read it from Haraka again takes a quarter of their CPU.
 * Keeps them only if the beginning of the message shows that it needs readings, and if there is memory.
 */

import { receivedLine } from '../../clamd/protocol'
import { keptMemory } from './memory'

/** Bytes of the beginning, which is kept of every message. */
const beginningBytes = 64 * 1024

export class SentBytes {
  #bytes: Buffer
  /** Of the message: our Received line goes ahead of it. */
  #length = -receivedLine.length
  #release: (() => void) | null = null
  #isDropped = false

  /** @param maxBytes upper bound of the size of the message */
  constructor(private readonly maxBytes: number) {
    this.#bytes = Buffer.allocUnsafe(Math.min(maxBytes, beginningBytes))
  }

  /**
   * To be called for all that is sent, in its order.
   * @param isNeeded whether the message is known to need readings
   */
  write(piece: Buffer, isNeeded: boolean): void {
    if (this.#isDropped) return
    const from = Math.max(0, -this.#length)
    const end = this.#length + piece.length
    if (end > this.#bytes.length && !(isNeeded && this.#grow(end))) this.drop()
    else if (from < piece.length) piece.copy(this.#bytes, this.#length + from, from)
    this.#length = end
  }

  /** @returns false: there is no memory for it */
  #grow(bytes: number): boolean {
    if (bytes > this.maxBytes) return false
    this.#release = keptMemory.tryTake(this.maxBytes)
    if (this.#release === null) return false
    const whole = Buffer.allocUnsafe(this.maxBytes)
    this.#bytes.copy(whole, 0, 0, Math.max(0, this.#length))
    this.#bytes = whole
    return true
  }

  /** To be asked when all was sent. Null: it was not kept. */
  get whole(): Buffer | null {
    return this.#isDropped || this.#length < 0 ? null : this.#bytes.subarray(0, this.#length)
  }

  /** Gives the memory back. */
  drop(): void {
    this.#isDropped = true
    this.#bytes = nothing
    this.#release?.()
    this.#release = null
  }
}

const nothing = Buffer.alloc(0)
