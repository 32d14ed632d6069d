/*
 * RFC 2231: values that are percent-encoded with a charset, cut into numbered pieces, or both; put together
 * in every way that mail programs do when pieces are missing, doubled or marked wrongly.
 */

import { charsetsFor, decodeCharset } from './charsets'
import type { Parameter } from './parameters'

/** Values of one `name*=charset'language'text`, the likeliest first. */
export function extendedValues(parameter: Parameter): string[] {
  return parameter.readings.flatMap((reading) => {
    const { charset, text } = splitCharset(reading)
    return charset === ''
      ? [percentDecoded(text, 'utf-8'), text]
      : [...charsetsFor(charset), 'utf-8'].map((one) => percentDecoded(text, one))
  })
}

/** Values of the pieces of one parameter in one header. */
export function continuedValues(pieces: readonly Parameter[]): string[] {
  const values = new Set<string>()
  for (const order of ordersOf(pieces)) {
    for (const value of joined(order, 0)) values.add(value)
    if (!order.some(({ readings }) => readings.length > 1)) continue
    for (const value of joined(order, -1)) values.add(value)
  }
  return [...values]
}

/** The pieces that a program would put together, in its order: they differ where anything is odd. */
function ordersOf(pieces: readonly Parameter[]): (readonly Parameter[])[] {
  const sorted = byIndex(pieces)
  const indices = pieces.map(indexOf)
  const doubled = indices.findIndex((index, i) => indices.indexOf(index) < i)
  // Percent-encoding without a charset in front of it: some stop there.
  const isStray = (piece: Parameter) => piece.extended && !sorted[0]?.extended
  const odd = pieces.findIndex((piece, i) => i > 0 && piece.odd)
  const stray = pieces.findIndex(isStray)
  if (indices.every((index, i) => index === i) && odd < 0 && stray < 0) return [pieces]
  const firsts = sorted.filter((piece, i) => i === 0 || indexOf(piece) !== indexOf(sorted[i - 1]))
  const lasts = sorted.filter((piece, i) => indexOf(piece) !== indexOf(sorted[i + 1]))
  const gap = firsts.findIndex((piece, i) => indexOf(piece) !== i)
  const orders = [
    firsts,
    lasts,
    firsts.slice(0, Math.max(0, gap)),
    sorted,
    pieces,
    sorted.filter((piece) => !piece.odd && !isStray(piece)),
    ...[doubled, odd, stray].map((end) => byIndex(pieces.slice(0, Math.max(0, end)))),
  ]
  const position = new Map(pieces.map((piece, i) => [piece, i]))
  const unique = new Map(orders.map((order) => [order.map((piece) => position.get(piece)).join(), order]))
  return [...unique.values()].filter((order) => order.length > 0)
}

function byIndex(pieces: readonly Parameter[]): Parameter[] {
  return [...pieces].sort((a, b) => indexOf(a) - indexOf(b))
}

function indexOf(piece: Parameter | undefined): number {
  return piece?.index ?? -1
}

/** @param which the longest reading of each piece, or the shortest */
function joined(pieces: readonly Parameter[], which: 0 | -1): string[] {
  const readings = pieces.map((piece) => piece.readings.at(which) ?? '')
  const first = splitCharset(pieces[0]?.extended ? (readings[0] ?? '') : '')
  const texts = pieces.map(({ extended }, i) => {
    const text = readings[i] ?? ''
    if (!extended) return { text, extended }
    return { text: i === 0 && first.charset !== '' ? first.text : text, extended }
  })
  const asMarked = texts.map(({ text, extended }) => (extended ? unpercent(text) : text)).join('')
  const plain = texts.map(({ text }) => text).join('')
  const charset = first.charset || 'utf-8'
  if (!pieces.some((piece) => piece.extended)) return [plain]
  const stripped = texts.map(({ text, extended }) => (extended ? splitCharset(text).text : text)).join('')
  return [
    ...charsetsFor(charset).map((one) => decoded(asMarked, one)),
    percentDecoded(plain, charset),
    percentDecoded(plain, 'utf-8'),
    percentDecoded(stripped, charset),
  ]
}

function splitCharset(value: string): { charset: string; text: string } {
  const match = /^([^'%]{0,80})'[^']*'([^]*)$/.exec(value)
  return match ? { charset: match[1] ?? '', text: match[2] ?? '' } : { charset: '', text: value }
}

/** `%2E` and the like decoded, in the given charset. */
export function percentDecoded(text: string, charset: string): string {
  return decoded(unpercent(text), charset)
}

function unpercent(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
}

function decoded(text: string, charset: string): string {
  // eslint-disable-next-line no-control-regex
  return /[^\x00-\xff]/.test(text) ? text : decodeCharset(Buffer.from(text, 'latin1'), charset)
}
