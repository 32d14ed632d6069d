/*
 * Strings of strangers (virus names, senders, subjects) made fit to be shown: bounded, on one line, and without
 * characters that hide, or turn round, what stands beside them. HTML is the page's business, which sets text only.
 */

const unseen = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu
const pileOfMarks = /(\p{M}{3})\p{M}+/gu

/** At most `most` characters; what is not to be seen is a replacement character. */
export function displayText(text: string, most: number): string {
  // Cut first, so that a huge one costs no more than a long one.
  const clean = text
    .slice(0, most * 4)
    .replace(/[\t\r\n ]+/g, ' ')
    .replace(unseen, '\ufffd')
    .replace(pileOfMarks, '$1')
    .trim()
  const characters = Array.from(clean)
  const isCut = characters.length > most || text.length > most * 4
  return isCut ? `${characters.slice(0, most - 1).join('')}…` : clean
}
