/*
 * A message as programs see it that have their own opinion of NULs and of line ends.
 */

import type { Budget } from '../../mime/budget'
import { changedText, piecesOf } from '../../mime/pieces'

export interface Variant {
  /** For a log; null: as it is. */
  readonly how: string | null
  readonly bytes: Buffer
}

const [newline, carriageReturn] = [0x0a, 0x0d]

/** Whether some programs see other bytes: not the lines of text with the usual ends. */
export function mayHaveVariants(bytes: Buffer): boolean {
  return isText(bytes) && (bytes.includes(0) || bytes.includes(carriageReturn))
}

/** Made one at a time: each is a copy. @throws OverBudget */
export async function* lineEndVariants(bytes: Buffer, budget: Budget): AsyncGenerator<Variant, void> {
  yield { how: null, bytes }
  if (!isText(bytes)) return
  const change = (how: string, from: Buffer, what: RegExp, by: string) =>
    changedText(from, (text) => text.replace(what, by), budget).then((changed) => ({ how, bytes: changed }))
  let whole = bytes
  if (bytes.includes(0)) {
    const variant = await change('without NULs', bytes, /\0/g, '')
    yield variant
    whole = variant.bytes
  }
  if (!isText(whole) || !(await hasLoneCr(whole, budget))) return
  yield await change('CR as line end', whole, /\r+(?!\n)/g, '\r\n')
  yield await change('without CR', whole, /\r(?!\n)/g, '')
}

/** Of the beginning; in a file of another kind there are no lines. */
function isText(bytes: Buffer): boolean {
  const head = bytes.toString('latin1', 0, 4096)
  return head.replace(/[\t\r\n\0\x20-\xff]/g, '').length <= head.length / 20
}

async function hasLoneCr(bytes: Buffer, budget: Budget): Promise<boolean> {
  for await (const piece of piecesOf(bytes, budget)) {
    for (let at = piece.indexOf(carriageReturn); at >= 0; at = piece.indexOf(carriageReturn, at + 1))
      if (piece[at + 1] !== newline) return true
  }
  return false
}
