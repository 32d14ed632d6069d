/*
 * Where data end that are written in text.
 */

import type { Budget } from '../budget'
import { piecesOf } from '../pieces'

export const base64Characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n\v\f'

/** A table of bytes: 1 for each of the characters. */
export function bytesOf(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of Buffer.from(characters)) table[byte] = 1
  return table
}

/** The first byte that is none of theirs. @throws OverBudget */
export async function dataEnd(
  text: Buffer,
  from: number,
  isData: Uint8Array,
  budget: Budget,
): Promise<number> {
  for await (const piece of piecesOf(text.subarray(from), budget)) {
    let at = 0
    while (at < piece.length && isData[piece[at] ?? 0] === 1) at++
    if (at < piece.length) return piece.byteOffset - text.byteOffset + at
  }
  return text.length
}
