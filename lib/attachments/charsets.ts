/*
 * Bytes of a name into characters, in whatever charset the name claims.
 */

import iconv from 'iconv-lite'
import { decode as decodeKnown, normalizeCharset } from 'libmime/lib/charset.js'

/**
 * Never throws: an unknown charset is read as UTF-8. libmime knows the aliases that mail programs use and the
 * Japanese charsets; UTF-7 it refuses, since it cares for markup, but mail programs do show such names.
 */
export function decodeCharset(bytes: Buffer, charset: string): string {
  if (/utf-?7/i.test(charset)) return iconv.decode(bytes, 'utf-7')
  return isKnown(charset) ? decodeKnown(bytes, charset) : bytes.toString('utf8')
}

const mostRemembered = 256
const known = new Map<string, boolean>()

/** Asked first, and remembered: libmime takes ten times as long over a charset that does not exist. */
function isKnown(charset: string): boolean {
  const remembered = known.get(charset)
  if (remembered !== undefined) return remembered
  const name = normalizeCharset(charset)
  const exists = /^(?:jis|iso-?2022-?jp)/i.test(name) || iconv.encodingExists(name)
  if (known.size === mostRemembered) known.clear()
  known.set(charset, exists)
  return exists
}

/** Text of a header (one character per byte) as UTF-8 and as it is, the likelier first. */
export function rawReadings(text: string): string[] {
  // eslint-disable-next-line no-control-regex
  if (!/[\x80-\xff]/.test(text) || /[^\x00-\xff]/.test(text)) return [text]
  const utf8 = Buffer.from(text, 'latin1').toString('utf8')
  return utf8.includes('\ufffd') ? [text, utf8] : [utf8, text]
}
