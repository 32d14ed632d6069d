/*
 * What is in a message: the decoded content of every part, in every reading that a mail program might have of it, each
 * content once. For messages that are not plain (lib/mime/plain/), whose parts clamd may not have read.
 *
 *   const readings = new Readings(source, { signal })
 *   for await (const { name, bytes } of readings.contents()) …   // one at a time; take as long as you like
 *   readings.summary                                             // what is closed, and which limit was reached
 *
 * Two things are tried on the message, and on whatever in it looks like one. A lenient reader (mime-reader.ts) follows the
 * structure; then every stretch that could be a body (stretches.ts) is decoded in each way that its bytes allow. Most of
 * that comes out the same: contents are told apart by their SHA-256.
 */

import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { inflate, inflateRaw } from 'node:zlib'
import type { CancelSignal } from '../../base/cancellation'
import type { MessageSource } from '../../base/message-source'
import { Budget, OverBudget } from '../../mime/budget'
import { appleFiles } from '../../mime/containers/apple'
import { cmsContent, cmsKind } from '../../mime/containers/cms'
import { startsAsCompressedRtf, uncompressedRtf } from '../../mime/containers/compressed-rtf'
import { outlookContents, startsAsOutlookItem } from '../../mime/containers/outlook-item'
import { textFiles } from '../../mime/containers/text-files'
import { startsAsTnef, tnefContents } from '../../mime/containers/tnef'
import { base64Decodings, type Decoding, decodingsOf, namesUuencode } from '../../mime/lenient-decodings'
import type { ReadingObserver } from '../../mime/observer'
import { contentHeaders } from '../../mime/part-headers'
import { changedText, decodedPieces, isIn } from '../../mime/pieces'
import { sectionsIn, stretchesOf } from '../../mime/stretches'
import { decoderOf } from '../../mime/transfer-encodings'
import { declaredFile } from '../../mime/uuencode'
import { bodiesIn, type Body, isAllBase64, withoutLineEnd } from './bodies'
import { defaultReadingLimits, type ReadingLimits } from './limits'
import { lineEndVariants, mayHaveVariants } from './line-ends'
import { messageBytes } from './message-bytes'
import { textReadings } from './text-readings'

export interface Content {
  /** For a log: `part 3 (base64, behind padding)`. Printable. */
  readonly name: string
  /** As a mail program would save it. Not to be changed. */
  readonly bytes: Buffer
  /** Headers of its part, as far as there are any; one character per byte. */
  readonly head?: string
  /** The address has scanned it with the rest of the message. Left out: it has not. */
  readonly isScanned?: boolean
  /** It is a part of a plain message, as clamd reads it. Left out: it is another reading. */
  readonly isPart?: boolean
}

export interface Summary {
  /** What only the recipient can open, and where it is; null: nothing. */
  readonly encrypted: string | null
  /** Why there may be contents that were not handed over; null: all were. */
  readonly incompleteBecause: string | null
  /** Header sections that were read. */
  readonly parts: number
  /** Contents that were handed over. */
  readonly readings: number
}

export interface ReadingOptions {
  readonly limits?: Partial<ReadingLimits>
  readonly signal: CancelSignal
  /** Shared with what else is done for the message. Left out: one of its own. */
  readonly budget?: Budget
  /** The message is plain: its structure leaves nothing to be read otherwise. */
  readonly isPlain?: boolean
  /** Told of headers and file names, for those that look for names. */
  readonly observer?: ReadingObserver
}

const inflates = [promisify(inflate), promisify(inflateRaw)]
/** Bytes of which a hash is made between two looks at the clock. */
const hashedBytes = 1024 * 1024

export class Readings {
  readonly #limits: ReadingLimits
  readonly #budget: Budget
  readonly #seen = new Set<string>()
  #encrypted: string | null = null
  #overLimit: string | null = null
  #parts = 0
  #readings = 0
  #bytes = 0
  #documents = 0

  constructor(
    private readonly source: MessageSource,
    private readonly options: ReadingOptions,
  ) {
    this.#limits = { ...defaultReadingLimits, ...options.limits }
    this.#budget = options.budget ?? new Budget(this.#limits, options.signal)
  }

  /** So far; complete when `contents` has ended. */
  get summary(): Summary {
    return {
      encrypted: this.#encrypted,
      incompleteBecause: this.#overLimit,
      parts: this.#parts,
      readings: this.#readings,
    }
  }

  /** Rejects with the signal's reason, or with what kept the message from being read. */
  async *contents(): AsyncGenerator<Content, void> {
    const message = await messageBytes(this.source, this.options.signal)
    this.#budget.enter()
    try {
      yield* this.#document('', message, 0)
    } catch (error) {
      if (!(error instanceof OverBudget)) throw error
      this.#overLimit ??= error.message
    } finally {
      this.#budget.leave()
    }
  }

  /** A message, or what a program may take for one. */
  async *#document(name: string, bytes: Buffer, depth: number): AsyncGenerator<Content, void> {
    if (depth > this.#limits.depth) {
      this.#overLimit ??= `more than ${this.#limits.depth} levels`
      return
    }
    if (++this.#documents > this.#limits.documents)
      throw new OverBudget(`more than ${this.#limits.documents} messages in messages`)
    if (this.options.isPlain && depth === 0) {
      yield* this.#structure(name, bytes, depth, new Done())
      return
    }
    for await (const variant of lineEndVariants(bytes, this.#budget)) {
      const prefix = variant.how === null ? name : `${name}${variant.how}, `
      const done = new Done()
      yield* this.#structure(prefix, variant.bytes, depth, done)
      yield* this.#stretches(prefix, variant.bytes, depth, done)
      yield* this.#files(prefix, variant.bytes, depth)
    }
  }

  async *#structure(prefix: string, bytes: Buffer, depth: number, done: Done): AsyncGenerator<Content, void> {
    const reading = bodiesIn(bytes, this.#limits.parts, this.options.observer, prefix)
    let counted = 0
    for await (const body of reading.bodies(this.#budget)) {
      this.#parts += reading.parts - counted
      counted = reading.parts
      this.#encryptedPart(prefix, body)
      const isPart = this.options.isPlain === true && depth === 0
      yield* this.#body(`${prefix}${body.name}`, body, depth, done, isPart)
    }
    this.#parts += reading.parts - counted
    if (reading.overLimit !== null) this.#overLimit ??= reading.overLimit
  }

  async #sections(prefix: string, bytes: Buffer, observer: ReadingObserver): Promise<void> {
    for await (const section of sectionsIn(bytes, this.#limits.parts, this.#budget))
      observer.headers(`${prefix}behind a delimiter`, contentHeaders(section))
  }

  async *#stretches(prefix: string, bytes: Buffer, depth: number, done: Done): AsyncGenerator<Content, void> {
    if (this.options.observer) await this.#sections(prefix, bytes, this.options.observer)
    const { bodies, runs } = await stretchesOf(bytes, this.#limits.parts, this.#budget)
    for (const { from, to, head } of bodies) {
      const body = { head: head(), bytes: withoutLineEnd(bytes.subarray(from, to)) }
      if (done.has(body.bytes)) continue
      yield* this.#body(`${prefix}stretch at byte ${from}`, body, depth, done)
    }
    for (const { from, to } of runs) {
      const run = bytes.subarray(from, to)
      if (!done.hasBase64(run))
        yield* this.#decodings(`${prefix}base64 at byte ${from}`, run, base64Decodings(run), depth)
    }
  }

  async *#body(
    name: string,
    body: Pick<Body, 'head' | 'bytes'>,
    depth: number,
    done: Done,
    isPart = false,
  ): AsyncGenerator<Content, void> {
    const { head, bytes } = body
    const kind = isPart ? { isPart } : {}
    if (bytes.length === 0) return
    const isBase64 = await isAllBase64(bytes, this.#budget)
    done.add(bytes, isBase64)
    // Text of nothing but base64 is of no use to anybody.
    if (!isBase64) yield* this.#content({ name, bytes, ...kind }, head, depth, false)
    yield* this.#decodings(name, bytes, decodingsOf(head, bytes, this.#budget), depth, head, kind)
    if (namesUuencode(head)) {
      const file = await declaredFile(bytes, this.#budget)
      if (file.name !== null) this.options.observer?.fileName(name, file.name)
      yield* this.#content({ name: `${name} (uuencode)`, bytes: file.bytes }, head, depth + 1)
    }
  }

  async *#decodings(
    name: string,
    bytes: Buffer,
    decodings: Iterable<Decoding> | AsyncIterable<Decoding>,
    depth: number,
    head = '',
    kind: Pick<Content, 'isPart'> = {},
  ): AsyncGenerator<Content, void> {
    for await (const { encoding, how, from, to, change } of decodings) {
      const body = bytes.subarray(from, to)
      const decoded = await decodedPieces(body, decoderOf(encoding), this.#budget, change)
      yield* this.#content({ name: `${name} (${how})`, bytes: decoded, ...kind }, head, depth + 1)
    }
  }

  /**
   * Hands a content over, if it is a new one, and then what is in it.
   * @param isDecoded false: it is a stretch of a message, in which the same would be found again
   */
  async *#content(
    content: Content,
    head: string,
    depth: number,
    isDecoded = true,
  ): AsyncGenerator<Content, void> {
    if (this.#budget.isTurnOver) await this.#budget.breathe()
    if (content.bytes.length === 0) return
    // clamd may unpack a part as often as it is in a plain message, and counts it each time.
    if (!(await this.#isNew(content.bytes)) && !content.isPart) return
    this.#spend(content.bytes.length)
    this.#budget.leave()
    yield head === '' ? content : { ...content, head }
    this.#budget.enter()
    yield* this.#within(content, head, depth, isDecoded)
  }

  async *#within(
    { name, bytes }: Content,
    head: string,
    depth: number,
    isDecoded: boolean,
  ): AsyncGenerator<Content, void> {
    if (startsAsTnef(bytes)) {
      let count = 0
      for (const inner of tnefContents(bytes)) {
        if (this.#budget.isTurnOver) await this.#budget.breathe()
        if (inner === null || inner.length === 0) continue
        yield* this.#content({ name: `${name} > TNEF ${++count}`, bytes: inner }, '', depth + 1)
      }
    }
    if (startsAsOutlookItem(bytes)) {
      let count = 0
      for await (const inner of outlookContents(bytes, this.#budget))
        yield* this.#content({ name: `${name} > Outlook item ${++count}`, bytes: inner }, '', depth + 1)
    }
    if (startsAsCompressedRtf(bytes)) {
      const text = await uncompressedRtf(bytes, this.#budget)
      yield* this.#content({ name: `${name} > RTF`, bytes: text }, '', depth + 1)
    }
    let forks = 0
    for (const fork of appleFiles(bytes)) {
      if (fork.name !== '') this.options.observer?.fileName(name, fork.name)
      yield* this.#content({ name: `${name} > Apple file ${++forks}`, bytes: fork.bytes }, '', depth + 1)
    }
    yield* this.#cms(name, bytes, depth)
    for await (const text of textReadings(bytes, head, this.#budget)) {
      yield* this.#content({ name: `${name} (${text.how})`, bytes: text.bytes }, '', depth + 1)
    }
    if (!isDecoded) return
    yield* this.#files(`${name} > `, bytes, depth)
    if (await isLikeMessage(bytes, this.#budget)) yield* this.#document(`${name} > `, bytes, depth + 1)
  }

  async *#cms(name: string, bytes: Buffer, depth: number): AsyncGenerator<Content, void> {
    const kind = cmsKind(bytes)
    if (kind === 'encrypted') this.#encrypted ??= `${name}: S/MIME enveloped data`
    const inner = kind === 'signed' || kind === 'compressed' ? await cmsContent(bytes, this.#budget) : null
    if (inner === null) return
    const content = kind === 'signed' ? inner : await this.#inflated(inner)
    yield* this.#content({ name: `${name} > S/MIME ${kind}`, bytes: content }, '', depth + 1)
  }

  async #inflated(bytes: Buffer): Promise<Buffer> {
    for (const inflated of inflates) {
      const options = { maxOutputLength: Math.max(1, this.#budget.inflatable) }
      try {
        const content = await this.#budget.offTheClock(() => inflated(bytes, options))
        this.#budget.spendInflated(content.length)
        return content
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
          throw new OverBudget(`more than ${this.#limits.inflatedBytes} bytes in compressed messages`)
      }
    }
    return Buffer.alloc(0)
  }

  async *#files(prefix: string, bytes: Buffer, depth: number): AsyncGenerator<Content, void> {
    if (bytes.includes(pgpMessage)) this.#encrypted ??= `${prefix || 'message, '}PGP message`
    let count = 0
    for await (const file of textFiles(bytes, this.#budget)) {
      if (file.name !== null) this.options.observer?.fileName(prefix || 'message', file.name)
      if (file.bytes === null) continue
      yield* this.#content({ name: `${prefix}${file.kind} ${++count}`, bytes: file.bytes }, '', depth + 1)
    }
  }

  #encryptedPart(prefix: string, { name, types }: Body): void {
    if (types.some((type) => type.startsWith('multipart/encrypted')))
      this.#encrypted ??= `${prefix}${name}: multipart/encrypted`
  }

  async #isNew(bytes: Buffer): Promise<boolean> {
    const before = this.#seen.size
    const hash = createHash('sha256')
    for (let at = 0; at < bytes.length; at += hashedBytes) {
      hash.update(bytes.subarray(at, at + hashedBytes))
      if (this.#budget.isTurnOver) await this.#budget.breathe()
    }
    this.#seen.add(hash.digest('base64'))
    return this.#seen.size > before
  }

  #spend(bytes: number): void {
    this.#bytes += bytes
    if (++this.#readings > this.#limits.readings)
      throw new OverBudget(`more than ${this.#limits.readings} contents`)
    if (this.#bytes > this.#limits.contentBytes)
      throw new OverBudget(`contents of more than ${this.#limits.contentBytes} bytes`)
  }
}

/** Stretches of one message that have been looked at. */
class Done {
  readonly #bodies = new Map<number, Set<number>>()
  /** How far the base64 goes that begins somewhere. */
  readonly #base64 = new Map<number, number>()

  add(body: Buffer, isBase64: boolean): void {
    const from = body.byteOffset
    const ends = this.#bodies.get(from) ?? new Set()
    this.#bodies.set(from, ends.add(body.length))
    if (isBase64) this.#base64.set(from, Math.max(body.length, this.#base64.get(from) ?? 0))
  }

  has(body: Buffer): boolean {
    return this.#bodies.get(body.byteOffset)?.has(body.length) === true
  }

  /** Also when a line end more or less is behind it. */
  hasBase64(run: Buffer): boolean {
    return (this.#base64.get(run.byteOffset) ?? 0) >= run.length - 2
  }
}

const pgpMessage = Buffer.from('-----BEGIN PGP MESSAGE')
/** In whatever case, since programs take headers in any. */
const messageMark = /ontent-|ncoding|oundary\s{0,20}=/i

/** Whether anything in it could be read as headers of a part, in any of its variants of line ends. */
async function isLikeMessage(bytes: Buffer, budget: Budget): Promise<boolean> {
  if (await isIn(bytes, messageMark, budget)) return true
  if (!mayHaveVariants(bytes)) return false
  const text = await changedText(bytes, (piece) => piece.replace(/\0|\r(?!\n)/g, ''), budget)
  return text.length < bytes.length && (await isIn(text, messageMark, budget))
}
