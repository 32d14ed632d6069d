/*
 * Whether clamd and all mail programs read a message alike, told while it is sent: a short grammar, in which nothing is
 * left to taste. What is not in it is not plain; a message that is not plain costs nothing more.
 *
 *   const check = new PlainCheck()
 *   check.write(block)            // the message as it is sent, in blocks of any size; 64 KiB are best
 *   const { oddity, encrypted, hasContainers } = check.end()   // oddity null: it is plain
 */

import { withoutComments } from '../parameters'
import { type BodyCheck, bodyCheckOf, checkLines } from './body-checks'
import type { BodyListener } from './contents'
import { entityOf, maxLineBytes, maxSectionBytes, NotPlain, type Owner } from './grammar'

export interface PlainResult {
  /** Why it is not plain, in a few words for the log; null: it is. */
  readonly oddity: string | null
  /** What only the recipient can look into, as far as it was seen; null: nothing. */
  readonly encrypted: string | null
  /** A part begins like a file that holds others: an archive, a document, a program. */
  readonly hasContainers: boolean
}

/** Shown what is in a message, as long as it is plain. */
export interface PlainListener {
  /** Header lines of the message, of a message within, or of a part; one character per byte. */
  section(text: string): void
  /** The next bytes of the body behind it, decoded; they hold until it returns. */
  content(bytes: Buffer): void
  /** Of that body. */
  end(): void
}

/** clamd's MaxRecursion is 17 by default, of which a multipart/related takes two. */
const maxDepth = 8
/** clamd stops at 1024 parts of one multipart. */
const maxParts = 500
/** Bytes of text in front of the first part, or behind the last. */
const maxAroundBytes = 4096
/** Lines of dashes, or in brackets, that are no delimiters. */
const maxMarkedLines = 2000

const newline = 0x0a
const dash = 0x2d
const emptyLine = Buffer.from('\r\n\r\n')
/** In front of a part or behind the last: a field, a comment, or what clamd may take for the beginning of something. */
const oddAround = /^(?:[!-9;-~]{1,76}[ \t]*:|\(|begin\b|=y|From )|content-|base64|binhex/im

/** clamd goes on with the headers of a part when the first line of its body is one of these; empty lines do not count. */
const likeHeaders = /^(?:Content|filename=)|base64/

const isBlank = new Uint8Array(256)
for (const byte of Buffer.from(' \t\r\n')) isBlank[byte] = 1

/** clamd looks into a message within a multipart only if there is such a line in it. */
const encodingLine = /^content-transfer-encoding:(?!.*7bit)/im

interface InnerMessage {
  /** Multiparts and messages around its body, itself counted. */
  readonly depth: number
  isEncoded: boolean
}

interface Multipart {
  /** The line in front of each part. */
  readonly delimiter: string
  readonly mark: Buffer
  /** The same in small letters, without dashes. */
  readonly folded: string
  /** Of the part in which it stands, one more. */
  readonly depth: number
  parts: number
}

export class PlainCheck implements BodyListener {
  #oddity: string | null = null
  #encrypted: string | null = null
  #hasContainers = false

  /** The beginning of a line whose end has not come. */
  #pending: Buffer = Buffer.alloc(0)
  /** Lines of a header section; null: we are in a body. */
  #section: string | null = ''
  #owner: Owner = 'mail'
  /** Null: in front of a part or behind the last. */
  #body: BodyCheck | null = null
  #isFirstLine = false
  /** Base64 has lines of nothing else. */
  #mayHoldBoundary = false
  #aroundBytes = 0
  /** The multiparts that are open, the innermost last. */
  readonly #open: Multipart[] = []
  /** Messages in parts, the innermost last. */
  readonly #messages: InnerMessage[] = []
  /** Multiparts and messages around this place. */
  #depth = 0
  #parts = 0
  #markedLines = 0

  constructor(private readonly listener: PlainListener | null = null) {}

  /** Costs next to nothing once the message is not plain. */
  write(block: Buffer): void {
    if (this.#oddity !== null) return
    this.#guarded(() => {
      if (block.includes(0)) throw new NotPlain('a NUL')
      this.#write(block)
    })
  }

  /** Whether that is known already of what was written: it is not plain, or a part begins like a file that holds others. */
  get needsSecondLook(): boolean {
    return this.#oddity !== null || this.#hasContainers
  }

  end(): PlainResult {
    if (this.#oddity === null) this.#guarded(() => this.#end())
    return { oddity: this.#oddity, encrypted: this.#encrypted, hasContainers: this.#hasContainers }
  }

  encrypted(what: string): void {
    this.#encrypted ??= what
  }

  content(bytes: Buffer): void {
    this.listener?.content(bytes)
  }

  container(): void {
    this.#hasContainers = true
  }

  #guarded(step: () => void): void {
    try {
      step()
    } catch (error) {
      if (!(error instanceof NotPlain)) throw error
      this.#oddity = error.why
      if (error.encrypted !== null) this.encrypted(error.encrypted)
      this.#pending = Buffer.alloc(0)
      this.#body = null
    }
  }

  #write(block: Buffer): void {
    let from = 0
    if (this.#pending.length > 0) {
      from = block.indexOf(newline) + 1
      const line = Buffer.concat([this.#pending, block.subarray(0, from || block.length)])
      if (line.length > maxLineBytes + 2) throw new NotPlain('a long line')
      if (from === 0) {
        this.#pending = line
        return
      }
      this.#read(line)
    }
    const to = block.lastIndexOf(newline) + 1
    if (to > from) this.#read(block.subarray(from, to))
    // A copy, for what is written is the caller's.
    this.#pending = Buffer.from(block.subarray(Math.max(from, to)))
    if (this.#pending.length > maxLineBytes + 2) throw new NotPlain('a long line')
  }

  /** Whole lines. */
  #read(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#section !== null) at = this.#readSection(bytes, at)
      else if (this.#body !== null) at = this.#readBody(bytes, at, this.#body)
      else at = this.#readAround(bytes, at)
    }
  }

  #readSection(bytes: Buffer, from: number): number {
    const isEmpty = this.#section === '' || this.#section?.endsWith('\r\n') === true
    if (isEmpty && bytes[from] === 0x0d && bytes[from + 1] === newline) {
      this.#endSection()
      return from + 2
    }
    const found = bytes.indexOf(emptyLine, from)
    const end = found < 0 ? bytes.length : found + 2
    const section = (this.#section ?? '') + bytes.toString('latin1', from, end)
    this.#section = section
    if (section.length > maxSectionBytes) throw new NotPlain('long headers')
    return end
  }

  #endSection(): void {
    const entity = entityOf(this.#section ?? '', this.#owner)
    this.listener?.section(this.#section ?? '')
    if (this.#messages.length > 0 && encodingLine.test(this.#section ?? ''))
      for (const message of this.#messages) message.isEncoded = true
    this.#section = null
    if (entity.kind === 'leaf') {
      this.#body = bodyCheckOf(entity.encoding, entity.content, this)
      this.#mayHoldBoundary = entity.encoding !== 'base64'
      this.#isFirstLine = true
      return
    }
    if (++this.#depth > maxDepth) throw new NotPlain('too deep')
    if (entity.kind === 'message') {
      if (this.#open.length > 0) this.#messages.push({ depth: this.#depth, isEncoded: false })
      this.#section = ''
      this.#owner = 'message'
      return
    }
    const folded = entity.boundary.toLowerCase()
    if (this.#open.some((outer) => outer.folded.includes(folded) || folded.includes(outer.folded))) {
      throw new NotPlain('boundaries alike')
    }
    const delimiter = `--${entity.boundary}`
    const mark = Buffer.from(delimiter)
    this.#open.push({ delimiter, mark, folded, depth: this.#depth, parts: 0 })
    this.#aroundBytes = 0
  }

  #readBody(bytes: Buffer, from: number, body: BodyCheck): number {
    if (this.#isFirstLine) this.#checkFirstLine(bytes, from)
    const at = body.take(bytes, from)
    if (this.#mayHoldBoundary) this.#checkStretch(bytes.subarray(from, at))
    if (at === bytes.length) return at
    return this.#delimiter(bytes, at) ?? body.takeLine(bytes, at)
  }

  #checkFirstLine(bytes: Buffer, from: number): void {
    let at = from
    while (isBlank[bytes[at] ?? 0] === 1) at++
    if (at === bytes.length) return
    this.#isFirstLine = false
    if (likeHeaders.test(bytes.toString('latin1', at, bytes.indexOf(newline, at))))
      throw new NotPlain('a body like headers')
  }

  #readAround(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(newline, from) + 1
    if (bytes[from] === dash) {
      const next = this.#delimiter(bytes, from)
      if (next !== null) return next
      throw new NotPlain('dashes between parts')
    }
    checkLines(bytes, from, end)
    this.#aroundBytes += end - from
    if (this.#aroundBytes > maxAroundBytes) throw new NotPlain('much text between parts')
    if (end - from > 2 && oddAround.test(bytes.toString('latin1', from, end)))
      throw new NotPlain('odd text between parts')
    return end
  }

  /** Some see a delimiter wherever it stands. */
  #checkStretch(text: Buffer): void {
    if (this.#open.some(({ mark }) => text.includes(mark))) throw new NotPlain('a boundary within a line')
  }

  /** @returns the end of the line, or null if it is no delimiter of ours and cannot be taken for one */
  #delimiter(bytes: Buffer, from: number): number | null {
    if (++this.#markedLines > maxMarkedLines) throw new NotPlain('many lines of dashes')
    const end = bytes.indexOf(newline, from) + 1
    const innermost = this.#open.at(-1)
    if (innermost === undefined) return null
    const line = bytes.toString('latin1', from, end)
    if (line === `${innermost.delimiter}\r\n`) this.#beginPart(innermost)
    else if (line === `${innermost.delimiter}--\r\n`) this.#close(innermost)
    else return this.#checkMarked(line)
    return end
  }

  #beginPart(multipart: Multipart): void {
    this.#endPart(multipart)
    multipart.parts++
    if (++this.#parts > maxParts) throw new NotPlain('many parts')
    this.#depth = multipart.depth
    this.#section = ''
    this.#owner = 'part'
  }

  #close(multipart: Multipart): void {
    this.#endPart(multipart)
    if (multipart.parts === 0) throw new NotPlain('a multipart without parts')
    this.#open.pop()
    this.#depth = multipart.depth - 1
    this.#aroundBytes = 0
  }

  #checkMarked(line: string): null {
    const folded = withoutComments(line.toLowerCase())
    if (this.#open.some((one) => folded.includes(one.folded))) throw new NotPlain('a line like a delimiter')
    return null
  }

  #endPart(multipart: Multipart): void {
    this.#endBody()
    while ((this.#messages.at(-1)?.depth ?? 0) > multipart.depth) {
      if (this.#messages.pop()?.isEncoded === false) throw new NotPlain('a message without an encoding')
    }
  }

  #endBody(): void {
    this.#body?.end()
    if (this.#body !== null) this.listener?.end()
    this.#body = null
  }

  #end(): void {
    if (this.#pending.length > 0) throw new NotPlain('no line end at the end')
    if (this.#section !== null) throw new NotPlain('headers without end')
    this.#endBody()
    if (this.#open.length > 0) throw new NotPlain('a multipart without end')
  }
}
