/*
 * Lets one large message at a time read on. If large messages were read in turns, all would be complete at about the
 * same time: clamd would wait longer for the first, and the garbage collector would keep the buffers of all.
 */

/** A waiting message reads on after this time in any case, so that a slow address does not delay the others. */
const maxWaitMs = 1000

export interface Waiter {
  /** Called when it may read on. */
  onReadable(): void
}

export class ReadQueue {
  #holder: Waiter | null = null
  /** In the order of arrival. */
  readonly #waiting = new Map<Waiter, NodeJS.Timeout>()
  /** Waited for `maxWaitMs` and need no turn any more. */
  readonly #bypassed = new WeakSet<Waiter>()

  /** @returns true: it has the turn until `pass`; false: `onReadable` will be called */
  take(waiter: Waiter): boolean {
    this.#holder ??= waiter
    if (this.#holder === waiter || this.#bypassed.has(waiter)) return true
    if (!this.#waiting.has(waiter)) {
      this.#waiting.set(
        waiter,
        setTimeout(() => {
          this.#waiting.delete(waiter)
          this.#bypassed.add(waiter)
          waiter.onReadable()
        }, maxWaitMs),
      )
    }
    return false
  }

  /** Gives the turn to the next waiter. */
  pass(waiter: Waiter): void {
    this.#cease(waiter)
    if (this.#holder !== waiter) return
    const [next = null] = this.#waiting.keys()
    this.#holder = next
    if (!next) return
    this.#cease(next)
    next.onReadable()
  }

  #cease(waiter: Waiter): void {
    clearTimeout(this.#waiting.get(waiter))
    this.#waiting.delete(waiter)
  }
}
