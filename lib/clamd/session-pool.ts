/*
 * Keeps connections on which clamd scans one message after the other (IDSESSION), because connecting costs more than
 * scanning a small message. One scan at a time on each. Wire layout: docs/reference/protocol.md.
 */

import type { CancelSignal } from '../base/cancellation'
import { printable } from '../base/text'
import type { Address } from './address'
import { CommandConnection, type DialOptions } from './connection'
import { ClamdError } from './errors'
import { checkedReply, command, numbered, parseReply, type Reply, type Sent } from './protocol'

export interface SessionTimes {
  /**
   * Milliseconds for which an idle connection is kept. Short, because clamd counts open connections towards its MaxQueue;
   * under load the next message comes sooner, and without load a new connection costs little.
   */
  readonly idleMs: number
  /**
   * A new connection without a reply for this many milliseconds may wait for the place of an idle one, at a proxy or a
   * clamd with a limit on connections: then an idle one is closed.
   */
  readonly slowReplyMs: number
}

export const defaultSessionTimes: SessionTimes = { idleMs: 250, slowReplyMs: 250 }

/** Idle connections per address and Haraka process. */
const maxIdle = 4

/** clamd's time limits are whole seconds: a sooner time-out was about the idle connection, not the message. */
const minLimitMs = 1000

export class Session {
  readonly openedAt = performance.now()
  #scans = 0
  #startedAt = 0

  constructor(readonly connection: CommandConnection) {}

  /** The command to send before the next message; starts its clock. */
  nextCommand(): Buffer {
    this.#startedAt = performance.now()
    return this.#scans++ === 0 ? command.sessionInstream : command.instream
  }

  /**
   * The reply to the last message, by `checkedReply`; it has to have its number. On a reused connection an error says
   * nothing about the daemon.
   */
  async reply(sent: Sent): Promise<Reply> {
    const text = await this.connection.messageReply()
    // In a session, clamd's ReadTimeout also runs while it scans and while it waits for a free thread.
    const isOver = sent.complete && performance.now() - this.#startedAt >= minLimitMs
    if (text === 'COMMAND READ TIMED OUT' && isOver)
      throw new ClamdError('reply', printable(text), { code: 'session_late' })
    const own = numbered(text, this.#scans)
    const { kind } = parseReply(own ?? text)
    // A daemon without IDSESSION replies with an error that has no number.
    if (own === null && (kind === 'clean' || kind === 'found' || this.#scans > 1))
      throw new ClamdError('reply', `not the reply to this message: ${printable(text)}`)
    const reply = checkedReply(own ?? text, sent, this.connection.unread, true)
    return own === null && reply.kind === 'error' ? { kind: 'unknown_command', text: reply.text } : reply
  }
}

export class SessionPool {
  /** Keyed by object identity: HostPool has one Address object per address. */
  readonly #idle = new Map<Address, Session[]>()
  /** Connections without a reply yet and their addresses, in the order in which they were opened. */
  readonly #unanswered = new Map<Session, Address>()

  constructor(private readonly times = defaultSessionTimes) {}

  /** @returns the most recently used idle connection, which obeys the signal from now on; null: none */
  take(address: Address, signal: CancelSignal): Session | null {
    for (;;) {
      const session = this.#idle.get(address)?.pop()
      if (!session) return null
      const { connection } = session
      // Unread bytes would be taken for the reply to the next message.
      if (!connection.isQuiet) {
        connection.close()
        continue
      }
      connection.socket.setTimeout(0).ref()
      connection.attach(signal)
      return session
    }
  }

  /** Opens a new connection. Rejects as `CommandConnection.open` does. */
  async open(how: DialOptions & { readonly address: Address }): Promise<Session> {
    const session = new Session(await CommandConnection.open(how))
    const { socket } = session.connection
    // The listener must not hold `how`, which would keep the first message in memory.
    const { address } = how
    this.#unanswered.set(session, address)
    socket.on('timeout', () => socket.destroy())
    socket.on('close', () => this.#forget(address, session))
    return session
  }

  /** Keeps a connection for the next message. Call only after a verdict. */
  keep(address: Address, session: Session): void {
    this.#unanswered.delete(session)
    const idle = this.#idle.get(address) ?? []
    if (idle.length >= maxIdle || !session.connection.isQuiet || this.#isWaitedFor(address)) {
      session.connection.close()
      return
    }
    session.connection.detach()
    session.connection.socket.setTimeout(this.times.idleMs).unref()
    this.#idle.set(address, [...idle, session])
  }

  /** Closes all idle connections to an address. */
  drop(address: Address): void {
    for (const { connection } of this.#idle.get(address) ?? []) connection.close()
    this.#idle.delete(address)
  }

  /** True once per slow new connection: a long scan looks the same and needs no place. */
  #isWaitedFor(address: Address): boolean {
    const since = performance.now() - this.times.slowReplyMs
    for (const [session, where] of this.#unanswered)
      if (where === address && session.openedAt < since) return this.#unanswered.delete(session)
    return false
  }

  #forget(address: Address, session: Session): void {
    this.#unanswered.delete(session)
    const left = (this.#idle.get(address) ?? []).filter((one) => one !== session)
    if (left.length > 0) this.#idle.set(address, left)
    else this.#idle.delete(address)
  }
}
