/*
 * Is an address fit for one message? It finds the test file or answers PING: before the message where that is not known, and
 * after it where the address has failed on it.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import type { Address } from '../clamd/address'
import { ping } from '../clamd/capabilities'
import type { Connect } from '../clamd/connection'
import { ClamdError, isLocalShortage, type Step } from '../clamd/errors'
import type { Protocol, Reply } from '../clamd/protocol'
import type { Lease } from '../hosts/lease'
import type { EicarCheckResult } from '../hosts/test-results'
import type { ScanSettings, ScanState } from './message-scan'
import { SharedTests } from './shared-tests'

/**
 * Sends an address the EICAR test file at the end of a mail of `bytes`, or of the minimum if that is larger, over the
 * protocol it was last seen to speak. Rejects with a ClamdError.
 */
export type EicarCheck = (
  address: Address,
  protocol: Protocol | null,
  bytes: number,
  limitMs: number,
  signal: CancelSignal,
) => Promise<EicarCheckResult>

/** What one address came to; what went wrong there is a reply of the kind `error`. */
export interface AddressResult {
  /**
   * `replied`: clamd itself. `hung up`: the connection ended without a word. `failed`: for another reason there was no
   * reply.
   */
  readonly end: 'replied' | 'hung up' | 'failed'
  readonly reply: Reply
  /** At which it ended. */
  readonly step: Step
  /** Content sent, in bytes; 0 where there was no reply. */
  readonly bytes: number
  /** It is about the test file or the PING that the address was sent ahead. */
  readonly isCheck?: true
}

/** Test files sent ahead of one message while the address fails others; if all are found, the message goes there. */
const maxTestFiles = 2

/** Milliseconds for the PING of an address that has not answered a message in time. */
const pingMs = 1000

export class HostCheck {
  readonly #tests = new SharedTests<EicarCheckResult>()

  /** @param eicarCheck null: addresses have to answer PING alone */
  constructor(
    private readonly settings: ScanSettings,
    private readonly connect: Connect,
    readonly eicarCheck: EicarCheck | null,
  ) {}

  /**
   * An address that has failed, or was never tried, has to find the test file before it gets mail: what is
   * there now may have no signatures and say OK to everything. For a message larger than any that was proven it has to find
   * it behind as much. Without a self test one that has failed has to answer PING. Where there are others, one that hangs
   * costs the message no more than a part of its budget.
   * @returns null when it did
   */
  async check(state: ScanState, lease: Lease): Promise<AddressResult | null> {
    const { eicarCheck } = this
    // Where there is no other, the message itself is the best question.
    if (eicarCheck ? lease.isProvenFor(state.size) : lease.others === 'none' || !lease.hasFailed) return null
    const what = eicarCheck ? 'test file' : 'PING'
    try {
      if (eicarCheck)
        return (
          (await this.#sendTestFile(state, lease, eicarCheck)) ??
          (await this.#proveSize(state, lease, eicarCheck))
        )
      const { connectMs } = this.settings
      state.log.trace(`${lease.text}: PING`)
      await ping(lease.address, { connect: this.connect, connectMs, signal: state.signal })
      return null
    } catch (error) {
      if (state.signal.aborted) throw state.signal.reason
      if (!(error instanceof ClamdError) || isLocalShortage(error.cause)) throw error
      return notVerified(state, 'failed', error.step, `${what}: ${error.text}`)
    }
  }

  /** @returns null when it was found, and the address has not failed since or goes on failing all the while */
  async #sendTestFile(state: ScanState, lease: Lease, eicarCheck: EicarCheck): Promise<AddressResult | null> {
    const { connectMs, scanMs } = this.settings
    const limitMs = { well: connectMs, doubtful: Math.max(connectMs, scanMs / 2), none: scanMs }[lease.others]
    for (let tries = 0; tries < maxTestFiles && !lease.isVerified; tries++) {
      const { findsTestFile, missed } = await this.#test(state, lease, eicarCheck, 0, limitMs)
      if (!findsTestFile)
        return notVerified(state, 'replied', 'reply', `test file: not found, ${missed ?? ''}`)
    }
    return untrustedMeanwhile(state, lease)
  }

  /** @returns null when it was found at the end of as many bytes as the message has */
  async #proveSize(state: ScanState, lease: Lease, eicarCheck: EicarCheck): Promise<AddressResult | null> {
    const { connectMs, scanMs, maxBytes } = this.settings
    const { size } = state
    if (lease.isSizeAllowed(size)) return null
    // It takes as long as such a message would.
    const limitMs = lease.others === 'none' ? scanMs : Math.max(connectMs, scanMs / 2)
    let missed: string | null = null
    for (const bytes of new Set([lease.testBytes(size, maxBytes), size])) {
      const shown = await this.#test(state, lease, eicarCheck, bytes, limitMs)
      if (shown.findsTestFile) return untrustedMeanwhile(state, lease)
      missed = shown.missed
    }
    const text = `test file: not found at the end of ${size} bytes, ${missed ?? ''}`
    state.step = 'reply'
    return { end: 'replied', reply: { kind: 'limit', text }, step: 'reply', bytes: 0 }
  }

  /** One test file, sent once for all messages that want the same one. @param bytes 0: the minimum size */
  async #test(
    state: ScanState,
    lease: Lease,
    eicarCheck: EicarCheck,
    bytes: number,
    limitMs: number,
  ): Promise<EicarCheckResult> {
    const { address, text, protocol, failureEpoch } = lease
    const limit = new Deadline(
      state.signal,
      limitMs,
      () => new ClamdError('reply', `no verdict within ${limitMs} ms`),
    )
    try {
      const shown = await this.#tests.run(`${text} ${bytes} ${failureEpoch}`, limit, async (signal) => {
        const { findsTestFile, ...more } = await eicarCheck(address, protocol, bytes, limitMs, signal)
        if (findsTestFile || bytes === 0) lease.recordCheck({ findsTestFile, ...more }, failureEpoch)
        else lease.missedTestFileAt(bytes)
        return { findsTestFile, ...more }
      })
      const found = shown.findsTestFile ? 'found' : `not found: ${shown.missed ?? ''}`
      state.log.trace(`${text}: test file${bytes === 0 ? '' : ` at the end of ${bytes} bytes`} ${found}`)
      if (shown.findsTestFile) state.verifiedProtocol = shown.protocol
      return shown
    } finally {
      limit.end()
    }
  }

  /** Call on unexpected behaviour: the daemon may have been replaced. */
  recheck(state: ScanState, lease: Lease): Promise<AddressResult | null> {
    lease.doubt()
    return this.check(state, lease)
  }

  /** A clamd that is stopped does not work on the message either, and the next try may begin at once. */
  async isAtWork({ dropped }: ScanState, lease: Lease): Promise<boolean> {
    const connectMs = Math.min(this.settings.connectMs, pingMs)
    if (lease.hasFinishedOthers) return true
    return ping(lease.address, { connect: this.connect, connectMs, signal: dropped }).then(
      () => true,
      () => false,
    )
  }

  async isWell(state: ScanState, lease: Lease): Promise<boolean> {
    const { eicarCheck } = this
    const { connectMs } = this.settings
    // After a crash another daemon may be there.
    if (state.stumbled === 'hung up') lease.doubt()
    try {
      if (eicarCheck)
        return (await this.#test(state, lease, eicarCheck, 0, connectMs)).findsTestFile && !lease.isUntrusted
      await ping(lease.address, { connect: this.connect, connectMs, signal: state.signal })
      return true
    } catch (error) {
      if (state.signal.aborted) throw state.signal.reason
      if (!(error instanceof ClamdError) || isLocalShortage(error.cause)) throw error
      return false
    }
  }
}

/** Another message has seen it miss the test file meanwhile. */
function untrustedMeanwhile(state: ScanState, lease: Lease): AddressResult | null {
  return lease.isUntrusted ? notVerified(state, 'replied', 'reply', 'test file: not found meanwhile') : null
}

function notVerified(state: ScanState, end: AddressResult['end'], step: Step, text: string): AddressResult {
  state.step = step
  return { end, reply: { kind: 'error', text }, step, bytes: 0, isCheck: true }
}
