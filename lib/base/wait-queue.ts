/*
 * Waiting for something to be different, in the order of arrival, and for work that may take too long. What is waited
 * for is the caller's business; every wait obeys a signal.
 */

import type { CancelSignal } from './cancellation'

/** A queue of those who wait. */
export class WaitQueue {
  readonly #wakes = new Set<() => void>()

  /**
   * Resolves when everybody is woken, when the signal aborts, or after so many milliseconds.
   * @returns false: the time was up
   */
  async wait(signal: CancelSignal, ms: number | null = null): Promise<boolean> {
    let wake: () => void = () => undefined
    const woken = new Promise<void>((resolve) => (wake = resolve))
    let isTimeUp = false
    const onTime = () => {
      isTimeUp = true
      wake()
    }
    const timer = ms === null ? undefined : setTimeout(onTime, ms)
    signal.addEventListener('abort', wake)
    if (signal.aborted) wake()
    this.#wakes.add(wake)
    await woken
    clearTimeout(timer)
    signal.removeEventListener('abort', wake)
    this.#wakes.delete(wake)
    return !isTimeUp
  }

  /** All, since whoever is first may not want what there is; they queue again in the same order. */
  wakeAll(): void {
    if (this.#wakes.size === 0) return
    const wakes = [...this.#wakes]
    this.#wakes.clear()
    for (const wake of wakes) wake()
  }
}

/** Waits for `work`, but no longer than `ms`. Rejects with the signal's reason. */
export async function within(work: Promise<void>, ms: number, signal: CancelSignal): Promise<void> {
  signal.throwIfAborted()
  let timer: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  const limit = new Promise<void>((resolve, reject) => {
    timer = setTimeout(resolve, ms)
    onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort)
  })
  try {
    await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
    if (onAbort) signal.removeEventListener('abort', onAbort)
  }
}
