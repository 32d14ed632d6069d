/*
 * Finds uuencoded files (`begin 644 name`) in the text of a message: mail programs still show them as attachments.
 */

import type { BodySink } from './mime-reader'

/** Bytes of a line that are read; the rest of a longer line is ignored. */
const maxLineBytes = 1024
const newline = 0x0a
/** First byte of `begin`. */
const letterB = 0x62
const begin = /^begin[ \t]+[0-7]{3,7}[ \t]+(?<name>\S[^]*)$/
/** Looser form, for parts whose headers say uuencode. */
const declaredBegin = /^begin\b(?:[ \t]+\d+[ \t]+(?<name>\S[^]*))?/
/** Data lines have only characters from space to backquote; running text nearly always has others. */
const encodedLine = /^[\x20-\x60]{1,90}$/

/** Takes the decoded text of a part; reports the name and the content of each uuencoded file in it. */
export class UuencodedFiles implements BodySink {
  #line = ''
  /** File name from a `begin` line on the previous line, or with one empty line in between. */
  #announced: string | null = null
  #emptySeen = false
  #file: BodySink | null = null

  constructor(
    private readonly onName: (name: string) => void,
    /** @returns the sink for the content of one file */
    private readonly openFile: () => BodySink,
    /** The part's headers say uuencode. */
    private readonly isDeclared: boolean,
  ) {}

  write(bytes: Buffer): void {
    let from = 0
    while (from < bytes.length) {
      const found = bytes.indexOf(newline, from)
      const to = found < 0 ? bytes.length : found
      if (found >= 0 && this.#saysNothing(bytes[from])) {
        from = to + 1
        continue
      }
      const room = maxLineBytes - this.#line.length
      if (room > 0) this.#line += bytes.toString('latin1', from, Math.min(to, from + room))
      if (found >= 0) this.#endLine()
      from = to + 1
    }
  }

  /** True for nearly every line, from its first byte alone. */
  #saysNothing(first: number | undefined): boolean {
    const isAwaited = this.#line !== '' || this.#announced !== null || this.#file !== null
    return !isAwaited && first !== letterB
  }

  end(): void {
    this.#endLine()
    this.#endFile()
  }

  #endLine(): void {
    const line = this.#line.replace(/\r$/, '')
    this.#line = ''
    const began = (this.isDeclared ? declaredBegin : begin).exec(line)
    if (this.#file && !began) {
      this.#fileLine(line)
      return
    }
    this.#endFile()
    const announced = this.#announced
    if (announced !== null && line === '' && (this.isDeclared || !this.#emptySeen)) {
      this.#emptySeen = true
      return
    }
    const wasEmpty = this.#emptySeen
    this.#announced = began && (began.groups?.name ?? '')
    this.#emptySeen = false
    const isData = this.isDeclared || (encodedLine.test(line) && (!wasEmpty || hasItsLength(line)))
    if (announced !== null && !began && isData) {
      this.onName(announced)
      this.#file = this.openFile()
      this.#fileLine(line)
    }
  }

  #fileLine(line: string): void {
    if (line === 'end') this.#endFile()
    else this.#file?.write(decodeLine(line))
  }

  #endFile(): void {
    this.#file?.end()
    this.#file = null
  }
}

/** The first character gives the number of bytes in the line; trailing spaces may be lost in transit. */
function hasItsLength(line: string): boolean {
  return line.length - 1 >= Math.ceil(lengthOf(line) / 3) * 4 - 3
}

function lengthOf(line: string): number {
  return (line.charCodeAt(0) - 32) & 63
}

function decodeLine(line: string): Buffer {
  const length = lengthOf(line)
  const out = Buffer.alloc(Math.ceil(length / 3) * 3)
  for (let at = 0, from = 1; at < length; at += 3, from += 4) {
    const bits = [0, 1, 2, 3].reduce((sum, i) => (sum << 6) | digit(line, from + i), 0)
    out.writeUIntBE(bits & 0xffffff, at, 3)
  }
  return out.subarray(0, length)
}

/** Trailing spaces, which stand for zero, may be lost in transit. */
function digit(line: string, at: number): number {
  return at < line.length ? (line.charCodeAt(at) - 32) & 63 : 0
}
