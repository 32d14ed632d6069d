/*
 * Log lines after a self test: what has changed, what that means for mail, and what to do.
 */

import { sizeText } from '../base/text'
import { type ClamdError, errorText } from '../clamd/errors'
import type { ArchiveLimits, SelfTestResult } from '../hosts/test-results'
import { archivesOf, detectionOf, type Diagnosis, type Kind, warnings } from './diagnosis'

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  /** Continues a line that starts with the address. */
  readonly text: string
}

const levels: Record<Kind, LogLine['level']> = {
  untrusted: 'error',
  finds: 'info',
  whole: 'info',
  partly: 'warn',
  alarmed: 'error',
  mute: 'error',
  silent: 'warn',
  opened: 'info',
}

/**
 * @param streamFailure why mail goes by INSTREAM although clamd has STREAM; null: it does not
 * @param before result of the self test before; null: this is the first
 * @param maxBytes max_size
 */
export function logLinesFor(
  selfTest: SelfTestResult,
  streamFailure: ClamdError | null,
  before: SelfTestResult | null,
  maxBytes: number,
): LogLine[] {
  const lines: LogLine[] = []
  const tell = (one: Diagnosis) =>
    void lines.push({ level: levels[one.kind], text: wordsFor(one, selfTest, maxBytes) })
  if (
    selfTest.findsTestFile !== before?.findsTestFile ||
    selfTest.maxScannableBytes !== before.maxScannableBytes
  )
    tell(detectionOf(selfTest, maxBytes))
  if (streamFailure && !before)
    lines.push({
      level: 'info',
      text: `gets mail by INSTREAM, because STREAM failed: ${errorText(streamFailure)}`,
    })
  const known = before ? warnings(before).map(({ text }) => text) : []
  for (const one of warnings(selfTest)) if (!known.includes(one.text)) tell(one)
  return lines
}

/** Log lines on archives, also without a change. @param limits null: not tested */
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
    case 'untrusted':
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
      return `${text}; nothing beyond it is scanned. ${advice}`
  }
}
