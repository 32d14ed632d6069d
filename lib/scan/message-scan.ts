/*
 * What the scan of one message works on. scanner.ts makes it, and each address gets it in turn (address-scan.ts).
 */

import type { Glance } from '../attachments/glance'
import type { CancelSignal } from '../base/cancellation'
import type { MessageSource } from '../base/message-source'
import type { Protocol } from '../clamd/protocol'
import { Budget, workMs } from '../mime/budget'
import type { SignatureRule } from '../policy/rules'
import type { MessageHistory, Stumble } from './message-history'
import { defaultReadingLimits } from './readings/limits'
import type { Scope } from './second-look'
import { type Apart, takeApart } from './take-apart'

export interface ScanSettings {
  readonly protocol: Protocol | 'auto'
  readonly bufferBytes: number
  readonly connectMs: number
  /** Budget in milliseconds for one message, all tries and waiting included. */
  readonly scanMs: number
  readonly maxBytes: number
  /** What of a message is sent. */
  readonly scope: Scope
  /** For the names that are ignored. */
  readonly signatures: readonly SignatureRule[]
}

/** Where the steps of one scan are told. */
export interface ScanLog {
  trace(text: string): void
  warn(text: string): void
}

/** The budget is spent. */
export class TimedOut extends Error {
  override readonly name = 'TimedOut'
}

/** `message`, `glance` and `apart` are written here alone. */
export class MessageScan {
  /** Size in bytes of the message as it is to be sent, our Received line included. Written by scanner.ts. */
  size = 0
  /** What is sent in place of the message; null: the whole of it. */
  apart: Apart | null = null
  /** How addresses have failed on the message. */
  readonly stumbles: Stumble[] = []
  /** An address was silent altogether while it had the message. */
  wasSilenced = false
  /** For what we ourselves read of the message. */
  readonly readingBudget: Budget

  /**
   * @param dropped aborted when the client has gone, and not when the budget is spent
   * @param glance looks at the attachments while the message is sent; null: not wanted
   */
  constructor(
    public message: MessageSource,
    readonly signal: CancelSignal,
    readonly dropped: CancelSignal,
    readonly log: ScanLog,
    readonly history: MessageHistory,
    public glance: Glance | null,
  ) {
    this.readingBudget = new Budget({ ...defaultReadingLimits, ms: workMs(message.maxBytes) }, signal)
  }

  async takeApart(): Promise<void> {
    this.apart = await takeApart(this.message, this.readingBudget.restarted())
  }

  /** From now on the whole message is sent. */
  sendWhole(): void {
    this.apart?.release()
    this.apart = null
  }

  /** Goes on to the message as other programs may read it. @returns false: there is no other way */
  nextReading(): boolean {
    const next = this.message.nextReading?.()
    if (!next) return false
    this.close()
    this.message = next
    this.glance?.miss()
    this.glance = null
    return true
  }

  close(): void {
    this.message.close()
    this.sendWhole()
  }
}
