/*
 * A verdict for a message: which address, one budget for everything, the next address when one fails. Knows neither Haraka
 * nor headers. Every failure of a clamd or of the network is a verdict.
 */

import type { Glance } from '../attachments/glance'
import { type CancelSignal, Deadline } from '../base/cancellation'
import { measure } from '../base/measure'
import type { MessageSource } from '../base/message-source'
import { retryAfter } from '../base/retry'
import type { ClamdClient } from '../clamd/client'
import { ClamdError, TooLarge } from '../clamd/errors'
import { isLimitName, receivedLine } from '../clamd/protocol'
import type { HostPool } from '../hosts/host-pool'
import type { Lease } from '../hosts/lease'
import type { Reason, Verdict } from '../policy/verdict'
import { AddressScan, isOutOfPorts, type ScanTools, textOf } from './address-scan'
import type { FailureMemory } from './failure-memory'
import { type EicarCheck, HostCheck } from './host-check'
import { MessageHistory } from './message-history'
import { MessageScan, type ScanLog, type ScanSettings, TimedOut } from './message-scan'
import { noInsight } from './second-look'
import { minBodyBytes } from './take-apart'

/** Milliseconds after which clamds are asked again that had no port for the message; doubled up to the maximum. */
const portPauses = { minTimeout: 50, maxTimeout: 400, factor: 2 }

/** The scan of one message, and how far it has come. The scanner alone knows of this part. */
class ScanProgress extends MessageScan {
  readonly started = performance.now()
  readonly failures: string[] = []
  /** Waits for an address: for the look-up of its name, a free place there, or its self test. */
  isWaiting = false
  /** The address that is asked, or was asked last; null: none was. */
  address: AddressScan | null = null
  /** Bytes sent to that address; of a message that is too large, its size. */
  bytes = 0
}

/** The addresses that one message was taken to, in one reading. */
interface Asked {
  readonly tried: Set<string>
  /** Those of them that had no port when they were asked last. */
  readonly shortOfPorts: Set<string>
  /** Number of addresses that said that the message is too large. */
  tooLargeReplies: number
  /** Failures in this reading of the message. */
  readonly failures: string[]
}

/** Share of the budget after which a message that waited for an address is not scanned. */
const maxWaitShare = 0.9

export class Scanner {
  readonly #tools: ScanTools

  /**
   * @param eicarCheck null: addresses need not find the test file
   * @param memory null: each message is scanned as if it came for the first time
   */
  constructor(
    private readonly settings: ScanSettings,
    private readonly hosts: HostPool,
    clamd: ClamdClient,
    eicarCheck: EicarCheck | null = null,
    private readonly memory: FailureMemory | null = null,
  ) {
    const hostCheck = new HostCheck(settings, clamd.connect, eicarCheck)
    this.#tools = { settings, clamd, hostCheck, stumblesInRow: new WeakMap() }
  }

  /**
   * Resolves with a verdict whatever fails, and when the signal aborts; rejects only for a bug.
   * The message's reading is closed by then.
   */
  async scan(
    message: MessageSource,
    signal: CancelSignal,
    log: ScanLog,
    glance: Glance | null = null,
  ): Promise<Verdict> {
    const { scanMs } = this.settings
    const budget = new Deadline(
      signal,
      scanMs,
      () => new TimedOut(`no verdict within ${scanMs} ms`),
      () => new ClamdError('reply', 'the message was dropped while it was scanned'),
    )
    const history = new MessageHistory(this.memory, message.identity, scanMs)
    const scan = new ScanProgress(message, budget, signal, log, history, glance)
    try {
      const known = await history.begin(budget)
      if (known) return unscanned(known.reason, known.text, scan)
      const verdict = await this.#scan(scan).finally(() => history.stopReading(budget))
      const { stumbles, address } = scan
      const { clamd = null, sentAt = null } = address ?? {}
      return await history.end({ verdict, stumbles, clamd, sentAt, signal })
    } finally {
      budget.end()
    }
  }

  async #scan(scan: ScanProgress): Promise<Verdict> {
    const { maxBytes, scope } = this.settings
    let closed: Verdict | null = null
    try {
      for (;;) {
        scan.size = await this.#bytesOf(scan)
        if (scan.size > maxBytes) throw new TooLarge(scan.size)
        if (scope === 'parts' && scan.size >= minBodyBytes) await scan.takeApart()
        const asked: Asked = { tried: new Set(), shortOfPorts: new Set(), tooLargeReplies: 0, failures: [] }
        const verdict = (await this.#tryAddresses(scan, asked)) ?? (await this.#askForPorts(scan, asked))
        if (!mayBeRead(verdict)) return verdict
        // What is closed in one reading is closed in all; a virus may be in another one.
        if (verdict.outcome !== 'clean') closed ??= verdict
        if (!scan.nextReading()) return closed ?? verdict
        scan.log.trace('clean in this reading; the next one is scanned')
      }
    } catch (error) {
      return this.#unscanned(error, scan)
    } finally {
      scan.close()
    }
  }

  /**
   * Each address once, until one has a verdict.
   * @returns null: none has, and some had no port, which they may have in a moment
   */
  async #tryAddresses(scan: ScanProgress, asked: Asked): Promise<Verdict | null> {
    const { tried, shortOfPorts, failures } = asked
    for (;;) {
      const lease = await this.#takeLease(scan, tried)
      if (!lease) return shortOfPorts.size > 0 ? null : this.#noAddressLeft(scan, asked)
      tried.add(lease.text)
      const address = (scan.address = new AddressScan(this.#tools, scan, lease))
      scan.bytes = 0
      const result = await address.run()
      const { reply, step, bytes } = result
      scan.bytes = bytes
      // The verdict of a message that is not scanned names them itself.
      if ((reply.kind === 'clean' || reply.kind === 'found') && failures.length > 0)
        scan.log.warn(`${failures.join('; ')}; scanned by ${lease.text}`)
      if (reply.kind === 'clean') return cleanOrClosed(scan)
      if (reply.kind === 'found') {
        return isLimitName(reply.name)
          ? unscanned('limits', `clamd reached its limits: ${reply.name}`, scan)
          : { outcome: 'infected', virus: reply.name, ...scanOf(scan) }
      }
      if (reply.kind === 'limit') asked.tooLargeReplies++
      const text = `${address.label}: ${step}: ${textOf(reply)}`
      if (!scan.failures.includes(text)) {
        scan.failures.push(text)
        failures.push(text)
        scan.log.trace(text)
      }
      if (isOutOfPorts(result)) shortOfPorts.add(lease.text)
      const end = scan.history.stopsAfter(scan.stumbles)
      if (end !== null) return unscanned('error', [...scan.failures, end].join('; '), scan)
    }
  }

  /** Those without a port again, for as long as a connection may take. */
  async #askForPorts(scan: ScanProgress, asked: Asked): Promise<Verdict> {
    const { tried, shortOfPorts } = asked
    const noPort = new Error('no free port')
    const again = async () => {
      for (const text of shortOfPorts) tried.delete(text)
      shortOfPorts.clear()
      const verdict = await this.#tryAddresses(scan, asked)
      if (verdict === null) throw noPort
      return verdict
    }
    const isPassing = (error: unknown) => error === noPort
    const pace = { ...portPauses, maxRetryTime: this.settings.connectMs }
    try {
      return await retryAfter(noPort, again, { ...pace, isPassing, signal: scan.signal })
    } catch (error) {
      if (error === noPort) return this.#noAddressLeft(scan, asked)
      throw error
    }
  }

  #noAddressLeft(scan: ScanProgress, { tried, tooLargeReplies }: Asked): Verdict {
    const { size } = scan
    const { untrusted, tooSmall } = this.hosts.passedOver(size)
    const why = [
      ...scan.failures,
      ...untrusted.map((text) => `${text} gets no mail, because it does not find the EICAR test file`),
      ...tooSmall.map(
        ({ text, maxScannableBytes }) => `${text} scans ${maxScannableBytes} bytes, this has ${size}`,
      ),
    ].join('; ')
    if (why === '') return unscanned('error', 'resolve: no address of a clamd is known', scan)
    // An address that is not known at the moment may scan more.
    if (tooLargeReplies === tried.size && untrusted.length === 0 && this.hosts.areAllKnown) {
      scan.bytes = Math.max(scan.bytes, size)
      const what = tooSmall.length > 0 ? 'more than any clamd is proven to scan' : 'over StreamMaxLength'
      return unscanned('too_large', `${what}: ${why}`, scan)
    }
    return unscanned('error', why, scan)
  }

  /** A scan that begins when its time is nearly up would be given up at once, and clamd would do it all the same. */
  async #takeLease(scan: ScanProgress, tried: ReadonlySet<string>): Promise<Lease | null> {
    const began = performance.now()
    scan.isWaiting = true
    const { history, signal, size } = scan
    // An address that has not failed on the message may be another release.
    const others = tried.size === 0 && history.isKnown ? new Set(history.failedAddresses) : tried
    const lease =
      (await this.hosts.take(others, signal, size)) ?? (await this.hosts.take(tried, signal, size))
    const waitedMs = performance.now() - began
    if (lease && waitedMs > this.settings.scanMs * maxWaitShare) {
      lease.done('neither')
      throw new TimedOut(`none within ${Math.round(waitedMs)} ms`)
    }
    scan.isWaiting = false
    return lease
  }

  /**
   * Size in bytes of what is to be sent, our Received line included: the upper bound, if no limit lies below it; else the
   * message is read and measured.
   */
  async #bytesOf({ message, signal }: ScanProgress): Promise<number> {
    const minBytes = message.minBytes + receivedLine.length
    const maxBytes = message.maxBytes + receivedLine.length
    if (minBytes > this.settings.maxBytes || minBytes === maxBytes) return minBytes
    if (maxBytes <= Math.min(this.settings.maxBytes, this.hosts.minScannableBytes)) return maxBytes
    const measured = await measure(message, signal)
    message.close()
    return measured + receivedLine.length
  }

  #unscanned(error: unknown, scan: ScanProgress): Verdict {
    if (error instanceof TooLarge) {
      scan.bytes = error.bytes
      return unscanned('too_large', error.message, scan)
    }
    const where = scan.isWaiting ? `waiting for ${this.#awaited()}: ` : (scan.address?.place ?? '')
    const before = scan.failures.map((text) => `; before that ${text}`).join('')
    if (error instanceof TimedOut) return unscanned('timeout', where + error.message + before, scan)
    if (error instanceof ClamdError) return unscanned('error', `${error.step}: ${error.text}${before}`, scan)
    throw error
  }

  #awaited(): string {
    if (this.hosts.states().length === 0) return 'a host name to be looked up'
    return this.hosts.isLimited ? 'an address with room' : 'an address to be checked'
  }
}

function scanOf({ started, address, bytes }: ScanProgress) {
  const { clamd = null, engine = null, protocol = null, insight = noInsight } = address ?? {}
  const { oddity, parts, readings, part, ignored } = insight
  const ms = Math.round(performance.now() - started)
  return { clamd, engine, protocol, bytes, ms, oddity, parts, readings, part, ignored }
}

/** Nothing was found, in the whole message and in its readings. */
function cleanOrClosed(scan: ScanProgress): Verdict {
  const { incompleteBecause, encrypted } = scan.address?.insight ?? noInsight
  if (incompleteBecause !== null)
    return unscanned('limits', `not all of it could be scanned: ${incompleteBecause}`, scan)
  if (encrypted !== null) return unscanned('encrypted', encrypted, scan)
  return { outcome: 'clean', ...scanOf(scan) }
}

/** Whether the recipient may get to read it, so that its other readings matter. */
function mayBeRead(verdict: Verdict): boolean {
  return verdict.outcome === 'clean' || (verdict.outcome === 'unscanned' && verdict.reason === 'encrypted')
}

function unscanned(reason: Reason, text: string, scan: ScanProgress): Verdict {
  return { outcome: 'unscanned', reason, text, ...scanOf(scan) }
}
