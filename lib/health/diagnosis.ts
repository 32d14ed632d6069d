/*
 * What a proof comes to, and what to do about it for whoever keeps that clamd: one judgement for the log (news.ts) and
 * for the command `check`, which choose how loud to say it. Pure.
 */

import { sizeText } from '../haraka/limits'
import type { SelfTestResult } from '../hosts/host-state'

/**
 * `blind`: does not find the test file. `finds`: does, and up to which size was not looked for. `whole`: up to
 * max_size. `partly`: in smaller messages only. `alarmed`, `mute`: has something to say of a harmless mail, or no
 * verdict on it. `silent`: does not say where it stops at a limit of its own.
 */
export type Kind = 'blind' | 'finds' | 'whole' | 'partly' | 'alarmed' | 'mute' | 'silent'

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
export function warnings({ alarm, reportsLimits }: SelfTestResult): Diagnosis[] {
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
  if (reportsLimits === false)
    odd.push({
      kind: 'silent',
      text: 'says OK where it stops at a limit of its own, as with archives in archives',
      remedy: 'set AlertExceedsMax yes in clamd.conf (from 0.101 on)',
    })
  return odd
}
