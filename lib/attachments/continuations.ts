/*
 * RFC 2231: values that are percent-encoded with a charset, cut into numbered pieces, or both; put together
 * in every way that mail programs do when pieces are missing, doubled or marked wrongly.
 */

import { decodeCharset } from './charsets'
import type { Parameter } from './parameters'

/** Values of one `name*=charset'language'text`, the likeliest first. */
export function extendedValues(parameter: Parameter): string[] {
  return parameter.readings.flatMap((reading) => {
    const { charset, text } = splitCharset(reading)
    return charset === ''
      ? [percentDecoded(text, 'utf-8'), text]
      : [percentDecoded(text, charset), percentDecoded(text, 'utf-8')]
  })
}

/** Values of the pieces of one parameter in one header. */
export function continuedValues(pieces: readonly Parameter[]): string[] {
  const byIndex = new Map<number, Parameter[]>()
  for (const piece of pieces) {
    const same = byIndex.get(piece.index ?? 0)
    if (same) same.push(piece)
    else byIndex.set(piece.index ?? 0, [piece])
  }
  const indices = [...byIndex.keys()].sort((a, b) => a - b)
  const gap = indices.findIndex((index, i) => index !== i)
  const orders = [pick(0), pick(-1)]
  if (gap > 0) orders.push(pick(0).slice(0, gap))
  return [...new Set(orders.flatMap((order) => [...joined(order, 0), ...joined(order, -1)]))]

  /** First or last of the pieces with the same number. */
  function pick(which: 0 | -1): Parameter[] {
    return indices.flatMap((index) => byIndex.get(index)?.at(which) ?? [])
  }
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
    decoded(asMarked, charset),
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
