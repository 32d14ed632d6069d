/*
 * Scans one message in a session: through INSTREAM, on a connection that may have carried other messages and may be kept for
 * the next one. Drawn in docs/reference/protocol.md.
 */

import type { MessageSource } from '../base/message-source'
import { ClamdError, isSessionError, type SessionEnd } from './errors'
import type { DialogueResult, Exchange } from './exchange'
import { transfer } from './instream'
import type { Session, SessionPool } from './session-pool'

/**
 * As `instream`. Rejects with a SessionError when the address is not to blame.
 * @param avoidsReuse true: not on a connection that has carried another message
 */
export async function inSession(
  how: Exchange,
  message: MessageSource,
  sessions: SessionPool,
  avoidsReuse: boolean,
): Promise<DialogueResult> {
  const pooled = avoidsReuse ? null : sessions.take(how.address, how.signal)
  how.at('connect', pooled ? 'reused' : avoidsReuse ? 'new, the reused connection failed' : undefined)
  const session = pooled ?? (await sessions.open(how))
  try {
    const answer = await converse(how, message, sessions, session)
    if (answer.reply.kind !== 'unknown_command') return answer
    throw new ClamdError('reply', answer.reply.text, { code: 'session_refused' })
  } catch (error) {
    const isLocal = !(error instanceof ClamdError) || error.step === 'read message'
    if (how.signal.aborted || isLocal || isSessionError(error)) throw error
    if (pooled) {
      // clamd may have closed an idle connection, or may have been restarted.
      sessions.drop(how.address)
      throw sessionError('session_stale', error)
    }
    // A proxy may pass INSTREAM and close on IDSESSION, unless it has passed a session before.
    throw !avoidsReuse && error.code === 'no_reply' ? sessionError('session_hung_up', error) : error
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
