/*
 * Files within text, found by the line or the words in front of them: all kinds, and here yEnc, calendar and address book
 * entries, data addresses. Read as leniently as any program does.
 */

import type { Budget } from '../budget'
import { decodedBase64, nextOf, pieceBytes, piecesOf, placesOf } from '../pieces'
import { uuencodedFiles } from '../uuencode'
import { binHexFiles } from './binhex'

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

const [newline, carriageReturn, space, tab, colon] = [0x0a, 0x0d, 0x20, 0x09, 0x3a]

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

const encodingValue = /encoding\s{0,20}=\s{0,20}"?B(?:ASE64)?\b/iy
const encodingMarks = ['ENCODING=', 'encoding=', 'Encoding='].map((mark) => Buffer.from(mark))
const dataMark = Buffer.from('base64')
const dataValue = /base64\s{0,100},/y
/** Bytes in which what stands in front of data is looked for. */
const maxValueBytes = 110
/** Bytes of the parameters behind the one that names the encoding. */
const maxParameterBytes = 1000

/** A folded line goes on behind a blank; the next entry has a name and a colon, which are no base64. */
async function* calendarFiles(text: Buffer, budget: Budget): AsyncGenerator<Found, void> {
  const unfolded = await unfold(text, budget)
  for await (const name of calendarNames(unfolded, budget)) yield { bytes: null, name }
  for (const mark of encodingMarks) {
    const nextColon = nextOf(unfolded, colon)
    const nextLine = nextOf(unfolded, newline)
    for await (const at of placesOf(unfolded, mark, budget)) {
      const from = nextColon(at) + 1
      if (from - at > maxParameterBytes || nextLine(at) < from) continue
      if (lengthOf(unfolded, at, encodingValue) === 0) continue
      const to = await dataEnd(unfolded, from, isBase64Byte, budget)
      const data = unfolded.subarray(from, withoutNextName(unfolded, from, to))
      yield { bytes: await decodedBase64(data, budget), name: null }
    }
  }
}

const attachMarks = ['ATTACH', 'attach', 'Attach'].map((mark) => Buffer.from(mark))
const maxAttachBytes = 4096
/** `FILENAME` of RFC 8607, and what programs had before. */
const fileNameParameter =
  /;[\w-]{0,40}filename\s{0,10}=\s{0,10}(?:"(?<quoted>[^"\r\n]*)"|(?<bare>[^;:\r\n]*))/gi

/** Of files that lie in a calendar or are only named by it. */
async function* calendarNames(text: Buffer, budget: Budget): AsyncGenerator<string, void> {
  for (const mark of attachMarks) {
    let coveredTo = 0
    for await (const at of placesOf(text, mark, budget)) {
      if (at < coveredTo) continue
      const line = /^.*/.exec(text.toString('latin1', at, at + maxAttachBytes))?.[0] ?? ''
      coveredTo = at + line.length
      for (const { groups } of line.matchAll(fileNameParameter)) yield groups?.quoted ?? groups?.bare ?? ''
    }
  }
}

async function* dataAddresses(text: Buffer, budget: Budget): AsyncGenerator<Found, void> {
  let coveredTo = 0
  for await (const at of placesOf(text, dataMark, budget)) {
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

async function dataEnd(text: Buffer, from: number, isData: Uint8Array, budget: Budget): Promise<number> {
  for await (const piece of piecesOf(text.subarray(from), budget)) {
    let at = 0
    while (at < piece.length && isData[piece[at] ?? 0] === 1) at++
    if (at < piece.length) return piece.byteOffset - text.byteOffset + at
  }
  return text.length
}

/** What stands on the last line without a blank may be the name of the next entry. */
function withoutNextName(text: Buffer, from: number, to: number): number {
  const line = text.lastIndexOf(newline, to - 1)
  if (line < from || to - line > maxParameterBytes) return to
  return /\s/.test(text.toString('latin1', line + 1, to)) ? to : line
}

function bytesOf(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of Buffer.from(characters)) table[byte] = 1
  return table
}

const base64Characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n\v\f'
const isBase64Byte = bytesOf(base64Characters)
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

/** A name alone is in any file by chance. */
const calendarMark = /BEGIN:V|VCARD|(?:ATTACH|PHOTO|LOGO|SOUND|KEY)(?:\r?\n[ \t])?[;:]/i

/** Only what may be a calendar is copied for it. */
async function unfold(text: Buffer, budget: Budget): Promise<Buffer> {
  if (!calendarMark.test(text.toString('latin1', 0, 64 * 1024))) return Buffer.alloc(0)
  const out = Buffer.allocUnsafe(text.length)
  let length = 0
  for (let at = 0; at < text.length;) {
    const line = text.indexOf(newline, at)
    const next = line < 0 ? text.length : line + 1
    const isFolded = text[next] === space || text[next] === tab
    const end = !isFolded ? next : text[line - 1] === carriageReturn ? line - 1 : line
    length += text.copy(out, length, at, Math.max(at, end))
    at = isFolded ? next + 1 : next
    if (budget.isTurnOver) await budget.breathe()
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
