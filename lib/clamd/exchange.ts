/*
 * What one exchange with a clamd is given, whatever the protocol: how to connect, its limits, whom to tell.
 * And the message as the exchange sees it. Types only; replies are protocol.ts', failures failure.ts'.
 */

import type { EventEmitter } from 'node:events'
import type { NetConnectOpts, Socket } from 'node:net'
import type { Address } from '../address'
import type { CancelSignal } from '../cancellation'
import type { Step } from './failure'
import type { Reply } from './protocol'
import type { Sessions } from './sessions'

export type Connect = (options: NetConnectOpts) => Socket

export interface Exchange {
  readonly connect: Connect
  readonly address: Address
  /** Where INSTREAM connections come from and go to, for a daemon that has IDSESSION; null: one for each message. */
  readonly sessions: Sessions | null
  /** False: not over a connection that has carried a message before. */
  readonly mayBeKept: boolean
  /** Milliseconds for each connection to be made. */
  readonly connectMs: number
  /** Bytes per write to the data connection, and per INSTREAM chunk. */
  readonly bufferBytes: number
  /** Most bytes of one message that are sent, our own Received line included. */
  readonly maxBytes: number
  /** Ends the exchange at once; its reason is what the exchange rejects with. */
  readonly signal: CancelSignal
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

/**
 * Where a reading of the message goes. `write` answers false to be left alone until it emits `drain`; `end`
 * emits `finish`.
 */
export interface Sink extends EventEmitter {
  write(chunk: Buffer): boolean
  end(): void
}

/** A message that can be read from its first byte as often as needed, one reading at a time. */
export interface MessageSource {
  /** No reading yields fewer bytes than this… */
  readonly least: number
  /** …or more than this. */
  readonly most: number
  /** Begins a reading. Rejects with a Failure at step `read message` when the message cannot be read. */
  open(sink: Sink): Promise<void>
  /** Ends the reading, if one is open. */
  close(): void
  /** After a complete reading: the same message as others may read it; null or left out: all read it alike. */
  otherwise?(): MessageSource | null
}
