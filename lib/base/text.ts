/*
 * Makes untrusted strings (virus names, senders, subjects) safe to show: bounded, on one line, without characters that hide
 * or reverse the text beside them. Does not escape HTML; the page sets text only.
 */

import bytesText from 'bytes'

/** Control, format and direction characters, and code points that are no characters. */
export const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu
const pileOfMarks = /(\p{M}{3})\p{M}+/gu

/** Lower case of ASCII letters only: `toLowerCase` turns U+212A into `k`, too, so that comparisons would accept it. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** Maximum characters of a name from clamd, or of a reply to a client. */
const maxPrintable = 128

/** At most `maxLength` characters; each invisible one is replaced by U+FFFD. */
export function displayText(text: string, maxLength: number): string {
  // Cut first, so that a huge string costs no more than a long one.
  const clean = text
    .slice(0, maxLength * 4)
    .replace(/[\t\r\n ]+/g, ' ')
    .replace(unseen, '\ufffd')
    .replace(pileOfMarks, '$1')
    .trim()
  const characters = Array.from(clean)
  const isCut = characters.length > maxLength || text.length > maxLength * 4
  return isCut ? `${characters.slice(0, maxLength - 1).join('')}…` : clean
}

/** Printable ASCII on one line, at most 128 characters: safe in a header, a reply to a client and a log. */
export function printable(text: string): string {
  return text
    .replace(/[^\x20-\x7e]+/g, '?')
    .trim()
    .slice(0, maxPrintable)
}

/** `25MB`, `1.98MB`. */
export function sizeText(size: number): string {
  return bytesText(size) ?? ''
}
