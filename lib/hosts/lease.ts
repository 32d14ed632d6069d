/*
 * The right to use one address for one scan. Given out by hosts.ts, used by asking.ts.
 */

import type { Address } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { ClamdVersion } from '../clamd/version'
import {
  type EicarCheckResult,
  type HostState,
  limit,
  limitOf,
  markBlind,
  type SilentLimits,
  silentLimits,
  trust,
} from './host-state'

/** What a scan came to, as far as it says something about the address. */
export type AddressOutcome = 'worked' | 'failed'

/**
 * What a scan came to on an address. `late`: no verdict in time, which is a failure only if the address has finished no
 * other scan since this one began: one that is at work and has too much of it, or met a message that takes for ever, is
 * no dead one. `neither`: the scan ended for a reason that says nothing about the address.
 */
export type LeaseOutcome = AddressOutcome | 'late' | 'neither'

/** Who is told of a lease. */
export interface LeaseListener {
  /** Once, when the scan has left the address. null: that says nothing about it. */
  ended(host: HostState, outcome: AddressOutcome | null): void
  /** When there is a connection, the first to the address, or the first since it failed. */
  reached(): void
  /** There may be another daemon by now. */
  doubted(host: HostState): void
}

/**
 * The addresses that are left to the message besides this one. `well`: one of them has not failed, or has found the test
 * file since. `doubtful`: all of them may be as bad.
 */
export type Others = 'well' | 'doubtful' | 'none'

/** Least bytes of a mail that is to prove a size: most messages are smaller. */
const minTestBytes = 64 * 1024

/** Ends with exactly one call of `done`. */
export class Lease {
  readonly #host: HostState
  readonly #finishedBefore: number
  /** Until when the address was to rest for this scan to find out whether it is back. */
  readonly #restsUntil: number
  #isOpen = true
  #isDialling = true

  constructor(
    host: HostState,
    private readonly now: () => number,
    readonly others: Others,
    private readonly listener: LeaseListener,
  ) {
    this.#host = host
    this.#finishedBefore = host.finished
    this.#restsUntil = host.restsUntil
    if (host.inFlight++ === 0) host.quietSince = now()
    if (host.dialling++ === 0) host.diallingSince = now()
  }

  get address(): Address {
    return this.#host.address
  }

  get text(): string {
    return this.#host.text
  }

  /** What the daemon was last seen to be. */
  get engine(): ClamdVersion | null {
    return this.#host.engine
  }

  /** What the daemon there was last seen to speak; set it when that is learnt. */
  get protocol(): Protocol | null {
    return this.#host.protocol
  }

  set protocol(protocol: Protocol | null) {
    this.#host.protocol = protocol
  }

  /** It takes several messages on one connection; to be cleared where that may be wrong. */
  get hasSessions(): boolean {
    return this.#host.hasSessions
  }

  set hasSessions(hasSessions: boolean) {
    this.#host.hasSessions = hasSessions
  }

  /** To be called when it does what it would not have done before: another daemon may have taken its place. */
  doubt(): void {
    this.listener.doubted(this.#host)
  }

  /** How often it has been doubted so far. */
  get failureEpoch(): number {
    return this.#host.failureEpoch
  }

  /** To be called when a message came through on a connection of its own, and not in a session. */
  giveUpSessions(): void {
    this.#host.refusesSessions = true
  }

  /** It has found the test file, and has not failed since. */
  get isVerified(): boolean {
    return this.#host.trust === 'proven' && this.#host.verifiedEpoch >= this.#host.failureEpoch
  }

  /** It is vouched for, and proven to scan so many bytes. */
  isProvenFor(bytes: number): boolean {
    return this.isVerified && this.scans(bytes)
  }

  /** It was proven to scan so many bytes. */
  scans(bytes: number): boolean {
    const { maxScannableBytes } = this.#host
    return maxScannableBytes === null || bytes <= maxScannableBytes
  }

  /**
   * The size of a test file mail that is best sent to prove so many bytes: room for larger messages is proven with it, by
   * powers of two, or half-way up to where it is known to stop.
   */
  testBytes(bytes: number, maxBytes: number): number {
    const limitBytes = limitOf(this.#host, this.now())
    const wanted =
      limitBytes === Infinity
        ? Math.max(minTestBytes, 2 ** Math.ceil(Math.log2(bytes)))
        : Math.floor(((this.#host.maxScannableBytes ?? 0) + limitBytes) / 2)
    return Math.max(bytes, Math.min(wanted, maxBytes))
  }

  /** It does not find the test file, as far as is known. */
  get isUntrusted(): boolean {
    return this.#host.trust === 'untrusted'
  }

  /** How far an OK of the address holds for archives. */
  get silentLimits(): SilentLimits | null {
    return silentLimits(this.#host)
  }

  /** It has failed, and nothing is known since. */
  get hasFailed(): boolean {
    return this.#host.failed
  }

  /**
   * To be called with what it made of the test file.
   * @param doubts as they were before that was sent: those that came meanwhile may be about another daemon
   */
  recordCheck(
    { findsTestFile, bytes }: Pick<EicarCheckResult, 'findsTestFile' | 'bytes'>,
    failureEpoch: number,
  ): void {
    if (findsTestFile) trust(this.#host, failureEpoch, bytes)
    else markBlind(this.#host)
  }

  /** To be called when it has missed the test file at the end of so many bytes, and finds it in fewer. */
  limit(bytes: number): void {
    limit(this.#host, bytes, this.now())
  }

  /** To be called when there is a connection. Until then other scans prefer other addresses. */
  reached(): void {
    if (!this.#isDialling) return
    this.#endDialling()
    if (this.#host.wasReached) return
    this.#host.wasReached = true
    this.listener.reached()
  }

  done(outcome: LeaseOutcome): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#endDialling()
    const host = this.#host
    host.inFlight--
    const saysNothing =
      outcome === 'neither' || (outcome === 'late' && host.finished !== this.#finishedBefore)
    // It has not found out; the next one may.
    if (saysNothing && host.failed && host.restsUntil === this.#restsUntil) host.restsUntil = 0
    this.listener.ended(host, saysNothing ? null : outcome === 'worked' ? 'worked' : 'failed')
  }

  #endDialling(): void {
    if (this.#isDialling) this.#host.dialling--
    this.#isDialling = false
  }
}
