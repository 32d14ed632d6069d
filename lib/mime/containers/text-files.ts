/*
 * Files within text, found by the line or the words in front of them: all kinds, and here yEnc and data addresses. Read as
 * leniently as any program does.
 */

import type { Budget } from '../budget'
import { decodedBase64, nextOf, pieceBytes, piecesOf, placesOf, wordsIn } from '../pieces'
import { uuencodedFiles } from '../uuencode'
import { binHexFiles } from './binhex'
import { calendarFiles } from './calendars'
import { base64Characters, bytesOf, dataEnd } from './encoded-data'

export interface TextFile {
  /** For a log: `uuencoded file`. */
  readonly kind: string
  /** Null: only a name, of a file that lies elsewhere or was found by itself. */
  readonly bytes: Buffer | null
  /** As it is written there, one character per byte; null: it has none. */
  readonly name: string | null
}

type Found = Omit<TextFile, 'kind'>
type Files = (text: Buffer, budget: Budget) => AsyncGenerator<Found, void>

export const textFileKinds = () => kinds.map(([kind]) => kind)

/** Every file in the text. @throws OverBudget */
export async function* textFiles(text: Buffer, budget: Budget): AsyncGenerator<TextFile, void> {
  for (const [kind, files] of kinds) {
    for await (const file of files(text, budget)) yield { kind, ...file }
    await budget.breathe()
  }
}

const [newline, carriageReturn] = [0x0a, 0x0d]

const maxNameBytes = 1024
const yBegin = Buffer.from('=ybegin ')
const yEnd = Buffer.from('\n=yend')
const yPart = '=ypart'
const yName = /[ \t]name=(?<name>[^\r\n]{1,1000})/

/** As with uuencode. */
async function* yencFiles(text: Buffer, budget: Budget): AsyncGenerator<Found, void> {
  let coveredTo = 0
  const nextEnd = nextOf(text, yEnd)
  const nextBegin = nextOf(text, yBegin)
  for await (const at of placesOf(text, yBegin, budget)) {
    let from = text.indexOf(newline, at) + 1
    if (from === 0) return
    const line = text.toString('latin1', at, Math.min(from, at + maxNameBytes))
    const name = yName.exec(line)?.groups?.name ?? null
    if (text.toString('latin1', from, from + yPart.length) === yPart) from = text.indexOf(newline, from) + 1
    const end = nextEnd(from - 1)
    const next = nextBegin(from)
    if (next < end) yield { bytes: await ydecoded(text.subarray(from, next), budget), name }
    else if (name !== null) yield { bytes: null, name }
    if (at >= coveredTo)
      yield { bytes: await ydecoded(text.subarray(from, Math.max(from, end)), budget), name }
    coveredTo = Math.max(coveredTo, end)
  }
}

async function ydecoded(bytes: Buffer, budget: Budget): Promise<Buffer> {
  const out = Buffer.alloc(bytes.length)
  let length = 0
  let shift = 42
  for await (const piece of piecesOf(bytes, budget)) {
    for (const byte of piece) {
      if (byte === newline || byte === carriageReturn) continue
      if (byte === 0x3d && shift === 42) {
        shift = 42 + 64
        continue
      }
      out[length++] = (byte - shift) & 255
      shift = 42
    }
  }
  return out.subarray(0, length)
}

/** In any case, as browsers take it. */
const dataWord = /base64/gi
const dataValue = /base64\s{0,100},/iy
/** Bytes in which what stands in front of data is looked for. */
const maxValueBytes = 110

async function* dataAddresses(text: Buffer, budget: Budget): AsyncGenerator<Found, void> {
  let coveredTo = 0
  for await (const at of wordsIn(text, dataWord, budget)) {
    const length = at < coveredTo ? 0 : lengthOf(text, at, dataValue)
    if (length === 0) continue
    coveredTo = await dataEnd(text, at + length, isAddressByte, budget)
    const data = await unescaped(text.subarray(at + length, coveredTo), budget)
    yield { bytes: await decodedBase64(data, budget), name: null }
  }
}

function lengthOf(text: Buffer, at: number, what: RegExp): number {
  what.lastIndex = 0
  return what.exec(text.toString('latin1', at, at + maxValueBytes))?.[0].length ?? 0
}

const isAddressByte = bytesOf(`${base64Characters}_-%`)
const [percent, dash, underscore, plus, slash] = [0x25, 0x2d, 0x5f, 0x2b, 0x2f]

async function unescaped(bytes: Buffer, budget: Budget): Promise<Buffer> {
  const out = Buffer.allocUnsafe(bytes.length)
  let length = 0
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + pieceBytes)
    while (at < end) {
      const byte = bytes[at++] ?? 0
      const hex = byte === percent ? bytes.toString('latin1', at, at + 2) : ''
      if (/^[0-9a-f]{2}$/i.test(hex)) at += 2
      out[length++] =
        hex.length === 2 ? parseInt(hex, 16) : byte === dash ? plus : byte === underscore ? slash : byte
    }
    await budget.breathe()
  }
  return out.subarray(0, length)
}

/** What a mail is not plain with, but for data addresses, which clamd reads itself (test/unit/mime/text-files.test.ts). */
const kinds: readonly (readonly [kind: string, files: Files])[] = [
  ['uuencoded file', uuencodedFiles],
  ['yEnc file', yencFiles],
  ['BinHex file', binHexFiles],
  ['calendar attachment', calendarFiles],
  ['data address', dataAddresses],
]
