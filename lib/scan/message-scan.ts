/*
 * One scan: what it works on, and how far it has come, for the verdict and the log. Begun by scanner.ts, passed on to address-scan.ts.
 */

import type { Glance } from '../attachments/glance'
import type { CancelSignal } from '../base/cancellation'
import type { MessageSource } from '../base/message-source'
import type { Step } from '../clamd/errors'
import type { Protocol } from '../clamd/protocol'
import type { ClamdVersion } from '../clamd/version'
import type { Lease } from '../hosts/lease'
import { Budget } from '../mime/budget'
import type { PlainResult } from '../mime/plain/plain-check'
import type { SignatureRule } from '../policy/rules'
import type { MessageHistory, Stumble } from './message-history'
import { defaultReadingLimits } from './readings/limits'
import { type Insight, noInsight, type Scope } from './second-look'
import type { Apart } from './take-apart'

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

export interface ScanState {
  message: MessageSource
  /** Bytes of the message as it is to be sent, our Received line included. */
  size: number
  readonly signal: CancelSignal
  /** Aborted when the client has gone, and not when the budget is spent. */
  readonly dropped: CancelSignal
  /** For reading it, by us. */
  readonly readingBudget: Budget
  readonly log: ScanLog
  readonly started: number
  readonly failures: string[]
  /** For an address that has room. */
  isWaiting: boolean
  clamd: string | null
  engine: ClamdVersion | null
  protocol: Protocol | null
  /** By which it has found the test file for this message, and since it was last sent the message; null: it has not. */
  verifiedProtocol: Protocol | null
  step: Step | null
  /** What is sent, by name; null: the message. */
  part: string | null
  /** Milliseconds between the parts, when the address has nothing to do. */
  ownMs: number
  /** Sent. */
  bytes: number
  /** When this address had all that was to be sent, in ms of performance.now(); null: it has not. */
  sentAt: number | null
  /** How this address has failed on the message, when it had some of it; null: it has not. */
  stumbled: Stumble['how'] | null
  /** Of the addresses so far. */
  readonly stumbles: Stumble[]
  readonly history: MessageHistory
  /** What is sent in place of the message; null: the whole of it. */
  apart: Apart | null
  /** What the message that was sent is like; null: it was not checked. */
  plain: PlainResult | null
  insight: Insight
  /** Looks at the attachments while the message is sent; null: not wanted. */
  glance: Glance | null
}

export function newScanState(
  message: MessageSource,
  signal: CancelSignal,
  dropped: CancelSignal,
  log: ScanLog,
  history: MessageHistory,
  glance: Glance | null,
): ScanState {
  return {
    message,
    size: 0,
    signal,
    dropped,
    readingBudget: new Budget(defaultReadingLimits, signal),
    log,
    started: performance.now(),
    failures: [],
    isWaiting: false,
    clamd: null,
    engine: null,
    protocol: null,
    verifiedProtocol: null,
    step: null,
    part: null,
    ownMs: 0,
    bytes: 0,
    sentAt: null,
    stumbled: null,
    stumbles: [],
    history,
    apart: null,
    plain: null,
    insight: noInsight,
    glance,
  }
}

/** From now on it is about this address alone. */
export function startAttempt(state: ScanState, { text, engine }: Pick<Lease, 'text' | 'engine'>): void {
  state.clamd = text
  state.engine = engine
  state.protocol = null
  state.verifiedProtocol = null
  state.step = null
  state.part = null
  state.ownMs = 0
  state.bytes = 0
  state.sentAt = null
  state.stumbled = null
  state.plain = null
  state.insight = noInsight
}

/** The budget is spent. */
export class TimedOut extends Error {
  override readonly name = 'TimedOut'
}

/** The address, and the protocol if one has been chosen: the test file that goes ahead has its own. Then the part. */
export function attemptLabel({ clamd, protocol, part }: ScanState): string {
  const where = [clamd, protocol].filter((word) => word !== null).join(' ')
  return part === null ? where : `${where}: ${part}`
}
