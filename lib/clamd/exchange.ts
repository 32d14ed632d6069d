/*
 * What one exchange with a clamd is given, whatever the protocol: how to connect, its limits, whom to tell. Types only;
 * replies are protocol.ts', failures failure.ts', and the message is a MessageSource (source.ts).
 */

import type { Address } from './address'
import type { DialOptions } from './connection'
import type { Step } from './errors'
import type { Reply } from './protocol'
import type { SessionPool } from './session-pool'

export interface Exchange extends DialOptions {
  readonly address: Address
  /** Where INSTREAM connections come from and go to, for a daemon that has IDSESSION; null: one for each message. */
  readonly sessions: SessionPool | null
  /** False: not over a connection that has carried a message before. */
  readonly mayBeKept: boolean
  /** Bytes per write to the data connection, and per INSTREAM chunk. */
  readonly bufferBytes: number
  /** Most bytes of one message that are sent, our own Received line included. */
  readonly maxBytes: number
  /** Goes in front of the content. Left out: our own Received line, by which clamd takes the content for mail. */
  readonly preface?: Buffer
  /** Handed the content, preface included, as it is sent; it must not be changed. Left out: nobody wants it. */
  readonly onContent?: (piece: Buffer) => void
  /** Told when the dialogue comes to a step. */
  readonly at: (step: Step, detail?: string) => void
}

export interface DialogueResult {
  readonly reply: Reply
  /** At which step the reply came. */
  readonly step: 'port' | 'reply'
  /** Content sent, in bytes, our Received line included. */
  readonly bytes: number
}
