/*
 * Long content piece by piece, so that others get their turn in between: what is done with all of a message at once takes
 * as long as its sender likes.
 */

import type { Budget } from './budget'
import { type Decoder, decoderOf } from './transfer-encodings'

/** Bytes that are worked on between two looks at the clock. */
export const pieceBytes = 64 * 1024

const [newline, carriageReturn] = [0x0a, 0x0d]

/**
 * The end of a piece that begins at `from`: behind a line, or within one that is longer than a piece, but not within a
 * line end.
 */
export function pieceEnd(bytes: Buffer, from: number, to = bytes.length): number {
  const maxEnd = from + pieceBytes
  if (maxEnd >= to) return to
  const found = bytes.lastIndexOf(newline, maxEnd - 1) + 1
  if (found > from) return found
  let end = maxEnd
  while (end < to && end < maxEnd + pieceBytes && bytes[end - 1] === carriageReturn) end++
  return end
}

/** The bytes in order, cut as `pieceEnd` does. @throws OverBudget */
export async function* piecesOf(bytes: Buffer, budget: Budget): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < bytes.length;) {
    const end = pieceEnd(bytes, at)
    yield bytes.subarray(at, end)
    at = end
    await budget.breathe()
  }
}

/** Text with one character per byte, changed piece by piece. @throws OverBudget */
export async function changedText(
  bytes: Buffer,
  change: (text: string) => string,
  budget: Budget,
): Promise<Buffer> {
  const changed: Buffer[] = []
  for await (const piece of piecesOf(bytes, budget))
    changed.push(Buffer.from(change(piece.toString('latin1')), 'latin1'))
  return Buffer.concat(changed)
}

/** @param change made of each piece first; pieces are whole lines where lines are short @throws OverBudget */
export async function decodedPieces(
  bytes: Buffer,
  decoder: Decoder,
  budget: Budget,
  change: ((text: string) => string) | null = null,
): Promise<Buffer> {
  const decode = (piece: Buffer) =>
    decoder.write(change === null ? piece : Buffer.from(change(piece.toString('latin1')), 'latin1'))
  // Nearly all: no generator for them.
  if (bytes.length <= pieceBytes) return Buffer.concat([decode(bytes), decoder.end()])
  const decoded: Buffer[] = []
  for await (const piece of piecesOf(bytes, budget)) decoded.push(decode(piece))
  decoded.push(decoder.end())
  return Buffer.concat(decoded)
}

export function decodedBase64(text: Buffer, budget: Budget): Promise<Buffer> {
  return decodedPieces(text, decoderOf('base64'), budget)
}

/** Places of a mark, with a look at the clock at each. */
export async function* placesOf(text: Buffer, mark: Buffer, budget: Budget): AsyncGenerator<number, void> {
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
    yield at
    if (budget.isTurnOver) await budget.breathe()
  }
}

/** Bytes of the next piece in which what is looked for may end. */
const overlapBytes = 1024

/** Whether it is anywhere in the bytes. @param what ends within 1024 bytes; without flag `g` @throws OverBudget */
export async function isIn(bytes: Buffer, what: RegExp, budget: Budget): Promise<boolean> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (what.test(bytes.toString('latin1', at, at + pieceBytes + overlapBytes))) return true
    await budget.breathe()
  }
  return false
}

/**
 * Places of words in order, with a look at the clock at each. For words in any case: there are too many spellings to look
 * for each by itself.
 * @param words with flag `g`; each ends within 1024 bytes
 */
export async function* wordsIn(text: Buffer, words: RegExp, budget: Budget): AsyncGenerator<number, void> {
  for (let from = 0; from < text.length; from += pieceBytes) {
    for (const { index } of text.toString('latin1', from, from + pieceBytes + overlapBytes).matchAll(words)) {
      // It comes again at the beginning of the next piece.
      if (index >= pieceBytes) break
      yield from + index
      if (budget.isTurnOver) await budget.breathe()
    }
    await budget.breathe()
  }
}

/** Where a mark comes next, asked for from rising places on: every stretch is searched once. The end: nowhere. */
export function nextOf(bytes: Buffer, mark: Buffer | number): (from: number) => number {
  let at = -1
  return (from) => {
    if (at < from) {
      const found = bytes.indexOf(mark, from)
      at = found < 0 ? bytes.length : found
    }
    return at
  }
}

/** Bytes whose number is not known before. */
export class Output {
  #bytes = Buffer.allocUnsafe(1024)
  #length = 0

  /** Where `count` more bytes may be written, before `wrote` is told how many there are. */
  room(count: number): { readonly bytes: Buffer; readonly at: number } {
    if (this.#length + count > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * this.#bytes.length + count)
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    return { bytes: this.#bytes, at: this.#length }
  }

  wrote(count: number): void {
    this.#length += count
  }

  get length(): number {
    return this.#length
  }

  get content(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }
}
