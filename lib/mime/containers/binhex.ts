/*
 * BinHex 4.0 (RFC 1741): the two forks of a file between colons, six bits a character, runs packed.
 */

import type { Budget } from '../budget'
import { nextOf, Output, piecesOf } from '../pieces'

const digits = new Uint8Array(256).fill(255)
for (const [value, digit] of Buffer.from(
  '!"#$%&\'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr',
).entries()) {
  digits[digit] = value
}
/** Stands in front of each. */
export const binHexMark = Buffer.from('with BinHex')
const [colon, newline, repeat] = [0x3a, 0x0a, 0x90]
/** Type, creator, flags, two lengths and a checksum follow the name. */
const lengthsAt = 10
const headerBytes = 20

interface Fork {
  readonly bytes: Buffer
  /** Of the file, one character per byte. */
  readonly name: string
}

/** Data and resource forks of every file in the text. @throws OverBudget */
export async function* binHexFiles(text: Buffer, budget: Budget): AsyncGenerator<Fork, void> {
  const nextLine = nextOf(text, newline)
  const nextColon = nextOf(text, colon)
  let coveredTo = 0
  for (let at = text.indexOf(binHexMark); at >= 0; at = text.indexOf(binHexMark, at + 1)) {
    await budget.breathe()
    const start = nextColon(nextLine(at))
    if (start === text.length) return
    if (start < coveredTo) continue
    const found = text.indexOf(colon, start + 1)
    coveredTo = found < 0 ? text.length : found
    yield* forks(await unpacked(text.subarray(start + 1, coveredTo), budget))
  }
}

function* forks(bytes: Buffer): Generator<Fork> {
  const header = 2 + (bytes[0] ?? 0)
  if (header + headerBytes > bytes.length) return
  const data = bytes.readUInt32BE(header + lengthsAt)
  const resource = bytes.readUInt32BE(header + lengthsAt + 4)
  const from = header + headerBytes
  const name = bytes.toString('latin1', 1, header - 1)
  for (const [start, length] of [
    [from, data],
    [from + data + 2, resource],
  ] as const) {
    if (length > 0 && start < bytes.length) yield { bytes: bytes.subarray(start, start + length), name }
  }
}

/** Longest run is 255 characters, of which a packed one takes three. */
async function unpacked(text: Buffer, budget: Budget): Promise<Buffer> {
  const out = new Output()
  let last = 0
  let isRepeat = false
  for await (const packed of sixBits(text, budget)) {
    for (const byte of packed) {
      if (!isRepeat && byte === repeat) {
        isRepeat = true
        continue
      }
      const count = isRepeat ? (byte === 0 ? 1 : byte - 1) : 1
      if (!isRepeat) last = byte
      else if (byte === 0) last = repeat
      isRepeat = false
      const { bytes, at } = out.room(count)
      bytes.fill(last, at, at + count)
      out.wrote(count)
    }
  }
  return out.content
}

async function* sixBits(text: Buffer, budget: Budget): AsyncGenerator<Buffer, void> {
  let bits = 0
  let count = 0
  for await (const piece of piecesOf(text, budget)) {
    const out = Buffer.allocUnsafe(piece.length)
    let length = 0
    for (const character of piece) {
      const digit = digits[character] ?? 255
      if (digit > 63) continue
      bits = ((bits << 6) | digit) & 0xffffff
      count += 6
      if (count < 8) continue
      count -= 8
      out[length++] = bits >> count
    }
    yield out.subarray(0, length)
  }
}
