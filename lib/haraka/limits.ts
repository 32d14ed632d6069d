/*
 * Haraka's limits and their conflicts with the settings, for the log at start and for `check`. Pure.
 */

import type { ScanSettings } from '../scan/message-scan'

/** Null: unknown. */
export interface HarakaLimits {
  /** Largest message in bytes; 0: no limit. */
  readonly bytes: number | null
  /** Milliseconds after which an idle connection is closed. */
  readonly inactivityMs: number | null
}

export interface LimitConflicts {
  /** Haraka accepts messages that are larger than max_size. */
  readonly takesLarger: boolean
  /** clamd's MaxScanTime may end before the budget of a scan, and clamd replies OK then. */
  readonly mayBeUnfinished: boolean
  /** Haraka may close a connection during a scan. */
  readonly mayBreakOff: boolean
}

/** Milliseconds: the default of clamd's MaxScanTime, which clamd does not report. A later OK may be an unfinished scan. */
export const usualMaxScanMs = 120_000

export function limitConflicts(
  { maxBytes, scanMs }: ScanSettings,
  { bytes, inactivityMs }: HarakaLimits,
): LimitConflicts {
  return {
    takesLarger: bytes !== null && (bytes === 0 || bytes > maxBytes),
    mayBeUnfinished: scanMs >= usualMaxScanMs,
    mayBreakOff: inactivityMs !== null && scanMs >= inactivityMs,
  }
}

/** @param given `[max] bytes` of connection.ini. For Haraka a value that is no number, such as 25M, is no limit. */
export function bytesLimit(given: unknown): number | null {
  return given === undefined || given === null ? null : Number(given) || 0
}

/** Milliseconds. @param given `inactivity_timeout` of smtp.ini in seconds; Haraka uses 300 for none and for 0 */
export function inactivityLimit(given: unknown): number {
  return (Number(given) || 300) * 1000
}
