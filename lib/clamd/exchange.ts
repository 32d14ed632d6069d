/*
 * The options of one exchange with a clamd, the same for both protocols. Types only; replies are in protocol.ts, errors
 * in errors.ts, and the message is a MessageSource.
 */

import type { Address } from './address'
import type { DialOptions } from './connection'
import type { Step } from './errors'
import type { Reply } from './protocol'
import type { SessionPool } from './session-pool'

export interface Exchange extends DialOptions {
  readonly address: Address
  /** Pool of INSTREAM connections, for a daemon that has IDSESSION; null: one connection per message. */
  readonly sessions: SessionPool | null
  /** False: only on a new connection. */
  readonly mayBeKept: boolean
  /** Bytes per write to the data connection, and per INSTREAM chunk. */
  readonly bufferBytes: number
  /** Maximum message size in bytes, our own Received line included. */
  readonly maxBytes: number
  /** Sent before the content. By default our own Received line, by which clamd recognises mail. */
  readonly preface?: Buffer
  /** Called with the content, preface included, as it is sent; must not change it. */
  readonly onContent?: (piece: Buffer) => void
  /** Called when the dialogue enters a step. */
  readonly at: (step: Step, detail?: string) => void
}

export interface DialogueResult {
  readonly reply: Reply
  /** The step at which the reply came. */
  readonly step: 'port' | 'reply'
  /** Bytes of content sent, our Received line included. */
  readonly bytes: number
}
