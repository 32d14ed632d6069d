/*
 * Transfer encodings, undone piece by piece and as leniently as mail programs do it: what does not belong is
 * skipped, padding in the middle is no end.
 */

import type { ContentHeader } from './part-headers'

export type Encoding = 'base64' | 'quoted-printable' | 'identity'

export interface Decoder {
  write(bytes: Buffer): Buffer
  /** What was held back. */
  end(): Buffer
}

/** Every encoding that the headers name; identity when they name none that is known. */
export function encodingsOf(headers: readonly ContentHeader[]): Encoding[] {
  const named = headers
    .filter(({ field }) => field === 'encoding')
    .map(({ value }): Encoding => {
      if (/base64/i.test(value)) return 'base64'
      return /quoted-printable/i.test(value) ? 'quoted-printable' : 'identity'
    })
  return named.length === 0 ? ['identity'] : [...new Set(named)]
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

/** Not Buffer's own: that one takes `-` and `_` for digits, which mail programs skip, and ends at padding. */
class Base64 implements Decoder {
  #bits = 0
  #count = 0

  write(bytes: Buffer): Buffer {
    const out = Buffer.allocUnsafe(Math.ceil((bytes.length * 3) / 4) + 3)
    let length = 0
    let bits = this.#bits
    let count = this.#count
    for (const byte of bytes) {
      const digit = digits[byte] ?? skipped
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

const equalsSign = 0x3d
/** Longest white space between `=` and the end of its line that is waited for. */
const mostBlanks = 100
const softBreak = /^=[ \t]*\r?\n/
const undecided = /^=(?:[0-9a-f]?|[ \t]*\r?)$/i

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
      const sign = bytes.indexOf(equalsSign, from)
      length += bytes.copy(out, length, from, sign < 0 ? bytes.length : sign)
      if (sign < 0) break
      const first = hexDigit(bytes[sign + 1])
      const second = hexDigit(bytes[sign + 2])
      if (first !== skipped && second !== skipped) {
        out[length++] = first * 16 + second
        from = sign + 3
        continue
      }
      const follows = bytes.toString('latin1', sign, sign + mostBlanks)
      if (!last && sign + mostBlanks > bytes.length && undecided.test(follows)) {
        this.#held = Buffer.from(bytes.subarray(sign))
        break
      }
      const skip = softBreak.exec(follows)?.[0].length
      if (skip === undefined) out[length++] = equalsSign
      from = sign + (skip ?? 1)
    }
    return out.subarray(0, length)
  }
}

function hexDigit(code: number | undefined): number {
  if (code === undefined) return skipped
  const value = parseInt(String.fromCharCode(code), 16)
  return Number.isNaN(value) ? skipped : value
}
