/*
 * A message that can be read: by clamd, for attachment names, for a copy. Types only; lib/haraka/transaction-message.ts has
 * the one of a transaction.
 */

import type { EventEmitter } from 'node:events'
import type { CancelSignal } from './cancellation'

/**
 * Receives one reading of the message. `write` returns false to pause the source until `drain`; it must still take up to
 * 64 KiB that the source has already read. `end` emits `finish`.
 */
export interface Sink extends EventEmitter {
  write(chunk: Buffer): boolean
  end(): void
}

/** Tells a message from others. It is the same when the sender sends the message again. */
export interface MessageIdentity {
  /** Body length in bytes. Costs nothing, unlike the digest. */
  readonly bodyBytes: number
  /** Reads the message. Rejects as `open` does, or with the signal's reason. */
  digest(signal: CancelSignal): Promise<string>
}

/** A message that can be read from its first byte as often as needed, one reading at a time. */
export interface MessageSource {
  /** Lower bound of the size of a reading in bytes. */
  readonly minBytes: number
  /** Upper bound of the size of a reading in bytes. */
  readonly maxBytes: number
  /** Missing: nothing is remembered of this message. */
  readonly identity?: MessageIdentity
  /** One reading, not to be changed. Missing: it is not in memory in one piece. */
  readonly whole?: Buffer | undefined
  /** Starts a reading. Rejects with a ClamdError at step `read message` when the message cannot be read. */
  open(sink: Sink): Promise<void>
  /** Ends the reading, if one is open. */
  close(): void
  /**
   * After a complete reading: the message in its next reading, as other programs may read it; null or missing: there is
   * no other. What other programs make of its parts is in lib/scan/readings/.
   */
  nextReading?(): MessageSource | null
}
