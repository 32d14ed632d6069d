/*
 * Bodies of parts whose encoding clamd and all mail programs undo alike: base64 in lines of one length with padding only
 * at its end, quoted-printable without blanks behind soft breaks, text with whole line ends. Works on stretches of whole
 * lines and leaves the bytes to native code where it can.
 */

import { decodeDigits, endOfRun, runBytes } from '../base64-runs'
import { type BodyListener, FileHead, TextWatch } from './contents'
import { type LeafContent, type LeafEncoding, maxLineBytes, NotPlain } from './grammar'

export interface BodyCheck {
  /**
   * Takes whole lines from `from` on.
   * @returns where it stopped: at a line that may be a delimiter, or behind the last line
   * @throws NotPlain
   */
  take(bytes: Buffer, from: number): number
  /** Takes the line that begins here: it is no delimiter. @returns the end of that line */
  takeLine(bytes: Buffer, from: number): number
  /** @throws NotPlain */
  end(): void
}

export function bodyCheckOf(encoding: LeafEncoding, content: LeafContent, listener: BodyListener): BodyCheck {
  if (encoding === 'base64') return new Base64Check(content, listener)
  return new TextCheck(encoding === 'quoted-printable', content, listener)
}

const [newline, carriageReturn, dash, parenthesis, equalsSign, space, tab] = [10, 13, 45, 40, 61, 32, 9]

/** Where decoded content lies for a moment: everything here runs to its end without a wait. */
const scratch = Buffer.alloc(runBytes)

/** Where a body ends there may be one, or one in each block. */
const maxFailedRuns = 4

class Base64Check implements BodyCheck {
  /** Characters of each line but the last; 0: none has come yet. */
  #lineLength = 0
  #hasEnded = false
  #failedRuns = 0
  readonly #head: FileHead
  readonly #watch: TextWatch | null

  constructor(
    content: LeafContent,
    private readonly listener: BodyListener,
  ) {
    this.#head = new FileHead(content, listener)
    this.#watch = content === 'file' ? null : new TextWatch(content, listener)
  }

  take(bytes: Buffer, from: number): number {
    let at = from
    while (at < bytes.length && bytes[at] !== dash) {
      const next = this.#hasEnded ? at : this.#takeRun(bytes, at)
      at = next > at ? next : this.takeLine(bytes, at)
    }
    return at
  }

  /** Lines of full length, many at once. */
  #takeRun(bytes: Buffer, from: number): number {
    const length = this.#lineLength
    if (length === 0) return from
    const end = endOfRun(bytes, from, length)
    if (end === from) return from
    if (this.#decode(bytes, from, end, ((end - from) / (length + 2)) * length)) return end
    // By chance there was a line end where the last lines would have theirs.
    if (++this.#failedRuns > maxFailedRuns) throw new NotPlain('no base64')
    return from
  }

  takeLine(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(newline, from) + 1
    const length = end - 2 - from
    if (bytes[end - 2] !== carriageReturn) throw new NotPlain('LF without CR')
    if (length === 0) {
      this.#hasEnded = true
      return end
    }
    if (this.#hasEnded) throw new NotPlain('text behind base64')
    if (length > maxLineBytes || length % 4 !== 0) throw new NotPlain('length of a base64 line')
    if (this.#lineLength === 0) this.#lineLength = length
    else if (length > this.#lineLength) throw new NotPlain('length of a base64 line')
    const padding = bytes[end - 3] === equalsSign ? (bytes[end - 4] === equalsSign ? 2 : 1) : 0
    this.#hasEnded = length < this.#lineLength || padding > 0
    if (!this.#decode(bytes, from, end - 2 - padding, length - padding)) throw new NotPlain('no base64')
    if (padding > 0 && hasLooseBits(bytes.toString('latin1', end - 6, end - 2)))
      throw new NotPlain('loose bits behind base64')
    return end
  }

  /** @param digits how many there have to be @returns false: there are fewer, or other characters */
  #decode(bytes: Buffer, from: number, to: number, digits: number): boolean {
    const decoded = decodeDigits(bytes, from, to, digits, scratch)
    if (decoded < 0) return false
    this.#head.write(scratch, decoded)
    const content = scratch.subarray(0, decoded)
    this.#watch?.write(content)
    this.listener.content(content)
    return true
  }

  end(): void {
    this.#head.end()
    this.#watch?.end()
  }
}

/** The last digit has bits that decoders drop. clamd makes a byte of them. */
function hasLooseBits(lastDigits: string): boolean {
  return Buffer.from(lastDigits, 'base64').toString('base64') !== lastDigits
}

/** Text has hardly ever shorter lines on average; each costs as much as a long one. */
const minLineBytes = 8
const maxShortLines = 8192
const dashes = Buffer.from('\n--')
const comment = Buffer.from('\n(')

class TextCheck implements BodyCheck {
  readonly #head: FileHead
  readonly #watch: TextWatch
  /** Looks at the lines before they are decoded, as clamd does. */
  readonly #rawWatch: TextWatch | null
  #endsInSoftBreak = false
  #hasLines = false
  /** Lines beyond those that the bytes so far should have. */
  #surplus = 0

  constructor(
    isQuotedPrintable: boolean,
    private readonly content: LeafContent,
    private readonly listener: BodyListener,
  ) {
    this.#head = new FileHead(content, listener)
    this.#watch = new TextWatch(content, listener)
    this.#rawWatch = isQuotedPrintable ? new TextWatch('text', listener) : null
  }

  take(bytes: Buffer, from: number): number {
    const end = endOfStretch(bytes, from)
    if (end > from) this.#takeLines(bytes, from, end)
    return end
  }

  takeLine(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(newline, from) + 1
    this.#takeLines(bytes, from, end)
    return end
  }

  #takeLines(bytes: Buffer, from: number, to: number): void {
    this.#surplus += checkLines(bytes, from, to) - (to - from) / minLineBytes
    if (this.#surplus > maxShortLines) throw new NotPlain('many short lines')
    this.#hasLines = true
    if (this.#rawWatch === null) {
      this.#content(bytes.subarray(from, to))
      return
    }
    this.#rawWatch.write(bytes.subarray(from, to))
    this.#endsInSoftBreak = bytes[to - 3] === equalsSign
    for (let at = from; at < to; at += scratch.length) {
      // An escape is not cut: the decoder takes a few bytes more, and begins behind them.
      const end = Math.min(to, at + scratch.length - 8)
      at = this.#decode(bytes, at, end, to) - scratch.length
    }
  }

  /** @returns where it stopped, at `end` or behind an escape that goes beyond it */
  #decode(bytes: Buffer, from: number, end: number, limit: number): number {
    let at = from
    let length = 0
    while (at < end) {
      const byte = bytes[at++] ?? 0
      if (byte !== equalsSign) {
        if (byte >= 0x80) throw new NotPlain('eight-bit quoted-printable')
        if (byte === carriageReturn && isBlank(bytes[at - 2]))
          throw new NotPlain('blanks behind quoted-printable')
        scratch[length++] = byte
        continue
      }
      if (bytes[at] === carriageReturn) {
        at += 2
        continue
      }
      const escaped = at + 2 <= limit ? hexByte(bytes[at], bytes[at + 1]) : -1
      if (escaped < 0) throw new NotPlain('a broken escape')
      scratch[length++] = escaped
      at += 2
    }
    this.#content(scratch.subarray(0, length))
    return at
  }

  #content(bytes: Buffer): void {
    this.#head.write(bytes, bytes.length)
    this.#watch.write(bytes)
    this.listener.content(bytes)
  }

  end(): void {
    if (this.#endsInSoftBreak) throw new NotPlain('a soft break at the end')
    this.#head.end()
    this.#watch.end()
    this.#rawWatch?.end()
    // clamd makes LF of line ends, leaves out empty lines and adds one at the end: no file is what it was.
    if (this.#hasLines && (this.content === 'file' || this.#head.isContainer))
      throw new NotPlain('a file in lines of text')
  }
}

/** Up to the next line that begins with two dashes, or with a comment, which clamd strips from delimiters. */
function endOfStretch(bytes: Buffer, from: number): number {
  if (isMarked(bytes, from)) return from
  const next = bytes.indexOf(dashes, from)
  const end = next < 0 ? bytes.length : next + 1
  const commented = bytes.subarray(from, end).indexOf(comment)
  return commented < 0 ? end : from + commented + 1
}

function isMarked(bytes: Buffer, at: number): boolean {
  return (bytes[at] === dash && bytes[at + 1] === dash) || bytes[at] === parenthesis
}

/** Line ends are CRLF, no line is long, and none looks like base64. @returns how many lines @throws NotPlain */
export function checkLines(bytes: Buffer, from: number, to: number): number {
  let lines = 0
  for (let at = from; at < to; lines++) {
    if (isBase64(bytes, at)) throw new NotPlain('base64 in text')
    const end = bytes.indexOf(newline, at)
    if (bytes[end - 1] !== carriageReturn || end === at) throw new NotPlain('LF without CR')
    if (end - 1 - at > maxLineBytes) throw new NotPlain('a long line')
    at = end + 1
  }
  for (let at = from, left = lines; left > 0; left--) {
    at = bytes.indexOf(carriageReturn, at) + 1
    if (bytes[at] !== newline) throw new NotPlain('CR without LF')
  }
  return lines
}

/** Digits in a row at the beginning of a line that are base64 without a header that names it. */
const minDigits = 40

function isBase64(bytes: Buffer, from: number): boolean {
  let at = from
  while (isDigit[bytes[at] ?? 0] === 1) at++
  return at - from >= minDigits
}

const isDigit = new Uint8Array(256)
for (const digit of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'))
  isDigit[digit] = 1

function isBlank(byte: number | undefined): boolean {
  return byte === space || byte === tab
}

const hexDigits = new Int8Array(256).fill(-1)
for (const [value, digit] of Array.from('0123456789ABCDEF').entries()) {
  hexDigits[digit.charCodeAt(0)] = value
  hexDigits[digit.toLowerCase().charCodeAt(0)] = value
}

function hexByte(high = 0, low = 0): number {
  const a = hexDigits[high] ?? -1
  const b = hexDigits[low] ?? -1
  return a < 0 || b < 0 ? -1 : a * 16 + b
}
