/*
 * One message through INSTREAM: command, chunks and reply on one connection. Drawn in docs/protocol.md.
 */

import { CommandConnection } from './connection'
import type { Answer, Exchange, MessageSource } from './exchange'
import { command } from './protocol'
import { Sender } from './sender'

/** Resolves with clamd's reply, `clean` only after a completely sent message. Rejects with a Failure or TooLarge. */
export async function instream(how: Exchange, message: MessageSource): Promise<Answer> {
  how.at('connect')
  const line = await CommandConnection.open(how)
  const sender = new Sender(line.socket, how, command.instream, (reason) => line.fail(reason))
  try {
    how.at('send')
    sender.once('finish', () => how.at('reply', `${sender.bytes} bytes handed on`))
    message.open(sender).catch((error: unknown) => line.fail(error as Error))
    const reply = await line.lastReply(sender)
    return { reply, step: 'reply', bytes: sender.bytes }
  } finally {
    message.close()
    sender.stop()
    line.close()
  }
}
