/*
 * Who may read on: one at a time of those with a large message to send. Read by turns in small pieces, all of them
 * would be read to the end at about the same time, with clamd waiting for the first one until then, and what is under
 * way for so long outlives the collector's quick passes.
 */

/** Milliseconds after which one goes on in any case, and waits no more: mail is not held up by whoever is slow. */
const patienceMs = 1000

export interface Waiter {
  /** It may read on. */
  onReadable(): void
}

export class ReadQueue {
  #holder: Waiter | null = null
  /** In the order of asking. */
  readonly #waiting = new Map<Waiter, NodeJS.Timeout>()
  /** Those who have waited long enough. */
  readonly #bypassed = new WeakSet<Waiter>()

  /** True: it has the turn, until it passes it on. False: `onReadable` will be called. */
  take(who: Waiter): boolean {
    this.#holder ??= who
    if (this.#holder === who || this.#bypassed.has(who)) return true
    if (!this.#waiting.has(who)) {
      this.#waiting.set(
        who,
        setTimeout(() => {
          this.#waiting.delete(who)
          this.#bypassed.add(who)
          who.onReadable()
        }, patienceMs),
      )
    }
    return false
  }

  /** It has no use for the turn, now or any more. */
  pass(who: Waiter): void {
    this.#cease(who)
    if (this.#holder !== who) return
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
