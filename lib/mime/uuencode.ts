/*
 * Uuencoded files (`begin 644 name`) in the text of a message, and their base64 variant, which mail programs still show as
 * attachments: as leniently as any program reads them.
 */

import type { Budget } from './budget'
import { decodedBase64, nextOf, Output, pieceBytes, placesOf } from './pieces'

/** Bytes of a line that are read; the rest of a longer line is ignored. */
const maxLineBytes = 1024
const [newline, space] = [0x0a, 0x20]
/** First byte of `begin`. */
const letterB = 0x62

/** Trailing spaces, which stand for zero, may be lost in transit. */
function lengthOf(first: number): number {
  return (first - space) & 63
}

function decodeInto(out: Output, text: Buffer, from: number, to: number): void {
  const length = lengthOf(text[from] ?? space)
  const { bytes, at } = out.room(length + 2)
  for (let done = 0, next = from + 1; done < length; done += 3, next += 4) {
    let bits = 0
    for (let i = next; i < next + 4; i++)
      bits = (bits << 6) | (i < to ? ((text[i] ?? space) - space) & 63 : 0)
    bytes.writeUIntBE(bits & 0xffffff, at + done, 3)
  }
  out.wrote(length)
}

/** Lines between two looks at the clock. */
const linesPerTurn = 256

/** Words that begin a file, in whatever case, and a colon or more letters make something else of. */
const lenientBegin = /^begin(?<base64>-base64)?(?![\w:])[^\r\n]*/i
const maxPrefixBytes = 16

interface Begin {
  /** Where the first line of data begins. */
  readonly from: number
  /** Length of what stands in front on each line: blanks, or marks of quoting. */
  readonly prefix: number
  readonly isBase64: boolean
}

/** As leniently as any program takes such a line. @param at where the word is; null: it is text */
function beginOf(text: Buffer, at: number): Begin | null {
  const prefix = linePrefix(text, at)
  if (prefix === null) return null
  const line = lenientBegin.exec(text.toString('latin1', at, at + maxLineBytes))
  const end = line === null ? -1 : text.indexOf(newline, at)
  return end < 0 ? null : { from: end + 1, prefix, isBase64: line?.groups?.base64 !== undefined }
}

/** Null: text. */
function linePrefix(text: Buffer, at: number): number | null {
  const before = text.toString('latin1', Math.max(0, at - maxPrefixBytes), at)
  const prefix = before.slice(before.lastIndexOf('\n') + 1)
  const isAtLineStart = prefix.length < before.length || before.length < maxPrefixBytes
  return isAtLineStart && /^[\s>|]*$/.test(prefix) ? prefix.length : null
}

const endLine = /^(?:end|====)[ \t]*\r?$/i
/** Characters of a line beyond which it is running text, behind data. */
const maxDataBytes = 100

/** Of a text that is called uuencode, there may be no line that says so. @throws OverBudget */
export async function uudecoded(text: Buffer, start: number, budget: Budget, prefix = 0): Promise<Buffer> {
  const out = new Output()
  for (let at = start, lines = 1; at < text.length; lines++) {
    if (lines % linesPerTurn === 0) await budget.breathe()
    const found = text.indexOf(newline, at)
    const to = found < 0 ? text.length : found
    const end = text[to - 1] === 0x0d ? to - 1 : to
    const from = Math.min(at + prefix, end)
    if (end - from <= 6 && endLine.test(text.toString('latin1', from, end))) break
    // Lower-case letters are no data.
    if (isBegin(text, from)) break
    if (end - from > maxDataBytes && out.length > 0) break
    if (end > from) decodeInto(out, text, from, end)
    at = to + 1
  }
  return out.content
}

/**
 * Of lines that are data and have the length that they name: others are passed over, another `begin` as well.
 * @throws OverBudget
 */
async function uudecodedWhereFitting(
  text: Buffer,
  start: number,
  budget: Budget,
  prefix: number,
): Promise<{ readonly bytes: Buffer; readonly end: number }> {
  const out = new Output()
  let at = start
  for (let lines = 1; at < text.length; lines++) {
    if (lines % linesPerTurn === 0) await budget.breathe()
    const found = text.indexOf(newline, at)
    const to = found < 0 ? text.length : found
    const from = Math.min(at + prefix, to)
    at = to + 1
    if (to - from > maxDataBytes) continue
    const line = text.toString('latin1', from, to).replace(/\r$/, '')
    if (line.startsWith('end')) break
    const fits = Math.floor((lengthOf(line.charCodeAt(0)) + 2) / 3) === Math.floor(line.length / 4)
    if (fits && /^[^a-z]+$/.test(line)) decodeInto(out, text, from, from + line.length)
  }
  return { bytes: out.content, end: at }
}

function isBegin(text: Buffer, at: number): boolean {
  return text[at] === letterB && /^begin[ \t-]/.test(text.toString('latin1', at, at + 6))
}

interface Found {
  /** Null: only a name, of a file that was found by itself. */
  readonly bytes: Buffer | null
  readonly name: string | null
}

const begins = ['begin', 'Begin', 'BEGIN'].map((word) => Buffer.from(word))
const base64End = Buffer.from('====')

/** Of files that begin in one another, each up to the next beginning, and the outermost up to its own end. */
export async function* uuencodedFiles(text: Buffer, budget: Budget): AsyncGenerator<Found, void> {
  for (const mark of begins) {
    let coveredTo = 0
    const nextEnd = nextOf(text, base64End)
    const nextBegin = nextOf(text, mark)
    for await (const at of placesOf(text, mark, budget)) {
      const begin = beginOf(text, at)
      if (begin === null) continue
      const { from, prefix, isBase64 } = begin
      const name = uuencodedName(text, at, from)
      if (isBase64) {
        const end = nextEnd(from)
        const next = nextBegin(from)
        if (next < end) yield { bytes: await decodedBase64(text.subarray(from, next), budget), name }
        else if (name !== null) yield { bytes: null, name }
        if (at >= coveredTo) yield { bytes: await decodedBase64(text.subarray(from, end), budget), name }
        coveredTo = Math.max(coveredTo, end)
        // Programs that know the encoding from the headers do not look at what the line says.
        yield { bytes: await uudecoded(text, from, budget, prefix), name: null }
      } else {
        yield { bytes: await uudecoded(text, from, budget, prefix), name }
        if (at < coveredTo) continue
        const fitting = await uudecodedWhereFitting(text, from, budget, prefix)
        coveredTo = fitting.end
        yield { bytes: fitting.bytes, name: null }
      }
    }
  }
}

const declaredBegin = /^begin[ \t]+\d+[ \t]+(?<name>\S[^\r\n]*)/m
const namedBegin = /^begin(?<base64>-base64)?[ \t]+[0-7]{3,7}[ \t]+(?<name>\S[^\r\n]*)/i
const dataLine = /^[>|\s]*(?<data>[\x20-\x60]{1,90})\r?\n/
const base64Line = /^[>|\s]*[A-Za-z0-9+/=]{1,90}\r?\n/

/** Text may begin a line so as well, but is not followed by data. @param from the next line */
function uuencodedName(text: Buffer, at: number, from: number): string | null {
  const { base64, name = null } =
    namedBegin.exec(text.toString('latin1', at, Math.min(from, at + maxLineBytes)))?.groups ?? {}
  const follows = text.toString('latin1', from, from + maxDataBytes)
  if (base64 !== undefined) return base64Line.test(follows) ? name : null
  const data = dataLine.exec(follows)?.groups?.data ?? ''
  // Trailing spaces may be lost.
  return data !== '' && data.length - 1 >= Math.ceil(lengthOf(data.charCodeAt(0)) / 3) * 4 - 3 ? name : null
}

/** A text that its headers call uuencode is all one file, and the line in front of it is taken as more words than usual. */
export async function declaredFile(
  text: Buffer,
  budget: Budget,
): Promise<Found & { readonly bytes: Buffer }> {
  const name = declaredBegin.exec(text.toString('latin1', 0, pieceBytes))?.groups?.name ?? null
  return { bytes: await uudecoded(text, 0, budget), name }
}
