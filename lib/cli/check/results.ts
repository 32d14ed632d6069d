/*
 * What a check comes to: findings with a level each, and how they are told to people and to monitoring.
 */

import { escaped, table } from '../terminal'

/** `warning`: mail is scanned, but not as it should be. `failure`: mail would not be scanned. */
export type Level = 'ok' | 'note' | 'warning' | 'failure'

export interface Finding {
  readonly level: Level
  /** An address, or a part of the site. */
  readonly about: string
  readonly text: string
  /** What to write where, if that is known. */
  readonly remedy?: string
}

/** Exit codes, which also are those of Nagios' plugins. */
export function exitCode(findings: readonly Finding[]): 0 | 1 | 2 {
  if (findings.some(({ level }) => level === 'failure')) return 2
  return findings.some(({ level }) => level === 'warning') ? 1 : 0
}

/** One line: the state, and what is wrong. */
export function summary(findings: readonly Finding[]): string {
  const state = (['OK', 'WARNING', 'CRITICAL'] as const)[exitCode(findings)]
  const wrong = (['failure', 'warning'] as const).flatMap((level) =>
    findings.filter((one) => one.level === level).map(({ about, text }) => `${about}: ${text}`),
  )
  const isAnyLetBy = findings.some(({ about }) => about === 'let by')
  const isAnyUnknown = findings.some(({ about, level }) => about === 'neighbours' && level === 'note')
  const fine = isAnyLetBy
    ? 'nothing is wrong, and what is let by is noted'
    : isAnyUnknown
      ? 'nothing is wrong with what could be looked into'
      : 'every message is scanned, within the limits of clamd'
  const words = wrong.length > 0 ? wrong.join('; ') : fine
  return escaped(`CLAMAV-STREAM ${state}: ${words}`)
}

const marks: Record<Level, string> = { ok: 'ok', note: 'note', warning: 'WARN', failure: 'FAIL' }

export function asTable(findings: readonly Finding[]): string {
  const rows = findings.flatMap(({ level, about, text, remedy }) => [
    [marks[level], escaped(about), escaped(text)],
    ...(remedy === undefined ? [] : [['', '', `-> ${escaped(remedy)}`]]),
  ])
  return table(rows)
}
