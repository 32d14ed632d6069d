/*
 * One message through INSTREAM: command, chunks and reply on one connection. Drawn in docs/protocol.md.
 */

import { CommandConnection } from './connection'
import type { Answer, Exchange, MessageSource } from './exchange'
import { Failure } from './failure'
import { command } from './protocol'
import { Sender } from './sender'

/** Resolves with clamd's reply, `clean` only after a completely sent message. Rejects with a Failure or TooLarge. */
export async function instream(how: Exchange, message: MessageSource): Promise<Answer> {
  const line = await CommandConnection.open(how)
  const sender = new Sender(line.socket, how, command.instream, (reason) => line.fail(reason))
  try {
    how.trace('connected, sending INSTREAM')
    message.open(sender).catch((error: unknown) => line.fail(error as Error))
    const reply = await line.lastReply()
    how.trace(`${sender.bytes} bytes taken, reply: ${reply.kind}`)
    if (reply.kind === 'clean' && !sender.complete) {
      throw new Failure('reply', `OK before the end of the message, after ${sender.bytes} bytes`)
    }
    return { reply, bytes: sender.bytes }
  } finally {
    message.close()
    sender.stop()
    line.close()
  }
}
