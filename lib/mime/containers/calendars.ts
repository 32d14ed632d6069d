/*
 * Files in calendars and address books (iCalendar, vCard), and names of files that lie elsewhere: lines as
 * `NAME;PARAMETER=VALUE:DATA`, found by their parameters. Read as leniently as any program does.
 */

import type { Budget } from '../budget'
import { decodedBase64, isIn, nextOf, piecesOf, wordsIn } from '../pieces'
import { base64Characters, bytesOf, dataEnd } from './encoded-data'

interface Found {
  /** Null: only a name. */
  readonly bytes: Buffer | null
  /** One character per byte; null: it has none. */
  readonly name: string | null
}

const [newline, carriageReturn, space, tab, colon, quote] = [0x0a, 0x0d, 0x20, 0x09, 0x3a, 0x22]
const isBase64Byte = bytesOf(base64Characters)

/** One of them is in every parameter that matters: a regular expression for whole parameters takes several times as long. */
const words = /encoding|binary|base64|filename/gi
/** Bytes of a parameter in front of such a word, and from there on. */
const [maxBeforeBytes, maxParameterBytes] = [64, 128]
/** That data follow: `ENCODING=B`, `VALUE=BINARY`, and of vCard 2.1 `;BASE64`. */
const dataParameter =
  /encoding\s{0,20}=\s{0,20}["']?b(?:ase64)?\b|(?<=value\s{0,20}=\s{0,20}["']?)binary\b|(?<=;\s{0,20})base64(?=\s{0,20}[;:])/iy
/** `FILENAME` of RFC 8607, and what programs had before. */
const nameParameter = /(?<=;[\w-]{0,40})filename\s{0,10}=/iy
const nameValue = /^[^=]*=\s{0,10}(?:"(?<quoted>[^"\r\n]*)"|(?<bare>[^;:\r\n]*))/
const maxNameBytes = 4096
/** A name alone is in any file by chance. */
const calendarMark = /BEGIN:V|VCARD|(?:ATTACH|PHOTO|LOGO|SOUND|KEY)[;:]/i
const attachWord = /attach/i

/** @throws OverBudget */
export async function* calendarFiles(text: Buffer, budget: Budget): AsyncGenerator<Found, void> {
  const unfolded = await unfold(text, budget)
  const nextLine = nextOf(unfolded, newline)
  const nextColon = nextOf(unfolded, colon)
  let line: Line | null = null
  let isCalendar: boolean | null = null
  for await (const at of wordsIn(unfolded, words, budget)) {
    const isData = isAt(unfolded, at, dataParameter)
    if (!isData && !isAt(unfolded, at, nameParameter)) continue
    if (line === null || at >= line.to) line = new Line(unfolded, at, nextLine(at))
    if (isData) {
      for await (const data of line.data(nextColon(at), budget))
        yield { bytes: await decodedBase64(data, budget), name: null }
    } else if (line.hasBefore(at, attachWord)) {
      isCalendar ??= await isIn(unfolded, calendarMark, budget)
      const { quoted, bare } =
        nameValue.exec(unfolded.toString('latin1', at, Math.min(line.to, at + maxNameBytes)))?.groups ?? {}
      if (isCalendar) yield { bytes: null, name: quoted ?? bare ?? '' }
    }
  }
}

function isAt(text: Buffer, at: number, what: RegExp): boolean {
  const from = Math.max(0, at - maxBeforeBytes)
  what.lastIndex = at - from
  return what.test(text.toString('latin1', from, at + maxParameterBytes))
}

/** Without its folds. Most text has few, and what lies between two is copied at once. */
async function unfold(text: Buffer, budget: Budget): Promise<Buffer> {
  const nextFolds = [space, tab].map((blank) => nextOf(text, Buffer.from([newline, blank])))
  const nextFold = (from: number) => Math.min(...nextFolds.map((next) => next(from)))
  let at = nextFold(0)
  if (at === text.length) return text
  const out = Buffer.allocUnsafe(text.length)
  let length = 0
  let from = 0
  for (; at < text.length; at = nextFold(at + 1)) {
    const end = text[at - 1] === carriageReturn ? at - 1 : at
    length += text.copy(out, length, from, Math.max(from, end))
    from = at + 2
    if (budget.isTurnOver) await budget.breathe()
  }
  length += text.copy(out, length, from)
  return out.subarray(0, length)
}

/** One line with such parameters, of which each place is looked at once, however many they are. */
class Line {
  readonly #from: number
  /** Colons behind which data were read. */
  readonly #colons = new Set<number>()
  #isRead = false
  #searchedTo: number
  #isFound = false

  /** @param at somewhere on it @param to its end */
  constructor(
    private readonly text: Buffer,
    at: number,
    readonly to: number,
  ) {
    this.#from = text.lastIndexOf(newline, at) + 1
    this.#searchedTo = this.#from
  }

  /** Whether a word is anywhere on the line in front of a place. Asked for from rising places on. */
  hasBefore(at: number, word: RegExp): boolean {
    const from = Math.max(this.#from, this.#searchedTo - maxBeforeBytes)
    this.#isFound ||= word.test(this.text.toString('latin1', from, at))
    this.#searchedTo = at
    return this.#isFound
  }

  /**
   * Data that were not read yet: behind the first colon outside of quotes, or simply the first, or one behind the parameter.
   * @param next the colon behind the parameter, on whatever line
   */
  async *data(next: number, budget: Budget): AsyncGenerator<Buffer, void> {
    if (!this.#isRead) {
      this.#isRead = true
      const line = this.text.subarray(this.#from, this.to)
      for (const at of new Set([line.indexOf(colon), await colonOutsideQuotes(line, budget)])) {
        if (at < 0) continue
        const end = yield* this.#dataBehind(this.#from + at, budget)
        // Some pass over what is no base64.
        if (end < this.to) yield this.text.subarray(this.#from + at + 1, this.to)
      }
    }
    if (next < this.to) yield* this.#dataBehind(next, budget)
  }

  /** A folded line goes on behind a blank; the next entry has a name and a colon, which are no base64. @returns the end */
  async *#dataBehind(at: number, budget: Budget): AsyncGenerator<Buffer, number> {
    const from = at + 1
    if (this.#colons.has(at)) return this.to
    this.#colons.add(at)
    const to = await dataEnd(this.text, from, isBase64Byte, budget)
    yield this.text.subarray(from, withoutNextName(this.text, from, to))
    return to
  }
}

async function colonOutsideQuotes(line: Buffer, budget: Budget): Promise<number> {
  let isQuoted = false
  for await (const piece of piecesOf(line, budget)) {
    for (let at = 0; at < piece.length; at++) {
      if (piece[at] === quote) isQuoted = !isQuoted
      else if (piece[at] === colon && !isQuoted) return piece.byteOffset - line.byteOffset + at
    }
  }
  return -1
}

/** Bytes of a name. */
const maxNextNameBytes = 1000

/** What stands on the last line without a blank may be the name of the next entry. */
function withoutNextName(text: Buffer, from: number, to: number): number {
  const line = text.lastIndexOf(newline, to - 1)
  if (line < from || to - line > maxNextNameBytes) return to
  return /\s/.test(text.toString('latin1', line + 1, to)) ? to : line
}
