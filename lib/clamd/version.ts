/*
 * What a daemon says of itself with VERSION: its release and its signatures, with number and date. No I/O here.
 */

import { printable } from '../base/text'

/** Plain JSON, since it goes from one process of a cluster to the others. */
export interface ClamdVersion {
  /** As in `ClamAV 1.4.6`. */
  readonly release: string
  /** null: the daemon names none; it has no daily signatures then. */
  readonly signatures: {
    readonly number: number
    /** Unix time. clamd prints its local time and no zone; it is read as ours. */
    readonly builtMs: number
  } | null
  /** The whole line, printable. */
  readonly line: string
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Parses `ClamAV 1.4.6/27500/Sun Nov 22 08:00:00 2026`; null where the daemon has not told. */
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

/** By hand: Date.parse is free to read other things than asctime's. */
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

/** `ClamAV 1.4.6/27500`, or without the number; null where nothing is known. */
export function versionText(engine: ClamdVersion | null): string | null {
  if (!engine) return null
  return engine.signatures ? `${engine.release}/${engine.signatures.number}` : engine.release
}

/** Age of the signatures in milliseconds; null where it is not known. */
export function ageMs(engine: ClamdVersion | null, nowMs: number): number | null {
  return engine?.signatures ? Math.max(0, nowMs - engine.signatures.builtMs) : null
}

/** In words when the signatures are older than `mostMs`; else null. 0: no age is too old. */
export function staleSignatures(engine: ClamdVersion | null, nowMs: number, maxMs: number): string | null {
  const age = ageMs(engine, nowMs)
  if (age === null || maxMs === 0 || age <= maxMs) return null
  return `signatures ${engine?.signatures?.number ?? ''} are ${ageText(age)} old`
}

/** `7 hours`, `4 days`: never more than it is. */
export function ageText(ms: number): string {
  const hours = Math.floor(ms / 3_600_000)
  const [count, unit] = hours < 48 ? [hours, 'hour'] : [Math.floor(hours / 24), 'day']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
