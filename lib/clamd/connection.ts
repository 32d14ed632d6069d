/*
 * Connections to a clamd: made within a limit, replies read line by line within bounds, both ended by the
 * exchange's signal. Knows terminators and sizes, not what a reply means (protocol.ts).
 */

import type { NetConnectOpts, Socket } from 'node:net'
import type { CancelSignal } from '../base/cancellation'
import { printable } from '../base/text'
import type { Address } from './address'
import { ClamdError, isLocalShortage, type Step } from './errors'
import { maxReplyBytes, parseReply, type Reply } from './protocol'

/** Milliseconds between two tries to connect where there is no room for the moment. */
const fullPauseMs = 10

/** Milliseconds after OK in which clamd's end of the connection is waited for. */
const lingerMs = 100

export type Connect = (options: NetConnectOpts) => Socket

export interface DialOptions {
  readonly connect: Connect
  /** Milliseconds for each connection to be made. */
  readonly connectMs: number
  /** Ends the exchange at once; its reason is what the exchange rejects with. */
  readonly signal: CancelSignal
}

/** Resolves with a connected socket; rejects with a ClamdError, or with the signal's reason. */
export function dial(
  how: DialOptions,
  address: Address,
  step: 'connect' | 'data connect',
  allowHalfOpen = false,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (how.signal.aborted) {
      reject(how.signal.reason)
      return
    }
    let socket: Socket
    let retry: NodeJS.Timeout | undefined
    let noRoom: Error | undefined
    const begin = () => {
      socket = how.connect({ ...address, noDelay: true, allowHalfOpen })
      socket.on('connect', onConnect)
      socket.on('error', onError)
    }
    const release = () => {
      clearTimeout(timer)
      clearTimeout(retry)
      how.signal.removeEventListener('abort', onAbort)
      socket.off('connect', onConnect)
      socket.off('error', onError)
    }
    const fail = (reason: Error) => {
      release()
      // A socket that is being torn down may still emit an error; unheard, that would end the process.
      socket.on('error', () => undefined)
      socket.destroy()
      reject(reason)
    }
    const onConnect = () => {
      release()
      resolve(socket)
    }
    const onError = (cause: NodeJS.ErrnoException) => {
      // EAGAIN is a unix socket whose queue is full: over TCP the system would go on trying by itself.
      if (cause.code === 'EAGAIN' || isLocalShortage(cause)) {
        noRoom = cause
        retry = setTimeout(begin, fullPauseMs)
      } else {
        fail(new ClamdError(step, 'no connection', { cause }))
      }
    }
    const onAbort = () => fail(how.signal.reason)
    const timer = setTimeout(
      () => fail(new ClamdError(step, `no connection within ${how.connectMs} ms`, { cause: noRoom })),
      how.connectMs,
    )
    how.signal.addEventListener('abort', onAbort)
    begin()
  })
}

/** A command connection: commands out, replies in. */
export class CommandConnection {
  #received = ''
  #ended: Error | null = null
  #isClosed = false
  #broken: ClamdError | null = null
  #signal: CancelSignal | null = null
  #waiting: { step: Step; resolve: (line: string) => void; reject: (reason: Error) => void } | null = null
  /** A command is out that nothing has come for yet. */
  #isUnanswered = false

  private constructor(readonly socket: Socket) {
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#receive(text))
    socket.on('error', (cause) => {
      this.#broken = new ClamdError(this.#step, 'connection broke', { code: 'no_reply', cause })
      this.fail(this.#broken)
    })
    socket.on('close', this.#onEnd)
    socket.on('end', this.#onEnd)
  }

  /** It obeys the signal until it is closed or detached. */
  static async open(how: DialOptions & { readonly address: Address }): Promise<CommandConnection> {
    const line = new CommandConnection(await dial(how, how.address, 'connect'))
    line.attach(how.signal)
    return line
  }

  /** Begins another exchange. */
  attach(signal: CancelSignal): void {
    this.detach()
    this.#signal = signal
    signal.addEventListener('abort', this.#onAbort)
    if (signal.aborted) this.#onAbort()
  }

  detach(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#signal = null
  }

  /** Open, and nothing has come that was not asked for. */
  get isQuiet(): boolean {
    return !this.socket.destroyed && !this.#isClosed && this.#ended === null && this.#received === ''
  }

  /** What has come behind the last reply. */
  get unread(): string {
    return this.#received
  }

  async ask(command: Buffer, step: Step): Promise<string> {
    this.#isUnanswered = true
    this.socket.write(command)
    const answer = await this.reply(step)
    this.#isUnanswered = false
    return answer
  }

  /** The next reply without its terminator. Rejects with a ClamdError, or with whatever `fail` was given. */
  reply(step: Step): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { step, resolve, reject }
      this.#serve()
    })
  }

  /**
   * The reply that ends the exchange. Clean is only clean after a completely sent message, and if nothing but the
   * end of the connection follows.
   */
  async lastReply(sent: { readonly complete: boolean; readonly bytes: number }): Promise<Reply> {
    const reply = parseReply(await this.reply('reply'))
    if (reply.kind !== 'clean') return reply
    if (!sent.complete)
      throw new ClamdError('reply', `OK before the end of the message, after ${sent.bytes} bytes`)
    await this.#orderlyEnd()
    return this.#received === ''
      ? reply
      : { kind: 'error', text: `OK, and then: ${printable(this.#received)}` }
  }

  /**
   * clamd closes with its reply. One that says OK and has not read what we sent closes with a reset, and one that
   * says OK and goes on says more. Who just stays connected is believed after a moment: a proxy may do that.
   */
  async #orderlyEnd(): Promise<void> {
    if (this.#broken) throw this.#broken
    if (this.#isClosed || this.#received !== '') return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      // A busy event loop may come late to the timer; what is there by then is read first.
      timer = setTimeout(() => setImmediate(resolve), lingerMs)
      this.socket.once('end', resolve).once('close', resolve).once('data', resolve)
      this.socket.once('error', () =>
        reject(this.#broken ?? new ClamdError('reply', 'connection broke after OK')),
      )
    }).finally(() => clearTimeout(timer))
    // Ended by us, before clamd had its moment.
    if (this.#ended) throw this.#ended
  }

  /** Ends the connection; whoever waits for a reply gets `reason`. A reply that is already here still counts. */
  fail(reason: Error): void {
    this.#ended ??= reason
    this.#serve()
    this.#destroy()
  }

  /** For the end of the exchange, when nobody waits for a reply any more. */
  close(): void {
    this.detach()
    this.socket.off('close', this.#onEnd).off('end', this.#onEnd)
    this.#destroy()
  }

  /**
   * A clamd whose threads are all busy gets to a STREAM after we have gone, and a thread of it then waits for the data
   * that nobody sends: many of them, and it scans nothing any more. After a reset its `PORT n` fails, and it is free. A
   * unix socket needs none for that, and has none.
   */
  #destroy(): void {
    const { socket } = this
    // Only what is open, and over TCP, has one.
    if (this.#isUnanswered && socket.remotePort !== undefined) socket.resetAndDestroy()
    else socket.destroy()
  }

  readonly #onEnd = () => {
    this.#isClosed = true
    this.#serve()
    this.socket.destroy()
  }

  readonly #onAbort = () => {
    if (this.#signal) this.fail(this.#signal.reason)
  }

  get #step(): Step {
    return this.#waiting?.step ?? 'command'
  }

  #closed(): ClamdError {
    if (this.#received === '')
      return new ClamdError(this.#step, 'connection closed without a reply', { code: 'no_reply' })
    return new ClamdError(
      this.#step,
      `connection closed in the middle of a reply: ${printable(this.#received)}`,
    )
  }

  #receive(text: string): void {
    this.#received = (this.#received + text).slice(0, maxReplyBytes + 1)
    if (this.#received.length > maxReplyBytes) {
      this.fail(
        new ClamdError(this.#step, `reply longer than ${maxReplyBytes} bytes: ${printable(this.#received)}`),
      )
    } else {
      this.#serve()
    }
  }

  #serve(): void {
    if (!this.#waiting) return
    // clamd ends a reply as the command was ended, except COMMAND READ TIMED OUT: LF even after a z command.
    const end = this.#received.search(/[\0\n]/)
    if (end !== -1) {
      const line = this.#received.slice(0, end)
      this.#received = this.#received.slice(end + 1)
      this.#waiting.resolve(line)
    } else if (this.#ended) {
      this.#waiting.reject(this.#ended)
    } else if (this.#isClosed) {
      this.#waiting.reject(this.#closed())
    } else {
      return
    }
    this.#waiting = null
  }
}
