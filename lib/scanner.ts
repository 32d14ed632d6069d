/*
 * A verdict for a message: which address, which protocol, one budget for everything, the next address when
 * one fails. Knows neither Haraka nor headers nor rules; every end the world can bring about is a verdict.
 */

import type { Address } from './address'
import { Deadline, type CancelSignal } from './cancellation'
import type { Engine } from './clamd/engine'
import type { Connect, MessageSource } from './clamd/exchange'
import { Failure, NoReply, ofThisMachine, SessionOver, TooLarge, type Step } from './clamd/failure'
import { ping } from './clamd/inquiry'
import { instream } from './clamd/instream'
import { measure } from './clamd/measure'
import { headLine, isLimitName, noFreePort, type Protocol, type Reply } from './clamd/protocol'
import { stream } from './clamd/stream'
import { Sessions } from './clamd/sessions'
import type { Hosts } from './hosts'
import type { Lease } from './lease'
import type { Reason, Verdict } from './verdict'
import { pause } from './waiting'

export interface ScanSettings {
  readonly protocol: Protocol | 'auto'
  readonly bufferBytes: number
  readonly connectMs: number
  /** Budget in milliseconds for one message, all tries and waiting included. */
  readonly scanMs: number
  readonly maxBytes: number
}

/**
 * Sends an address the EICAR test file, over the protocol it was last seen to speak. Rejects with a Failure.
 * @returns whether it was found, and what was said in place of that
 */
export type TryOut = (
  address: Address,
  protocol: Protocol | null,
  limitMs: number,
  signal: CancelSignal,
) => Promise<{ readonly findsTestFile: boolean; readonly missed: string | null }>

/** Where the steps of one scan are told. */
export interface ScanLog {
  trace(text: string): void
  warn(text: string): void
}

const dialogue = { stream, instream }

/** Milliseconds after which clamds are asked once more that had no port for the message; then twice that, and so on. */
const portPauseMs = 50
const mostPortPauseMs = 400

/** Sent ahead of one message, where the address fails others all the while. */
const mostTestFiles = 3

/** Whoever has waited for so much of the budget does not begin to scan any more. */
const mostOfBudget = 0.9

class TimedOut extends Error {
  override readonly name = 'TimedOut'
}

/** One scan: what it works on, and how far it has come, for the verdict and the log. */
interface Course {
  message: MessageSource
  readonly signal: CancelSignal
  readonly log: ScanLog
  readonly started: number
  readonly failures: string[]
  /** For an address that has room. */
  isWaiting: boolean
  clamd: string | null
  engine: Engine | null
  protocol: Protocol | null
  step: Step | null
  bytes: number
}

/** What one dialogue came to; a Failure is an answer of the kind `error` with its step. */
interface Attempt {
  readonly reply: Reply
  readonly step: Step
  readonly bytes: number
  /** There was no reply. */
  readonly isSilent: boolean
  /** The connection ended without a word. */
  readonly isHungUp?: boolean
  /** It says nothing of the address. */
  readonly isBlameless?: boolean
}

export class Scanner {
  constructor(
    private readonly settings: ScanSettings,
    private readonly hosts: Hosts,
    private readonly connect: Connect,
    private readonly tryOut: TryOut | null = null,
    private readonly sessions = new Sessions(),
  ) {}

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
    const portsDueAt = performance.now() + this.settings.connectMs
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
      const attempt = await this.#ask(course, lease)
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
      if (isShortOfPorts(attempt) && performance.now() < portsDueAt) shortOfPorts.add(lease.text)
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

  /** One address. Resolves with a verdict or a reason to ask the next one. Rejects when there is to be no next. */
  async #ask(course: Course, lease: Lease): Promise<Attempt> {
    course.clamd = lease.text
    course.engine = lease.engine
    const began = performance.now()
    let outcome: Parameters<Lease['done']>[0] = 'neither'
    try {
      const attempt = (await this.#doubts(course, lease)) ?? (await this.#inSomeProtocol(course, lease))
      if (!attempt.isBlameless && !isShortOfPorts(attempt))
        outcome = hasVerdict(attempt) ? 'worked' : 'failed'
      return attempt
    } catch (error) {
      // A scan time-out is not retried: the next daemon would be as long over it. But this one rests, if it was the
      // address that took the time and not the wait for it.
      if (error instanceof TimedOut && performance.now() - began > this.settings.scanMs / 2) outcome = 'late'
      throw error
    } finally {
      lease.done(outcome)
    }
  }

  /**
   * An address that has failed, or that nobody has tried yet, has to find the test file before it gets mail: what is
   * there now may have no signatures and say OK to everything. Without a self test one that has failed has to answer PING.
   * One that hangs costs the message no more than the limit.
   * @returns null when it did
   */
  async #doubts(course: Course, lease: Lease): Promise<Attempt | null> {
    const { tryOut, connect } = this
    const { isOne } = this.hosts
    // Where there is no other, the message itself is the best question.
    if (tryOut ? lease.isVouchedFor : isOne || !lease.hasFailed) return null
    const { signal, log } = course
    const { connectMs, scanMs } = this.settings
    const limitMs = isOne ? scanMs : connectMs
    const failed = (step: Step, text: string, isSilent: boolean): Attempt => {
      course.step = step
      const what = tryOut ? 'test file' : 'PING'
      return { reply: { kind: 'error', text: `${what}: ${text}` }, step, bytes: 0, isSilent }
    }
    try {
      if (!tryOut) {
        log.trace(`${lease.text}: PING`)
        await ping(lease.address, { connect, connectMs: limitMs, signal })
        return null
      }
      for (let tries = 0; tries < mostTestFiles; tries++) {
        const { doubts } = lease
        const shown = await tryOut(lease.address, lease.protocol, limitMs, signal)
        lease.vouch(shown.findsTestFile, doubts)
        log.trace(
          `${lease.text}: test file ${shown.findsTestFile ? 'found' : `not found: ${shown.missed ?? ''}`}`,
        )
        if (!shown.findsTestFile) return failed('reply', `not found, ${shown.missed ?? ''}`, false)
        if (lease.isVouchedFor) return null
      }
      // To be held against it, that would be a failure more, and others' test files were in vain as well.
      return {
        ...failed('reply', 'found, and each time the address had failed since', false),
        isBlameless: true,
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (!(error instanceof Failure) || ofThisMachine(error.cause)) throw error
      return failed(error.step, error.text, true)
    }
  }

  /**
   * The configured protocol; with `auto` the one last seen to work there, else STREAM, and the other one when
   * the daemon does not have it, or when STREAM fails before any byte of the message has been sent.
   */
  async #inSomeProtocol(course: Course, lease: Lease): Promise<Attempt> {
    const { protocol } = this.settings
    if (protocol !== 'auto') return this.#attempt(course, lease, protocol)

    const usual = lease.protocol ?? 'stream'
    const first = await this.#attempt(course, lease, usual)
    const isMissing = first.reply.kind === 'unknown_command'
    const isUnsent = usual === 'stream' && (first.step === 'port' || first.step === 'data connect')
    // Who has no INSTREAM says so and closes on the message it has not read: a reset, and the answer may go with it.
    const mayBeMissing = usual === 'instream' && first.isHungUp
    if (!isMissing && !isUnsent && !mayBeMissing) {
      if (hasVerdict(first)) lease.protocol = usual
      return first
    }
    const other = usual === 'stream' ? 'instream' : 'stream'
    course.log.trace(
      `${lease.text}: ${usual} came to nothing (${first.step}: ${textOf(first.reply)}), trying ${other}`,
    )
    if (first.isHungUp) {
      lease.doubt()
      const doubtful = await this.#doubts(course, lease)
      if (doubtful) return doubtful
    }
    const second = await this.#attempt(course, lease, other)
    // An error in place of the port may be gone next time; a missing command or port will not.
    if (hasVerdict(second) && (isMissing || first.isSilent)) lease.protocol = other
    const { kind } = second.reply
    if (kind !== 'unknown_command' && !(mayBeMissing && kind === 'error')) return second
    course.protocol = usual
    return {
      ...first,
      reply: { kind: 'error', text: `${textOf(first.reply)}; ${other}: ${textOf(second.reply)}` },
    }
  }

  /** One dialogue. Rejects when its end concerns the message or the budget and not the address. */
  async #attempt(course: Course, lease: Lease, protocol: Protocol, mayBeKept = true): Promise<Attempt> {
    const { connectMs, bufferBytes, maxBytes } = this.settings
    const { signal, log, message } = course
    course.protocol = protocol
    const at = (step: Step, detail?: string) => {
      course.step = step
      if (step !== 'connect') lease.reached()
      log.trace(`${lease.text} ${protocol}: ${step}${detail ? `: ${detail}` : ''}`)
    }
    const exchange = {
      connect: this.connect,
      address: lease.address,
      sessions: protocol === 'instream' && lease.hasSessions ? this.sessions : null,
      mayBeKept,
      connectMs,
      bufferBytes,
      maxBytes,
      signal,
      at,
    }
    try {
      const answer = await dialogue[protocol](exchange, message)
      if (exchange.sessions && answer.reply.kind === 'unknown_command')
        return await this.#withoutSession(course, lease, protocol)
      const { reply, step, bytes } = answer
      return { reply, step, bytes, isSilent: false }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (error instanceof SessionOver) return this.#afterSession(course, lease, protocol, error)
      if (!(error instanceof Failure) || error.step === 'read message' || ofThisMachine(error.cause))
        throw error
      const isHungUp = error instanceof NoReply
      return {
        reply: { kind: 'error', text: error.text },
        step: error.step,
        bytes: 0,
        isSilent: true,
        isHungUp,
      }
    }
  }

  /** Once more, from the first byte. Who hung up may be another daemon by now. */
  async #afterSession(course: Course, lease: Lease, protocol: Protocol, end: SessionOver): Promise<Attempt> {
    course.log.trace(`${lease.text} ${protocol}: once more: ${end.text}`)
    if (end.why === 'late') {
      lease.hasSessions = false
      return this.#attempt(course, lease, protocol)
    }
    lease.doubt()
    const doubtful = await this.#doubts(course, lease)
    if (doubtful) return doubtful
    return end.why === 'stale'
      ? this.#attempt(course, lease, protocol, false)
      : this.#withoutSession(course, lease, protocol)
  }

  async #withoutSession(course: Course, lease: Lease, protocol: Protocol): Promise<Attempt> {
    lease.hasSessions = false
    const attempt = await this.#attempt(course, lease, protocol)
    if (hasVerdict(attempt)) lease.giveUpSessions()
    return attempt
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

/** Every port of clamd's range was taken: nothing was sent, and one is free when another scan ends. */
function isShortOfPorts({ reply, step }: Attempt): boolean {
  return step === 'port' && reply.kind === 'error' && reply.text.includes(noFreePort)
}

function hasVerdict({ reply }: Attempt): boolean {
  return reply.kind === 'clean' || reply.kind === 'found' || reply.kind === 'limit'
}

/** The address, and the protocol if one has been chosen: the test file that goes ahead has its own. */
function whereOf({ clamd, protocol }: Course): string {
  return [clamd, protocol].filter((word) => word !== null).join(' ')
}

function textOf(reply: Reply): string {
  return 'text' in reply ? reply.text : reply.kind
}

function scanOf({ started, clamd, engine, protocol, bytes }: Course) {
  return { clamd, engine, protocol, bytes, ms: Math.round(performance.now() - started) }
}

function unscanned(reason: Reason, text: string, course: Course): Verdict {
  return { outcome: 'unscanned', reason, text, ...scanOf(course) }
}
