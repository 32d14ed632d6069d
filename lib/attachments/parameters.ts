/*
 * Parameters of a header value as different mail programs take them apart: quotes that do not close, missing
 * semicolons, comments, a backslash that escapes or does not. Every reading is kept; nothing is decoded here.
 */

export interface Parameters {
  readonly found: readonly Parameter[]
  /** False: there are more, or longer ones, than are looked at. */
  readonly complete: boolean
}

export interface Parameter {
  /** Small letters, without the stars of RFC 2231. */
  readonly name: string
  /** Number of an RFC 2231 continuation, null for a parameter in one piece. */
  readonly index: number | null
  /** Whether the value is percent-encoded after RFC 2231. */
  readonly extended: boolean
  /** Values as written, the likeliest first; never empty. */
  readonly readings: readonly [string, ...string[]]
}

/** So many parameters of one name in one header are looked at; real messages have a few dozen at most. */
const mostParameters = 256
/** Characters of one value. */
const longestValue = 4096
/** Characters of all readings of all values: where quotes do not close, one character is in many of them. */
const mostCharacters = 16_384

/**
 * Every place in a header value that some program would take for one of the named parameters, in quotes and
 * behind missing semicolons too.
 * @param names source of a regular expression
 */
export function parameters(value: string, names: string): Parameters {
  const found: Parameter[] = []
  let complete = true
  let room = mostCharacters
  const start = new RegExp(`(?<![\\w.-])(${names})(?:\\s*\\*(\\d{1,9}))?(?:\\s*(\\*))?"?\\s*=\\s*`, 'gi')
  for (const match of value.matchAll(start)) {
    if (found.length === mostParameters || room < 0) return { found, complete: false }
    const [all, name = '', index, star] = match
    const from = match.index + all.length
    const text = value.substring(from, from + longestValue)
    if (text.length === longestValue && !text.includes(';')) complete = false
    const parameter = {
      name: name.toLowerCase(),
      index: index === undefined ? null : Number(index),
      extended: star !== undefined,
      readings: readings(text),
    }
    room -= parameter.readings.join('').length
    found.push(parameter)
  }
  return { found, complete }
}

/** The value without comments, `(…)` outside of quotes. */
export function withoutComments(value: string): string {
  if (!value.includes('(')) return value
  let kept = ''
  let depth = 0
  let quoted = false
  for (let i = 0; i < value.length; i++) {
    const character = value.charAt(i)
    if (character === '\\') {
      if (depth === 0) kept += value.substring(i, i + 2)
      i++
      continue
    }
    if (depth === 0 && character === '"') quoted = !quoted
    if (!quoted && character === '(') depth++
    if (depth === 0) kept += character
    if (depth > 0 && character === ')') depth--
  }
  return kept
}

function readings(text: string): readonly [string, ...string[]] {
  if (text.startsWith('"')) return quotedReadings(text)
  const token = upTo(text, ';').trim()
  const word = /^\S*/.exec(token)?.[0] ?? ''
  const all: [string, ...string[]] = [token]
  if (word !== token) all.push(word)
  const atom = /^[^\s()<>@,;:\\"/[\]?=]*/.exec(token)?.[0] ?? ''
  if (atom !== word && atom !== '') all.push(atom)
  if (text.startsWith("'") && text.indexOf("'", 1) > 0) all.push(text.slice(1, text.indexOf("'", 1)))
  return all
}

function quotedReadings(text: string): readonly [string, ...string[]] {
  const closing = closingQuote(text)
  const inside = text.slice(1, closing < 0 ? undefined : closing)
  const all: [string, ...string[]] = [inside.replace(/\\([^])/g, '$1')]
  // A path of Windows, written by a program that does not escape.
  if (inside.includes('\\')) all.push(inside)
  const naive = upTo(text.slice(1), ';')
  if (inside.includes(';')) all.push(naive)
  const behind = closing < 0 ? '' : upTo(text.slice(closing + 1), ';')
  if (behind.trim() !== '') all.push(inside + behind, naive)
  return all
}

function closingQuote(text: string): number {
  for (let i = 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '"') return i
  }
  return -1
}

function upTo(text: string, stop: string): string {
  const at = text.indexOf(stop)
  return at < 0 ? text : text.slice(0, at)
}
