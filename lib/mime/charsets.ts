/*
 * Decodes bytes into characters by the charset that a name or a body claims.
 */

import iconv from 'iconv-lite'
import { decode as decodeKnown, normalizeCharset } from 'libmime/lib/charset.js'

/** Stands for all EBCDIC code pages: nearly all of them have letters and digits in the same places. For bodies only. */
const ebcdic = 'ebcdic'

/** Charsets to decode a name with, the likeliest first: a program without the shifting charsets reads them as UTF-8. */
export function charsetsFor(charset: string): readonly [string, ...string[]] {
  return shiftsOf(charset) ? [charset, 'utf-8'] : [charset]
}

/**
 * Never throws: an unknown charset is read as UTF-8. libmime knows the aliases that mail programs use and the
 * Japanese charsets. It refuses UTF-7, in which mail programs do show names.
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

/** Cached, because libmime takes ten times as long over a charset that does not exist. */
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
  /** Matches escape sequences; its group holds text with two bytes per character. */
  readonly marks: RegExp
  /** Charset that has the same characters with the eighth bit set. */
  readonly charset: string
}

/** Charsets of seven bits that iconv-lite lacks. RFC 1557, RFC 1922. */
const shifting: readonly Shifts[] = [
  // eslint-disable-next-line no-control-regex
  { names: /^iso-?2022-?kr/i, marks: /\x1b\$\)C|\x0e([^\x0f]*)\x0f?/g, charset: 'euc-kr' },
  // eslint-disable-next-line no-control-regex
  { names: /^iso-?2022-?cn/i, marks: /\x1b\$[)*+][A-Z]|\x0e([^\x0f]*)\x0f?/g, charset: 'gbk' },
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

/** DEL in place of controls, `_` in place of characters that differ between code pages. */
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

/** Header text (one character per byte) read as UTF-8 and as Latin-1, the likelier reading first. */
export function rawReadings(text: string): string[] {
  // eslint-disable-next-line no-control-regex
  if (!/[\x80-\xff]/.test(text) || /[^\x00-\xff]/.test(text)) return [text]
  const utf8 = Buffer.from(text, 'latin1').toString('utf8')
  return utf8.includes('\ufffd') ? [text, utf8] : [utf8, text]
}
