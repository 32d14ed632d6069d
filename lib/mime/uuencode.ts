/*
 * Files in the text of a message: uuencode (`begin 644 name`), as mail programs still show it as attachments,
 * and the names of yEnc, whose content is left alone.
 */

import type { BodySink } from './mime-reader'

/** Characters of a line that are looked at. */
const maxLineBytes = 1024
const newline = 0x0a
/** What the lines that tell of a file begin with. */
const [letterB, equalsSign] = [0x62, 0x3d]
const begin = /^begin[ \t]+[0-7]{3,7}[ \t]+(?<name>\S[^]*)$/
/** What is called uuencode in the headers needs less to be taken for it. */
const declaredBegin = /^begin\b(?:[ \t]+\d+[ \t]+(?<name>\S[^]*))?/
const yenc = /^=ybegin [^]*?\bname=(?<name>[^]+)$/
/** Its characters are those from space to backquote, which running text rarely keeps to. */
const encodedLine = /^[\x20-\x60]{1,90}$/

/** Takes the decoded text of a part, names the files in it and hands over what they contain. */
export class UuencodedFiles implements BodySink {
  #line = ''
  /** The file announced in the line before, or in front of an empty one. */
  #announced: string | null = null
  #emptySeen = false
  #file: BodySink | null = null

  constructor(
    private readonly onName: (name: string) => void,
    /** Takes the content of one file. */
    private readonly openFile: () => BodySink,
    /** Whether the headers say that this is uuencode. */
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

  /** Nearly every line, told by its first byte. */
  #saysNothing(first: number | undefined): boolean {
    const isAwaited = this.#line !== '' || this.#announced !== null || this.#file !== null
    return !isAwaited && first !== letterB && first !== equalsSign
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
    const name = yenc.exec(line)?.groups?.name
    if (name !== undefined) this.onName(name)
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

/** Its first character says how many bytes follow; spaces at the end may be lost. */
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

/** Spaces at the end of a line are lost on the way, and stand for zero. */
function digit(line: string, at: number): number {
  return at < line.length ? (line.charCodeAt(at) - 32) & 63 : 0
}
