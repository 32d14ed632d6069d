/*
 * Parses clamd's reply to VERSION: release, and number and date of the signatures. No I/O here.
 */

import { printable } from '../base/text'

/** Plain JSON, because it is sent between the processes of a cluster. */
export interface ClamdVersion {
  /** `ClamAV 1.4.6`. */
  readonly release: string
  /** null: the daemon reports none, because it has no daily signatures. */
  readonly signatures: {
    readonly number: number
    /** Unix time in milliseconds. clamd prints local time without a zone; it is read in our zone. */
    readonly builtMs: number
  } | null
  /** The whole line, printable. */
  readonly line: string
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Parses `ClamAV 1.4.6/27500/Sun Nov 22 08:00:00 2026`; null: the daemon reports no version. */
export function parseVersion(line: string | null): ClamdVersion | null {
  if (line === null) return null
  const [release = '', number, date = ''] = line.split('/')
  const builtMs = dateMs(date)
  return {
    release: printable(release),
    signatures:
      number !== undefined && /^\d{1,9}$/.test(number) && builtMs !== null
        ? { number: Number(number), builtMs }
        : null,
    line: printable(line),
  }
}

/** Date.parse also accepts formats other than asctime's. */
function dateMs(text: string): number | null {
  const match = /^\w{3} (\w{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})$/.exec(text.trim())
  const month = months.indexOf(match?.[1] ?? '')
  if (!match || month === -1) return null
  const [day, hour, minute, second, year] = match.slice(2).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ]
  return new Date(year, month, day, hour, minute, second).getTime()
}

/** `ClamAV 1.4.6/27500`, or without the number; null: unknown. */
export function versionText(engine: ClamdVersion | null): string | null {
  if (!engine) return null
  return engine.signatures ? `${engine.release}/${engine.signatures.number}` : engine.release
}

/** Age of the signatures in milliseconds; null: unknown. */
export function ageMs(engine: ClamdVersion | null, nowMs: number): number | null {
  return engine?.signatures ? Math.max(0, nowMs - engine.signatures.builtMs) : null
}

/** A sentence if the signatures are older than `maxMs`, else null. maxMs 0: never too old. */
export function staleSignatures(engine: ClamdVersion | null, nowMs: number, maxMs: number): string | null {
  const age = ageMs(engine, nowMs)
  if (age === null || maxMs === 0 || age <= maxMs) return null
  return `signatures ${engine?.signatures?.number ?? ''} are ${ageText(age)} old`
}

/** For a daemon that answers and reports no version, as with EnableVersionCommand no. */
export const unwatchedAge = 'reports no version: the age of its signatures is not watched'

/** `7 hours`, `4 days`: rounded down. */
export function ageText(ms: number): string {
  const hours = Math.floor(ms / 3_600_000)
  const [count, unit] = hours < 48 ? [hours, 'hour'] : [Math.floor(hours / 24), 'day']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
