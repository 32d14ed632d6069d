/*
 * Scans one message through INSTREAM: command, chunks and reply on one connection, which is new or comes from the session
 * pool. Drawn in docs/reference/protocol.md.
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
  const pooled = how.mayBeKept ? sessions.take(how.address, how.signal) : null
  how.at('connect', pooled ? 'reused' : how.mayBeKept ? undefined : 'new, the reused connection failed')
  const session = pooled ?? (await sessions.open(how))
  try {
    return await converse(how, message, sessions, session)
  } catch (error) {
    const isLocal = !(error instanceof ClamdError) || error.step === 'read message'
    if (how.signal.aborted || isLocal || isSessionError(error)) throw error
    if (pooled) {
      // clamd may have closed an idle connection, or may have been restarted.
      sessions.drop(how.address)
      throw sessionError('session_stale', error)
    }
    // A proxy may pass INSTREAM and close on IDSESSION, unless it has passed a session before.
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
    const answer = await transfer(how, message, session.connection, session.nextCommand(), (sent) =>
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
    upload.once('finish', () => how.at('reply', `${upload.bytes} bytes sent`))
    message.open(upload).catch((error: unknown) => connection.fail(error as Error))
    const reply = await replyTo(upload)
    return { reply, step: 'reply', bytes: upload.bytes }
  } finally {
    message.close()
    upload.stop()
  }
}
