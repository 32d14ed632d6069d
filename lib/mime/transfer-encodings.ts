/*
 * Transfer encodings, undone piece by piece and as leniently as mail programs do it: what does not belong is
 * skipped, padding in the middle is no end.
 */

import { takeRun } from './base64-runs'
import { withoutComments } from './parameters'
import type { ContentHeader } from './part-headers'
import { wordReadings } from './rfc2047'

export type Encoding = 'base64' | 'quoted-printable' | 'identity'

export interface Decoder {
  write(bytes: Buffer): Buffer
  /** What was held back. */
  end(): Buffer
}

/** Fields, and characters of each, that are read in every way there is; a mail has one of a few letters. */
const maxFields = 8
const maxValueBytes = 256

/** Every encoding that the headers name, also in an encoded word or around a comment; identity when they name none known. */
export function encodingsOf(headers: readonly ContentHeader[]): Encoding[] {
  const named = headers
    .filter(({ field }) => field === 'encoding')
    .flatMap(({ value }, field) => [value, ...(field < maxFields ? otherReadings(value) : [])])
    .map((text): Encoding => {
      if (/base64/i.test(text)) return 'base64'
      return /quoted-printable/i.test(text) ? 'quoted-printable' : 'identity'
    })
  return named.length === 0 ? ['identity'] : [...new Set(named)]
}

function otherReadings(value: string): readonly string[] {
  const text = value.slice(0, maxValueBytes)
  return [withoutComments(text), ...wordReadings(text)]
}

export function decoderOf(encoding: Encoding): Decoder {
  if (encoding === 'base64') return new Base64()
  return encoding === 'quoted-printable' ? new QuotedPrintable() : identity
}

const nothing = Buffer.alloc(0)
const identity: Decoder = { write: (bytes) => bytes, end: () => nothing }

const padding = 64
const skipped = 255
const digits = new Uint8Array(256).fill(skipped)
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/='
for (let value = 0; value < alphabet.length; value++) digits[alphabet.charCodeAt(value)] = value

function digitAt(bytes: Buffer, at: number): number {
  return digits[bytes[at] ?? 0] ?? skipped
}

/** Not Buffer's own: that one takes `-` and `_` for digits, which mail programs skip, and ends at padding. */
class Base64 implements Decoder {
  #bits = 0
  #count = 0

  write(bytes: Buffer): Buffer {
    const out = Buffer.allocUnsafe(Math.ceil((bytes.length * 3) / 4) + 3)
    let bits = this.#bits
    let count = this.#count
    const run = count === 0 ? takeRun(bytes, 0, out) : null
    let length = run?.decoded ?? 0
    for (let at = run?.end ?? 0; at < bytes.length; at++) {
      if (count === 0) {
        // Nearly everything: four digits in a row.
        for (; at + 4 <= bytes.length; at += 4) {
          const a = digitAt(bytes, at)
          const b = digitAt(bytes, at + 1)
          const c = digitAt(bytes, at + 2)
          const d = digitAt(bytes, at + 3)
          if ((a | b | c | d) >= padding) break
          out[length++] = (a << 2) | (b >> 4)
          out[length++] = (b << 4) | (c >> 2)
          out[length++] = (c << 6) | d
        }
        if (at === bytes.length) break
      }
      const digit = digitAt(bytes, at)
      if (digit < padding) {
        bits = (bits << 6) | digit
        if (++count < 4) continue
        out[length++] = bits >> 16
        out[length++] = bits >> 8
        out[length++] = bits
      } else if (digit === padding) {
        length = flush(out, length, bits, count)
      } else {
        continue
      }
      bits = count = 0
    }
    this.#bits = bits
    this.#count = count
    return out.subarray(0, length)
  }

  end(): Buffer {
    const out = Buffer.alloc(2)
    const length = flush(out, 0, this.#bits, this.#count)
    this.#bits = this.#count = 0
    return out.subarray(0, length)
  }
}

/** Whole bytes of a group of fewer than four digits. */
function flush(out: Buffer, at: number, bits: number, count: number): number {
  let length = at
  const aligned = bits << (6 * (4 - count))
  if (count > 1) out[length++] = aligned >> 16
  if (count > 2) out[length++] = aligned >> 8
  return length
}

const hexDigits = new Uint8Array(256).fill(skipped)
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  for (const form of [digit, digit.toUpperCase()]) hexDigits[form.charCodeAt(0)] = value
}

const equalsSign = 0x3d
const [carriageReturn, newline] = [0x0d, 0x0a]
const space = 0x20
/** Longest white space, controls included, between `=` and the end of its line: programs pass over any. */
const maxBlanks = 256 * 1024
const undecided = -1

class QuotedPrintable implements Decoder {
  #held = nothing

  write(bytes: Buffer): Buffer {
    return this.#decode(this.#held.length > 0 ? Buffer.concat([this.#held, bytes]) : bytes, false)
  }

  end(): Buffer {
    return this.#decode(this.#held, true)
  }

  #decode(bytes: Buffer, last: boolean): Buffer {
    const out = Buffer.allocUnsafe(bytes.length)
    let length = 0
    let from = 0
    this.#held = nothing
    while (from < bytes.length) {
      if (bytes[from] !== equalsSign) {
        out[length++] = bytes[from++] ?? 0
        continue
      }
      const first = hexDigit(bytes[from + 1])
      const second = hexDigit(bytes[from + 2])
      if (first !== skipped && second !== skipped) {
        out[length++] = first * 16 + second
        from += 3
        continue
      }
      if (bytes[from + 1] === carriageReturn && bytes[from + 2] === newline) {
        from += 3
        continue
      }
      const next = behindSign(bytes, from)
      if (!last && next === undecided) {
        this.#held = Buffer.from(bytes.subarray(from))
        break
      }
      if (next === undecided || next === from + 1) out[length++] = equalsSign
      from = next === undecided ? from + 1 : next
    }
    return out.subarray(0, length)
  }
}

/**
 * Behind a soft break, whatever stands between the sign and the line end; right behind the sign, if it is none.
 * @returns `undecided`: the bytes end too early
 */
function behindSign(bytes: Buffer, sign: number): number {
  let at = sign + 1
  if (at + 1 === bytes.length && hexDigit(bytes[at]) !== skipped) return undecided
  const most = Math.min(bytes.length, at + maxBlanks)
  while (at < most && bytes[at] !== newline && (bytes[at] ?? 0) <= space) at++
  if (bytes[at] === newline) return at + 1
  return at === bytes.length && at < sign + 1 + maxBlanks ? undecided : sign + 1
}

function hexDigit(code: number | undefined): number {
  return code === undefined ? skipped : (hexDigits[code] ?? skipped)
}
