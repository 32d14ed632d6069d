/*
 * The right to use one address for one scan. Given out by hosts.ts, used by asking.ts.
 */

import type { Address } from './address'
import type { Engine } from './clamd/engine'
import type { Protocol } from './clamd/protocol'
import type { KnownAddress } from './known-address'

/** What a scan came to, as far as it says something about the address. */
export type AddressOutcome = 'worked' | 'failed' | null

/**
 * What a scan came to on an address. `late`: no verdict in time, which is a failure only if the address has finished no
 * other scan since this one began: one that is at work and has too much of it, or met a message that takes for ever, is
 * no dead one. `neither`: the scan ended for a reason that says nothing about the address.
 */
export type LeaseOutcome = 'worked' | 'failed' | 'late' | 'neither'

/** Ends with exactly one call of `done`. */
export class Lease {
  readonly #known: KnownAddress
  readonly #finishedBefore: number
  #isOpen = true
  #isDialling = true

  /**
   * @param ended told once, when the scan has left the address
   * @param onReached told when this is the first connection to an address, or the first since it failed
   */
  constructor(
    known: KnownAddress,
    nowMs: number,
    private readonly ended: (known: KnownAddress, outcome: AddressOutcome) => void,
    private readonly onReached: () => void,
  ) {
    this.#known = known
    this.#finishedBefore = known.finished
    if (known.inFlight++ === 0) known.quietSince = nowMs
    if (known.dialling++ === 0) known.diallingSince = nowMs
  }

  get address(): Address {
    return this.#known.address
  }

  get text(): string {
    return this.#known.text
  }

  /** What the daemon was last seen to be. */
  get engine(): Engine | null {
    return this.#known.engine
  }

  /** What the daemon there was last seen to speak; set it when that is learnt. */
  get protocol(): Protocol | null {
    return this.#known.protocol
  }

  set protocol(protocol: Protocol | null) {
    this.#known.protocol = protocol
  }

  /** It takes several messages on one connection; to be cleared where that may be wrong. */
  get hasSessions(): boolean {
    return this.#known.hasSessions
  }

  set hasSessions(hasSessions: boolean) {
    this.#known.hasSessions = hasSessions
  }

  /** To be called when it has hung up, which may mean that another daemon has taken its place. */
  doubt(): void {
    this.#known.doubts++
  }

  /** How often it has been doubted so far. */
  get doubts(): number {
    return this.#known.doubts
  }

  /** To be called when a message came through on a connection of its own, and not in a session. */
  giveUpSessions(): void {
    this.#known.refusesSessions = true
  }

  /** It has found the test file, and has not failed since. */
  get isVouchedFor(): boolean {
    return this.#known.trust === 'proven' && this.#known.dispelled >= this.#known.doubts
  }

  /** It has failed, and nothing is known since. */
  get hasFailed(): boolean {
    return this.#known.failed
  }

  /**
   * To be called with what it made of the test file. What is known of sizes stays.
   * @param doubts as they were before that was sent: those that came meanwhile may be about another daemon
   */
  vouch(findsTestFile: boolean, doubts: number): void {
    this.#known.trust = findsTestFile ? 'proven' : 'untrusted'
    if (findsTestFile) this.#known.dispelled = Math.max(this.#known.dispelled, doubts)
  }

  /** To be called when there is a connection. Until then other scans prefer other addresses. */
  reached(): void {
    if (!this.#isDialling) return
    this.#endDialling()
    if (this.#known.wasReached) return
    this.#known.wasReached = true
    this.onReached()
  }

  done(outcome: LeaseOutcome): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#endDialling()
    const known = this.#known
    known.inFlight--
    const isDead = outcome === 'failed' || (outcome === 'late' && known.finished === this.#finishedBefore)
    this.ended(known, isDead ? 'failed' : outcome === 'worked' ? 'worked' : null)
  }

  #endDialling(): void {
    if (this.#isDialling) this.#known.dialling--
    this.#isDialling = false
  }
}
