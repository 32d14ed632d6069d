/*
 * The findings of `check`, each with a level, and their form as a table, as one line and as an exit code.
 */

import { escaped, table } from '../terminal'

/** `warning`: mail is scanned, but not as it should be. `failure`: mail would not be scanned. */
export type Level = 'ok' | 'note' | 'warning' | 'failure'

export interface Finding {
  readonly level: Level
  /** An address, or a part of the site. */
  readonly about: string
  readonly text: string
  /** What to change, and in which file; left out where unknown. */
  readonly remedy?: string
}

/** The same codes as those of Nagios plugins. */
export function exitCode(findings: readonly Finding[]): 0 | 1 | 2 {
  if (findings.some(({ level }) => level === 'failure')) return 2
  return findings.some(({ level }) => level === 'warning') ? 1 : 0
}

/** One line: the state, and every failure and warning. */
export function summary(findings: readonly Finding[]): string {
  const state = (['OK', 'WARNING', 'CRITICAL'] as const)[exitCode(findings)]
  const problems = (['failure', 'warning'] as const).flatMap((level) =>
    findings.filter((one) => one.level === level).map(({ about, text }) => `${about}: ${text}`),
  )
  const hasExceptions = findings.some(({ about }) => about === 'exceptions')
  const hasUncheckedPlugins = findings.some(
    ({ about, level }) => about === 'other plugins' && level === 'note',
  )
  const fine = hasExceptions
    ? 'no problem found; exceptions from the scan are noted'
    : hasUncheckedPlugins
      ? 'no problem found; some plugins could not be checked'
      : 'every message is scanned, within the limits of clamd'
  const text = problems.length > 0 ? problems.join('; ') : fine
  return escaped(`CLAMAV-STREAM ${state}: ${text}`)
}

const marks: Record<Level, string> = { ok: 'ok', note: 'note', warning: 'WARN', failure: 'FAIL' }

export function asTable(findings: readonly Finding[]): string {
  const rows = findings.flatMap(({ level, about, text, remedy }) => [
    [marks[level], escaped(about), escaped(text)],
    ...(remedy === undefined ? [] : [['', '', `-> ${escaped(remedy)}`]]),
  ])
  return table(rows)
}
