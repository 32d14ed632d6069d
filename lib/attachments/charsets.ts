/*
 * Bytes of a name into characters, in whatever charset the name claims.
 */

import iconv from 'iconv-lite'
import { decode as decodeKnown } from 'libmime/lib/charset.js'

/**
 * Never throws: an unknown charset is read as UTF-8. libmime knows the aliases that mail programs use and the
 * Japanese charsets; UTF-7 it refuses, since it cares for markup, but mail programs do show such names.
 */
export function decodeCharset(bytes: Buffer, charset: string): string {
  if (/utf-?7/i.test(charset)) return iconv.decode(bytes, 'utf-7')
  return decodeKnown(bytes, charset)
}

/** Text of a header (one character per byte) as UTF-8 and as it is, the likelier first. */
export function rawReadings(text: string): string[] {
  // eslint-disable-next-line no-control-regex
  if (!/[\x80-\xff]/.test(text) || /[^\x00-\xff]/.test(text)) return [text]
  const utf8 = Buffer.from(text, 'latin1').toString('utf8')
  return utf8.includes('\ufffd') ? [text, utf8] : [utf8, text]
}
