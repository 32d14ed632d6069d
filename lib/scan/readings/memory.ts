/*
 * Memory for messages that are read in one piece, all of this process together: others wait for theirs inside their budget.
 */

import type { CancelSignal } from '../../base/cancellation'
import { WaitQueue } from '../../base/wait-queue'

/** Bytes of all messages that are read at one time; a reading takes up to three times as much. */
const maxTotalBytes = 64 * 1024 * 1024
/** Bytes of all messages that are kept while they are sent. */
const maxKeptBytes = 32 * 1024 * 1024

class ReadingMemory {
  #used = 0
  readonly #waiting = new WaitQueue()

  constructor(private readonly maxBytes: number) {}

  /** Resolves when there is room; one message has room always. Rejects with the signal's reason. @returns gives it back */
  async take(bytes: number, signal: CancelSignal): Promise<() => void> {
    while (this.#used > 0 && this.#used + bytes > this.maxBytes) {
      await this.#waiting.wait(signal)
      signal.throwIfAborted()
    }
    return this.#taken(bytes)
  }

  /** @returns gives it back; null: there is no room */
  tryTake(bytes: number): (() => void) | null {
    return this.#used + bytes > this.maxBytes ? null : this.#taken(bytes)
  }

  #taken(bytes: number): () => void {
    this.#used += bytes
    return () => {
      this.#used -= bytes
      this.#waiting.wakeAll()
    }
  }
}

/** For a message at an address. */
export const readingMemory = new ReadingMemory(maxTotalBytes)

/** For a message while it is sent: held as long as clamd takes, and nobody waits for it. */
export const keptMemory = new ReadingMemory(maxKeptBytes)

/** For the attachments of a message: never held while a clamd is slow, so that a wait here is short. */
export const inspectionMemory = new ReadingMemory(maxTotalBytes)

/** For a message that may yet wait for an address: one at an address never waits for it. */
export const apartMemory = new ReadingMemory(maxTotalBytes)
