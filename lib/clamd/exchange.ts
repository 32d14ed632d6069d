/*
 * The options of one exchange with a clamd, the same for both protocols. Types only; replies are in protocol.ts, errors
 * in errors.ts, and the message is a MessageSource.
 */

import type { Address } from './address'
import type { DialOptions } from './connection'
import type { Step } from './errors'
import type { Reply } from './protocol'

export interface Exchange extends DialOptions {
  readonly address: Address
  /** Bytes per INSTREAM chunk. */
  readonly bufferBytes: number
  /** Maximum message size in bytes, our own Received line included. */
  readonly maxBytes: number
  /** Sent before the content. By default our own Received line, by which clamd recognises mail. */
  readonly preface?: Buffer
  /** Called with the content, preface included, as it is sent; must not change it. From the first byte after `connect`. */
  readonly onContent?: (piece: Buffer) => void
  /** Called when the dialogue enters a step; `connect` each time that the message is sent. */
  readonly at: (step: Step, detail?: string) => void
}

export interface DialogueResult {
  readonly reply: Reply
  /** The step at which the reply came. */
  readonly step: 'port' | 'reply'
  /** Bytes of content sent, our Received line included. */
  readonly bytes: number
}
