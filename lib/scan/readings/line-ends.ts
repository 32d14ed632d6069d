/*
 * A message as programs see it that have their own opinion of NULs and of line ends.
 */

export interface Variant {
  /** For a log; null: as it is. */
  readonly how: string | null
  readonly bytes: Buffer
}

/** Made one at a time: each is a copy. */
export function* lineEndVariants(bytes: Buffer): Generator<Variant> {
  yield { how: null, bytes }
  const hasNuls = bytes.includes(0) && isText(bytes)
  const whole = hasNuls ? changed(bytes, (text) => text.replace(/\0/g, '')) : bytes
  if (hasNuls) yield { how: 'without NULs', bytes: whole }
  if (!hasLoneCr(whole) || !isText(whole)) return
  yield { how: 'CR as line end', bytes: changed(whole, (text) => text.replace(/\r+(?!\n)/g, '\r\n')) }
  yield { how: 'without CR', bytes: changed(whole, (text) => text.replace(/\r(?!\n)/g, '')) }
}

/** Of the beginning; in a file of another kind there are no lines. */
function isText(bytes: Buffer): boolean {
  const head = bytes.toString('latin1', 0, 4096)
  return head.replace(/[\t\r\n\0\x20-\xff]/g, '').length <= head.length / 20
}

function hasLoneCr(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0x0d); at >= 0; at = bytes.indexOf(0x0d, at + 1))
    if (bytes[at + 1] !== 0x0a) return true
  return false
}

const pieceBytes = 1024 * 1024

function changed(bytes: Buffer, change: (text: string) => string): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    let end = Math.min(bytes.length, at + pieceBytes)
    // A line end is not cut.
    while (end < bytes.length && bytes[end - 1] === 0x0d) end++
    pieces.push(Buffer.from(change(bytes.toString('latin1', at, end)), 'latin1'))
    at = end
  }
  return Buffer.concat(pieces)
}
