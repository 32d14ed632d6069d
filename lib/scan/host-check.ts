/*
 * Is an address fit for one message? It finds the test file or answers PING: before the message where that is not known, and
 * after it where the address has failed on it.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import { type Address, addressText } from '../clamd/address'
import { ping } from '../clamd/capabilities'
import type { Connect } from '../clamd/connection'
import { ClamdError, isLocalShortage, type Step } from '../clamd/errors'
import type { Protocol, Reply } from '../clamd/protocol'
import type { Lease } from '../hosts/lease'
import type { EicarCheckResult } from '../hosts/test-results'
import type { MessageScan, ScanSettings } from './message-scan'
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

/** The scan of a message at one address, as far as a check of the address goes. */
export interface CheckedScan {
  readonly scan: Pick<MessageScan, 'size' | 'signal' | 'dropped' | 'log'>
  readonly lease: Lease
  /** Called each time that the address has found the test file. */
  foundTestFile(protocol: Protocol): void
}

/** Test files sent ahead of one message while the address fails others; if all are found, the message goes there. */
const maxTestFiles = 2

/** Milliseconds for the PING of an address that has not answered a message in time. */
const pingMs = 1000

export class HostCheck {
  readonly #tests = new SharedTests<EicarCheckResult>()
  readonly #pings = new SharedTests<boolean>()

  /** @param eicarCheck null: addresses have to answer PING alone */
  constructor(
    private readonly settings: ScanSettings,
    private readonly connect: Connect,
    readonly eicarCheck: EicarCheck | null,
  ) {}

  /**
   * An address that has failed, or was never tried, has to find the test file before it gets mail: a daemon without
   * signatures says OK to everything. For a message larger than any that was proven, the test file is at the end of a mail of
   * that size. Without self tests, an address that has failed has to answer PING. While there are others, one that hangs
   * costs the message no more than a part of its budget.
   * @returns null: the message may go there
   */
  async check(checked: CheckedScan): Promise<AddressResult | null> {
    const { eicarCheck } = this
    const { scan, lease } = checked
    // Where there is no other, the message itself is the best question.
    if (eicarCheck ? lease.isProvenFor(scan.size) : lease.others === 'none' || !lease.hasFailed) return null
    try {
      if (eicarCheck)
        return (await this.#sendTestFile(checked, eicarCheck)) ?? (await this.#proveSize(checked, eicarCheck))
      scan.log.trace(`${lease.text}: PING`)
      await this.#ping(checked)
      return null
    } catch (error) {
      if (scan.signal.aborted) throw scan.signal.reason
      if (!(error instanceof ClamdError) || isLocalShortage(error.cause)) throw error
      return notVerified('failed', error.step, `${eicarCheck ? 'test file' : 'PING'}: ${error.text}`)
    }
  }

  /** @returns null: it was found, after the last failure or `maxTestFiles` times */
  async #sendTestFile(checked: CheckedScan, eicarCheck: EicarCheck): Promise<AddressResult | null> {
    const { lease } = checked
    const { connectMs, scanMs } = this.settings
    const limitMs = { well: connectMs, doubtful: Math.max(connectMs, scanMs / 2), none: scanMs }[lease.others]
    for (let tries = 0; tries < maxTestFiles && !lease.isVerified; tries++) {
      const { findsTestFile, missed } = await this.#test(checked, eicarCheck, 0, limitMs)
      if (!findsTestFile) return notVerified('replied', 'reply', `test file: not found, ${missed ?? ''}`)
    }
    return untrustedMeanwhile(lease)
  }

  /** @returns null: it was found at the end of as many bytes as the message has */
  async #proveSize(checked: CheckedScan, eicarCheck: EicarCheck): Promise<AddressResult | null> {
    const { connectMs, scanMs, maxBytes } = this.settings
    const { lease } = checked
    const { size } = checked.scan
    if (lease.isSizeAllowed(size)) return null
    // It takes as long as such a message would.
    const limitMs = lease.others === 'none' ? scanMs : Math.max(connectMs, scanMs / 2)
    let missed: string | null = null
    for (const bytes of new Set([lease.testBytes(size, maxBytes), size])) {
      const shown = await this.#test(checked, eicarCheck, bytes, limitMs)
      if (shown.findsTestFile) return untrustedMeanwhile(lease)
      missed = shown.missed
    }
    const text = `test file: not found at the end of ${size} bytes, ${missed ?? ''}`
    return { end: 'replied', reply: { kind: 'limit', text }, step: 'reply', bytes: 0 }
  }

  /** One test file, sent once for all messages that want the same one. @param bytes 0: the minimum size */
  async #test(
    checked: CheckedScan,
    eicarCheck: EicarCheck,
    bytes: number,
    limitMs: number,
  ): Promise<EicarCheckResult> {
    const { scan, lease } = checked
    const { address, text, protocol, failureEpoch } = lease
    const limit = new Deadline(
      scan.signal,
      limitMs,
      () => new ClamdError('reply', `no verdict within ${limitMs} ms`),
    )
    try {
      const shown = await this.#tests.run(`${text} ${bytes} ${failureEpoch}`, limit, async (signal) => {
        const result = await eicarCheck(address, protocol, bytes, limitMs, signal)
        if (result.findsTestFile || bytes === 0) lease.recordCheck(result, failureEpoch)
        else lease.missedTestFileAt(bytes)
        return result
      })
      const found = shown.findsTestFile ? 'found' : `not found: ${shown.missed ?? ''}`
      scan.log.trace(`${text}: test file${bytes === 0 ? '' : ` at the end of ${bytes} bytes`} ${found}`)
      if (shown.findsTestFile) checked.foundTestFile(shown.protocol)
      return shown
    } finally {
      limit.end()
    }
  }

  /** Call on unexpected behaviour: the daemon may have been replaced. */
  recheck(checked: CheckedScan): Promise<AddressResult | null> {
    checked.lease.doubt()
    return this.check(checked)
  }

  /** A clamd that is stopped does not work on the message either, and the next try may begin at once. */
  async isAtWork({ scan, lease }: CheckedScan): Promise<boolean> {
    const connectMs = Math.min(this.settings.connectMs, pingMs)
    if (lease.hasFinishedOthers) return true
    return ping(lease.address, { connect: this.connect, connectMs, signal: scan.dropped }).then(
      () => true,
      () => false,
    )
  }

  /** True if the address answers nothing at all, not even PING, and another one does. Never rejects. */
  async isSilent({ lease }: CheckedScan, signal: CancelSignal): Promise<boolean> {
    const isScanning = () => lease.hasFinishedOthers
    if (isScanning() || (await this.#answersPing(lease.address, signal))) return false
    const others = lease.wellOthers.map((address) => this.#answersPing(address, signal))
    return (await Promise.all(others)).includes(true) && !isScanning()
  }

  /** One PING for all messages that wait at the same address. */
  #answersPing(address: Address, signal: CancelSignal): Promise<boolean> {
    const { connect, settings } = this
    const { connectMs } = settings
    return this.#pings
      .run(addressText(address), signal, (ends) =>
        ping(address, { connect, connectMs, signal: ends }).then(
          () => true,
          () => false,
        ),
      )
      .catch(() => false)
  }

  /** True if it finds the test file, or answers PING, although it has failed on the message. */
  async isWell(checked: CheckedScan): Promise<boolean> {
    const { eicarCheck } = this
    const { scan, lease } = checked
    try {
      if (eicarCheck) {
        const { findsTestFile } = await this.#test(checked, eicarCheck, 0, this.settings.connectMs)
        return findsTestFile && !lease.isUntrusted
      }
      await this.#ping(checked)
      return true
    } catch (error) {
      if (scan.signal.aborted) throw scan.signal.reason
      if (!(error instanceof ClamdError) || isLocalShortage(error.cause)) throw error
      return false
    }
  }

  #ping({ scan, lease }: CheckedScan): Promise<void> {
    const { connectMs } = this.settings
    return ping(lease.address, { connect: this.connect, connectMs, signal: scan.signal })
  }
}

/** Another message has seen it miss the test file meanwhile. */
function untrustedMeanwhile({ isUntrusted }: Lease): AddressResult | null {
  return isUntrusted ? notVerified('replied', 'reply', 'test file: not found meanwhile') : null
}

function notVerified(end: AddressResult['end'], step: Step, text: string): AddressResult {
  return { end, reply: { kind: 'error', text }, step, bytes: 0, isCheck: true }
}
