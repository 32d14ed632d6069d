/*
 * Parameters of a header value as different mail programs take them apart: quotes that do not close, missing
 * semicolons, comments, a backslash that escapes or does not. Every reading is kept; nothing is decoded here.
 */

interface Parameters {
  readonly found: readonly Parameter[]
  /** False: there are more, or longer ones, than are looked at. */
  readonly complete: boolean
}

export interface Parameter {
  /** Small letters, without the stars of RFC 2231. */
  readonly name: string
  /** The same as written: to some, `NAME` and `name` are two. */
  readonly spelled: string
  /** Number of an RFC 2231 continuation, null for a parameter in one piece. */
  readonly index: number | null
  /** Its stars or number are not as RFC 2231 has them, or no semicolon is in front of it: some stop here. */
  readonly odd: boolean
  /** Whether the value is percent-encoded after RFC 2231. */
  readonly extended: boolean
  /** Values as written, the likeliest first; never empty. */
  readonly readings: readonly [string, ...string[]]
}

/** Parameters of one name in one header that are looked at; real messages have a few dozen at most. */
const maxParameters = 256
/** Characters of one value. */
const maxValueBytes = 4096
/** Characters of all readings of all values: where quotes do not close, one character is in many of them. */
const maxCharacters = 16_384

/** What RFC 2231 puts behind a name, and what some programs take for it: `*1*`, `**`, `*-1`, `*0x0`. */
const suffix = '(?:\\s*\\*[ \\t]?[^\\s=;"*]{0,100}){0,3}'

/**
 * Every place in a header value that some program would take for one of the named parameters, in quotes and
 * behind missing semicolons too.
 * @param names source of a regular expression
 */
export function parameters(value: string, names: string): Parameters {
  const found: Parameter[] = []
  let complete = true
  let room = maxCharacters
  const start = new RegExp(`(?<![\\w.-])(${names})(${suffix})"?\\s*=\\s*`, 'gi')
  for (const match of value.matchAll(start)) {
    if (found.length === maxParameters || room < 0) return { found, complete: false }
    const [all, spelled = '', stars = ''] = match
    const from = match.index + all.length
    const text = value.substring(from, from + maxValueBytes)
    if (text.length === maxValueBytes && !text.includes(';')) complete = false
    const { index, extended, odd } = starsOf(stars)
    const parameter = {
      name: spelled.toLowerCase(),
      spelled,
      index,
      odd: odd || !isBehindSemicolon(value, match.index),
      extended,
      readings: readings(text),
    }
    room -= parameter.readings.join('').length
    found.push(parameter)
  }
  return { found, complete }
}

function starsOf(stars: string): Pick<Parameter, 'index' | 'extended' | 'odd'> {
  const digits = /\d+/.exec(stars)?.[0]
  return {
    index: digits === undefined ? null : Number(digits),
    extended: stars.trimEnd().endsWith('*') || (stars !== '' && digits === undefined),
    odd: !/^(?:\*(?:0|[1-9]\d{0,8}))?\*?$/.test(stars),
  }
}

function isBehindSemicolon(value: string, at: number): boolean {
  let before = at - 1
  while (/\s/.test(value.charAt(before))) before--
  return value[before] === ';'
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
  // A semicolon that was escaped, outside of quotes.
  if (token.endsWith('\\')) all.push((/^(?:[^;\\]|\\[^])*/.exec(text)?.[0] ?? '').replace(/\\([^])/g, '$1'))
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
  // Some take all that is between quotes, and drop the quotes.
  const last = naive.lastIndexOf('"')
  if (behind.trim() !== '' && last > 0) all.push(naive.slice(0, last))
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
