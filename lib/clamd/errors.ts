/*
 * Why an exchange with a clamd came to nothing: at which step, in words for the log, with the original
 * error as `cause`. Thrown by the dialogues, turned into a verdict by the scanner, shown to no client.
 */

export type Step =
  'resolve' | 'connect' | 'command' | 'port' | 'data connect' | 'send' | 'reply' | 'read message'

export class ClamdError extends Error {
  override readonly name = 'Failure'
  constructor(
    readonly step: Step,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause })
  }

  /** What happened, with the system's code if there is one, on one line. */
  get text(): string {
    const code = codeOf(this.cause)
    return `${this.message}${code ? ` (${code})` : ''}`
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

/** This process, or this machine, has no file descriptor left: no other address would change that. */
export function isLocalShortage(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'EMFILE' || code === 'ENFILE'
}

/** For the log: at which step, and what happened. */
export function errorText(error: unknown): string {
  return error instanceof ClamdError ? `${error.step}: ${error.text}` : String(error)
}

/** The connection ended without a word. */
export class NoReply extends ClamdError {}

/**
 * A session ended in a way that is not held against the address.
 * `late`: clamd's time limit ended it after the whole message; on a connection of its own, the reply may come later.
 * `hung up`: a new one, without a word. `refused`: the daemon has no sessions. `stale`: one that has carried a message
 * before.
 */
export class SessionEnded extends ClamdError {
  constructor(
    readonly why: 'late' | 'hung up' | 'refused' | 'stale',
    { step, text }: Pick<ClamdError, 'step' | 'text'>,
  ) {
    super(step, text)
  }
}

/** The message is larger than max_size; nobody's fault, and no other address would change it. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge'
  constructor(readonly bytes: number) {
    super(`message is larger than max_size: ${bytes} bytes and more`)
  }
}
