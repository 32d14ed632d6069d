/*
 * Waits for a change of state, in the order of arrival, or for work with a time limit. Every wait obeys a signal.
 */

import { type CancelSignal, untilAborted } from './cancellation'

export class WaitQueue {
  readonly #wakes = new Set<() => void>()

  /**
   * Resolves on `wakeAll`, when the signal aborts, or after `ms` milliseconds.
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

  /** Wakes all, because the first may not be able to use the change; they queue again in the same order. */
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
  const limit = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  try {
    await untilAborted(Promise.race([work, limit]), signal)
  } finally {
    clearTimeout(timer)
  }
}
