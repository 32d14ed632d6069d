/*
 * Strings of strangers (virus names, senders, subjects) made fit to be shown: bounded, on one line, and without
 * characters that hide, or turn round, what stands beside them. HTML is the page's business, which sets text only.
 */

/** Control and format characters, among them all that turn the direction of text, and what is no character at all. */
export const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu
const pileOfMarks = /(\p{M}{3})\p{M}+/gu

/** Letters of ASCII in small; `toLowerCase` makes one of U+212A as well, and who compares by it takes that for a `k`. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** Characters of a name that comes from clamd, or of an answer to a client. */
const maxPrintable = 128

/** At most `most` characters; what is not to be seen is a replacement character. */
export function displayText(text: string, maxBytes: number): string {
  // Cut first, so that a huge one costs no more than a long one.
  const clean = text
    .slice(0, maxBytes * 4)
    .replace(/[\t\r\n ]+/g, ' ')
    .replace(unseen, '\ufffd')
    .replace(pileOfMarks, '$1')
    .trim()
  const characters = Array.from(clean)
  const isCut = characters.length > maxBytes || text.length > maxBytes * 4
  return isCut ? `${characters.slice(0, maxBytes - 1).join('')}…` : clean
}

/** Printable ASCII on one line, at most 128 characters: fit for a header, an answer to a client and a log. */
export function printable(text: string): string {
  return text
    .replace(/[^\x20-\x7e]+/g, '?')
    .trim()
    .slice(0, maxPrintable)
}
