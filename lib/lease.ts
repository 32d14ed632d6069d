/*
 * The right to use one address for one scan. Given out by hosts.ts, used by scanner.ts.
 */

import type { Address } from './address'
import type { Engine } from './clamd/engine'
import type { Protocol } from './clamd/protocol'
import type { Entry } from './entry'

/** What a scan came to, as far as it says something about the address. */
export type Outcome = 'worked' | 'failed' | null

/** Ends with exactly one call of `done`. */
export class Lease {
  readonly #entry: Entry
  readonly #finishedBefore: number
  #isOpen = true
  #isDialling = true

  /**
   * @param ended told once, when the scan has left the address
   * @param onReached told when this is the first connection to an address, or the first since it failed
   */
  constructor(
    entry: Entry,
    nowMs: number,
    private readonly ended: (entry: Entry, outcome: Outcome) => void,
    private readonly onReached: () => void,
  ) {
    this.#entry = entry
    this.#finishedBefore = entry.finished
    entry.inFlight++
    if (entry.dialling++ === 0) entry.diallingSince = nowMs
  }

  get address(): Address {
    return this.#entry.address
  }

  get text(): string {
    return this.#entry.text
  }

  /** What the daemon was last seen to be. */
  get engine(): Engine | null {
    return this.#entry.engine
  }

  /** What the daemon there was last seen to speak; set it when that is learnt. */
  get protocol(): Protocol | null {
    return this.#entry.protocol
  }

  set protocol(protocol: Protocol | null) {
    this.#entry.protocol = protocol
  }

  /** It takes several messages on one connection; to be cleared where that turns out wrong. */
  get hasSessions(): boolean {
    return this.#entry.hasSessions
  }

  set hasSessions(hasSessions: boolean) {
    this.#entry.hasSessions = hasSessions
  }

  /** To be called when there is a connection. Until then others rather go elsewhere: it may be in vain. */
  reached(): void {
    if (!this.#isDialling) return
    this.#endDialling()
    if (this.#entry.wasReached) return
    this.#entry.wasReached = true
    this.onReached()
  }

  /**
   * `late`: no verdict in time, which is a failure only if the address has finished no other scan since this one
   * began: one that is at work and has too much of it, or met a message that takes for ever, is no dead one.
   * `neither`: the scan ended for a reason that says nothing about the address.
   */
  done(outcome: 'worked' | 'failed' | 'late' | 'neither'): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#endDialling()
    const entry = this.#entry
    entry.inFlight--
    const isDead = outcome === 'failed' || (outcome === 'late' && entry.finished === this.#finishedBefore)
    this.ended(entry, isDead ? 'failed' : outcome === 'worked' ? 'worked' : null)
  }

  #endDialling(): void {
    if (this.#isDialling) this.#entry.dialling--
    this.#isDialling = false
  }
}
