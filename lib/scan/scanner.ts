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
import { AddressScan, isOutOfPorts, textOf } from './address-scan'
import type { FailureMemory } from './failure-memory'
import type { EicarCheck } from './host-check'
import { MessageHistory } from './message-history'
import type { ScanSettings } from './message-scan'
import { attemptLabel, newScanState, type ScanLog, type ScanState, TimedOut } from './message-scan'
import { minBodyBytes, takeApart } from './take-apart'

/** Milliseconds after which clamds are asked again that had no port for the message; doubled up to the maximum. */
const portPauses = { minTimeout: 50, maxTimeout: 400, factor: 2 }

/** The addresses that one message was taken to. */
interface Asked {
  readonly tried: Set<string>
  /** Of those, which had no port when they were asked last. */
  readonly shortOfPorts: Set<string>
  /** Number of addresses that said that the message is too large. */
  tooLargeReplies: number
  /** Failures in this reading of the message. */
  readonly failures: string[]
}

/** Share of the budget after which a message that waited for an address is not scanned. */
const maxWaitShare = 0.9

export class Scanner {
  readonly #addressScan: AddressScan

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
    this.#addressScan = new AddressScan(settings, clamd, eicarCheck)
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
    const state = newScanState(message, budget, signal, log, history, glance)
    try {
      const known = await history.begin(budget)
      if (known) return unscanned(known.reason, known.text, state)
      const verdict = await this.#scan(state).finally(() => {
        // Ends what may still read the message for its digest.
        budget.abort(new Error('the scan has ended'))
        return history.settled()
      })
      return await history.end({ ...state, verdict, signal })
    } finally {
      budget.end()
    }
  }

  async #scan(state: ScanState): Promise<Verdict> {
    const { maxBytes, scope } = this.settings
    let closed: Verdict | null = null
    try {
      for (;;) {
        state.size = await this.#bytesOf(state)
        if (state.size > maxBytes) throw new TooLarge(state.size)
        if (scope === 'parts' && state.size >= minBodyBytes)
          state.apart = await takeApart(state.message, state.readingBudget.restarted())
        const asked: Asked = { tried: new Set(), shortOfPorts: new Set(), tooLargeReplies: 0, failures: [] }
        const verdict = (await this.#tryAddresses(state, asked)) ?? (await this.#askForPorts(state, asked))
        if (!mayBeRead(verdict)) return verdict
        const reading = state.message.nextReading?.()
        if (!reading) return closed ?? verdict
        // What is closed in one reading is closed in all; a virus may be in another one.
        if (verdict.outcome !== 'clean') closed ??= verdict
        state.message.close()
        state.message = reading
        state.glance?.miss()
        state.glance = null
        state.apart?.release()
        state.apart = null
        state.log.trace('clean in this reading; the next one is scanned')
      }
    } catch (error) {
      return this.#unscanned(error, state)
    } finally {
      state.message.close()
      state.apart?.release()
    }
  }

  /**
   * Each address once, until one has a verdict.
   * @returns null: none has, and some had no port, which they may have in a moment
   */
  async #tryAddresses(state: ScanState, asked: Asked): Promise<Verdict | null> {
    const { tried, shortOfPorts, failures } = asked
    for (;;) {
      const lease = await this.#takeLease(state, tried)
      if (!lease) return shortOfPorts.size > 0 ? null : this.#noAddressLeft(state, asked)
      tried.add(lease.text)
      const result = await this.#addressScan.run(state, lease)
      const { reply, step, bytes } = result
      state.bytes = bytes
      // The verdict of a message that is not scanned names them itself.
      if ((reply.kind === 'clean' || reply.kind === 'found') && failures.length > 0)
        state.log.warn(`${failures.join('; ')}; scanned by ${lease.text}`)
      if (reply.kind === 'clean') return cleanOrClosed(state)
      if (reply.kind === 'found') {
        return isLimitName(reply.name)
          ? unscanned('limits', `clamd reached its limits: ${reply.name}`, state)
          : { outcome: 'infected', virus: reply.name, ...scanOf(state) }
      }
      if (reply.kind === 'limit') asked.tooLargeReplies++
      const text = `${attemptLabel(state)}: ${step}: ${textOf(reply)}`
      if (!state.failures.includes(text)) {
        state.failures.push(text)
        failures.push(text)
        state.log.trace(text)
      }
      if (isOutOfPorts(result)) shortOfPorts.add(lease.text)
      const end = state.history.stopsAfter(state.stumbles)
      if (end !== null) return unscanned('error', [...state.failures, end].join('; '), state)
    }
  }

  /** Those without a port again, for as long as a connection may take. */
  async #askForPorts(state: ScanState, asked: Asked): Promise<Verdict> {
    const { tried, shortOfPorts } = asked
    const noPort = new Error('no free port')
    const again = async () => {
      for (const text of shortOfPorts) tried.delete(text)
      shortOfPorts.clear()
      const verdict = await this.#tryAddresses(state, asked)
      if (verdict === null) throw noPort
      return verdict
    }
    const isPassing = (error: unknown) => error === noPort
    const pace = { ...portPauses, maxRetryTime: this.settings.connectMs }
    try {
      return await retryAfter(noPort, again, { ...pace, isPassing, signal: state.signal })
    } catch (error) {
      if (error === noPort) return this.#noAddressLeft(state, asked)
      throw error
    }
  }

  #noAddressLeft(state: ScanState, { tried, tooLargeReplies }: Asked): Verdict {
    const { size } = state
    const { untrusted, tooSmall } = this.hosts.passedOver(size)
    const why = [
      ...state.failures,
      ...untrusted.map((text) => `${text} gets no mail, because it does not find the EICAR test file`),
      ...tooSmall.map(
        ({ text, maxScannableBytes }) => `${text} scans ${maxScannableBytes} bytes, this has ${size}`,
      ),
    ].join('; ')
    if (why === '') return unscanned('error', 'resolve: no address of a clamd is known', state)
    // An address that is not known at the moment may scan more.
    if (tooLargeReplies === tried.size && untrusted.length === 0 && this.hosts.areAllKnown) {
      state.bytes = Math.max(state.bytes, size)
      const what = tooSmall.length > 0 ? 'more than any clamd is proven to scan' : 'over StreamMaxLength'
      return unscanned('too_large', `${what}: ${why}`, state)
    }
    return unscanned('error', why, state)
  }

  /** A scan that begins when its time is nearly up would be given up at once, and clamd would do it all the same. */
  async #takeLease(state: ScanState, tried: ReadonlySet<string>): Promise<Lease | null> {
    const began = performance.now()
    state.isWaiting = true
    const { history, signal, size } = state
    // An address that has not failed on the message may be another release.
    const others = tried.size === 0 && history.isKnown ? new Set(history.failedAddresses) : tried
    const lease =
      (await this.hosts.take(others, signal, size)) ?? (await this.hosts.take(tried, signal, size))
    const waitedMs = performance.now() - began
    if (lease && waitedMs > this.settings.scanMs * maxWaitShare) {
      lease.done('neither')
      throw new TimedOut(`none within ${Math.round(waitedMs)} ms`)
    }
    state.isWaiting = false
    return lease
  }

  /** Bytes to send, our own line included; the maximum, unless a limit lies below it: then the message is read and counted. */
  async #bytesOf({ message, signal }: ScanState): Promise<number> {
    const minBytes = message.minBytes + receivedLine.length
    const maxBytes = message.maxBytes + receivedLine.length
    if (minBytes > this.settings.maxBytes || minBytes === maxBytes) return minBytes
    if (maxBytes <= Math.min(this.settings.maxBytes, this.hosts.minScannableBytes)) return maxBytes
    const measured = await measure(message, signal)
    message.close()
    return measured + receivedLine.length
  }

  #unscanned(error: unknown, state: ScanState): Verdict {
    if (error instanceof TooLarge) {
      state.bytes = error.bytes
      return unscanned('too_large', error.message, state)
    }
    const { clamd, step, isWaiting } = state
    const asked = clamd === null ? '' : `${attemptLabel(state)}: ${step === null ? '' : `${step}: `}`
    const where = isWaiting ? `waiting for ${this.#awaited()}: ` : asked
    const before = state.failures.map((text) => `; before that ${text}`).join('')
    if (error instanceof TimedOut) return unscanned('timeout', where + error.message + before, state)
    if (error instanceof ClamdError) return unscanned('error', `${error.step}: ${error.text}${before}`, state)
    throw error
  }

  #awaited(): string {
    if (this.hosts.states().length === 0) return 'a host name to be looked up'
    return this.hosts.isLimited ? 'an address with room' : 'an address to be checked'
  }
}

function scanOf({ started, clamd, engine, protocol, bytes, insight }: ScanState) {
  const { oddity, parts, readings, part, ignored } = insight
  const ms = Math.round(performance.now() - started)
  return { clamd, engine, protocol, bytes, ms, oddity, parts, readings, part, ignored }
}

/** Nothing was found, in the whole message and in its readings. */
function cleanOrClosed(state: ScanState): Verdict {
  const { incompleteBecause, encrypted } = state.insight
  if (incompleteBecause !== null)
    return unscanned('limits', `not all of it could be scanned: ${incompleteBecause}`, state)
  if (encrypted !== null) return unscanned('encrypted', encrypted, state)
  return { outcome: 'clean', ...scanOf(state) }
}

/** Whether the recipient may get to read it, so that its other readings matter. */
function mayBeRead(verdict: Verdict): boolean {
  return verdict.outcome === 'clean' || (verdict.outcome === 'unscanned' && verdict.reason === 'encrypted')
}

function unscanned(reason: Reason, text: string, state: ScanState): Verdict {
  return { outcome: 'unscanned', reason, text, ...scanOf(state) }
}
