// A zip archive that contains itself whole: unpack it, and what comes out of it, and there is no end to it. After
// Russ Cox, "Zip Files All The Way Down". Its checksums are wrong; who looks for archives checks none.
import { record } from './zip-builder'

const name = Buffer.from('r.zip')
const comment = Buffer.alloc(58, '-')
const opcodeBytes = 5

export function zipQuine(): Buffer {
  const head = record(
    ...([
      [4, 0x04034b50],
      [2, 20],
      [2, 0],
      [2, 8],
      [4, 0],
      [4, 0],
      [4, 0],
      [4, 0],
      [2, name.length],
      [2, 0],
    ] as const),
    name,
  )
  const directory = record(
    ...([
      [4, 0x02014b50],
      [2, 20],
      [2, 20],
      [2, 0],
      [2, 8],
      [4, 0],
      [4, 0],
      [4, 0],
      [4, 0],
    ] as const),
    ...([
      [2, name.length],
      [2, 0],
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 0],
      [4, 0],
    ] as const),
    name,
  )
  const end = [
    [4, 0x06054b50],
    [4, 0],
    [2, 1],
    [2, 1],
    [4, directory.length],
    [4, 0],
    [2, comment.length],
  ] as const
  const tail = Buffer.concat([directory, record(...end, comment)])

  const four = 4 * opcodeBytes
  const [outer, inner] = [head.length + opcodeBytes, tail.length + opcodeBytes]
  const last = repeat(inner, true)
  return Buffer.concat([
    head,
    ...[literal(outer), head, literal(outer)],
    repeat(outer),
    ...[literal(opcodeBytes), repeat(outer)],
    ...[literal(opcodeBytes), literal(opcodeBytes)],
    ...[literal(four), repeat(outer), literal(opcodeBytes), literal(opcodeBytes), literal(four)],
    repeat(four),
    ...[literal(four), repeat(four), literal(four), repeat(four), literal(four)],
    repeat(four),
    ...[literal(four), repeat(four), literal(0), literal(0), literal(inner)],
    repeat(four),
    literal(0),
    literal(0),
    ...[literal(inner), last, tail],
    last,
    tail,
  ])
}

/** A stored block; its content follows. */
function literal(bytes: number): Buffer {
  return record([1, 0], [2, bytes], [2, ~bytes & 0xffff])
}

/** The last bytes again; padded, if need be by an empty block, to the length of a stored block's head. */
function repeat(bytes: number, final = false): Buffer {
  const matches = bytes === 20 ? [10, 10] : [bytes]
  const block = (isLast: boolean, content: string) => `${isLast ? '1' : '0'}10${content}0000000`
  const main = block(final, matches.map((length) => match(length, bytes)).join(''))
  const bits = main.length > 32 ? main : block(false, '') + main
  const octets = bits.padEnd(8 * opcodeBytes, '0').match(/.{8}/g) ?? []
  return Buffer.from(octets.map((octet) => parseInt(Array.from(octet).reverse().join(''), 2)))
}

/** Fixed Huffman codes for the few lengths and distances in use, in the order of the stream. */
function match(length: number, distance: number): string {
  const [code, first, extra] = pick(length, [
    [264, 10, 0],
    [273, 35, 3],
    [281, 131, 5],
  ])
  const [far, nearest, more] = pick(distance, [
    [8, 17, 3],
    [10, 33, 4],
    [14, 129, 6],
  ])
  const symbol = code < 280 ? binary(code - 256, 7) : binary(code - 280 + 0xc0, 8)
  return symbol + reversed(length - first, extra) + binary(far, 5) + reversed(distance - nearest, more)
}

type Code = readonly [code: number, first: number, extraBits: number]

function pick(value: number, codes: readonly Code[]): Code {
  const code = codes.findLast(([, first]) => first <= value)
  if (!code || value >= code[1] + 2 ** code[2]) throw new Error(`no code for ${value}`)
  return code
}

function binary(value: number, bits: number): string {
  return value.toString(2).padStart(bits, '0')
}

/** Extra bits come with the lowest first. */
function reversed(value: number, bits: number): string {
  return bits === 0 ? '' : Array.from(binary(value, bits)).reverse().join('')
}
