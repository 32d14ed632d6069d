/*
 * What the log is told of a proof: what is not as it was, and for whoever keeps that clamd, what to do about it.
 */

import { failureText, type Failure } from '../clamd/failure'
import { sizeText } from '../limits'
import type { Alarm, Proof } from './prove'

/** To be put behind the address. */
export interface News {
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

/**
 * @param streamFailure why mail goes by INSTREAM though there is STREAM; null: it does not
 * @param before what was proven the last time; null: nothing
 * @param maxBytes the size to prove
 */
export function newsOf(
  proof: Proof,
  streamFailure: Failure | null,
  before: Proof | null,
  maxBytes: number,
): News[] {
  const news: News[] = []
  if (proof.findsTestFile !== before?.findsTestFile || proof.provenBytes !== before.provenBytes)
    news.push(whatIsFound(proof, maxBytes))
  if (streamFailure && !before)
    news.push({
      level: 'info',
      text: `gets mail by INSTREAM, STREAM came to nothing: ${failureText(streamFailure)}`,
    })
  if (proof.alarm && proof.alarm.text !== before?.alarm?.text) news.push(whatIsWrong(proof.alarm))
  if (proof.tellsLimits === false && before?.tellsLimits !== false)
    news.push({
      level: 'warn',
      text:
        'says OK where it stops at a limit of its own, as with archives in archives: such mail counts as clean. With ' +
        'AlertExceedsMax yes in its clamd.conf (from 0.101 on) it says so',
    })
  return news
}

function whatIsFound(
  { findsTestFile, provenBytes, provesMaxBytes, missed, probes, sentBytes, ms }: Proof,
  maxBytes: number,
): News {
  const cost = `${probes} probe${probes === 1 ? '' : 's'}, ${sizeText(sentBytes)}, ${ms} ms`
  if (!findsTestFile)
    return {
      level: 'error',
      text:
        `gets no mail: it does not find the EICAR test file (${missed ?? ''}). Are there signatures, ` +
        'and ScanMail yes? It is tried again; self_test=off lets mail go there all the same',
    }
  if (provenBytes === null) return { level: 'info', text: `finds the EICAR test file (${cost})` }
  if (provesMaxBytes)
    return { level: 'info', text: `scans to the end: EICAR found in ${sizeText(provenBytes)} (${cost})` }
  return {
    level: 'warn',
    text:
      `scans messages of up to ${provenBytes} bytes (${sizeText(provenBytes)}) to the end, max_size is ` +
      `${sizeText(maxBytes)}: it gets no larger ones. Raise StreamMaxLength and MaxFileSize in its clamd.conf to ` +
      `${maxBytes} or more, MaxScanSize to ${2 * maxBytes} or more; or lower max_size (${missed ?? ''}; ${cost})`,
  }
}

function whatIsWrong({ kind, text }: Alarm): News {
  return {
    level: 'error',
    text:
      kind === 'found'
        ? `finds something in a harmless mail: ${text}. All mail that goes there may be taken for infected`
        : `comes to no verdict on a harmless mail: ${text}. All mail that goes there may be left unscanned`,
  }
}
