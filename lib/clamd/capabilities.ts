/*
 * Is it a clamd, which one, and what does it offer: PING and VERSIONCOMMANDS, each on a connection of its own.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import { printable } from '../base/text'
import type { Address } from './address'
import type { Connect } from './connection'
import { CommandConnection } from './connection'
import { Failure } from './errors'
import { command, type Offer, parseOffer, parseReply } from './protocol'

export interface Inquiry {
  readonly connect: Connect
  /** Milliseconds for each connection, and for each reply. */
  readonly connectMs: number
  readonly signal: CancelSignal
  readonly trace?: (text: string) => void
}

/** PING, then what the daemon offers. Rejects with a Failure. */
export async function inquire(address: Address, how: Inquiry): Promise<Offer> {
  await ping(address, how)
  const late: Failure[] = []
  // Daemons before 0.95 refuse VERSIONCOMMANDS, or hang up on it.
  const askedFor = async (words: Buffer): Promise<Offer> => {
    const reply = await ask(address, words, how).catch((error: unknown) => {
      if (error instanceof NoReplyInTime) late.push(error)
      return ''
    })
    how.signal.throwIfAborted()
    return parseOffer(reply)
  }
  const told = await askedFor(command.versionCommands)
  const offer = told.version === null ? { ...told, ...(await askedFor(command.version)) } : told
  return late.length > 0 ? { ...offer, isLate: true } : offer
}

class NoReplyInTime extends Failure {}

/** Rejects with a Failure where PING is not answered with PONG. */
export async function ping(address: Address, how: Inquiry): Promise<void> {
  const pong = await ask(address, command.ping, how)
  if (parseReply(pong).kind !== 'pong') throw new Failure('reply', `not PONG but ${printable(pong)}`)
}

async function ask(address: Address, words: Buffer, how: Inquiry): Promise<string> {
  const { connect, connectMs, signal } = how
  const connection = await CommandConnection.open({ connect, address, connectMs, signal })
  const limit = new Deadline(
    signal,
    connectMs,
    () => new NoReplyInTime('reply', `no reply within ${connectMs} ms`),
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
