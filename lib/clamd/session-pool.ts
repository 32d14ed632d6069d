/*
 * Connections on which clamd takes one scan after the other (IDSESSION), kept for a moment for the next message:
 * connecting costs more than scanning a small one. One scan in flight on each. Wire layout: docs/reference/protocol.md.
 */

import type { CancelSignal } from '../base/cancellation'
import { printable } from '../base/text'
import type { Address } from './address'
import { CommandConnection, type DialOptions } from './connection'
import { ClamdError } from './errors'
import { command, numbered, parseReply, type Reply } from './protocol'

export interface SessionTimes {
  /**
   * Milliseconds for which a connection is kept. clamd counts an open one towards its MaxQueue, and others wait until
   * there is room: where messages come in close succession a moment is enough, and where they do not, connecting anew
   * costs nobody anything.
   */
  readonly idleMs: number
  /**
   * Whoever has waited so many milliseconds for the first reply on a new connection may be queueing for the place of one
   * that is kept, at a proxy or a clamd that serves so many and no more.
   */
  readonly patienceMs: number
}

export const defaultSessionTimes: SessionTimes = { idleMs: 250, patienceMs: 250 }

/** For each address; Haraka may have several processes. */
const maxIdle = 4

/** clamd's time limits are whole seconds; what comes sooner was said to the connection before the message. */
const minLimitMs = 1000

export class Session {
  readonly openedAt = performance.now()
  #scans = 0
  #begunAt = 0

  constructor(readonly connection: CommandConnection) {}

  /** What goes in front of the next message. */
  begin(): Buffer {
    this.#begunAt = performance.now()
    return this.#scans++ === 0 ? command.sessionInstream : command.instream
  }

  /**
   * The reply to the message that was begun last. A verdict only after a completely sent message, under the number
   * that clamd gives it, and with nothing behind it. Rejects with a ClamdError where connection and message do not belong
   * together; what says that on a connection that has carried a scan before, says nothing of the daemon.
   */
  async reply(sent: { readonly complete: boolean; readonly bytes: number }): Promise<Reply> {
    const text = await this.connection.reply('reply')
    // In a session, clamd's ReadTimeout runs on while it scans, and while there is no thread for that.
    const isOver = sent.complete && performance.now() - this.#begunAt >= minLimitMs
    if (text === 'COMMAND READ TIMED OUT' && isOver)
      throw new ClamdError('reply', printable(text), { code: 'session_late' })
    const own = numbered(text, this.#scans)
    const reply = parseReply(own ?? text)
    const isVerdict = reply.kind === 'clean' || reply.kind === 'found'
    // A daemon that does not have IDSESSION says so without a number.
    if (own === null && (isVerdict || this.#scans > 1))
      throw new ClamdError('reply', `not the reply to this message: ${printable(text)}`)
    if (!isVerdict) return reply
    if (!sent.complete)
      throw new ClamdError(
        'reply',
        `${printable(text)} before the end of the message, after ${sent.bytes} bytes`,
      )
    const more = this.connection.unread
    if (more !== '') throw new ClamdError('reply', `${printable(text)}, and then: ${printable(more)}`)
    return reply
  }
}

export class SessionPool {
  /** By the very object, of which `Hosts` has one for each address. */
  readonly #idle = new Map<Address, Session[]>()
  /** Those on which nothing has come yet, with their addresses, in the order in which they were opened. */
  readonly #unmet = new Map<Session, Address>()

  constructor(private readonly times = defaultSessionTimes) {}

  /** One that was kept, the latest first, or null. It obeys the signal from now on. */
  take(address: Address, signal: CancelSignal): Session | null {
    for (;;) {
      const session = this.#idle.get(address)?.pop()
      if (!session) return null
      const { connection } = session
      // What has come unasked must not be read as the reply to the next message.
      if (!connection.isQuiet) {
        connection.close()
        continue
      }
      connection.socket.setTimeout(0).ref()
      connection.attach(signal)
      return session
    }
  }

  /** A new one. Rejects as `CommandConnection.open` does. */
  async open(how: DialOptions & { readonly address: Address }): Promise<Session> {
    const session = new Session(await CommandConnection.open(how))
    const { socket } = session.connection
    // Not `how`: by way of it, the first message would live as long as the connection.
    const { address } = how
    this.#unmet.set(session, address)
    socket.on('timeout', () => socket.destroy())
    socket.on('close', () => this.#forget(address, session))
    return session
  }

  /** For the next message. Only after a reply that leaves nothing open. */
  keep(address: Address, session: Session): void {
    this.#unmet.delete(session)
    const idle = this.#idle.get(address) ?? []
    if (idle.length >= maxIdle || !session.connection.isQuiet || this.#isWaitedFor(address)) {
      session.connection.close()
      return
    }
    session.connection.detach()
    session.connection.socket.setTimeout(this.times.idleMs).unref()
    this.#idle.set(address, [...idle, session])
  }

  /** Closes what is kept to an address where one of them was no good any more. */
  drop(address: Address): void {
    for (const { connection } of this.#idle.get(address) ?? []) connection.close()
    this.#idle.delete(address)
  }

  /** One place for each that waits: a message that takes clamd long waits as well, and needs none. */
  #isWaitedFor(address: Address): boolean {
    const since = performance.now() - this.times.patienceMs
    for (const [session, where] of this.#unmet)
      if (where === address && session.openedAt < since) return this.#unmet.delete(session)
    return false
  }

  #forget(address: Address, session: Session): void {
    this.#unmet.delete(session)
    const left = (this.#idle.get(address) ?? []).filter((one) => one !== session)
    if (left.length > 0) this.#idle.set(address, left)
    else this.#idle.delete(address)
  }
}
