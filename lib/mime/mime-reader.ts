/*
 * A message as header sections and bodies, read as it streams by. Nothing is decoded and no name is looked at
 * here. Nesting is followed as a mail program would, but whatever looks like another part to a more lenient
 * program is reported as well: for names, a part too many does no harm and a part too few does.
 */

import { BareCrDelimiters } from './bare-cr-delimiters'
import { parameters, withoutComments } from './parameters'
import { beginsHeader, type ContentHeader, contentHeaders, mediaTypesOf } from './part-headers'
import { continuedValues, extendedValues } from './rfc2231'
import { encodingsOf } from './transfer-encodings'

export interface Part {
  /** 0 is the message itself, then counted in the order of the message. */
  readonly number: number
  readonly headers: readonly ContentHeader[]
  /** All of the message's own words on what it is, in small letters: `text/plain`. */
  readonly types: readonly string[]
}

export interface BodySink {
  write(bytes: Buffer): void
  end(): void
}

export interface MimeHandler {
  /** A header section is complete; the answer takes the body that follows, as it is in the message. */
  part(part: Part): BodySink
  /** A header section that only some programs would see; its body belongs to another part. */
  stray(headers: readonly ContentHeader[]): void
  /** A multipart is closed; the answer takes the text behind it. */
  epilogue(): BodySink
  /** Something that may hide names. */
  trouble(what: string): void
}

interface Multipart {
  readonly boundaries: ReadonlySet<string>
  /** In a multipart/digest, a part without a type is a message. */
  readonly digest: boolean
}

/** Most bytes of Content- headers of one part that are kept: what reading parameters takes grows with their square. */
const maxSectionBytes = 32 * 1024
/** Bytes of a line that are looked at together. A delimiter has 70 characters in RFC 2046. */
const maxLineBytes = 16 * 1024

const newline = 0x0a
const dash = 0x2d
const lineOfDashes = Buffer.from('\n--')
/** Also behind a carriage return by itself, which some take for the end of a line. */
const contentLine = /^[^!-~]*content-|\r(?!\n)/i
const headerLine = /^[!-9;-~]{1,100}[ \t]*:/

export class MimeReader {
  #pending = Buffer.alloc(0)
  /** Lines of the header section being read; null inside a body. */
  #section: string[] | null = []
  #sectionBytes = 0
  /** Whether the header being read is one that tells of the content. */
  #keeping = false
  /** Of the section. */
  #isFirstLine = true
  #blankSeen = false
  #body: BodySink | null = null
  /** What is to go to the body, in one piece. */
  #passing: Buffer[] = []
  #atLineStart = true
  /** The open multiparts, the outermost first… */
  readonly #levels: Multipart[] = []
  /** …and at which of them each boundary is open, the innermost last. */
  readonly #openAt = new Map<string, number[]>()
  readonly #known = new Set<string>()
  /** Whether delimiters without a boundary parameter are believed here: before, after, and for want of others. */
  #guessing = false
  #guessed: string | null = null
  #stray: string[] | null = null
  #parts = 0

  readonly #loneDelimiters = new BareCrDelimiters(this.#known, (section) => {
    this.handler.trouble('a delimiter stands behind a carriage return by itself')
    this.#foundStray(section)
    return this.#parts <= this.maxParts
  })

  /** @param maxParts maximum header sections, strays included; more are reported as trouble and ignored */
  constructor(
    private readonly handler: MimeHandler,
    private readonly maxParts: number,
  ) {}

  write(chunk: Buffer): void {
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk
    const taken = this.#read(bytes, false)
    this.#pass()
    this.#loneDelimiters.write(chunk)
    // A copy: the pending end of a chunk must not keep all of it.
    this.#pending = Buffer.from(bytes.subarray(taken))
  }

  end(): void {
    const bytes = this.#pending
    this.#pending = Buffer.alloc(0)
    const taken = this.#read(bytes, true)
    if (taken < bytes.length) this.#passing.push(bytes.subarray(taken))
    if (this.#section) this.#endSection()
    this.#endStray()
    this.#endBody()
    this.#loneDelimiters.end()
  }

  /** @returns how many bytes are done with */
  #read(bytes: Buffer, last: boolean): number {
    let at = 0
    while (at < bytes.length && this.#parts <= this.maxParts) {
      const next = this.#wantsLine(bytes, at)
        ? this.#readLine(bytes, at, last)
        : this.#readBlock(bytes, at, last)
      if (next < 0) return at
      at = next
    }
    return bytes.length
  }

  #wantsLine(bytes: Buffer, at: number): boolean {
    if (this.#section !== null) return true
    if (!this.#atLineStart) return false
    return this.#needsNextLine() || startsWithDashes(bytes, at)
  }

  /**
   * One line that may mean something, or the next piece of a very long one.
   * @returns where the next begins, -1 when it is not all there yet
   */
  #readLine(bytes: Buffer, at: number, last: boolean): number {
    const found = bytes.indexOf(newline, at)
    if (found < 0 && !last && bytes.length - at < maxLineBytes) return -1
    const end = Math.min(found < 0 ? bytes.length : found + 1, at + maxLineBytes)
    this.#line(bytes.subarray(at, end), bytes.toString('latin1', at, end))
    this.#atLineStart = bytes[end - 1] === newline
    return end
  }

  /** A stretch of body without a line that begins with dashes. */
  #readBlock(bytes: Buffer, at: number, last: boolean): number {
    if (this.#atLineStart && !last && bytes.length - at === 1 && bytes[at] === dash) return -1
    const found = bytes.indexOf(lineOfDashes, at)
    let end = found < 0 ? bytes.length : found + 1
    if (found < 0 && bytes[bytes.length - 1] === dash && bytes[bytes.length - 2] === newline && !last) end--
    if (this.#needsNextLine()) {
      const line = bytes.indexOf(newline, at)
      if (line >= 0) end = Math.min(end, line + 1)
    }
    if (end === at) return -1
    this.#passing.push(bytes.subarray(at, end))
    this.#atLineStart = bytes[end - 1] === newline
    return end
  }

  #needsNextLine(): boolean {
    return this.#stray !== null || this.#guessed !== null
  }

  #line(bytes: Buffer, text: string): void {
    if (this.#atLineStart && text.startsWith('--') && this.#delimiter(text.slice(2).trimEnd())) return
    if (this.#section !== null) {
      this.#sectionLine(bytes, text)
      return
    }
    const boundary = this.#guessed
    this.#guessed = null
    if (boundary !== null && headerLine.test(text)) {
      this.#enter({ boundaries: new Set([boundary]), digest: false })
      this.#stray = null
      this.#beginSection()
      this.#sectionLine(bytes, text)
      return
    }
    this.#strayLine(text)
    if (this.#guessing && text.startsWith('--')) this.#guess(text.slice(2).trimEnd())
    this.#passing.push(bytes)
  }

  /** @returns whether the line is a delimiter of an open multipart, and done with */
  #delimiter(text: string): boolean {
    const closed = text.endsWith('--') ? text.slice(0, -2) : null
    // Most lines of dashes are no delimiters: they must cost nothing, however many multiparts are open.
    if (!this.#known.has(text) && (closed === null || !this.#known.has(closed))) return false
    const opened = this.#openAt.get(text)?.at(-1) ?? -1
    const level = Math.max(opened, closed === null ? -1 : (this.#openAt.get(closed)?.at(-1) ?? -1))
    if (level >= 0) {
      if (this.#section !== null) this.#endSection()
      this.#endStray()
      this.#leave(level + 1)
      if (opened === level) this.#beginSection()
      else this.#beginBody(this.handler.epilogue(), true)
      return true
    }
    if (this.#section === null && this.#known.has(text)) {
      this.#endStray()
      this.#stray = []
    }
    return false
  }

  #enter(multipart: Multipart): void {
    for (const boundary of multipart.boundaries) {
      this.#known.add(boundary)
      const open = this.#openAt.get(boundary)
      if (open) open.push(this.#levels.length)
      else this.#openAt.set(boundary, [this.#levels.length])
    }
    this.#levels.push(multipart)
  }

  /** Closes multiparts until `count` are open. */
  #leave(count: number): void {
    for (const { boundaries } of this.#levels.splice(count)) {
      for (const boundary of boundaries) {
        const open = this.#openAt.get(boundary)
        open?.pop()
        if (open?.length === 0) this.#openAt.delete(boundary)
      }
    }
  }

  #beginSection(): void {
    this.#endBody()
    this.#section = []
    this.#sectionBytes = 0
    this.#keeping = false
    this.#isFirstLine = true
    this.#blankSeen = false
  }

  #beginBody(body: BodySink, guessing: boolean): void {
    this.#endBody()
    this.#body = body
    this.#section = null
    this.#guessing = guessing
    this.#guessed = null
  }

  #sectionLine(bytes: Buffer, text: string): void {
    if (this.#atLineStart && (text === '\r\n' || text === '\n')) {
      this.#endSection()
      return
    }
    // A line of white space goes on with the header for some and ends the section for others.
    const blank = text.trim() === ''
    if (this.#blankSeen && !blank && !/^[ \t]/.test(text) && !headerLine.test(text)) {
      this.#endSection()
      // It may be a delimiter of what the section has just begun.
      if (!text.startsWith('--') || !this.#delimiter(text.slice(2).trimEnd())) this.#passing.push(bytes)
      return
    }
    this.#blankSeen ||= blank
    const isHeader =
      this.#isFirstLine || (!/^[ \t]/.test(text) && (contentLine.test(text) || beginsHeader(text)))
    this.#isFirstLine = false
    if (this.#atLineStart && isHeader) this.#keeping = contentLine.test(text)
    if (!this.#keeping) return
    this.#sectionBytes += bytes.length
    if (this.#sectionBytes <= maxSectionBytes) this.#section?.push(text)
    else this.handler.trouble(`more than ${maxSectionBytes} bytes in the headers of a part`)
  }

  #endSection(): void {
    const headers = contentHeaders(this.#section?.join('') ?? '')
    this.#section = null
    if (!this.#counted()) return
    const types = mediaTypesOf(headers)
    if (types.length === 0 && this.#levels.at(-1)?.digest) types.push('message/rfc822')
    const part = { number: this.#parts - 1, headers, types }
    this.#beginBody(this.handler.part(part), false)
    if (types.some(isMultipart)) this.#openMultipart(headers, types.includes('multipart/digest'))
    else if (types.some(isMessage) && encodingsOf(headers).every((encoding) => encoding === 'identity')) {
      this.#beginSection()
    }
  }

  #openMultipart(headers: readonly ContentHeader[], digest: boolean): void {
    const { boundaries, conflicting } = boundariesOf(headers)
    if (conflicting) this.handler.trouble('a multipart has several boundaries')
    this.#enter({ boundaries, digest })
    this.#guessing = true
  }

  #guess(boundary: string): void {
    if (boundary !== '' && boundary.length <= 200) this.#guessed = boundary
  }

  #pass(): void {
    const passing = this.#passing
    this.#passing = []
    if (passing.length > 0) this.#body?.write(joined(passing))
  }

  #endBody(): void {
    this.#pass()
    this.#body?.end()
    this.#body = null
  }

  #strayLine(text: string): void {
    if (this.#stray === null) return
    if (text.trim() === '' || this.#stray.length > 100) this.#endStray()
    // A very long line comes without its end.
    else this.#stray.push(text.endsWith('\n') ? text : `${text}\n`)
  }

  #endStray(): void {
    const lines = this.#stray
    this.#stray = null
    if (lines !== null && lines.length > 0) this.#foundStray(lines.join(''))
  }

  #foundStray(section: string): void {
    if (this.#counted()) this.handler.stray(contentHeaders(section))
  }

  #counted(): boolean {
    if (++this.#parts <= this.maxParts) return true
    this.#endBody()
    this.handler.trouble(`more than ${this.maxParts} parts`)
    return false
  }
}

/** Pieces of one message mostly lie one behind the other: then nothing is copied. */
export function joined(pieces: readonly Buffer[]): Buffer {
  const [first] = pieces
  if (first === undefined) return Buffer.alloc(0)
  let end = first.byteOffset
  for (const piece of pieces) {
    if (piece.buffer !== first.buffer || piece.byteOffset !== end) return Buffer.concat(pieces)
    end += piece.length
  }
  return Buffer.from(first.buffer, first.byteOffset, end - first.byteOffset)
}

export function isMultipart(type: string): boolean {
  return type.startsWith('multipart')
}

export function isMessage(type: string): boolean {
  return type.startsWith('message/')
}

function startsWithDashes(bytes: Buffer, at: number): boolean {
  return bytes[at] === dash && bytes[at + 1] === dash
}

/** Every boundary that a program might take from the headers, and whether they say more than one thing. */
function boundariesOf(headers: readonly ContentHeader[]) {
  const boundaries = new Set<string>()
  const claims = new Set<string>()
  for (const { value } of headers.filter(({ field }) => field === 'type')) {
    const unfolded = value.replaceAll('\n', ' ')
    for (const { readings, index } of parameters(withoutComments(unfolded), 'boundary').found) {
      if (index === null) claims.add(readings[0])
    }
    for (const text of new Set([withoutComments(unfolded), unfolded])) {
      for (const boundary of boundariesIn(text)) boundaries.add(boundary.trimEnd())
    }
  }
  boundaries.delete('')
  return { boundaries, conflicting: claims.size > 1 && boundaries.size > 1 }
}

function boundariesIn(value: string): string[] {
  const { found } = parameters(value, 'boundary')
  const pieces = found.filter(({ index }) => index !== null)
  return [
    ...found.filter(({ index, extended }) => index === null && !extended).flatMap(({ readings }) => readings),
    ...found.filter(({ index, extended }) => index === null && extended).flatMap(extendedValues),
    ...(pieces.length > 0 ? continuedValues(pieces) : []),
  ]
}
