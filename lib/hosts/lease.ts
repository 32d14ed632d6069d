/*
 * The right to use one address for one scan. Issued by host-pool.ts, used by lib/scan/address-scan.ts.
 */

import type { Address } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { ClamdVersion } from '../clamd/version'
import { type HostEvent, isUntrusted, isVerified, limitOf } from './host-state'
import { type Candidate, isWell, type Others } from './pick'
import { type EicarCheckResult, type SilentLimits, silentLimits } from './test-results'

export type AddressOutcome = 'worked' | 'failed'

/**
 * Outcome of a scan for its address. `late`: no verdict in time, a failure only if the address has finished no other scan
 * since this one started; else it is overloaded or the message is slow, and the address still works. `neither`: the reason
 * says nothing about the address.
 */
export type LeaseOutcome = AddressOutcome | 'late' | 'neither'

export interface LeaseListener {
  happened(event: HostEvent): void
  /** Called on the first connection to the address, and on the first since it failed. */
  reached(): void
  /** Called once, when the scan has ended. null: its outcome says nothing about the address. */
  ended(outcome: AddressOutcome | null): void
}

/** Minimum size of a test mail in bytes; most messages are smaller. */
const minTestBytes = 64 * 1024

/** End each lease with `done`; later calls have no effect. */
export class Lease {
  readonly #host: Candidate
  readonly #finishedBefore: number
  /** The address's `restsUntilMs` when the scan started, to recognise a later failure. */
  readonly #restsUntilMs: number | null
  #isOpen = true
  #isDialling = true

  constructor(
    host: Candidate,
    private readonly now: () => number,
    readonly others: Others,
    private readonly spare: readonly Candidate[],
    private readonly listener: LeaseListener,
  ) {
    this.#host = host
    this.#finishedBefore = host.load.finished
    this.#restsUntilMs = host.state.restsUntilMs
    host.load.begin(now())
  }

  get address(): Address {
    return this.#host.address
  }

  /** The other addresses that the message may still go to, and that are well at this moment. */
  get wellOthers(): readonly Address[] {
    return this.spare.filter(isWell).map(({ address }) => address)
  }

  get text(): string {
    return this.#host.text
  }

  /** Version of the daemon, as of the last query. */
  get engine(): ClamdVersion | null {
    return this.#host.state.engine
  }

  /** Protocol of the last scan that worked. */
  get protocol(): Protocol | null {
    return this.#host.state.protocol
  }

  set protocol(protocol: Protocol | null) {
    this.listener.happened({ type: 'spoke', protocol })
  }

  /** Call on unexpected behaviour: the daemon may have been replaced, and has to be checked again. */
  doubt(): void {
    this.listener.happened({ type: 'doubted' })
  }

  /** Number of failures and doubts so far. */
  get failureEpoch(): number {
    return this.#host.state.failureEpoch
  }

  /** True if it has found the test file and has not failed since. */
  get isVerified(): boolean {
    return isVerified(this.#host.state)
  }

  /** True if it is verified, and messages of this size may go to it. */
  isProvenFor(bytes: number): boolean {
    return this.isVerified && this.isSizeAllowed(bytes)
  }

  /** True if messages of this size may go to it: proven, or sizes are not tested. */
  isSizeAllowed(bytes: number): boolean {
    const { maxScannableBytes } = this.#host.state
    return maxScannableBytes === null || bytes <= maxScannableBytes
  }

  /** True if it has found the test file at the end of a mail of this size. Then it is wrong to call one too large. */
  hasProvenSize(bytes: number): boolean {
    const { maxScannableBytes } = this.#host.state
    return maxScannableBytes !== null && bytes <= maxScannableBytes
  }

  /**
   * Size in bytes of the test mail for a message of `bytes`. Larger than needed, so that it also covers later messages: the
   * next power of two, or half-way to the known limit.
   */
  testBytes(bytes: number, maxBytes: number): number {
    const { state } = this.#host
    const limitBytes = limitOf(state, this.now())
    const wanted =
      limitBytes === Infinity
        ? Math.max(minTestBytes, 2 ** Math.ceil(Math.log2(bytes)))
        : Math.floor(((state.maxScannableBytes ?? 0) + limitBytes) / 2)
    return Math.max(bytes, Math.min(wanted, maxBytes))
  }

  /** True if it did not find the last test file. */
  get isUntrusted(): boolean {
    return isUntrusted(this.#host.state)
  }

  /** Limits up to which an OK holds for archives; null: unknown. */
  get silentLimits(): SilentLimits | null {
    return silentLimits(this.#host.state.archives)
  }

  /** True if it has finished another scan since this one started. */
  get hasFinishedOthers(): boolean {
    return this.#host.load.finished !== this.#finishedBefore
  }

  /** True if its last scan failed: its circuit breaker is not closed. */
  get hasFailed(): boolean {
    return this.#host.state.restsUntilMs !== null
  }

  /**
   * Records the result of a test file.
   * @param epoch `failureEpoch` when the test file was sent: later failures may be another daemon's
   */
  recordCheck(
    { findsTestFile, bytes }: Pick<EicarCheckResult, 'findsTestFile' | 'bytes'>,
    epoch: number,
  ): void {
    this.listener.happened(findsTestFile ? { type: 'eicarFound', epoch, bytes } : { type: 'eicarMissed' })
  }

  /** Call when it misses the test file in a mail of `bytes` and finds it in a smaller one. */
  missedTestFileAt(bytes: number): void {
    this.listener.happened({ type: 'eicarMissedAt', bytes, nowMs: this.now() })
  }

  /** Call when the connection is made. Until then other scans prefer other addresses. */
  reached(): void {
    if (!this.#isDialling) return
    this.#endDialling()
    const { load } = this.#host
    if (load.wasReached) return
    load.reached()
    this.listener.reached()
  }

  done(outcome: LeaseOutcome): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#endDialling()
    const { load } = this.#host
    load.end()
    const saysNothing = outcome === 'neither' || (outcome === 'late' && this.hasFinishedOthers)
    // The scan after the rest gave no answer; the next scan may try at once.
    if (saysNothing) this.listener.happened({ type: 'probeDropped', restsUntilMs: this.#restsUntilMs })
    this.listener.ended(saysNothing ? null : outcome === 'worked' ? 'worked' : 'failed')
  }

  #endDialling(): void {
    if (this.#isDialling) this.#host.load.endDialling()
    this.#isDialling = false
  }
}
