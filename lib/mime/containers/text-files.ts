/*
 * Files within text, found by the line or the words in front of them: uuencode and its base64 variant, yEnc, calendar and
 * address book entries, data addresses. Read as leniently as any program does.
 */

import type { Budget } from '../budget'
import { binHexFiles } from './binhex'

export interface TextFile {
  /** For a log: `uuencoded file`. */
  readonly kind: string
  readonly bytes: Buffer
}

const newline = 0x0a

/** Every file in the text. @throws OverBudget */
export async function* textFiles(text: Buffer, budget: Budget): AsyncGenerator<TextFile, void> {
  for await (const bytes of uuencodedFiles(text, budget)) yield { kind: 'uuencoded file', bytes }
  for (const [kind, files] of otherFiles) {
    for (const bytes of files(text)) {
      if (bytes !== null) yield { kind, bytes }
      await budget.breathe()
    }
    await budget.breathe()
  }
}

const begins = ['begin', 'Begin', 'BEGIN'].map((word) => Buffer.from(word))
const beginLine = /^begin(?:-base64)?(?![\w:])[^\r\n]*/i
const maxBeginBytes = 1024
const maxPrefixBytes = 16
const endLine = /^(?:end|====)[ \t]*\r?$/i

/** In front of `begin` there may be blanks or marks of quoting. */
async function* uuencodedFiles(text: Buffer, budget: Budget): AsyncGenerator<Buffer, void> {
  let fittingEnd = 0
  for (const begin of begins) {
    for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at + 1)) {
      await budget.breathe()
      const prefix = linePrefix(text, at)
      if (prefix === null) continue
      const line = beginLine.exec(text.toString('latin1', at, at + maxBeginBytes))?.[0]
      if (line === undefined) continue
      const from = text.indexOf(newline, at)
      if (from < 0) continue
      if (/^begin-base64/i.test(line)) {
        yield base64Lines(text, from + 1)
      } else {
        yield await uudecoded(text, from + 1, budget, prefix)
        if (at >= fittingEnd) {
          const fitting = await uudecodedWhereFitting(text, from + 1, budget, prefix)
          fittingEnd = fitting.end
          yield fitting.bytes
        }
      }
      await budget.breathe()
    }
  }
}

/** Length of what stands in front on the line; null: text. */
function linePrefix(text: Buffer, at: number): number | null {
  const before = text.toString('latin1', Math.max(0, at - maxPrefixBytes), at)
  const prefix = before.slice(before.lastIndexOf('\n') + 1)
  const isAtLineStart = prefix.length < before.length || before.length < maxPrefixBytes
  return isAtLineStart && /^[\s>|]*$/.test(prefix) ? prefix.length : null
}

function base64Lines(text: Buffer, from: number): Buffer {
  const end = text.indexOf('====', from)
  return Buffer.from(text.toString('latin1', from, end < 0 ? text.length : end), 'base64')
}

/** Of a text that is called uuencode, there may be no line that says so. */
export async function uudecoded(text: Buffer, start: number, budget: Budget, prefix = 0): Promise<Buffer> {
  const out: Buffer[] = []
  for (let at = start, lines = 1; at < text.length; lines++) {
    if (lines % linesPerTurn === 0) await budget.breathe()
    const found = text.indexOf(newline, at)
    const to = found < 0 ? text.length : found
    const end = text[to - 1] === 0x0d ? to - 1 : to
    const from = Math.min(at + prefix, end)
    if (end - from <= 6 && endLine.test(text.toString('latin1', from, end))) break
    // Lower-case letters are no data.
    if (isBegin(text, from)) break
    // Running text, at the latest.
    if (end - from > 100 && out.length > 0) break
    if (end > from) out.push(uudecodedLine(text, from, end))
    at = to + 1
  }
  return Buffer.concat(out)
}

/** Of lines that are data and have the length that they name: others are passed over, another `begin` as well. */
async function uudecodedWhereFitting(
  text: Buffer,
  start: number,
  budget: Budget,
  prefix: number,
): Promise<{ readonly bytes: Buffer; readonly end: number }> {
  const out: Buffer[] = []
  let at = start
  for (let lines = 1; at < text.length; lines++) {
    if (lines % linesPerTurn === 0) await budget.breathe()
    const found = text.indexOf(newline, at)
    const to = found < 0 ? text.length : found
    const from = Math.min(at + prefix, to)
    at = to + 1
    if (to - from > maxFittingBytes) continue
    const line = text.toString('latin1', from, to).replace(/\r$/, '')
    if (line.startsWith('end')) break
    const bytes = (line.charCodeAt(0) - 32) & 63
    if (/^[^a-z]+$/.test(line) && Math.floor((bytes + 2) / 3) === Math.floor(line.length / 4))
      out.push(uudecodedLine(text, from, from + line.length))
  }
  return { bytes: Buffer.concat(out), end: at }
}

const maxFittingBytes = 100
const linesPerTurn = 2048

function isBegin(text: Buffer, at: number): boolean {
  return text[at] === 0x62 && /^begin[ \t-]/.test(text.toString('latin1', at, at + 6))
}

/** Its first character says how many bytes follow; blanks at the end may be lost, and stand for zero. */
function uudecodedLine(text: Buffer, from: number, to: number): Buffer {
  const length = ((text[from] ?? 32) - 32) & 63
  const out = Buffer.alloc(Math.ceil(length / 3) * 3)
  for (let at = 0, next = from + 1; at < length; at += 3, next += 4) {
    let bits = 0
    for (let i = next; i < next + 4; i++) bits = (bits << 6) | (i < to ? ((text[i] ?? 32) - 32) & 63 : 0)
    out.writeUIntBE(bits & 0xffffff, at, 3)
  }
  return out.subarray(0, length)
}

const yBegin = Buffer.from('=ybegin ')
const yEnd = Buffer.from('\n=yend')
const yPart = '=ypart'

function* yencFiles(text: Buffer): Generator<Buffer | null> {
  for (let at = text.indexOf(yBegin); at >= 0; at = text.indexOf(yBegin, at + 1)) {
    let from = text.indexOf(newline, at) + 1
    if (from === 0) return
    if (text.toString('latin1', from, from + yPart.length) === yPart) from = text.indexOf(newline, from) + 1
    const found = text.indexOf(yEnd, from)
    yield ydecoded(text.subarray(from, found < 0 ? text.length : found))
  }
}

function ydecoded(bytes: Buffer): Buffer {
  const out = Buffer.alloc(bytes.length)
  let length = 0
  let shift = 42
  for (const byte of bytes) {
    if (byte === newline || byte === 0x0d) continue
    if (byte === 0x3d && shift === 42) {
      shift = 42 + 64
      continue
    }
    out[length++] = (byte - shift) & 255
    shift = 42
  }
  return out.subarray(0, length)
}

const encodingValue = /encoding\s*=\s*"?B(?:ASE64)?\b[^:\n]{0,1000}:/iy
const encodingMarks = ['ENCODING=', 'encoding=', 'Encoding='].map((mark) => Buffer.from(mark))
const maxEncodingBytes = 1100
const dataMark = Buffer.from('base64')
const dataValue = /base64\s{0,100},/y
const maxDataBytes = 110

/** A folded line goes on behind a blank; the next entry has a name and a colon, which are no base64. */
function* calendarFiles(text: Buffer): Generator<Buffer | null> {
  const unfolded = unfold(text)
  for (const mark of encodingMarks) {
    for (const data of dataBehind(unfolded, mark, encodingValue, maxEncodingBytes, isBase64Byte))
      yield data === null ? null : Buffer.from(data.replace(/\n\S*$/, ''), 'base64')
  }
}

/** What follows each mark with such a beginning, as far as its bytes may be data; null: at this one there is nothing. */
function* dataBehind(
  text: Buffer,
  mark: Buffer,
  beginning: RegExp,
  maxBytes: number,
  isData: Uint8Array,
): Generator<string | null> {
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
    beginning.lastIndex = 0
    const length = beginning.exec(text.toString('latin1', at, at + maxBytes))?.[0].length
    if (length === undefined) {
      yield null
      continue
    }
    const from = at + length
    let to = from
    while (to < text.length && isData[text[to] ?? 0] === 1) to++
    yield text.toString('latin1', from, to)
    at = Math.max(at, to - mark.length)
  }
}

function bytesOf(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of Buffer.from(characters)) table[byte] = 1
  return table
}

const base64Characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n\v\f'
const isBase64Byte = bytesOf(base64Characters)
const isAddressByte = bytesOf(`${base64Characters}_-%`)

/** Only what may be a calendar is copied for it. */
function unfold(text: Buffer): Buffer {
  if (!/BEGIN:V|VCARD|ATTACH|PHOTO|LOGO|SOUND|KEY/i.test(text.toString('latin1', 0, 64 * 1024)))
    return Buffer.alloc(0)
  return Buffer.from(text.toString('latin1').replace(/\r?\n[ \t]/g, ''), 'latin1')
}

function* dataAddresses(text: Buffer): Generator<Buffer | null> {
  for (const data of dataBehind(text, dataMark, dataValue, maxDataBytes, isAddressByte)) {
    const unescaped = data?.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(parseInt(hex, 16)),
    )
    yield unescaped === undefined ? null : Buffer.from(unescaped, 'base64')
  }
}

const otherFiles: readonly (readonly [kind: string, files: (text: Buffer) => Iterable<Buffer | null>])[] = [
  ['yEnc file', yencFiles],
  ['BinHex file', binHexFiles],
  ['calendar attachment', calendarFiles],
  ['data address', dataAddresses],
]
