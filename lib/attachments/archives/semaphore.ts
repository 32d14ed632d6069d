/*
 * Room for so many pieces of work at one time, in this process. Others wait their turn.
 */

import type { CancelSignal } from '../../base/cancellation'

export class Semaphore {
  #free: number
  /** In the order of asking. */
  readonly #waiting = new Set<() => void>()

  constructor(maxBytes: number) {
    this.#free = maxBytes
  }

  /** Rejects with the signal's reason when that comes first; work that has begun is left to end by itself. */
  async run<T>(work: () => Promise<T>, signal: CancelSignal): Promise<T> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await this.#turn(signal)
    try {
      return await work()
    } finally {
      this.#pass()
    }
  }

  #turn(signal: CancelSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = () => {
        this.#waiting.delete(next)
        reject(signal.reason)
      }
      const next = () => {
        signal.removeEventListener('abort', aborted)
        resolve()
      }
      this.#waiting.add(next)
      signal.addEventListener('abort', aborted)
    })
  }

  /** To whoever waits longest. */
  #pass(): void {
    const [next] = this.#waiting
    if (!next) {
      this.#free++
      return
    }
    this.#waiting.delete(next)
    next()
  }
}

/** For archives of all messages: each may inflate to as much as its message's budget has. */
export const archiveSemaphore = new Semaphore(2)
