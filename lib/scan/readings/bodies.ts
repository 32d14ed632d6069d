/*
 * The bodies of a message's parts, as they are written there, by the lenient reader of lib/mime.
 */

import { takeRun } from '../../mime/base64-runs'
import type { Budget } from '../../mime/budget'
import { type BodySink, joined, MimeReader, type Part } from '../../mime/mime-reader'
import type { ReadingObserver } from '../../mime/observer'

export interface Body {
  /** For a log: `part 3`. */
  readonly name: string
  /** What its headers say, one character per byte. */
  readonly head: string
  readonly types: readonly string[]
  readonly bytes: Buffer
}

interface Reading {
  /** Header sections so far. */
  readonly parts: number
  /** Why there may be others. */
  readonly overLimit: string | null
  bodies(budget: Budget): AsyncGenerator<Body, void>
}

/** Bytes that are read between two looks at the clock; whole lines, so that the reader has no need to keep any. */
const pieceBytes = 64 * 1024
/** The same where parts are small, and at the beginning: a part may have seven bytes. */
const minPieceBytes = 4 * 1024
/** Parts in a piece beyond which the next one is small. */
const manyParts = 16
const newline = 0x0a

/**
 * @param observer told of headers, and of what may hide some
 * @param prefix of the places that it is told
 */
export function bodiesIn(
  bytes: Buffer,
  maxParts: number,
  observer: ReadingObserver | null = null,
  prefix = '',
): Reading {
  const found: Body[] = []
  const reading = { parts: 0, overLimit: null as string | null, bodies }
  const body = (name: string, head: string, types: readonly string[]): BodySink => {
    const pieces: Buffer[] = []
    return {
      write: (piece) => pieces.push(piece),
      end: () => found.push({ name, head, types, bytes: withoutLineEnd(joined(pieces)) }),
    }
  }
  const reader = new MimeReader(
    {
      part: (part) => {
        reading.parts++
        const name = part.number === 0 ? 'message' : `part ${part.number}`
        observer?.headers(prefix + name, part.headers)
        return body(name, headOf(part), part.types)
      },
      stray: (headers) => observer?.headers(`${prefix}between parts`, headers),
      epilogue: () => body('epilogue', '', []),
      trouble: (what) => {
        if (what.startsWith('more than')) reading.overLimit ??= what
        observer?.trouble(`${prefix}message`, what)
      },
    },
    maxParts,
  )
  async function* bodies(budget: Budget): AsyncGenerator<Body, void> {
    let size = minPieceBytes
    for (let at = 0; at < bytes.length;) {
      const partsBefore = reading.parts
      const end = endOfLines(bytes, at, size)
      reader.write(bytes.subarray(at, end))
      at = end
      size = reading.parts - partsBefore > manyParts ? minPieceBytes : Math.min(2 * size, pieceBytes)
      yield* found.splice(0)
      await budget.breathe()
    }
    reader.end()
    yield* found.splice(0)
  }
  return reading
}

function headOf({ headers }: Part): string {
  return headers
    .map(({ field, value }) => `content-${field === 'encoding' ? 'transfer-encoding' : field}:${value}\n`)
    .join('')
}

function endOfLines(bytes: Buffer, from: number, size: number): number {
  const maxBytes = Math.min(bytes.length, from + size)
  const found = bytes.lastIndexOf(newline, maxBytes - 1) + 1
  return found > from ? found : maxBytes
}

/** It belongs to the delimiter. */
export function withoutLineEnd(bytes: Buffer): Buffer {
  const end = bytes.at(-1) === newline ? (bytes.at(-2) === 0x0d ? -2 : -1) : bytes.length
  return bytes.subarray(0, end)
}

const isBase64 = new Uint8Array(256)
for (const byte of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n'))
  isBase64[byte] = 1

/** Bytes of a run below which it costs more than it saves. */
const minRunBytes = 4 * 1024

/** Whether there is nothing else in it but line ends. */
export async function isAllBase64(bytes: Buffer, budget: Budget): Promise<boolean> {
  for (let at = 0; at < bytes.length;) {
    const runEnd = takeRun(bytes, at)?.end ?? at
    const isRun = runEnd - at >= minRunBytes
    const end = isRun ? runEnd : Math.min(bytes.length, at + pieceBytes)
    if (!isRun && !isBase64Only(bytes, at, end)) return false
    at = end
    await budget.breathe()
  }
  return true
}

function isBase64Only(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (isBase64[bytes[at] ?? 0] === 0) return false
  return true
}
