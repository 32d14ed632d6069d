/*
 * What a proof comes to, and what to do about it for whoever keeps that clamd: one judgement for the log (news.ts) and
 * for the command `check`, which choose how loud to say it. Pure.
 */

import { sizeText } from '../haraka/limits'
import type { ArchiveLimit } from '../hosts/host-state'
import type { ArchiveLimits } from '../hosts/host-state'
import type { SelfTestResult } from '../hosts/host-state'
import { largestMember } from './archive-limits'

/**
 * `blind`: does not find the test file. `finds`: does, and up to which size was not looked for. `whole`: up to
 * max_size. `partly`: in smaller messages only. `alarmed`, `mute`: has something to say of a harmless mail, or no
 * verdict on it. `silent`: does not say where it stops at a limit of its own. `opened`: how far it looks into archives.
 */
export type Kind = 'blind' | 'finds' | 'whole' | 'partly' | 'alarmed' | 'mute' | 'silent' | 'opened'

export interface Diagnosis {
  readonly kind: Kind
  /** To be put behind the address. */
  readonly text: string
  /** In the imperative, without a stop; null: there is nothing to do. */
  readonly remedy: string | null
}

/**
 * Whether the test file is found, and up to which size.
 * @param maxBytes the size to prove
 */
export function detectionOf(
  { findsTestFile, maxScannableBytes, coversMaxSize }: SelfTestResult,
  maxBytes: number,
): Diagnosis {
  const finds = 'finds the EICAR test file'
  const scannableBytes = sizeText(maxBytes)
  if (!findsTestFile)
    return {
      kind: 'blind',
      text: 'does not find the EICAR test file in an attachment',
      remedy: 'look for signatures (freshclam) and ScanMail yes in clamd.conf',
    }
  if (maxScannableBytes === null) return { kind: 'finds', text: finds, remedy: null }
  if (coversMaxSize)
    return { kind: 'whole', text: `${finds}, also at the end of ${scannableBytes} (max_size)`, remedy: null }
  return {
    kind: 'partly',
    text: `${finds} up to ${sizeText(maxScannableBytes)} only, max_size is ${scannableBytes}`,
    remedy:
      `raise StreamMaxLength and MaxFileSize in clamd.conf to ${maxBytes} or more, MaxScanSize to ${2 * maxBytes} ` +
      'or more; or lower max_size',
  }
}

/** What else is not as it should be. */
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
      text: `comes to no verdict on a harmless mail: ${alarm.text}`,
      remedy: "check into clamd's log, and for a proxy before clamd",
    })
  return odd
}

const stops = 'says OK where it stops at a limit of its own: '
const alert = 'AlertExceedsMax yes (from 0.101 on)'

/**
 * How far it looks into archives, and what is passed over in silence.
 * @param limits null: they were not looked for
 * @param maxBytes max_size
 */
export function archivesOf(
  { findsTestFile, reportsLimits }: SelfTestResult,
  limits: ArchiveLimits | null,
  maxBytes: number,
): Diagnosis[] {
  if (!findsTestFile) return []
  const { memberBytes, depth, files } = limits ?? unknownLimits
  const silent = [
    ...ifSilent(memberBytes, (scannableBytes) =>
      scannableBytes === null
        ? 'large files in an archive'
        : `files larger than ${sizeText(scannableBytes)} in an archive`,
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
  const isSilent = depth.beyond === 'silent' || files.beyond === 'silent' || reportsLimits === false
  const member = largestMember(maxBytes)
  const remedies = [
    ...(isSilent ? [alert] : []),
    // Not even then does clamd report such a member of a zip archive.
    ...(memberBytes.beyond === 'silent'
      ? [`MaxFileSize ${member} or more and MaxScanSize ${3 * member} or more`]
      : []),
  ]
  const opened: Diagnosis[] =
    memberBytes.upTo === null
      ? []
      : [
          {
            kind: 'opened',
            text: `looks into archives: files of up to ${sizeText(memberBytes.upTo)} in them are scanned`,
            remedy: null,
          },
        ]
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
const unknownLimits: ArchiveLimits = { memberBytes: unknownLimit, depth: unknownLimit, files: unknownLimit }
