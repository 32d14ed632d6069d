/*
 * A verdict for a message: which address, one budget for everything, the next address when one fails. Knows neither Haraka nor headers nor rules; every end the world can bring about is a verdict.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import { measure } from '../base/measure'
import type { MessageSource } from '../base/message-source'
import { pause } from '../base/wait-queue'
import type { Connect } from '../clamd/connection'
import { Failure, TooLarge } from '../clamd/errors'
import { headLine, isLimitName } from '../clamd/protocol'
import { Sessions } from '../clamd/session-pool'
import type { Hosts } from '../hosts/host-pool'
import type { Lease } from '../hosts/lease'
import type { Reason, Verdict } from '../policy/verdict'
import { Asking, isShortOfPorts, textOf, type TryOut } from './attempt'
import type { ScanSettings } from './scan-state'
import { type Course, type ScanLog, TimedOut, whereOf } from './scan-state'

/** Milliseconds after which clamds are asked once more that had no port for the message; then twice that, and so on. */
const portPauseMs = 50
const mostPortPauseMs = 400

/** Whoever has waited for so much of the budget does not begin to scan any more. */
const mostOfBudget = 0.9

export class Scanner {
  readonly #asking: Asking

  /** @param tryOut null: addresses need not find the test file */
  constructor(
    private readonly settings: ScanSettings,
    private readonly hosts: Hosts,
    connect: Connect,
    tryOut: TryOut | null = null,
    sessions = new Sessions(),
  ) {
    this.#asking = new Asking(settings, connect, tryOut, sessions)
  }

  /**
   * Resolves for everything the world can do, an abort included; rejects only for a bug.
   * The message's reading is closed by then.
   */
  async scan(message: MessageSource, signal: CancelSignal, log: ScanLog): Promise<Verdict> {
    const { scanMs, maxBytes } = this.settings
    const budget = new Deadline(
      signal,
      scanMs,
      () => new TimedOut(`no verdict within ${scanMs} ms`),
      () => new Failure('reply', 'the message was dropped while it was scanned'),
    )
    const course: Course = {
      message,
      signal: budget,
      log,
      started: performance.now(),
      failures: [],
      isWaiting: false,
      clamd: null,
      engine: null,
      protocol: null,
      provenBy: null,
      step: null,
      bytes: 0,
    }
    try {
      for (;;) {
        const bytes = await this.#bytesOf(course)
        if (bytes > maxBytes) throw new TooLarge(bytes)
        const verdict = await this.#askInTurn(course, bytes)
        const other = verdict.outcome === 'clean' ? course.message.otherwise?.() : null
        if (!other) return verdict
        course.message.close()
        course.message = other
        log.trace('clean; once more, for its lines with a single dot in front may be read otherwise')
      }
    } catch (error) {
      return this.#unscanned(error, course)
    } finally {
      budget.end()
      course.message.close()
    }
  }

  /** Each address once, until one has a verdict; those without a port for as long as a connection may take. */
  async #askInTurn(course: Course, size: number): Promise<Verdict> {
    const tried = new Set<string>()
    const shortOfPorts = new Set<string>()
    let portsDueAt = Infinity
    let pauseMs = portPauseMs
    let limits = 0
    for (;;) {
      const lease = await this.#takeInTime(course, tried, size)
      if (!lease) {
        if (shortOfPorts.size === 0) break
        for (const text of shortOfPorts) tried.delete(text)
        shortOfPorts.clear()
        await pause(pauseMs, course.signal)
        pauseMs = Math.min(2 * pauseMs, mostPortPauseMs)
        continue
      }
      tried.add(lease.text)
      const attempt = await this.#asking.ask(course, lease)
      const { reply, step, bytes } = attempt
      course.bytes = bytes
      if (reply.kind === 'clean') return { outcome: 'clean', ...scanOf(course) }
      if (reply.kind === 'found') {
        return isLimitName(reply.name)
          ? unscanned('limits', `clamd reached its limits: ${reply.name}`, course)
          : { outcome: 'infected', virus: reply.name, ...scanOf(course) }
      }
      if (reply.kind === 'limit') limits++
      const text = `${whereOf(course)}: ${step}: ${textOf(reply)}`
      if (!course.failures.includes(text)) {
        course.failures.push(text)
        course.log.warn(text)
      }
      if (isShortOfPorts(attempt)) {
        portsDueAt = Math.min(portsDueAt, performance.now() + this.settings.connectMs)
        if (performance.now() < portsDueAt) shortOfPorts.add(lease.text)
      }
    }
    return this.#noneLeft(course, size, limits === tried.size)
  }

  /** @param areTooSmall every address that was asked has said that it is */
  #noneLeft(course: Course, size: number, areTooSmall: boolean): Verdict {
    const { untrusted, tooSmall } = this.hosts.passedOver(size)
    const why = [
      ...course.failures,
      ...untrusted.map((text) => `${text} gets no mail, for it does not find the EICAR test file`),
      ...tooSmall.map(({ text, provenBytes }) => `${text} scans ${provenBytes} bytes, this has ${size}`),
    ].join('; ')
    if (why === '') return unscanned('error', 'resolve: no address of a clamd is known', course)
    // Who is not known at the moment may scan more.
    if (areTooSmall && untrusted.length === 0 && this.hosts.areAllKnown) {
      course.bytes = Math.max(course.bytes, size)
      const what = tooSmall.length > 0 ? 'more than any clamd is proven to scan' : 'over StreamMaxLength'
      return unscanned('too_large', `${what}: ${why}`, course)
    }
    return unscanned('error', why, course)
  }

  /** A scan that begins when its time is nearly up would be given up at once, and clamd would do it all the same. */
  async #takeInTime(course: Course, tried: ReadonlySet<string>, size: number): Promise<Lease | null> {
    const began = performance.now()
    course.isWaiting = true
    const lease = await this.hosts.take(tried, course.signal, size)
    const waitedMs = performance.now() - began
    if (lease && waitedMs > this.settings.scanMs * mostOfBudget) {
      lease.done('neither')
      throw new TimedOut(`none within ${Math.round(waitedMs)} ms`)
    }
    course.isWaiting = false
    return lease
  }

  /** Bytes to send, our own line included; at most so many, unless it can make a difference: then it is read. */
  async #bytesOf({ message, signal }: Course): Promise<number> {
    const least = message.least + headLine.length
    const most = message.most + headLine.length
    if (least > this.settings.maxBytes || least === most) return least
    if (most <= Math.min(this.settings.maxBytes, this.hosts.leastProvenBytes)) return most
    const measured = await measure(message, signal)
    message.close()
    return measured + headLine.length
  }

  #unscanned(error: unknown, course: Course): Verdict {
    if (error instanceof TooLarge) {
      course.bytes = error.bytes
      return unscanned('too_large', error.message, course)
    }
    const { clamd, step, isWaiting } = course
    const asked = clamd === null ? '' : `${whereOf(course)}: ${step === null ? '' : `${step}: `}`
    const where = isWaiting ? `waiting for ${this.#awaited()}: ` : asked
    const before = course.failures.map((text) => `; before that ${text}`).join('')
    if (error instanceof TimedOut) return unscanned('timeout', where + error.message + before, course)
    if (error instanceof Failure) return unscanned('error', `${error.step}: ${error.text}${before}`, course)
    throw error
  }

  #awaited(): string {
    if (this.hosts.states().length === 0) return 'a host name to be looked up'
    return this.hosts.isLimited ? 'an address with room' : 'an address to be checked'
  }
}

function scanOf({ started, clamd, engine, protocol, bytes }: Course) {
  return { clamd, engine, protocol, bytes, ms: Math.round(performance.now() - started) }
}

function unscanned(reason: Reason, text: string, course: Course): Verdict {
  return { outcome: 'unscanned', reason, text, ...scanOf(course) }
}
