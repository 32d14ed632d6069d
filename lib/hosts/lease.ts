/*
 * The right to use one address for one scan. Issued by host-pool.ts, used by lib/scan/attempt.ts.
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

export type AddressOutcome = 'worked' | 'failed'

/**
 * Outcome of a scan for its address. `late`: no verdict in time, a failure only if the address has finished no other scan
 * since this one started; else it is overloaded or the message is slow, and the address still works. `neither`: the reason
 * says nothing about the address.
 */
export type LeaseOutcome = AddressOutcome | 'late' | 'neither'

export interface LeaseListener {
  /** Called once, when the scan has ended. null: its outcome says nothing about the address. */
  ended(host: HostState, outcome: AddressOutcome | null): void
  /** Called on the first connection to the address, and on the first since it failed. */
  reached(): void
  /** The daemon may have been replaced. */
  doubted(host: HostState): void
}

/**
 * The other addresses that the message may still go to. `well`: one of them has not failed, or has found the test file
 * since. `doubtful`: all have failed since. `none`: there are none.
 */
export type Others = 'well' | 'doubtful' | 'none'

/** Minimum size of a test mail in bytes; most messages are smaller. */
const minTestBytes = 64 * 1024

/** End each lease with `done`; later calls have no effect. */
export class Lease {
  readonly #host: HostState
  readonly #finishedBefore: number
  /** The address's `restsUntil` when the scan started, to recognise a later failure. */
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

  /** Version of the daemon, as of the last query. */
  get engine(): ClamdVersion | null {
    return this.#host.engine
  }

  /** Protocol of the last scan that worked. */
  get protocol(): Protocol | null {
    return this.#host.protocol
  }

  set protocol(protocol: Protocol | null) {
    this.#host.protocol = protocol
  }

  /** Scans several messages on one connection (IDSESSION). Clear it after a session failed. */
  get hasSessions(): boolean {
    return this.#host.hasSessions
  }

  set hasSessions(hasSessions: boolean) {
    this.#host.hasSessions = hasSessions
  }

  /** Call on unexpected behaviour: the daemon may have been replaced, and has to be checked again. */
  doubt(): void {
    this.listener.doubted(this.#host)
  }

  /** Number of failures and doubts so far. */
  get failureEpoch(): number {
    return this.#host.failureEpoch
  }

  /** Call when a message was scanned on a connection of its own, after it failed in a session. */
  giveUpSessions(): void {
    this.#host.refusesSessions = true
  }

  /** True if it has found the test file and has not failed since. */
  get isVerified(): boolean {
    return this.#host.trust === 'proven' && this.#host.verifiedEpoch >= this.#host.failureEpoch
  }

  /** True if it is verified and proven to scan messages of this size. */
  isProvenFor(bytes: number): boolean {
    return this.isVerified && this.scans(bytes)
  }

  /** True if it is proven to scan messages of this size. */
  scans(bytes: number): boolean {
    const { maxScannableBytes } = this.#host
    return maxScannableBytes === null || bytes <= maxScannableBytes
  }

  /**
   * Size in bytes of the test mail for a message of `bytes`. Larger than needed, so that it also covers later messages: the
   * next power of two, or half-way to the known limit.
   */
  testBytes(bytes: number, maxBytes: number): number {
    const limitBytes = limitOf(this.#host, this.now())
    const wanted =
      limitBytes === Infinity
        ? Math.max(minTestBytes, 2 ** Math.ceil(Math.log2(bytes)))
        : Math.floor(((this.#host.maxScannableBytes ?? 0) + limitBytes) / 2)
    return Math.max(bytes, Math.min(wanted, maxBytes))
  }

  /** True if it did not find the last test file. */
  get isUntrusted(): boolean {
    return this.#host.trust === 'untrusted'
  }

  /** Limits up to which an OK holds for archives; null: unknown. */
  get silentLimits(): SilentLimits | null {
    return silentLimits(this.#host)
  }

  /** True if its last scan failed. */
  get hasFailed(): boolean {
    return this.#host.failed
  }

  /**
   * Records the result of a test file.
   * @param failureEpoch as it was when the test file was sent: later failures may be another daemon's
   */
  recordCheck(
    { findsTestFile, bytes }: Pick<EicarCheckResult, 'findsTestFile' | 'bytes'>,
    failureEpoch: number,
  ): void {
    if (findsTestFile) trust(this.#host, failureEpoch, bytes)
    else markBlind(this.#host)
  }

  /** Call when it misses the test file in a mail of `bytes` and finds it in a smaller one. */
  limit(bytes: number): void {
    limit(this.#host, bytes, this.now())
  }

  /** Call when the connection is made. Until then other scans prefer other addresses. */
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
    // The scan after the rest gave no answer; the next scan may try at once.
    if (saysNothing && host.failed && host.restsUntil === this.#restsUntil) host.restsUntil = 0
    this.listener.ended(host, saysNothing ? null : outcome === 'worked' ? 'worked' : 'failed')
  }

  #endDialling(): void {
    if (this.#isDialling) this.#host.dialling--
    this.#isDialling = false
  }
}
