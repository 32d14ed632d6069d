/*
 * Connects to a clamd within a time limit and reads replies up to a size limit; the exchange's signal ends both.
 * Knows terminators and sizes, not what a reply means (protocol.ts).
 */

import type { NetConnectOpts, Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CancelSignal } from '../base/cancellation'
import { printable } from '../base/text'
import { type Address, isTls } from './address'
import { ClamdError, isLocalShortage, type Step } from './errors'
import { checkedReply, isAboutAll, maxReplyBytes, parseReply, type Reply, type Sent } from './protocol'
import { tlsProblemText } from './tls-errors'

/** Milliseconds between two tries to connect while a unix socket's queue or the file descriptors are full. */
const fullPauseMs = 10

/** Milliseconds to wait after OK for clamd to close the connection. */
const lingerMs = 100

/** Opens a socket; with `tls` one that emits `secureConnect` when the other end is verified to be that host. */
export type Connect = (options: NetConnectOpts & { readonly tls?: string }) => Socket

export interface DialOptions {
  readonly connect: Connect
  /** Time limit in milliseconds for each connection. */
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
    const ready = isTls(address) ? 'secureConnect' : 'connect'
    const begin = () => {
      socket = how.connect({ ...address, noDelay: true, allowHalfOpen })
      socket.on(ready, onConnect)
      socket.on('error', onError)
    }
    const release = () => {
      clearTimeout(timer)
      clearTimeout(retry)
      how.signal.removeEventListener('abort', onAbort)
      socket.off(ready, onConnect)
      socket.off('error', onError)
    }
    const fail = (reason: Error) => {
      release()
      // A destroyed socket may still emit an error; without a listener that would end the process.
      socket.on('error', () => undefined)
      socket.destroy()
      reject(reason)
    }
    const onConnect = () => {
      release()
      resolve(socket)
    }
    const onError = (cause: NodeJS.ErrnoException) => {
      // EAGAIN: the queue of a unix socket is full. Over TCP the system itself tries again.
      if (cause.code === 'EAGAIN' || isLocalShortage(cause)) {
        noRoom = cause
        retry = setTimeout(begin, fullPauseMs)
      } else {
        const isReached = isTls(address) && cause.syscall !== 'connect'
        const what = isReached ? 'connection ended during the TLS handshake' : 'no connection'
        fail(new ClamdError(step, tlsProblemText(cause) ?? what, { cause }))
      }
    }
    const onAbort = () => fail(how.signal.reason)
    const timer = setTimeout(() => {
      const { connectMs } = how
      const isReached = isTls(address) && !socket.connecting && noRoom === undefined
      const text = isReached
        ? `connected, but no TLS within ${connectMs} ms`
        : `no connection within ${connectMs} ms`
      fail(new ClamdError(step, text, { cause: noRoom }))
    }, how.connectMs)
    how.signal.addEventListener('abort', onAbort)
    begin()
  })
}

export class CommandConnection {
  #received = ''
  #ended: Error | null = null
  #isClosed = false
  #broken: ClamdError | null = null
  #signal: CancelSignal | null = null
  #waiting: { step: Step; resolve: (line: string) => void; reject: (reason: Error) => void } | null = null
  /** A command was sent that has no reply yet. */
  #isUnanswered = false

  private constructor(readonly socket: Socket) {
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#receive(text))
    socket.on('error', (cause) => {
      const text = tlsProblemText(cause) ?? 'connection broke'
      this.#broken = new ClamdError(this.#step, text, { code: 'no_reply', cause })
      this.fail(this.#broken)
    })
    socket.on('close', this.#onEnd)
    socket.on('end', this.#onEnd)
  }

  /** The connection obeys the signal until it is closed or detached. */
  static async open(how: DialOptions & { readonly address: Address }): Promise<CommandConnection> {
    const line = new CommandConnection(await dial(how, how.address, 'connect'))
    line.attach(how.signal)
    return line
  }

  /** Starts another exchange, which the signal can end. */
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

  /** Open, without unread bytes. */
  get isQuiet(): boolean {
    return !this.socket.destroyed && !this.#isClosed && this.#ended === null && this.#received === ''
  }

  /** Bytes received after the last reply. */
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

  /** The next reply without its terminator. Rejects with a ClamdError, or with the reason given to `fail`. */
  reply(step: Step): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { step, resolve, reject }
      this.#serve()
    })
  }

  /**
   * As `reply`, to a message. Over TLS, Node tells that the last bytes were written only at the end of the turn, and may read
   * the reply before that (`TLSWrap::EncOut` in its src/crypto/crypto_tls.cc).
   */
  async messageReply(): Promise<string> {
    const line = await this.reply('reply')
    if ('encrypted' in this.socket) await nextTurn()
    return line
  }

  /** The reply that ends the exchange, by `checkedReply`; nothing but the end of the connection may follow it. */
  async lastReply(sent: Sent): Promise<Reply> {
    const line = await this.messageReply()
    if (sent.complete && isAboutAll(parseReply(line))) await this.#orderlyEnd()
    return checkedReply(line, sent, this.#received)
  }

  /**
   * clamd closes the connection after its reply. A reset shows that it has not read all, more bytes that OK was not its
   * reply. If the connection stays open, OK counts after `lingerMs`, because a proxy may keep it open.
   */
  async #orderlyEnd(): Promise<void> {
    if (this.#broken) throw this.#broken
    if (this.#isClosed || this.#received !== '') return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      // On a busy event loop the timer is late; setImmediate lets the socket's bytes be read first.
      timer = setTimeout(() => setImmediate(resolve), lingerMs)
      this.socket.once('end', resolve).once('close', resolve).once('data', resolve)
      this.socket.once('error', () =>
        reject(this.#broken ?? new ClamdError('reply', 'connection broke after OK')),
      )
    }).finally(() => clearTimeout(timer))
    // `fail` was called during the wait.
    if (this.#ended) throw this.#ended
  }

  /** Ends the connection and rejects a pending `reply` with `reason`. A reply already received still counts. */
  fail(reason: Error): void {
    this.#ended ??= reason
    this.#serve()
    this.#destroy()
  }

  /** Ends the connection when no reply is pending. */
  close(): void {
    this.detach()
    this.socket.off('close', this.#onEnd).off('end', this.#onEnd)
    this.#destroy()
  }

  /**
   * A clamd with all threads busy reads a STREAM command after we have closed, and the thread then waits for data that
   * never comes; many such threads stop clamd. After a reset its `PORT n` fails and the thread is free. Over a unix socket
   * that write fails without a reset.
   */
  #destroy(): void {
    const { socket } = this
    // Only an open TCP socket has a remote port. There is no STREAM over TLS.
    const isTcp = socket.remotePort !== undefined && !('encrypted' in socket)
    if (this.#isUnanswered && isTcp) socket.resetAndDestroy()
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
