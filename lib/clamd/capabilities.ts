/*
 * Is it a clamd, which one, and what does it offer: PING and VERSIONCOMMANDS, each on a connection of its own.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import { printable } from '../base/text'
import type { Address } from './address'
import type { Connect } from './connection'
import { CommandConnection } from './connection'
import { ClamdError } from './errors'
import { command, type Capabilities, parseCapabilities, parseReply } from './protocol'

export interface QueryOptions {
  readonly connect: Connect
  /** Milliseconds for each connection, and for each reply. */
  readonly connectMs: number
  readonly signal: CancelSignal
  readonly trace?: (text: string) => void
}

/** PING, then what the daemon offers. Rejects with a ClamdError. */
export async function queryCapabilities(address: Address, how: QueryOptions): Promise<Capabilities> {
  await ping(address, how)
  let isLate = false
  // Daemons before 0.95 refuse VERSIONCOMMANDS, or hang up on it.
  const askedFor = async (words: Buffer): Promise<Capabilities> => {
    const reply = await ask(address, words, how).catch((error: unknown) => {
      if (error instanceof ClamdError && error.code === 'reply_timeout') isLate = true
      return ''
    })
    how.signal.throwIfAborted()
    return parseCapabilities(reply)
  }
  const told = await askedFor(command.versionCommands)
  const offer = told.version === null ? { ...told, ...(await askedFor(command.version)) } : told
  return isLate ? { ...offer, isLate: true } : offer
}

/** Rejects with a ClamdError where PING is not answered with PONG. */
export async function ping(address: Address, how: QueryOptions): Promise<void> {
  const pong = await ask(address, command.ping, how)
  if (parseReply(pong).kind !== 'pong') throw new ClamdError('reply', `not PONG but ${printable(pong)}`)
}

async function ask(address: Address, words: Buffer, how: QueryOptions): Promise<string> {
  const { connect, connectMs, signal } = how
  const connection = await CommandConnection.open({ connect, address, connectMs, signal })
  const limit = new Deadline(
    signal,
    connectMs,
    () => new ClamdError('reply', `no reply within ${connectMs} ms`, { code: 'reply_timeout' }),
  )
  try {
    connection.attach(limit)
    const reply = await connection.ask(words, 'reply')
    how.trace?.(`says ${printable(reply)}`)
    return reply
  } finally {
    limit.end()
    connection.close()
  }
}
