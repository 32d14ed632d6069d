/*
 * Who may read on: few at a time of those with a large message to send. Read by turns in small pieces, all of them
 * would be under way for as long as the slowest, and what is under way outlives the collector's quick passes.
 */

/** Milliseconds after which one goes on in any case, and waits no more: memory is saved here, mail is not held up. */
const patienceMs = 1000

export interface Waiter {
  /** It may read on. */
  onTurn(): void
}

export class Turns {
  readonly #active = new Set<Waiter>()
  /** In the order of asking. */
  readonly #waiting = new Map<Waiter, NodeJS.Timeout>()
  /** Those who have waited long enough. */
  readonly #excused = new WeakSet<Waiter>()

  constructor(private readonly most: number) {}

  /** True: it has a turn, until it passes it on. False: `onTurn` will be called. */
  take(who: Waiter): boolean {
    if (this.#active.has(who) || this.#excused.has(who)) return true
    if (this.#active.size < this.most) {
      this.#active.add(who)
      return true
    }
    if (!this.#waiting.has(who)) {
      this.#waiting.set(
        who,
        setTimeout(() => {
          this.#waiting.delete(who)
          this.#excused.add(who)
          who.onTurn()
        }, patienceMs),
      )
    }
    return false
  }

  /** It has no use for a turn, now or any more. */
  pass(who: Waiter): void {
    clearTimeout(this.#waiting.get(who))
    this.#waiting.delete(who)
    if (!this.#active.delete(who)) return
    const [next] = this.#waiting.keys()
    if (next) this.#give(next)
  }

  #give(who: Waiter): void {
    clearTimeout(this.#waiting.get(who))
    this.#waiting.delete(who)
    this.#active.add(who)
    who.onTurn()
  }
}
