/*
 * What decoded content holds that clamd or some program reads otherwise than as a file: files within text, messages
 * within files; and what begins there that others want to look into.
 */

import { type LeafContent, NotPlain } from './grammar'

/** What is found in bodies. */
export interface Findings {
  encrypted(what: string): void
  container(kind: string): void
}

/** Bytes of a file that tell what it is. */
const headBytes = 64

/** Files that hold files, by how they begin. */
const containers: readonly (readonly [kind: string, begin: Buffer])[] = (
  [
    ['zip', '504b0304'],
    ['zip', '504b0506'],
    ['zip', '504b0708'],
    ['rar', '526172211a07'],
    ['7z', '377abcaf271c'],
    ['gzip', '1f8b'],
    ['bzip2', '425a68'],
    ['xz', 'fd377a585a00'],
    ['zstd', '28b52ffd'],
    ['cab', '4d534346'],
    ['arj', '60ea'],
    ['lzh', '2d6c68'],
    ['ole', 'd0cf11e0a1b11ae1'],
    ['pdf', '25504446'],
    ['rtf', '7b5c7274'],
    ['program', '4d5a'],
  ] as const
).map(([kind, hex]) => [kind, Buffer.from(hex, 'hex')])

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
    private readonly findings: Findings,
  ) {}

  /** @param length of what counts of the bytes */
  write(bytes: Buffer, length: number): void {
    if (this.#head === null) return
    this.#head = Buffer.concat([this.#head, bytes.subarray(0, Math.min(length, headBytes))])
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
    for (const [kind, begin] of containers) {
      if (
        head
          .subarray(kind === 'lzh' ? 2 : 0)
          .subarray(0, begin.length)
          .equals(begin)
      )
        this.findings.container(kind)
    }
  }
}

/** Files in text, and parts that no multipart is known to hold. */
const uuencodes = ['begin', 'Begin', 'BEGIN'].map((word) => Buffer.from(`\n${word}`))
/** Behind the word: the mode, or the other encoding. */
const beginLine = /^(?:[ \t]+(?:\d|$)|-base64)/i
const otherFiles: readonly (readonly [what: string, mark: Buffer])[] = [
  ['yEnc', Buffer.from('=ybegin')],
  ['BinHex', Buffer.from('with BinHex')],
  ['headers', Buffer.from('\nContent-T')],
  ['headers', Buffer.from('\ncontent-t')],
  ['headers', Buffer.from('\nContent-t')],
]
const pgpMessage = Buffer.from('\n-----BEGIN PGP MESSAGE')
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
    private readonly findings: Findings,
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
    for (const begin of uuencodes) {
      for (let at = bytes.indexOf(begin); at >= 0; at = bytes.indexOf(begin, at + 1)) {
        if (isBlankOrDash(bytes[at + begin.length])) this.#checkBegin(bytes, at + begin.length)
      }
    }
    for (const [what, mark] of otherFiles) if (bytes.includes(mark)) throw new NotPlain(`${what} in text`)
    if (bytes.includes(pgpMessage)) this.findings.encrypted('PGP message')
  }

  #checkBegin(bytes: Buffer, from: number): void {
    if (beginLine.test(bytes.toString('latin1', from, from + overlap / 2)))
      throw new NotPlain('uuencode in text')
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

function isBlankOrDash(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x2d
}
