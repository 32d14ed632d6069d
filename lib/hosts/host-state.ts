/*
 * Health of one address as a state machine: `next` makes the next state from an event. Used by the pool (host-pool.ts) for
 * what mail finds out, and by the health monitor for what its checks find out. Pure.
 */

import type { Capabilities, Protocol } from '../clamd/protocol'
import { type ClamdVersion, parseVersion } from '../clamd/version'
import type { ArchiveLimits, SelfTestResult } from './test-results'

/** What is known of one address. Values are replaced, never changed: `next` alone makes a new one. */
export interface HostState {
  /**
   * Did it find the EICAR test file? `unknown`: not tested yet. `unproven`: the self test ended without a result. `missed`:
   * the address is untrusted.
   */
  readonly eicar: 'unknown' | 'unproven' | 'found' | 'missed'
  /** Number of failures and doubts, here or in another process: after each, the daemon may have been replaced. */
  readonly failureEpoch: number
  /** `failureEpoch` when the last found test file was sent. */
  readonly verifiedEpoch: number
  /** Circuit breaker, in ms of `System.now`. null: closed. Later than now: open. Else half-open. */
  readonly restsUntilMs: number | null
  /** Size in bytes of the largest message that it is proven to scan; null with `eicar: 'found'`: any size. */
  readonly maxScannableBytes: number | null
  /** `failureEpoch` of `maxScannableBytes`. */
  readonly provenEpoch: number
  /** null: no limit is known. */
  readonly limit: SizeLimit | null
  /** Protocol of the last scan that worked. */
  readonly protocol: Protocol | null
  /** Protocol of the self test, if it is not the one that `auto` starts with. */
  readonly verifiedProtocol: Protocol | null
  readonly engine: ClamdVersion | null
  /** Result of the last self test; null: there is none yet, or it no longer holds. */
  readonly selfTest: SelfTestResult | null
  readonly archives: ArchiveLimits | null
}

/** The address does not scan larger messages to the end. */
interface SizeLimit {
  readonly bytes: number
  /** In ms of `System.now`; then larger messages are tried again. */
  readonly untilMs: number
}

export const newHost: HostState = {
  eicar: 'unknown',
  failureEpoch: 0,
  verifiedEpoch: 0,
  restsUntilMs: null,
  maxScannableBytes: null,
  provenEpoch: -1,
  limit: null,
  protocol: null,
  verifiedProtocol: null,
  engine: null,
  selfTest: null,
  archives: null,
}

/** What the health monitor finds out. Plain JSON, because it is sent between the processes of a cluster. */
export type HealthEvent =
  | ({ readonly type: 'capabilities' } & Capabilities)
  | {
      readonly type: 'selfTested'
      readonly selfTest: SelfTestResult
      /** As `verifiedProtocol`. Missing: as before. */
      readonly protocol?: Protocol | null
    }
  /** The self test ended without a result; it will be repeated. */
  | { readonly type: 'selfTestFailed' }
  /** An address that missed the test file finds it; the rest of the self test is still running. */
  | { readonly type: 'seesAgain' }
  | { readonly type: 'archivesTested'; readonly archives: ArchiveLimits }
  /** It failed in another process, or did something unexpected: the daemon may have been replaced. */
  | { readonly type: 'doubted' }

/** What a process finds out by its own mail. Times are in ms of `System.now`. */
type MailEvent =
  /** A scan had a verdict, or PING an answer: the breaker closes. */
  | { readonly type: 'answered' }
  /** No verdict, or no answer to PING: the breaker opens. */
  | { readonly type: 'failed'; readonly restsUntilMs: number }
  /** The breaker is half-open and one message tries the address: open for all others. */
  | { readonly type: 'probed'; readonly restsUntilMs: number }
  /** That message was dropped: half-open again, unless the address failed meanwhile. */
  | { readonly type: 'probeDropped'; readonly restsUntilMs: number | null }
  | { readonly type: 'spoke'; readonly protocol: Protocol | null }
  /** @see EicarCheckResult. `epoch`: `failureEpoch` when the test file was sent */
  | { readonly type: 'eicarFound'; readonly epoch: number; readonly bytes: number | null }
  | { readonly type: 'eicarMissed' }
  /** The test file was missed in a mail of `bytes`, and found in a smaller one. */
  | { readonly type: 'eicarMissedAt'; readonly bytes: number; readonly nowMs: number }
  /** The settings changed, and the self test still holds. */
  | { readonly type: 'reloaded' }

export type HostEvent = HealthEvent | MailEvent

/** Milliseconds for which a size limit holds that a message has found. */
const limitMs = 60_000

/** Returns the same object when the event changes nothing. */
export function next(state: HostState, event: HostEvent): HostState {
  switch (event.type) {
    case 'capabilities':
      return { ...state, engine: parseVersion(event.version) ?? (event.isLate ? state.engine : null) }
    case 'selfTested':
      return selfTested(state, event.selfTest, event.protocol)
    case 'selfTestFailed':
      return state.eicar === 'unknown' ? { ...state, eicar: 'unproven' } : state
    case 'seesAgain':
      return state.eicar === 'missed' ? { ...state, eicar: 'unproven', selfTest: null } : state
    case 'archivesTested':
      return { ...state, archives: event.archives }
    case 'doubted':
      return { ...state, failureEpoch: state.failureEpoch + 1 }
    case 'answered':
      return state.restsUntilMs === null ? state : { ...state, restsUntilMs: null }
    case 'failed': {
      const { restsUntilMs } = event
      // The daemon may come back as another release.
      const protocol = state.verifiedProtocol
      return { ...state, protocol, restsUntilMs, failureEpoch: state.failureEpoch + 1 }
    }
    case 'probed':
      return state.restsUntilMs === null ? state : { ...state, restsUntilMs: event.restsUntilMs }
    case 'probeDropped':
      return state.restsUntilMs === null || state.restsUntilMs !== event.restsUntilMs
        ? state
        : { ...state, restsUntilMs: 0 }
    case 'spoke':
      return state.protocol === event.protocol ? state : { ...state, protocol: event.protocol }
    case 'eicarFound':
      return eicarFound(state, event.epoch, event.bytes)
    case 'eicarMissed':
      return missed(state)
    case 'eicarMissedAt': {
      const bytes = event.bytes - 1
      const maxScannableBytes = Math.min(state.maxScannableBytes ?? bytes, bytes)
      return { ...state, maxScannableBytes, limit: { bytes, untilMs: event.nowMs + limitMs } }
    }
    case 'reloaded': {
      const provenEpoch = state.provenEpoch < state.failureEpoch ? 0 : 1
      // It has to find the test file again before its next message.
      return {
        ...state,
        restsUntilMs: null,
        failureEpoch: 1,
        verifiedEpoch: 0,
        provenEpoch,
      }
    }
  }
}

/** The new epoch makes running scans check the address again. */
function missed(state: HostState): HostState {
  return { ...state, eicar: 'missed', failureEpoch: state.failureEpoch + 1 }
}

function selfTested(
  before: HostState,
  selfTest: SelfTestResult,
  verifiedProtocol = before.verifiedProtocol,
): HostState {
  const { findsTestFile, maxScannableBytes, coversMaxSize } = selfTest
  const state: HostState = {
    ...before,
    eicar: 'found',
    selfTest,
    maxScannableBytes,
    provenEpoch: before.failureEpoch,
    limit:
      maxScannableBytes === null || coversMaxSize ? null : { bytes: maxScannableBytes, untilMs: Infinity },
    protocol: verifiedProtocol === before.verifiedProtocol ? before.protocol : verifiedProtocol,
    verifiedProtocol,
  }
  return findsTestFile ? state : missed(state)
}

/** A later result counts for more; an earlier one may be that of another daemon. */
function eicarFound(state: HostState, epoch: number, bytes: number | null): HostState {
  if (state.eicar === 'missed' && epoch < state.failureEpoch) return state
  const found: HostState = {
    ...state,
    eicar: 'found',
    verifiedEpoch: Math.max(state.verifiedEpoch, epoch),
  }
  if (epoch < state.provenEpoch) return found
  const isNewer = epoch > state.provenEpoch
  const before = isNewer ? null : state.maxScannableBytes
  const isBeyond = state.limit !== null && bytes !== null && bytes > state.limit.bytes
  return {
    ...found,
    maxScannableBytes: bytes === null ? before : Math.max(before ?? 0, bytes),
    provenEpoch: epoch,
    limit: isBeyond ? null : state.limit,
  }
}

/**
 * `untrusted`: missed the test file, gets no mail. `resting`: failed, asked last. `unknown`: not tested yet. `unproven`: the
 * self test had no result. `suspect`: failed since it found the test file, or did something unexpected. `limited`: finds
 * the test file, but not at the end of a large mail. `verified`: finds it.
 */
export type Condition = 'untrusted' | 'resting' | 'unknown' | 'unproven' | 'suspect' | 'limited' | 'verified'

/** The name of a state; the first that fits. */
export function conditionOf(state: HostState, nowMs: number): Condition {
  if (state.eicar === 'missed') return 'untrusted'
  if (breakerOf(state, nowMs) === 'open') return 'resting'
  if (state.eicar !== 'found') return state.eicar
  if (isSuspect(state)) return 'suspect'
  return limitOf(state, nowMs) === Infinity ? 'verified' : 'limited'
}

export function isUntrusted({ eicar }: HostState): boolean {
  return eicar === 'missed'
}

/** True if it has failed or been doubted since the last found test file was sent. */
export function isSuspect({ verifiedEpoch, failureEpoch }: HostState): boolean {
  return verifiedEpoch < failureEpoch
}

/** True if it has found the test file and has not failed since. */
export function isVerified(state: HostState): boolean {
  return state.eicar === 'found' && !isSuspect(state)
}

/**
 * The circuit breaker of an address. `closed`: it works. `open`: it failed and rests. `half-open`: its rest is over, and
 * one message may try it.
 */
export type Breaker = 'closed' | 'open' | 'half-open'

export function breakerOf({ restsUntilMs }: HostState, nowMs: number): Breaker {
  if (restsUntilMs === null) return 'closed'
  return restsUntilMs > nowMs ? 'open' : 'half-open'
}

/** Maximum message size in bytes for the address; Infinity: no limit is known. */
export function limitOf({ limit }: HostState, nowMs: number): number {
  return limit && nowMs < limit.untilMs ? limit.bytes : Infinity
}
