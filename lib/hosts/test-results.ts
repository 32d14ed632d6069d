/*
 * What tests of one clamd have shown: self test, single test files, limits for archives.
 */

import type { Protocol } from '../clamd/protocol'

export interface Alarm {
  /** `found`: clamd found something in a harmless mail. `failed`: no verdict on it. */
  readonly kind: 'found' | 'failed'
  readonly text: string
}

/** Plain JSON, because it is sent between the processes of a cluster. */
export interface SelfTestResult {
  /** The test file was found. False: no signatures, or attachments are not decoded. */
  readonly findsTestFile: boolean
  /** Size in bytes of the largest message scanned to its end, with our Received line; null: not tested. */
  readonly maxScannableBytes: number | null
  /** `maxScannableBytes` is at least max_size. */
  readonly coversMaxSize: boolean
  /** clamd's reply to the smallest probe in which it missed the test file; null: it missed none. */
  readonly missed: string | null
  /** The reply to a harmless mail, if it was not OK; null: OK. */
  readonly alarm: Alarm | null
  /** AlertExceedsMax is set: a mail that is not scanned to the end is not reported OK. null: unknown. */
  readonly reportsLimits: boolean | null
  readonly probes: number
  /** Sum of all probes. */
  readonly sentBytes: number
  readonly ms: number
}

/** Plain JSON, because it is sent between the processes of a cluster. */
export interface ArchiveLimit {
  /** Largest value with which the test file was found; null: not tested, or not to the end. */
  readonly upTo: number | null
  /** Worst reply above `upTo`. `silent`: OK. `reported`: a limit name. `unknown`: not tested, or no verdict. */
  readonly beyond: 'silent' | 'reported' | 'unknown'
}

export interface ArchiveLimits {
  /** Size of a member of a zip archive (MaxFileSize, MaxScanSize). */
  readonly memberBytes: ArchiveLimit
  /** Size of a message and of all that is unpacked from it (MaxScanSize). */
  readonly totalBytes: ArchiveLimit
  /** Levels of nested archives (MaxRecursion). */
  readonly depth: ArchiveLimit
  /** Number of files in an archive (MaxFiles). */
  readonly files: ArchiveLimit
  /** It was built with UnRAR, which some distributions leave out; null: not tested, or no verdict. */
  readonly opensRar: boolean | null
}

/** Result of sending one test file. */
export interface EicarCheckResult {
  readonly findsTestFile: boolean
  /** Size of the mail in bytes, with our Received line; null: sizes are not tested. */
  readonly bytes: number | null
  /** clamd's reply, if it did not find the test file. */
  readonly missed: string | null
  readonly protocol: Protocol
}

/**
 * Largest values up to which an OK of the address can be relied on; above them it may have skipped content without a
 * report. Infinity: it reports its limits. null: unknown.
 */
export type SilentLimits = Readonly<Record<'memberBytes' | 'totalBytes' | 'depth' | 'files', number | null>> &
  Pick<ArchiveLimits, 'opensRar'>

/** null: no limits were tested. */
export function silentLimits(archives: ArchiveLimits | null): SilentLimits | null {
  const silent = ({ upTo, beyond }: ArchiveLimit) => (beyond === 'reported' ? Infinity : upTo)
  return (
    archives && {
      memberBytes: silent(archives.memberBytes),
      totalBytes: silent(archives.totalBytes),
      depth: silent(archives.depth),
      files: silent(archives.files),
      opensRar: archives.opensRar,
    }
  )
}
