/*
 * BinHex 4.0 (RFC 1741): the two forks of a file between colons, six bits a character, runs packed.
 */

const digits = new Uint8Array(256).fill(255)
for (const [value, digit] of Buffer.from(
  '!"#$%&\'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr',
).entries()) {
  digits[digit] = value
}
const mark = Buffer.from('with BinHex')
const [colon, newline, repeat] = [0x3a, 0x0a, 0x90]
/** Type, creator, flags, two lengths and a checksum follow the name. */
const lengthsAt = 10
const headerBytes = 20

/** Data and resource forks of every file in the text; null: another look at the clock. */
export function* binHexFiles(text: Buffer): Generator<Buffer | null> {
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
    yield null
    const line = text.indexOf(newline, at)
    const start = line < 0 ? -1 : text.indexOf(colon, line)
    if (start < 0) return
    const end = text.indexOf(colon, start + 1)
    yield* forks(unpacked(text.subarray(start + 1, end < 0 ? text.length : end)))
  }
}

function* forks(bytes: Buffer): Generator<Buffer> {
  const header = 2 + (bytes[0] ?? 0)
  if (header + headerBytes > bytes.length) return
  const data = bytes.readUInt32BE(header + lengthsAt)
  const resource = bytes.readUInt32BE(header + lengthsAt + 4)
  const from = header + headerBytes
  for (const [start, length] of [
    [from, data],
    [from + data + 2, resource],
  ] as const) {
    if (length > 0 && start < bytes.length) yield bytes.subarray(start, start + length)
  }
}

/** Longest run is 255 characters, of which a packed one takes three. */
function unpacked(text: Buffer): Buffer {
  const packed = sixBits(text)
  const out: Buffer[] = []
  let from = 0
  for (let at = packed.indexOf(repeat); at >= 0; at = packed.indexOf(repeat, from)) {
    const count = packed[at + 1] ?? 0
    out.push(packed.subarray(from, at))
    if (count === 0) out.push(Buffer.from([repeat]))
    else out.push(Buffer.alloc(count - 1, at > from ? packed[at - 1] : out.at(-2)?.at(-1)))
    from = at + 2
  }
  out.push(packed.subarray(from))
  return Buffer.concat(out)
}

function sixBits(text: Buffer): Buffer {
  const out = Buffer.alloc(Math.ceil((text.length * 3) / 4))
  let length = 0
  let bits = 0
  let count = 0
  for (const character of text) {
    const digit = digits[character] ?? 255
    if (digit > 63) continue
    bits = ((bits << 6) | digit) & 0xffffff
    count += 6
    if (count < 8) continue
    count -= 8
    out[length++] = bits >> count
  }
  return out.subarray(0, length)
}
