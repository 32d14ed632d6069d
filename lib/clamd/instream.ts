/*
 * Scans one message through INSTREAM: command, chunks and reply on one new connection. Drawn in docs/reference/protocol.md.
 */

import type { MessageSource } from '../base/message-source'
import { CommandConnection } from './connection'
import type { DialogueResult, Exchange } from './exchange'
import { command, type Reply } from './protocol'
import { Upload } from './upload'

/** Resolves with clamd's reply, `clean` only after a completely sent message. Rejects with a ClamdError or TooLarge. */
export async function instream(how: Exchange, message: MessageSource): Promise<DialogueResult> {
  how.at('connect')
  const connection = await CommandConnection.open(how)
  try {
    return await transfer(how, message, connection, command.instream, (sent) => connection.lastReply(sent))
  } finally {
    connection.close()
  }
}

/** Sends command and message, and waits for the reply. */
export async function transfer(
  how: Exchange,
  message: MessageSource,
  connection: CommandConnection,
  preamble: Buffer,
  replyTo: (sent: Upload) => Promise<Reply>,
): Promise<DialogueResult> {
  const upload = new Upload(connection.socket, how, preamble, (reason) => connection.fail(reason))
  try {
    how.at('send')
    upload.once('finish', () => how.at('reply', `${upload.bytes} bytes sent`))
    message.open(upload).catch((error: unknown) => connection.fail(error as Error))
    const reply = await replyTo(upload)
    return { reply, step: 'reply', bytes: upload.bytes }
  } finally {
    message.close()
    upload.stop()
  }
}
