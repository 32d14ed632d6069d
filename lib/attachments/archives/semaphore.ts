/*
 * Limits how many jobs run at the same time in this process; others wait in order.
 */

import type { CancelSignal } from '../../base/cancellation'

export class Semaphore {
  #free: number
  /** In the order of arrival. */
  readonly #waiting = new Set<() => void>()

  constructor(maxJobs: number) {
    this.#free = maxJobs
  }

  /** Rejects with the signal's reason when that comes first; work that has started runs to its end. */
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

  /** Gives the place to the job that waits longest. */
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

/** For the archives of all messages: each may inflate to its message's whole budget. */
export const archiveSemaphore = new Semaphore(2)
