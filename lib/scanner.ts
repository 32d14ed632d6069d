/*
 * A verdict for a message: which address, which protocol, one budget for everything, the next address when
 * one fails. Knows neither Haraka nor headers nor rules; every end the world can bring about is a verdict.
 */

import { EventEmitter } from 'node:events'
import type { Address } from './address'
import type { Answer, Connect, Exchange, MessageSource, Sink } from './clamd/exchange'
import { Failure, TooLarge } from './clamd/failure'
import { instream } from './clamd/instream'
import { headLine, isLimitName, type Reply } from './clamd/protocol'
import { stream } from './clamd/stream'
import type { Hosts, Lease } from './hosts'
import type { Protocol, Reason, Verdict } from './verdict'

export interface ScanSettings {
  readonly protocol: Protocol | 'auto'
  readonly bufferBytes: number
  readonly connectMs: number
  /** Budget in milliseconds for one message, all tries and waiting included. */
  readonly scanMs: number
  readonly maxBytes: number
}

/** Where the steps of one scan are told. */
export interface ScanLog {
  trace(text: string): void
  warn(text: string): void
}

const dialogue = { stream, instream }

class TimedOut extends Error {
  override readonly name = 'TimedOut'
}

/** Mutable account of one scan, for the verdict and the log. */
interface Course {
  readonly started: number
  readonly failures: string[]
  clamd: string | null
  protocol: Protocol | null
  bytes: number
}

export class Scanner {
  constructor(
    private readonly settings: ScanSettings,
    private readonly hosts: Hosts,
    private readonly connect: Connect,
  ) {}

  /**
   * Resolves for everything the world can do, an abort included; rejects only for a bug.
   * The message's reading is closed by then.
   */
  async scan(message: MessageSource, signal: AbortSignal, log: ScanLog): Promise<Verdict> {
    const course: Course = { started: performance.now(), failures: [], clamd: null, protocol: null, bytes: 0 }
    const budget = new AbortController()
    const timer = setTimeout(
      () => budget.abort(new TimedOut(`no verdict within ${this.settings.scanMs} ms`)),
      this.settings.scanMs,
    )
    const onAbort = () => budget.abort(new Failure('reply', 'the message was dropped while it was scanned'))
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    try {
      const bytes = await this.#excess(message, budget.signal)
      if (bytes > 0) throw new TooLarge(bytes)
      return await this.#askInTurn(message, budget.signal, log, course)
    } catch (error) {
      return this.#unscanned(error, course)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      message.close()
    }
  }

  /** Each address once, until one has a verdict. */
  async #askInTurn(
    message: MessageSource,
    signal: AbortSignal,
    log: ScanLog,
    course: Course,
  ): Promise<Verdict> {
    const tried = new Set<string>()
    let limits = 0
    for (;;) {
      const lease = await this.hosts.take(tried, signal)
      if (!lease) break
      tried.add(lease.text)
      course.clamd = lease.text
      const { reply, bytes } = await this.#ask(lease, message, signal, log, course)
      course.bytes = bytes
      if (reply.kind === 'clean') return { outcome: 'clean', ...scanOf(course) }
      if (reply.kind === 'found') {
        return isLimitName(reply.name)
          ? unscanned('limits', `clamd reached its limits: ${reply.name}`, course)
          : { outcome: 'infected', virus: reply.name, ...scanOf(course) }
      }
      if (reply.kind === 'limit') limits++
      const text = `${lease.text} ${course.protocol ?? ''}: ${textOf(reply)}`
      course.failures.push(text)
      log.warn(text)
    }
    if (limits > 0 && limits === tried.size) {
      return unscanned('too_large', `over StreamMaxLength: ${course.failures.join('; ')}`, course)
    }
    return unscanned('error', course.failures.join('; ') || 'resolve: no address of a clamd is known', course)
  }

  /** One address. Resolves with a reply that is clean, found or a reason to ask the next address. */
  async #ask(
    lease: Lease,
    message: MessageSource,
    signal: AbortSignal,
    log: ScanLog,
    course: Course,
  ): Promise<Answer> {
    let outcome: 'worked' | 'failed' | 'neither' = 'neither'
    try {
      const answer = await this.#inSomeProtocol(lease, message, signal, log, course)
      outcome = ['clean', 'found', 'limit'].includes(answer.reply.kind) ? 'worked' : 'failed'
      return answer
    } catch (error) {
      if (signal.aborted) {
        if (signal.reason instanceof TimedOut) outcome = 'failed'
        throw signal.reason
      }
      if (!(error instanceof Failure) || error.step === 'read message') throw error
      outcome = 'failed'
      return { reply: { kind: 'error', text: error.describe() }, bytes: 0 }
    } finally {
      lease.done(outcome)
    }
  }

  /**
   * The configured protocol; with `auto` the one last seen to work there, else STREAM, and the other one when
   * the daemon does not have it, or when STREAM fails before any byte of the message has been sent.
   */
  async #inSomeProtocol(
    lease: Lease,
    message: MessageSource,
    signal: AbortSignal,
    log: ScanLog,
    course: Course,
  ): Promise<Answer> {
    const ask = (protocol: Protocol): Promise<Answer> => {
      course.protocol = protocol
      const trace = (step: string) => log.trace(`${lease.text} ${protocol}: ${step}`)
      return dialogue[protocol](this.#exchange(lease.address, signal, trace), message)
    }
    if (this.settings.protocol !== 'auto') return ask(this.settings.protocol)

    const first = lease.protocol ?? 'stream'
    const answer = await ask(first).catch((error: unknown) => {
      if (first === 'stream' && isBeforeSending(error) && !signal.aborted) return error
      throw error
    })
    const isMissing = !(answer instanceof Failure) && answer.reply.kind === 'unknown_command'
    const isRefused = !(answer instanceof Failure) && first === 'stream' && answer.bytes === 0
    if (!(answer instanceof Failure) && !isMissing && !isRefused) {
      lease.protocol = first
      return answer
    }
    const second = first === 'stream' ? 'instream' : 'stream'
    const why = answer instanceof Failure ? answer.describe() : textOf(answer.reply)
    log.trace(`${lease.text}: ${first} came to nothing (${why}), trying ${second}`)
    const other = await ask(second)
    if (other.reply.kind === 'unknown_command') {
      return { reply: { kind: 'error', text: `${first}: ${why}; ${second}: ${other.reply.text}` }, bytes: 0 }
    }
    if (isMissing || answer instanceof Failure) lease.protocol = second
    return other
  }

  #exchange(address: Address, signal: AbortSignal, trace: (step: string) => void): Exchange {
    const { connectMs, bufferBytes, maxBytes } = this.settings
    return {
      connect: this.connect,
      address,
      connectMs,
      bufferBytes,
      maxBytes,
      signal,
      trace,
    }
  }

  /** Bytes of a message that is larger than maxBytes, else 0. Reads it only if that can make a difference. */
  async #excess(message: MessageSource, signal: AbortSignal): Promise<number> {
    const room = this.settings.maxBytes - headLine.length
    if (message.most <= room) return 0
    const bytes = message.least > room ? message.least : await measure(message, signal)
    return bytes > room ? bytes + headLine.length : 0
  }

  #unscanned(error: unknown, course: Course): Verdict {
    if (error instanceof TooLarge) {
      course.bytes = error.bytes
      return unscanned('too_large', error.message, course)
    }
    const before = course.failures.map((text) => `; before that ${text}`).join('')
    if (error instanceof TimedOut) return unscanned('timeout', error.message + before, course)
    if (error instanceof Failure) return unscanned('error', error.describe() + before, course)
    throw error
  }
}

function isBeforeSending(error: unknown): error is Failure {
  return error instanceof Failure && (error.step === 'port' || error.step === 'data connect')
}

function textOf(reply: Reply): string {
  return 'text' in reply ? reply.text : reply.kind
}

function scanOf({ started, clamd, protocol, bytes }: Course) {
  return { clamd, protocol, bytes, ms: Math.round(performance.now() - started) }
}

function unscanned(reason: Reason, text: string, course: Course): Verdict {
  return { outcome: 'unscanned', reason, text, ...scanOf(course) }
}

/** Reads the message for its size alone. */
async function measure(message: MessageSource, signal: AbortSignal): Promise<number> {
  class Counter extends EventEmitter implements Sink {
    bytes = 0
    write(chunk: Buffer): boolean {
      this.bytes += chunk.length
      return true
    }
    end(): void {
      this.emit('finish')
    }
  }
  const counter = new Counter()
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort)
    counter.once('finish', () => {
      signal.removeEventListener('abort', onAbort)
      resolve(counter.bytes)
    })
    message.open(counter).catch(reject)
  })
}
