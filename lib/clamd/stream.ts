/*
 * Scans one message through STREAM: command and `PORT n` on one connection, the message on a second one to the
 * same address, its end marked by closing, the reply on the first. Drawn in docs/reference/protocol.md.
 */

import type { Socket } from 'node:net'
import type { MessageSource } from '../base/message-source'
import { type Address, isTls } from './address'
import { CommandConnection, dial } from './connection'
import { ClamdError } from './errors'
import type { DialogueResult, Exchange } from './exchange'
import { command, isAboutAll, isMissingCommand, parsePort, parseReply, type Reply } from './protocol'
import { Upload } from './upload'

/** Resolves with clamd's reply, `clean` only after a completely sent message. Rejects with a ClamdError or TooLarge. */
export async function stream(how: Exchange, message: MessageSource): Promise<DialogueResult> {
  if (isTls(how.address)) throw new ClamdError('command', 'no STREAM over TLS')
  how.at('connect')
  const connection = await CommandConnection.open(how)
  try {
    how.at('port')
    const answer = await connection.ask(command.stream, 'port')
    const port = parsePort(answer)
    if (port === null) return { reply: refusal(answer), step: 'port', bytes: 0 }
    how.at('data connect', answer)
    const data = await dial(how, dataAddress(how.address, port), 'data connect', true)
    return await transferOver(how, message, connection, data)
  } finally {
    connection.close()
  }
}

/** clamd's data port is IPv4 on every interface; a clamd behind a unix socket runs on this host. */
function dataAddress(address: Address, port: number): Address {
  return { host: 'path' in address ? '127.0.0.1' : address.host, port }
}

/** A reply in place of `PORT n`. A verdict before any data does not count. */
function refusal(answer: string): Reply {
  const reply = parseReply(answer)
  return reply.kind === 'unknown_command' || reply.kind === 'error'
    ? reply
    : { kind: 'error', text: `${reply.kind} instead of PORT` }
}

async function transferOver(
  how: Exchange,
  message: MessageSource,
  connection: CommandConnection,
  data: Socket,
): Promise<DialogueResult> {
  const upload = new Upload(data, how, null, (reason) => connection.fail(reason))
  const sent = whenRead(data, upload)
  let replyTimer: NodeJS.Timeout | undefined
  let isOver = false
  const failSoon = (reason: ClamdError) => {
    replyTimer ??= setTimeout(() => {
      connection.fail(reason)
      data.destroy(reason)
    }, how.connectMs)
  }
  const onAbort = () => data.destroy(how.signal.reason)
  how.signal.addEventListener('abort', onAbort)
  try {
    how.at('send')
    upload.once('finish', () => how.at('reply', `${upload.bytes} bytes sent`))
    message.open(upload).catch((error: unknown) => connection.fail(error as Error))
    void sent.then((broken) => {
      if (isOver) return
      message.close()
      upload.stop()
      if (!broken) return
      // A clamd that still reads scans what it has, and may find something.
      data.end()
      // clamd writes the reason on the command connection: wait for it, up to connectMs.
      failSoon(broken)
    })
    const reply = await connection.lastReply(upload)
    if (reply.kind === 'error' && isMissingCommand(reply))
      throw new ClamdError('data connect', `something else answers at the data port: ${reply.text}`)
    if (isAboutAll(reply)) {
      failSoon(new ClamdError('send', 'a reply, but the data connection was not closed'))
      const broken = await sent
      if (broken) throw broken
    }
    return { reply, step: 'reply', bytes: upload.bytes }
  } finally {
    isOver = true
    how.signal.removeEventListener('abort', onAbort)
    clearTimeout(replyTimer)
    message.close()
    upload.stop()
    data.destroy()
  }
}

/**
 * Resolves with null when clamd has closed the data connection without an error after our last byte: it has read all of
 * it. A clamd that stops at its StreamMaxLength replies OK as well, but resets or closes before the end.
 */
function whenRead(data: Socket, upload: Upload): Promise<ClamdError | null> {
  return new Promise((resolve) => {
    data.on('error', (cause) =>
      resolve(new ClamdError('send', `data connection broke after ${upload.bytes} bytes`, { cause })),
    )
    data.on('end', () =>
      resolve(
        upload.complete
          ? null
          : new ClamdError('send', `clamd closed the data connection after ${upload.bytes} bytes`),
      ),
    )
    data.resume()
  })
}
