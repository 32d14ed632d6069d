/*
 * One message through INSTREAM: command, chunks and reply on one connection, of its own or one that is kept for
 * several messages. Drawn in docs/reference/protocol.md.
 */

import type { MessageSource } from '../base/message-source'
import { CommandConnection } from './connection'
import { ClamdError, isSessionError, type SessionEnd } from './errors'
import type { DialogueResult, Exchange } from './exchange'
import { command, type Reply } from './protocol'
import type { Session, SessionPool } from './session-pool'
import { Upload } from './upload'

/** Resolves with clamd's reply, `clean` only after a completely sent message. Rejects with a ClamdError or TooLarge. */
export async function instream(how: Exchange, message: MessageSource): Promise<DialogueResult> {
  if (how.sessions) return inSession(how, message, how.sessions)
  how.at('connect')
  const connection = await CommandConnection.open(how)
  try {
    return await transfer(how, message, connection, command.instream, (sent) => connection.lastReply(sent))
  } finally {
    connection.close()
  }
}

async function inSession(
  how: Exchange,
  message: MessageSource,
  sessions: SessionPool,
): Promise<DialogueResult> {
  const kept = how.mayBeKept ? sessions.take(how.address, how.signal) : null
  how.at(
    'connect',
    kept ? 'kept from a message before' : how.mayBeKept ? undefined : 'anew, the kept one was no good',
  )
  const session = kept ?? (await sessions.open(how))
  try {
    return await converse(how, message, sessions, session)
  } catch (error) {
    const isOfMessage = !(error instanceof ClamdError) || error.step === 'read message'
    if (how.signal.aborted || isOfMessage || isSessionError(error)) throw error
    if (kept) {
      // clamd may close what is idle, or have been restarted.
      sessions.drop(how.address)
      throw sessionError('session_stale', error)
    }
    // A proxy may let INSTREAM through and hang up on IDSESSION; not one that has let a session through before.
    throw how.mayBeKept && error.code === 'no_reply' ? sessionError('session_hung_up', error) : error
  }
}

function sessionError(code: SessionEnd, { step, message, cause }: ClamdError): ClamdError {
  return new ClamdError(step, message, { code, cause })
}

async function converse(
  how: Exchange,
  message: MessageSource,
  sessions: SessionPool,
  session: Session,
): Promise<DialogueResult> {
  let isDone = false
  try {
    const answer = await transfer(how, message, session.connection, session.begin(), (sent) =>
      session.reply(sent),
    )
    const { kind } = answer.reply
    isDone = kind === 'clean' || kind === 'found'
    return answer
  } finally {
    if (isDone) sessions.keep(how.address, session)
    else session.connection.close()
  }
}

async function transfer(
  how: Exchange,
  message: MessageSource,
  connection: CommandConnection,
  preamble: Buffer,
  replyTo: (sent: Upload) => Promise<Reply>,
): Promise<DialogueResult> {
  const upload = new Upload(connection.socket, how, preamble, (reason) => connection.fail(reason))
  try {
    how.at('send')
    upload.once('finish', () => how.at('reply', `${upload.bytes} bytes handed on`))
    message.open(upload).catch((error: unknown) => connection.fail(error as Error))
    const reply = await replyTo(upload)
    return { reply, step: 'reply', bytes: upload.bytes }
  } finally {
    message.close()
    upload.stop()
  }
}
