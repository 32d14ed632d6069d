/*
 * What the log is told of a proof: what is not as it was, what that means for mail, and what to do about it.
 */

import { type ClamdError, errorText } from '../clamd/errors'
import { sizeText } from '../haraka/limits'
import type { ArchiveLimits } from '../hosts/host-state'
import type { SelfTestResult } from '../hosts/host-state'
import { archivesOf, detectionOf, type Diagnosis, type Kind, warnings } from './diagnosis'

/** To be put behind the address. */
export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

const levels: Record<Kind, LogLine['level']> = {
  blind: 'error',
  finds: 'info',
  whole: 'info',
  partly: 'warn',
  alarmed: 'error',
  mute: 'error',
  silent: 'warn',
  opened: 'info',
}

/**
 * @param streamFailure why mail goes by INSTREAM though there is STREAM; null: it does not
 * @param before what was proven the last time; null: nothing
 * @param maxBytes the size to prove
 */
export function logLinesFor(
  selfTest: SelfTestResult,
  streamFailure: ClamdError | null,
  before: SelfTestResult | null,
  maxBytes: number,
): LogLine[] {
  const news: LogLine[] = []
  const tell = (one: Diagnosis) =>
    void news.push({ level: levels[one.kind], text: wordsFor(one, selfTest, maxBytes) })
  if (
    selfTest.findsTestFile !== before?.findsTestFile ||
    selfTest.maxScannableBytes !== before.maxScannableBytes
  )
    tell(detectionOf(selfTest, maxBytes))
  if (streamFailure && !before)
    news.push({
      level: 'info',
      text: `gets mail by INSTREAM, STREAM came to nothing: ${errorText(streamFailure)}`,
    })
  const known = before ? warnings(before).map(({ text }) => text) : []
  for (const one of warnings(selfTest)) if (!known.includes(one.text)) tell(one)
  return news
}

/** How far it looks into archives, whether that is news or not. @param limits null: they were not looked for */
export function aboutArchives(
  selfTest: SelfTestResult,
  limits: ArchiveLimits | null,
  maxBytes: number,
): LogLine[] {
  return archivesOf(selfTest, limits, maxBytes).map((one) => ({
    level: levels[one.kind],
    text: wordsFor(one, selfTest, maxBytes),
  }))
}

function wordsFor({ kind, text, remedy }: Diagnosis, selfTest: SelfTestResult, maxBytes: number): string {
  const { missed, maxScannableBytes, probes, sentBytes, ms } = selfTest
  const cost = `${probes} probe${probes === 1 ? '' : 's'}, ${sizeText(sentBytes)}, ${ms} ms`
  const advice = `${remedy?.charAt(0).toUpperCase() ?? ''}${remedy?.slice(1) ?? ''}`
  switch (kind) {
    case 'blind':
      return (
        `gets no mail: it ${text} (${missed ?? ''}). ${advice}. It is tried again; ` +
        'self_test=off lets mail go there all the same'
      )
    case 'opened':
      return text
    case 'finds':
      return `${text} (${cost})`
    case 'whole':
      return `scans to the end: EICAR found in ${sizeText(maxBytes)} (${cost})`
    case 'partly':
      return (
        `scans messages of up to ${maxScannableBytes ?? 0} bytes to the end: it ${text}, and gets no larger ones. ` +
        `${advice} (${missed ?? ''}; ${cost})`
      )
    case 'alarmed':
      return `${text}. All mail that goes there may be taken for infected. ${advice}`
    case 'mute':
      return `${text}. All mail that goes there may be left unscanned. ${advice}`
    case 'silent':
      return `${text}; such mail counts as clean. ${advice}`
  }
}
