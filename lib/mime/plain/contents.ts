/*
 * What decoded content holds that clamd or some program reads otherwise than as a file: files within text, messages
 * within files; and what begins there that others want to look into.
 */

import { binHexMark } from '../containers/binhex'
import { type LeafContent, NotPlain } from './grammar'

/** Told what is in bodies. */
export interface BodyListener {
  encrypted(what: string): void
  container(): void
  /** The next bytes of a body, decoded; they hold until it returns. */
  content(bytes: Buffer): void
}

/** Bytes of a file that tell what it is. */
const headBytes = 64

/** Of files that hold files: zip, RAR, 7z, gz, bz2, xz, zst, cab, arj; old documents, PDF, RTF; programs. */
const containers =
  '504b0304 504b0506 504b0708 526172211a07 377abcaf271c 1f8b 425a68 fd377a585a00 28b52ffd 4d534346 60ea d0cf11e0a1b11ae1 25504446 7b5c7274 4d5a'
    .split(' ')
    .map((hex) => Buffer.from(hex, 'hex'))
const lzh = Buffer.from('-lh')

const tnef = Buffer.from('789f3e22', 'hex')
/** A message, or what a program would take for one: a field, perhaps behind empty lines, or an mbox. */
const startsLikeMessage = /^(?:\xef\xbb\xbf)?[\s\0]*(?:>?From |[!-9;-~]{1,60}[ \t]*:(?!\/\/))/
/** OID 1.2.840.113549.1.7: all of S/MIME. */
const cms = Buffer.from('2a864886f70d0107', 'hex')

/** The first bytes of a part. */
export class FileHead {
  #head: Buffer | null = Buffer.alloc(0)

  constructor(
    private readonly content: LeafContent,
    private readonly listener: BodyListener,
  ) {}

  /** @param length of what counts of the bytes */
  write(bytes: Buffer, length: number): void {
    if (this.#head === null) return
    const bytesOf = bytes.subarray(0, Math.min(length, headBytes))
    this.#head = this.#head.length === 0 ? Buffer.from(bytesOf) : Buffer.concat([this.#head, bytesOf])
    if (this.#head.length >= headBytes) this.#look(this.#head)
  }

  end(): void {
    if (this.#head !== null) this.#look(this.#head)
  }

  #look(head: Buffer): void {
    this.#head = null
    if (head.subarray(0, 4).equals(tnef)) throw new NotPlain('TNEF')
    if (head[0] === 0x30 && head.includes(cms)) throw new NotPlain('S/MIME')
    if (this.content === 'file' && startsLikeMessage.test(head.toString('latin1'))) {
      throw new NotPlain('a file like a message')
    }
    const begins = (mark: Buffer, at = 0) => head.subarray(at, at + mark.length).equals(mark)
    if (containers.some((mark) => begins(mark)) || begins(lzh, 2)) this.listener.container()
  }
}

const newline = 0x0a
/** First bytes of lines that may be one of the next. */
const suspicious = new Uint8Array(256)
for (const byte of Buffer.from('bB=cC-')) suspicious[byte] = 1
/** Files in text, as ../containers/text-files.ts reads them, and parts that no multipart is known to hold. */
const files: readonly (readonly [what: string, line: RegExp])[] = [
  ['uuencode', /^begin(?:[ \t]+(?:\d|$)|-base64)/i],
  ['yEnc', /^=ybegin/],
  ['headers', /^content-t/i],
]
const pgpMessage = '-----BEGIN PGP MESSAGE'
/** Bytes of the longest of these, and more. */
const overlap = 32
/** Bytes of a calendar that are looked at in one piece; its lines may be folded anywhere. */
const maxCalendarBytes = 256 * 1024
const calendarFile = /ENCODING\s*=\s*"?B|VALUE\s*=\s*"?BINARY|:\s*data:/i

/** The text of a part, as it is shown. */
export class TextWatch {
  #tail: Buffer = Buffer.from('\n')
  #lines: string | null

  constructor(
    content: LeafContent,
    private readonly listener: BodyListener,
  ) {
    this.#lines = content === 'lines' ? '' : null
  }

  write(bytes: Buffer): void {
    const { length } = this.#tail
    // The seam, and then the rest without a copy of it.
    this.#look(Buffer.concat([this.#tail, bytes.subarray(0, overlap)]))
    if (bytes.length > overlap) this.#look(bytes)
    this.#tail = Buffer.from(
      bytes.length >= overlap
        ? bytes.subarray(-overlap)
        : Buffer.concat([this.#tail, bytes]).subarray(-Math.min(overlap, length + bytes.length)),
    )
    if (this.#lines !== null) this.#addLines(bytes)
  }

  #look(bytes: Buffer): void {
    for (let at = bytes.indexOf(newline) + 1; at > 0; at = bytes.indexOf(newline, at) + 1) {
      if (suspicious[bytes[at] ?? 0] === 1) this.#lookAtLine(bytes.toString('latin1', at, at + overlap))
    }
    if (bytes.includes(binHexMark)) throw new NotPlain('BinHex in text')
  }

  #lookAtLine(line: string): void {
    for (const [what, begin] of files) if (begin.test(line)) throw new NotPlain(`${what} in text`)
    if (line.startsWith(pgpMessage)) this.listener.encrypted('PGP message')
  }

  #addLines(bytes: Buffer): void {
    const lines = (this.#lines ?? '') + bytes.toString('latin1')
    this.#lines = lines
    if (lines.length > maxCalendarBytes) throw new NotPlain('a long calendar')
  }

  end(): void {
    if (this.#lines !== null && calendarFile.test(this.#lines.replace(/\r?\n[ \t]/g, ''))) {
      throw new NotPlain('a file in a calendar')
    }
  }
}
