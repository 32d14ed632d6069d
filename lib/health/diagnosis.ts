/*
 * Turns the result of a self test into texts with a remedy, for the log (log-lines.ts) and for the command `check`, which
 * choose the level. Pure.
 */

import { sizeText } from '../base/text'
import type { ArchiveLimit, ArchiveLimits, SelfTestResult } from '../hosts/test-results'
import { largestMember } from './archive-limits'

/**
 * `untrusted`: misses the test file. `finds`: finds it, size not tested. `whole`: finds it in messages up to max_size.
 * `partly`: only in smaller messages. `alarmed`: finds something in a harmless mail. `mute`: gives no verdict on it.
 * `silent`: does not report its limits. `opened`: which archives it looks into.
 */
export type Kind = 'untrusted' | 'finds' | 'whole' | 'partly' | 'alarmed' | 'mute' | 'silent' | 'opened'

export interface Diagnosis {
  readonly kind: Kind
  /** Continues a line that starts with the address. */
  readonly text: string
  /** Imperative, without a full stop; null: nothing to do. */
  readonly remedy: string | null
}

/**
 * Says whether the test file is found, and up to which size.
 * @param maxBytes max_size
 */
export function detectionOf(
  { findsTestFile, maxScannableBytes, coversMaxSize }: SelfTestResult,
  maxBytes: number,
): Diagnosis {
  const finds = 'finds the EICAR test file'
  const maxSize = sizeText(maxBytes)
  if (!findsTestFile)
    return {
      kind: 'untrusted',
      text: 'does not find the EICAR test file in an attachment',
      remedy: 'look for signatures (freshclam) and ScanMail yes in clamd.conf',
    }
  if (maxScannableBytes === null) return { kind: 'finds', text: finds, remedy: null }
  if (coversMaxSize)
    return { kind: 'whole', text: `${finds}, also at the end of ${maxSize} (max_size)`, remedy: null }
  return {
    kind: 'partly',
    text: `${finds} up to ${sizeText(maxScannableBytes)} only, max_size is ${maxSize}`,
    remedy:
      `raise StreamMaxLength and MaxFileSize in clamd.conf to ${maxBytes} or more, MaxScanSize to ${2 * maxBytes} ` +
      'or more; or lower max_size',
  }
}

/** Faults with a harmless mail. */
export function warnings({ alarm }: SelfTestResult): Diagnosis[] {
  const odd: Diagnosis[] = []
  if (alarm?.kind === 'found')
    odd.push({
      kind: 'alarmed',
      text: `finds something in a harmless mail: ${alarm.text}`,
      remedy: 'look for a signature of your own that matches everything',
    })
  if (alarm?.kind === 'failed')
    odd.push({
      kind: 'mute',
      text: `gives no verdict on a harmless mail: ${alarm.text}`,
      remedy: "look into clamd's log, and check for a proxy in front of clamd",
    })
  return odd
}

const stops = 'says OK where it stops at a limit of its own: '
const alert = 'AlertExceedsMax yes (from 0.101 on)'

/**
 * Says how far clamd looks into archives, and what it skips without a report.
 * @param limits null: not tested
 * @param maxBytes max_size
 */
export function archivesOf(
  { findsTestFile, reportsLimits }: SelfTestResult,
  limits: ArchiveLimits | null,
  maxBytes: number,
): Diagnosis[] {
  if (!findsTestFile) return []
  const { memberBytes, totalBytes, depth, files, opensRar } = limits ?? unknownLimits
  const silent = [
    ...ifSilent(memberBytes, (scannableBytes) =>
      scannableBytes === null
        ? 'large files in an archive'
        : `files larger than ${sizeText(scannableBytes)} in an archive`,
    ),
    ...ifSilent(totalBytes, (scannableBytes) =>
      scannableBytes === null
        ? 'many large files in a message'
        : `more than ${sizeText(scannableBytes)} unpacked from a message`,
    ),
    ...ifSilent(
      depth,
      (scannableBytes) =>
        `${scannableBytes === null ? 'many' : `more than ${scannableBytes}`} archives in one another`,
    ),
    ...ifSilent(
      files,
      (scannableBytes) =>
        `${scannableBytes === null ? 'many' : `more than ${scannableBytes}`} files in an archive`,
    ),
    ...(depth.beyond === 'unknown' && reportsLimits === false ? ['archives in archives'] : []),
  ]
  const isSilent =
    reportsLimits === false || [totalBytes, depth, files].some(({ beyond }) => beyond === 'silent')
  const member = largestMember(maxBytes)
  const remedies = [
    ...(isSilent ? [alert] : []),
    // clamd does not report a large zip member even with AlertExceedsMax.
    ...(memberBytes.beyond === 'silent'
      ? [`MaxFileSize ${member} or more and MaxScanSize ${3 * member} or more`]
      : []),
  ]
  const opened = [
    ...(memberBytes.upTo === null
      ? []
      : [`looks into archives: files of up to ${sizeText(memberBytes.upTo)} in them are scanned`]),
    ...(opensRar === false ? ['does not open RAR archives, which are unpacked here'] : []),
  ].map((text): Diagnosis => ({ kind: 'opened', text, remedy: null }))
  if (silent.length === 0) return opened
  return [
    ...opened,
    {
      kind: 'silent',
      text: stops + silent.join(', '),
      remedy: `set ${remedies.join(', and ')}, in clamd.conf`,
    },
  ]
}

function ifSilent({ upTo, beyond }: ArchiveLimit, text: (scannableBytes: number | null) => string): string[] {
  return beyond === 'silent' ? [text(upTo)] : []
}

const unknownLimit = { upTo: null, beyond: 'unknown' } as const
const unknownLimits: ArchiveLimits = {
  memberBytes: unknownLimit,
  totalBytes: unknownLimit,
  depth: unknownLimit,
  files: unknownLimit,
  opensRar: null,
}
