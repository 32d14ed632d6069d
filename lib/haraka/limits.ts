/*
 * Haraka's own limits beside the settings: what its files come to, and which of them do not go together. Pure. Said at
 * start by neighbours.ts, and by the command `check`.
 */

import bytesText from 'bytes'
import type { ScanSettings } from '../scan/scan-state'

/** Null: not to be seen. */
export interface HarakaLimits {
  /** Bytes of a message; 0: any number. */
  readonly bytes: number | null
  /** Milliseconds after which a connection that says nothing is ended. */
  readonly inactivityMs: number | null
}

export interface LimitConflicts {
  /** Haraka takes messages that are larger than max_size. */
  readonly takesLarger: boolean
  /** clamd may give up before the budget of a scan is spent, and say OK. */
  readonly mayBeUnfinished: boolean
  /** Haraka may end a connection in the middle of a scan. */
  readonly mayBreakOff: boolean
}

/** clamd's default, which cannot be asked for. Later than that, an OK may be that of a clamd that has given up. */
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

/** `25MB`, `1.98MB`. */
export function sizeText(size: number): string {
  return bytesText(size) ?? ''
}

/** @param given `[max] bytes` of connection.ini. What is no number, such as 25M, limits nothing. */
export function bytesLimit(given: unknown): number | null {
  return given === undefined || given === null ? null : Number(given) || 0
}

/** Milliseconds. @param given seconds, `inactivity_timeout` of smtp.ini; Haraka takes 300 for none and for 0 */
export function inactivityLimit(given: unknown): number {
  return (Number(given) || 300) * 1000
}
