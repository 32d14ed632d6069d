/*
 * A message as it is read: for clamd, for the names in it, for a copy. Types only; message.ts has a transaction's,
 * measure.ts reads one for its size.
 */

import type { EventEmitter } from 'node:events'

/**
 * Where a reading of the message goes. `write` answers false to be left alone until it emits `drain`, but has to take what
 * the source had in hand, 64 KiB at most; `end` emits `finish`.
 */
export interface Sink extends EventEmitter {
  write(chunk: Buffer): boolean
  end(): void
}

/** A message that can be read from its first byte as often as needed, one reading at a time. */
export interface MessageSource {
  /** No reading yields fewer bytes than this… */
  readonly minBytes: number
  /** …or more than this. */
  readonly maxBytes: number
  /** Begins a reading. Rejects with a ClamdError at step `read message` when the message cannot be read. */
  open(sink: Sink): Promise<void>
  /** Ends the reading, if one is open. */
  close(): void
  /** After a complete reading: the same message as others may read it; null or left out: all read it alike. */
  alternative?(): MessageSource | null
}
