/*
 * What decoded content holds that clamd or some program reads otherwise than as a file: files within text, messages
 * within files; and what begins there that others want to look into.
 */

import { endBytes, footers, rarMark } from '../../base/file-marks'
import { isTar } from '../../base/tar'
import { beginsAsApple } from '../containers/apple'
import { binHexMark } from '../containers/binhex'
import { type LeafContent, NotPlain } from './grammar'

/** Told what is in bodies. */
export interface BodyListener {
  encrypted(what: string): void
  container(): void
  /** The next bytes of a body, decoded; they hold until it returns. */
  content(bytes: Buffer): void
}

/** Bytes of a file that nearly always tell what it is, and of one that may be a disk image or a tar archive. */
const [headBytes, imageBytes] = [64, 1100]

/**
 * Of files that hold files: zip, RAR, 7z, gz, bz2, xz, zst, lzma, z, cab, arj, cpio, ar, rpm, wim, xar, chm, lz4, lzip, alz,
 * egg; disk images (vhd, vhdx, vmdk, qcow, a partition map, an encrypted dmg); old documents, PDF, RTF; programs.
 */
const containers = new Map<number, Buffer[]>()
for (const hex of '504b0304 504b0506 504b0708 526172211a07 377abcaf271c 1f8b 425a68 fd377a585a00 28b52ffd 5d00 1f9d 4d534346 60ea 30373037 213c617263683e0a edabeedb 4d5357494d 78617221 49545346 04224d18 4c5a495001 414c5a01 45474741 636f6e6563746978 7668647866696c65 4b444d56 514649fb 45520200 656e637263647361 d0cf11e0a1b11ae1 25504446 7b5c7274 4d5a'.split(
  ' ',
)) {
  const mark = Buffer.from(hex, 'hex')
  containers.set(mark[0] ?? 0, [...(containers.get(mark[0] ?? 0) ?? []), mark])
}

/** The same, whose mark is not at the beginning: zst, lzh, ace, zoo, vdi; tar; boot sectors, HFS+ and APFS. */
const farContainers: readonly (readonly [at: number, mark: Buffer])[] = [
  [1, Buffer.from('2a4d18', 'hex')],
  [2, Buffer.from('-lh')],
  [2, Buffer.from('-lz')],
  [7, Buffer.from('**ACE**')],
  [20, Buffer.from('dca7c4fd', 'hex')],
  [32, Buffer.from('NXSB')],
  [64, Buffer.from('7f10dabe', 'hex')],
  [257, Buffer.from('ustar')],
  [510, Buffer.from('55aa', 'hex')],
  [512, Buffer.from('EFI PART')],
  [1024, Buffer.from('H+')],
  [1024, Buffer.from('HX')],
]

/** Bytes that are searched at a time, or more. */
const searchedBytes = 4096

const tnef = Buffer.from('789f3e22', 'hex')
/** A message, or what a program would take for one: a field, perhaps behind empty lines, or an mbox. */
const startsLikeMessage = /^(?:\xef\xbb\xbf)?[\s\0]*(?:>?From |[!-9;-~]{1,60}[ \t]*:(?!\/\/))/
/** OID 1.2.840.113549.1.7: all of S/MIME. */
const cms = Buffer.from('2a864886f70d0107', 'hex')

/** What a part begins and ends with; and RAR archives in it, which some programs find wherever they are. */
export class FileHead {
  #head: Buffer | null = Buffer.alloc(0)
  #wanted = headBytes
  #isContainer = false
  /** The last bytes, some of which may not have been searched. */
  #recent: Buffer | null = null
  #recentBytes = 0

  constructor(
    private readonly content: LeafContent,
    private readonly listener: BodyListener,
  ) {}

  /** Whether it begins like a file that holds others, or holds RAR, as far as it was written. */
  get isContainer(): boolean {
    return this.#isContainer
  }

  /** @param length of what counts of the bytes */
  write(bytes: Buffer, length: number): void {
    for (let at = 0; at < length && this.#head !== null;) {
      const piece = bytes.subarray(at, Math.min(length, at + this.#wanted - this.#head.length))
      this.#head = this.#head.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#head, piece])
      at += piece.length
      if (this.#head.length === this.#wanted) this.#look(this.#head)
    }
    if (!this.#isContainer) this.#search(bytes.subarray(0, length))
  }

  end(): void {
    if (this.#head !== null) this.#look(this.#head)
    this.#searchEnd()
  }

  /** Small pieces are searched together. */
  #search(bytes: Buffer): void {
    this.#recent ??= Buffer.allocUnsafe(searchedBytes)
    if (this.#recentBytes + bytes.length <= searchedBytes) {
      this.#recentBytes += bytes.copy(this.#recent, this.#recentBytes)
      return
    }
    const seam = Buffer.concat([this.#recent.subarray(0, this.#recentBytes), bytes.subarray(0, endBytes)])
    if (seam.includes(rarMark) || bytes.includes(rarMark)) this.#found()
    const last = bytes.length < endBytes ? seam : bytes
    this.#recentBytes = last.copy(this.#recent, 0, Math.max(0, last.length - endBytes))
  }

  #searchEnd(): void {
    const recent = this.#recent?.subarray(0, this.#recentBytes)
    if (!recent || this.#isContainer) return
    const end = recent.subarray(-endBytes)
    if (recent.includes(rarMark) || footers.some(({ mark }) => end.includes(mark))) this.#found()
  }

  #found(): void {
    this.#isContainer = true
    this.listener.container()
  }

  #look(head: Buffer): void {
    this.#head = null
    if (this.#wanted === headBytes) this.#lookForMessage(head)
    // A disc has nothing in its first sectors, and then one of several marks.
    const isDisc = head.length === imageBytes && head.every((byte) => byte === 0)
    if (isDisc || isContainer(head) || isTar(head)) this.#found()
    else if (this.#wanted === headBytes && head.length === headBytes) {
      this.#head = head
      this.#wanted = imageBytes
    }
  }

  #lookForMessage(head: Buffer): void {
    if (head.subarray(0, 4).equals(tnef)) throw new NotPlain('TNEF')
    if (beginsAsApple(head)) throw new NotPlain('a file of a Mac')
    if (head[0] === 0x30 && (head.includes(cms) || hasLongLength(head))) throw new NotPlain('S/MIME')
    if (this.content === 'file' && startsLikeMessage.test(head.toString('latin1')))
      throw new NotPlain('a file like a message')
  }
}

/** The length takes more than four bytes, which no mail needs. Then the mark of S/MIME may lie behind the head. */
function hasLongLength(head: Buffer): boolean {
  const length = head[1] ?? 0
  return length > 0x84 && length < 0xff
}

function isContainer(head: Buffer): boolean {
  const near = containers.get(head[0] ?? 0) ?? []
  return near.some((mark) => isAt(head, 0, mark)) || farContainers.some(([at, mark]) => isAt(head, at, mark))
}

function isAt(head: Buffer, at: number, mark: Buffer): boolean {
  return head.subarray(at, at + mark.length).equals(mark)
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
const calendarFile = /ENCODING\s*=\s*"?B|;\s*BASE64\s*[;:]|VALUE\s*=\s*"?BINARY|:\s*data:/i

const escape = '\x1b'
const escapes = new RegExp(`${escape}(?:\\((?<one>.)|\\$(?<two>.))`, 'gs')
const maxEscapeBytes = 3

/**
 * Escape sequences of ISO-2022-JP. Programs leave them out, so one within a word splits it for clamd only. In real text each
 * one switches between ASCII and Japanese.
 */
class Escapes {
  /** The last bytes, in which one may begin. */
  #tail = ''
  #tailAt = 0
  #isAscii = true
  /** Where the last one ended, in bytes of the text. */
  #endAt = -1

  write(bytes: Buffer): void {
    if (bytes.includes(escape) || this.#tail.includes(escape))
      this.#look(this.#tail + bytes.toString('latin1'))
    const keep = Math.min(bytes.length, maxEscapeBytes - 1)
    const tail = (this.#tail + bytes.toString('latin1', bytes.length - keep)).slice(1 - maxEscapeBytes)
    this.#tailAt += this.#tail.length + bytes.length - tail.length
    this.#tail = tail
  }

  #look(text: string): void {
    for (const { index, groups } of text.matchAll(escapes)) {
      const at = this.#tailAt + index
      if (at < this.#endAt) continue
      const isAscii = groups?.one === 'B'
      const isKnown = isAscii ? !this.#isAscii : groups?.two === 'B' || groups?.two === '@'
      if (!isKnown || at === this.#endAt) throw new NotPlain('an odd escape in text')
      this.#isAscii = isAscii
      this.#endAt = at + maxEscapeBytes
    }
  }
}

/** The text of a part, as it is shown. */
export class TextWatch {
  #tail: Buffer = Buffer.from('\n')
  readonly #escapes = new Escapes()
  #lines: string | null

  constructor(
    content: LeafContent,
    private readonly listener: BodyListener,
  ) {
    this.#lines = content === 'lines' ? '' : null
  }

  write(bytes: Buffer): void {
    this.#escapes.write(bytes)
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
