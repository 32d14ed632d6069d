/*
 * One reading of a message, from its bytes to the first name that a mask denies. Ties the MIME reader, the
 * names of parts and the names in archives together; what is done about the outcome is others' business.
 */

import { EventEmitter } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CancelSignal } from '../cancellation'
import type { MessageSource, Sink } from '../source'
import { Budget, defaultLimits, OverBudget, turnMs, type Limits } from './budget'
import { ArchiveWatch, type Archive } from './content'
import { decoderOf, encodingsOf, type Encoding } from './encodings'
import { deniedBy, type Mask } from './masks'
import { isMessage, isMultipart, MimeReader, type BodySink, type Part } from './mime'
import { namesOf, type Name } from './names'
import type { ContentHeader } from './part-headers'
import { nameForLog, shownForms } from './shown'
import { archiveSlots } from './slots'
import { tnefNames } from './tnef'
import { UuencodedFiles } from './uuencode'
import { zipNames } from './zip'

export interface Inspected {
  /** The first denied name; reading ends there. */
  readonly denied: { readonly mask: string; readonly name: string; readonly where: string } | null
  /** Why there may be names that were not read, and where; null when all were. */
  readonly unreadable: string | null
  /** Every name seen, cleaned for a log, each once; the first 1000. */
  readonly names: readonly string[]
}

export interface InspectOptions {
  readonly masks: readonly Mask[]
  /** Also names in zip archives. */
  readonly insideArchives: boolean
  readonly limits?: Partial<Limits>
  readonly signal: CancelSignal
}

/** Rejects with the signal's reason, or with what kept the message from being read. */
export async function inspect(source: MessageSource, options: InspectOptions): Promise<Inspected> {
  const inspection = new Inspection(options)
  const aborted = () => inspection.fail(options.signal.reason)
  options.signal.addEventListener('abort', aborted)
  try {
    options.signal.throwIfAborted()
    source.open(inspection).catch((error: unknown) => inspection.fail(error))
    return await inspection.outcome
  } finally {
    options.signal.removeEventListener('abort', aborted)
    inspection.stop()
    source.close()
  }
}

const mostNamesKept = 1000

class Inspection extends EventEmitter implements Sink {
  readonly outcome: Promise<Inspected>
  #settle: { resolve: (outcome: Inspected) => void; reject: (error: Error) => void } | null = null

  readonly #limits: Limits
  readonly #budget: Budget
  readonly #reader: MimeReader
  readonly #names = new Set<string>()
  #nameCount = 0
  /** Readers that are open, the outermost one counted. */
  #readers = 1
  #unreadable: string | null = null

  /** Archives that are complete and not yet read. */
  readonly #archives: FoundArchive[] = []
  /** Chunks that are to make a block. */
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  /** Blocks that came in the meantime, from a source that does not wait. */
  readonly #waiting: Buffer[] = []
  #busy = false
  /** The source has no more… */
  #ended = false
  /** …and the reader has been told. */
  #wasRead = false
  /** Milliseconds of work since others had a turn. */
  #turnMs = 0

  constructor(private readonly options: InspectOptions) {
    super()
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#budget = new Budget(this.#limits, options.signal)
    this.#reader = this.#readerOf('', 0)
    this.outcome = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  write(chunk: Buffer): boolean {
    if (this.#isDone()) return false
    this.#gathered.push(chunk)
    this.#gatheredBytes += chunk.length
    if (this.#gatheredBytes >= this.#limits.blockBytes) {
      this.#endBlock()
      this.#read()
    }
    return this.#isOpen()
  }

  end(): void {
    this.#endBlock()
    this.#ended = true
    this.emit('finish')
    this.#read()
  }

  fail(reason: unknown): void {
    this.#settle?.reject(reason instanceof Error ? reason : new Error(String(reason)))
    this.stop()
  }

  /** Takes nothing more. */
  stop(): void {
    this.#settle = null
    this.#gathered = []
    this.#waiting.length = 0
    this.#archives.length = 0
  }

  #endBlock(): void {
    if (this.#gatheredBytes > 0) this.#waiting.push(Buffer.concat(this.#gathered, this.#gatheredBytes))
    this.#gathered = []
    this.#gatheredBytes = 0
  }

  #read(): void {
    try {
      while (this.#isOpen() && this.#step()) if (this.#needsPause()) this.#pause()
    } catch (error) {
      if (!(error instanceof OverBudget)) this.fail(error)
      else this.#giveUp(error.message)
    }
  }

  #giveUp(why: string): void {
    this.#trouble('message', why)
    this.#finish(null)
  }

  #isOpen(): boolean {
    return !this.#isDone() && !this.#busy
  }

  /** @returns false when there is nothing to do at the moment */
  #step(): boolean {
    const block = this.#waiting.shift()
    if (!block && !this.#ended) return false
    this.#budget.enter()
    if (block) this.#reader.write(block)
    else if (!this.#wasRead) this.#reader.end()
    this.#turnMs += this.#budget.leave()
    this.#budget.checkTime()
    this.#wasRead = !block
    if (this.#wasRead && this.#archives.length === 0) this.#finish(null)
    return true
  }

  #needsPause(): boolean {
    return this.#archives.length > 0 || this.#turnMs >= turnMs
  }

  #pause(): void {
    this.#busy = true
    this.#turnMs = 0
    this.#turn()
      .then(() => {
        this.#busy = false
        this.#read()
        if (this.#isOpen()) this.emit('drain')
      })
      .catch((error: unknown) => this.fail(error))
  }

  async #turn(): Promise<void> {
    await nextTurn()
    if (this.#archives.length === 0) return
    await archiveSlots.run(() => this.#readArchives(), this.options.signal)
  }

  async #readArchives(): Promise<void> {
    this.#budget.enter()
    try {
      for (let archive = this.#archives.shift(); archive; archive = this.#archives.shift()) {
        for await (const finding of zipNames(archive.content, this.#budget, archive.isInside)) {
          const where = [archive.where, ...finding.within].join(' > ')
          if ('name' in finding) this.#see(finding.name, where)
          else this.#trouble(where, finding.unreadable)
          if (this.#isDone()) return
        }
        this.#budget.releaseHeld(archive.content.length)
      }
    } finally {
      this.#budget.leave()
    }
  }

  #isDone(): boolean {
    return this.#settle === null
  }

  #finish(denied: Inspected['denied']): void {
    this.#settle?.resolve({ denied, unreadable: this.#unreadable, names: [...this.#names] })
    this.stop()
  }

  #trouble(where: string, what: string): void {
    this.#unreadable ??= `${where}: ${what}`
  }

  #see(name: Name, where: string): void {
    if (!this.#settle) return
    if (this.#names.size < mostNamesKept) this.#names.add(nameForLog(name[0]))
    for (const reading of name) {
      const mask = deniedBy(this.options.masks, shownForms(reading))
      if (!mask) continue
      this.#names.add(nameForLog(reading))
      this.#finish({ mask: mask.text, name: nameForLog(reading), where })
      return
    }
  }

  #seeNames(headers: readonly ContentHeader[], where: string): readonly Name[] {
    const { names, complete } = namesOf(headers)
    for (const name of names) this.#seeInPart(name, where)
    if (!complete) this.#trouble(where, 'too many names in one header, or too long ones')
    return names
  }

  /** A name outside of archives, which have their own limit. */
  #seeInPart(name: Name, where: string): void {
    if (++this.#nameCount <= this.#limits.names) this.#see(name, where)
    else this.#trouble(where, `more than ${this.#limits.names} names`)
  }

  #readerOf(prefix: string, depth: number): MimeReader {
    const handler = {
      part: (part: Part) => {
        const where = prefix + (part.number === 0 ? 'message' : `part ${part.number}`)
        for (const type of part.types) {
          const why = absent.get(type)
          if (why !== undefined) this.#trouble(where, why)
        }
        return this.#bodyOf(part, this.#seeNames(part.headers, where), where, depth)
      },
      stray: (headers: readonly ContentHeader[]) => {
        this.#seeNames(headers, `${prefix}between parts`)
      },
      epilogue: () => this.#uuencodedFiles(`${prefix}epilogue`, false),
      trouble: (what: string) => this.#trouble(`${prefix}message`, what),
    }
    return new MimeReader(handler, this.#limits.parts)
  }

  #bodyOf(part: Part, names: readonly Name[], where: string, depth: number): BodySink {
    const claimed = encodingsOf(part.headers)
    const isEncoded = claimed.some((encoding) => encoding !== 'identity')
    // RFC 2046 allows a message no encoding, so some take it as it is, whatever it says.
    const isMessagePart = part.types.some(isMessage)
    const encodings = isMessagePart ? [...new Set<Encoding>([...claimed, 'identity'])] : claimed
    return fork(
      encodings.map((encoding) => {
        const readers = this.#contentReaders(part, names, where)
        if (holdsMessage(part, names, isEncoded)) readers.push(this.#messageWithin(where, depth))
        if (isEncoded && part.types.some(isMultipart)) readers.push(this.#multipartWithin(part, where, depth))
        return decoding(encoding, fork(readers))
      }),
    )
  }

  #contentReaders(part: Part, names: readonly Name[], where: string): BodySink[] {
    const called = names[0] ? `${where} (${nameForLog(names[0][0])})` : where
    const readers: BodySink[] = [this.#archiveWatch(called)]
    const isDeclared = part.headers.some(({ field, value }) => field === 'encoding' && /uue/i.test(value))
    if (isDeclared || isShownAsText(part.types)) readers.push(this.#uuencodedFiles(where, isDeclared))
    return readers
  }

  #uuencodedFiles(where: string, isDeclared: boolean): UuencodedFiles {
    const onName = (name: Name) => this.#seeInPart(name, where)
    return new UuencodedFiles(onName, () => this.#archiveWatch(where), isDeclared)
  }

  #archiveWatch(where: string): ArchiveWatch {
    return new ArchiveWatch(
      this.#budget,
      (archive) => this.#found({ ...archive, where }),
      (why) => this.#trouble(where, why),
      this.options.insideArchives,
    )
  }

  /** Attachments that Outlook wraps in TNEF are like any others; archives lie in it as they are. */
  #found(archive: FoundArchive): void {
    if (!this.#settle) return
    if (archive.kind === 'tnef') this.#seeTnef(archive)
    if (this.options.insideArchives) this.#archives.push(archive)
    else this.#budget.releaseHeld(archive.content.length)
  }

  #seeTnef({ content, where }: FoundArchive): void {
    for (const name of tnefNames(content)) {
      this.#seeInPart(name, where)
      if (this.#isDone() || this.#nameCount > this.#limits.names) return
    }
  }

  #messageWithin(where: string, depth: number): BodySink {
    if (depth >= this.#limits.messages) {
      this.#trouble(where, `messages are nested more than ${this.#limits.messages} deep`)
      return fork([])
    }
    if (this.#readers >= this.#limits.readers) {
      this.#trouble(where, `messages are to be read in more than ${this.#limits.readers} ways`)
      return fork([])
    }
    this.#readers++
    return fork([
      this.#readerOf(`${where}, `, depth + 1),
      { write: () => undefined, end: () => this.#readers-- },
    ])
  }

  /** The parts of an encoded multipart, which RFC 2045 forbids and some programs show. */
  #multipartWithin(part: Part, where: string, depth: number): BodySink {
    const reader = this.#messageWithin(where, depth)
    for (const { field, value } of part.headers) {
      if (field === 'type')
        reader.write(Buffer.from(`Content-Type:${value.replaceAll('\n', ' ')}\r\n`, 'latin1'))
    }
    reader.write(Buffer.from('\r\n'))
    return reader
  }
}

/** Types of which a program may show a file that is not in this message, or not all of it. */
const absent: ReadonlyMap<string, string> = new Map([
  ['message/partial', 'it is one piece of a message'],
  ['message/external-body', 'its content lies elsewhere'],
])

type FoundArchive = Archive & { readonly where: string }

/** Types whose bodies are text to a program: also of the text in front of parts, and of what is no type at all. */
function isShownAsText(types: readonly string[]): boolean {
  return types.length === 0 || types.some((type) => /^(?:text\b|multipart|[^/]*$)/.test(type))
}

/** A message that has to be decoded first, or one that is attached as a file. */
function holdsMessage(part: Part, names: readonly Name[], isEncoded: boolean): boolean {
  if (part.types.some(isMessage) && (isEncoded || part.types.some(isMultipart))) return true
  return names.some((name) => name.some((reading) => /\.(?:eml|mht|mhtml)\W*$/i.test(reading)))
}

function fork(sinks: readonly BodySink[]): BodySink {
  const [only] = sinks
  if (only && sinks.length === 1) return only
  return {
    write: (bytes) => {
      for (const sink of sinks) sink.write(bytes)
    },
    end: () => {
      for (const sink of sinks) sink.end()
    },
  }
}

function decoding(encoding: Encoding, sink: BodySink): BodySink {
  const decoder = decoderOf(encoding)
  return {
    write: (bytes) => sink.write(decoder.write(bytes)),
    end: () => {
      sink.write(decoder.end())
      sink.end()
    },
  }
}
