/*
 * Our headers in a message: every form of them out, ours in. Works on Haraka's list of raw header lines
 * in place, for the message stream holds that very array.
 */

import { infectedHeader, statusHeader, type Verdict } from '../policy/verdict'

export const infectedName = 'X-MessageIsInfected'
export const statusName = 'X-Virus-Status'

/** The headers that are ours under these settings. */
function namesOf(withStatus: boolean): readonly string[] {
  return withStatus ? [infectedName, statusName] : [infectedName]
}

/** What of Haraka's Transaction is needed here. */
export interface Headed {
  readonly header: { readonly header_list: string[] }
  /** `body.start`: bytes received before the body, header section and empty line. */
  readonly message_stream: { readonly idx: { readonly body?: { readonly start: number } } }
  add_header(name: string, value: string): void
  add_leading_header(name: string, value: string): void
  remove_header(name: string): void
  reset_headers(): void
}

/**
 * Takes out every header of these names, however spelled. Haraka's own `remove_header` misses white space
 * before the colon, which RFC 5322 still has readers accept.
 */
function strip(message: Headed, names: readonly string[]): void {
  takeOut(message, (line) => names.some((name) => isNamed(line, name)), names)
}

/** @param names what Haraka is told to remove besides, as it keeps a map of its own */
function takeOut(message: Headed, isUnwanted: (line: string) => boolean, names: readonly string[]): void {
  const list = message.header.header_list
  if (!list.some(isUnwanted)) return
  for (const name of names) message.remove_header(name)
  const kept = list.filter((line) => !isUnwanted(line))
  if (kept.length === list.length) return
  list.splice(0, list.length, ...kept)
  message.reset_headers()
}

/** True for `Name:`, `NAME :` and whatever else comes down to that name for a lenient reader. */
export function isNamed(line: string, name: string): boolean {
  // Most lines are told from ours by their first character, and every line of every message is looked at.
  if (((line.charCodeAt(0) ^ name.charCodeAt(0)) & ~0x20) !== 0 && isVisible(line.charCodeAt(0))) return false
  const colon = line.indexOf(':')
  const written = colon === -1 ? line : line.slice(0, colon)
  return written.replace(/[^\x21-\x7e]/g, '').toLowerCase() === name.toLowerCase()
}

function isVisible(code: number): boolean {
  return code >= 0x21 && code <= 0x7e
}

/**
 * Removes what a sender may have forged.
 * @param withStatus X-Virus-Status is ours as well. Otherwise it is another program's: taking it out would break a DKIM
 * signature that covers it.
 */
export function removeForged(message: Headed, withStatus: boolean): void {
  strip(message, namesOf(withStatus))
  // Some of Haraka's queues send header lines without doubling their dots, and the next server takes the dot away: what
  // was checked as `.X-MessageIsInfected` or `.Content-Type` would be another field there.
  const isDotted = (line: string) => line.startsWith('.')
  const dotted = message.header.header_list.filter(isDotted).map((line) => line.split(':', 1)[0] ?? '')
  takeOut(message, isDotted, dotted)
  // Without any header the message stream sends the section as it was received, forged ones included, and those
  // that Haraka takes for none: a first line that begins with a space is a header to others.
  const hasSection = (message.message_stream.idx.body?.start ?? 0) > '\r\n'.length
  if (hasSection && message.header.header_list.length === 0)
    message.add_header('Comments', 'no other header fields')
}

/** Makes the message carry what the verdict says and nothing else; leaves a message alone that already does. */
export function mark(message: Headed, verdict: Verdict, withStatus: boolean): void {
  const infected = infectedHeader(verdict)
  const wanted: [string, string][] = [
    ...(infected === null ? [] : [[infectedName, infected] satisfies [string, string]]),
    ...(withStatus ? [[statusName, statusHeader(verdict)] satisfies [string, string]] : []),
  ]
  const names = namesOf(withStatus)
  const present = message.header.header_list.filter((line) => names.some((name) => isNamed(line, name)))
  const isThere = ([name, value]: [string, string]) =>
    present.some((line) => line.trimEnd() === `${name}: ${value}`)
  if (present.length === wanted.length && wanted.every(isThere)) return
  strip(message, names)
  // Haraka makes line ends of carriage returns, and so sends an empty line within what it takes for a header; ours would
  // be part of the body behind that.
  const isCutShort = message.header.header_list.some((line) => /(^|\n)[ \t\r]*\n/.test(line))
  if (isCutShort) for (const [name, value] of wanted.reverse()) message.add_leading_header(name, value)
  else for (const [name, value] of wanted) message.add_header(name, value)
}
