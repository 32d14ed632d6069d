/*
 * Why an exchange with a clamd failed: a code to switch on, the step, and words for the log. Thrown by the dialogues,
 * turned into a verdict by the scanner, never shown to the client.
 */

export type Step =
  'resolve' | 'connect' | 'command' | 'port' | 'data connect' | 'send' | 'reply' | 'read message'

/**
 * How a session ended in a way that is not held against the address.
 * `session_late`: clamd's time limit ended it after the whole message; on a connection of its own the reply may come later.
 * `session_hung_up`: a new session was closed without a reply. `session_refused`: the daemon has no sessions.
 * `session_stale`: the connection had carried another message before.
 */
export type SessionEnd = 'session_late' | 'session_hung_up' | 'session_refused' | 'session_stale'

/**
 * `no_reply`: the connection ended before the first byte of a reply. `reply_timeout`: no reply within the time limit.
 * `inconclusive`: a self test gave different results for the same size. `failed`: all else; the step says where.
 */
export type ErrorCode = 'failed' | 'no_reply' | 'reply_timeout' | 'inconclusive' | SessionEnd

export class ClamdError extends Error {
  override readonly name = 'ClamdError'
  readonly code: ErrorCode

  /** @param options.cause the system's error, if there is one */
  constructor(
    readonly step: Step,
    message: string,
    { code = 'failed', ...options }: { readonly code?: ErrorCode; readonly cause?: unknown } = {},
  ) {
    super(message, options)
    this.code = code
  }

  /** The message on one line, with the system's error code if there is one. */
  get text(): string {
    const code = codeOf(this.cause)
    return `${this.message}${code ? ` (${code})` : ''}`
  }

  /** True if clamd broke off when it had some of the message; a broken session has had it, unless it was closed before. */
  get hadMessage(): boolean {
    const ends: readonly ErrorCode[] = ['no_reply', 'session_stale', 'session_hung_up']
    return this.step === 'send' || (this.step === 'reply' && ends.includes(this.code))
  }
}

export type SessionError = ClamdError & { readonly code: SessionEnd }

export function isSessionError(error: unknown): error is SessionError {
  return error instanceof ClamdError && error.code.startsWith('session_')
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

/** True when this process or machine has no file descriptor left; another address would fail as well. */
export function isLocalShortage(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'EMFILE' || code === 'ENFILE'
}

/** `step: message (CODE)`, for the log. */
export function errorText(error: unknown): string {
  return error instanceof ClamdError ? `${error.step}: ${error.text}` : String(error)
}

/** The message is larger than max_size. Another address would not change that, so no address counts as failed. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge'
  constructor(readonly bytes: number) {
    super(`message is larger than max_size: ${bytes} bytes and more`)
  }
}
