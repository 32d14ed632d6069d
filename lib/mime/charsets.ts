/*
 * Bytes of a name into characters, in whatever charset the name claims.
 */

import iconv from 'iconv-lite'
import { decode as decodeKnown, normalizeCharset } from 'libmime/lib/charset.js'

/** Stands for all charsets of mainframes: letters and digits lie in the same places in nearly all of them. */
const ebcdic = 'ebcdic'

/**
 * Charsets to decode with where one is claimed, the likeliest first. Programs know more of them than we do, and what is
 * unknown to both is mostly ASCII with something above it: only a name in EBCDIC does not show its letters then.
 */
export function charsetsFor(charset: string): readonly [string, ...string[]] {
  if (shiftsOf(charset)) return [charset, 'utf-8']
  return /utf-?7/i.test(charset) || isKnown(charset) ? [charset] : [charset, ebcdic]
}

/**
 * Never throws: an unknown charset is read as UTF-8. libmime knows the aliases that mail programs use and the
 * Japanese charsets; UTF-7 it refuses, since it cares for markup, but mail programs do show such names.
 */
export function decodeCharset(bytes: Buffer, charset: string): string {
  if (/utf-?7/i.test(charset)) return iconv.decode(bytes, 'utf-7')
  if (charset === ebcdic)
    return Buffer.from(bytes.map((byte) => ebcdicCharacters[byte] ?? 0)).toString('latin1')
  const shifts = shiftsOf(charset)
  if (shifts) return unshifted(bytes, shifts)
  return isKnown(charset) ? decodeKnown(bytes, charset) : bytes.toString('utf8')
}

const maxRemembered = 256
const known = new Map<string, boolean>()

/** Asked first, and remembered: libmime takes ten times as long over a charset that does not exist. */
function isKnown(charset: string): boolean {
  const remembered = known.get(charset)
  if (remembered !== undefined) return remembered
  const name = normalizeCharset(charset)
  const exists = /^(?:jis|iso-?2022-?jp)/i.test(name) || iconv.encodingExists(name)
  if (known.size === maxRemembered) known.clear()
  known.set(charset, exists)
  return exists
}

interface Shifts {
  readonly names: RegExp
  /** Whatever is no text: of what it has caught, two bytes are one character. */
  readonly marks: RegExp
  /** The same characters with the eighth bit set. */
  readonly charset: string
}

/** Charsets of seven bits that iconv-lite lacks. RFC 1557, RFC 1922, RFC 1843. */
const shifting: readonly Shifts[] = [
  // eslint-disable-next-line no-control-regex
  { names: /^iso-?2022-?kr/i, marks: /\x1b\$\)C|\x0e([^\x0f]*)\x0f?/g, charset: 'euc-kr' },
  // eslint-disable-next-line no-control-regex
  { names: /^iso-?2022-?cn/i, marks: /\x1b\$[)*+][A-Z]|\x0e([^\x0f]*)\x0f?/g, charset: 'gbk' },
  { names: /^hz\b/i, marks: /~\r?\n|~(?=~)|~\{([^]*?)(?:~\}|$)/g, charset: 'gbk' },
]

function shiftsOf(charset: string): Shifts | undefined {
  return shifting.find(({ names }) => names.test(charset))
}

function unshifted(bytes: Buffer, { marks, charset }: Shifts): string {
  const text = bytes
    .toString('latin1')
    .replace(marks, (_, pairs?: string) => (pairs ?? '').replace(/[!-~]/g, high))
  return iconv.decode(Buffer.from(text, 'latin1'), charset)
}

function high(character: string): string {
  return String.fromCharCode(character.charCodeAt(0) | 0x80)
}

/** Controls below, and of what differs from one to the next, a character that says nothing. */
const ebcdicCharacters = Buffer.alloc(256, '_').fill(0x7f, 0, 0x40)
for (const [first, characters] of [
  [0x40, ' '],
  [0x4b, '.<(+'],
  [0x5c, '*);'],
  [0x60, '-/'],
  [0x6b, ',%_>?'],
  [0x81, 'abcdefghi'],
  [0x91, 'jklmnopqr'],
  [0xa2, 'stuvwxyz'],
  [0xc1, 'ABCDEFGHI'],
  [0xd1, 'JKLMNOPQR'],
  [0xe2, 'STUVWXYZ'],
  [0xf0, '0123456789'],
] as const) {
  ebcdicCharacters.write(characters, first, 'latin1')
}

/** Text of a header (one character per byte) as UTF-8 and as it is, the likelier first. */
export function rawReadings(text: string): string[] {
  // eslint-disable-next-line no-control-regex
  if (!/[\x80-\xff]/.test(text) || /[^\x00-\xff]/.test(text)) return [text]
  const utf8 = Buffer.from(text, 'latin1').toString('utf8')
  return utf8.includes('\ufffd') ? [text, utf8] : [utf8, text]
}
