/*
 * Asks an address whether it is a clamd, which release, and which commands it has: PING and VERSIONCOMMANDS, each on a
 * connection of its own.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import { printable } from '../base/text'
import { type Address, isTls } from './address'
import type { Connect } from './connection'
import { CommandConnection } from './connection'
import { ClamdError } from './errors'
import { type Capabilities, command, parseCapabilities, parseReply } from './protocol'

export interface QueryOptions {
  readonly connect: Connect
  /** Milliseconds for each connection, and for each reply. */
  readonly connectMs: number
  readonly signal: CancelSignal
  readonly trace?: (text: string) => void
}

/** Sends PING, then VERSIONCOMMANDS or VERSION. Rejects with a ClamdError. */
export async function queryCapabilities(address: Address, how: QueryOptions): Promise<Capabilities> {
  await ping(address, how)
  // An object, for the compiler does not see that a callback changes it.
  const late = { isLate: false }
  // Daemons before 0.95 refuse VERSIONCOMMANDS, or close the connection on it.
  const query = async (bytes: Buffer): Promise<Capabilities> => {
    const reply = await ask(address, bytes, how).catch((error: unknown) => {
      if (error instanceof ClamdError && error.code === 'reply_timeout') late.isLate = true
      return ''
    })
    how.signal.throwIfAborted()
    return parseCapabilities(reply)
  }
  const first = await query(command.versionCommands)
  const offer = first.version === null ? { ...first, ...(await query(command.version)) } : first
  const reachable = isTls(address) ? withoutStream(offer) : offer
  return late.isLate ? { ...reachable, isLate: true } : reachable
}

/** Over TLS there is no STREAM: its second connection would be without. */
function withoutStream({ version, commands }: Capabilities): Capabilities {
  return { version, commands: commands?.filter((name) => name !== 'STREAM') ?? null }
}

/** Rejects with a ClamdError unless the reply to PING is PONG. */
export async function ping(address: Address, how: QueryOptions): Promise<void> {
  const pong = await ask(address, command.ping, how)
  if (parseReply(pong).kind !== 'pong') throw new ClamdError('reply', `not PONG but ${printable(pong)}`)
}

async function ask(address: Address, bytes: Buffer, how: QueryOptions): Promise<string> {
  const { connect, connectMs, signal } = how
  const connection = await CommandConnection.open({ connect, address, connectMs, signal })
  const limit = new Deadline(
    signal,
    connectMs,
    () => new ClamdError('reply', `no reply within ${connectMs} ms`, { code: 'reply_timeout' }),
  )
  try {
    connection.attach(limit)
    const reply = await connection.ask(bytes, 'reply')
    how.trace?.(`says ${printable(reply)}`)
    return reply
  } finally {
    limit.end()
    connection.close()
  }
}
