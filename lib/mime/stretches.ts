/*
 * Where bodies of parts may begin and end in a message, whatever structure a program believes in: after the empty line, or
 * the last line, of what looks like headers; up to a line of dashes, or one with a boundary in it. Also finds runs of base64
 * without headers.
 */

import { type Budget, OverBudget } from './budget'
import { wordsIn } from './pieces'

export interface Stretch {
  readonly from: number
  readonly to: number
  /** What stands in front, as far as it may be headers; one character per byte. */
  readonly head: () => string
}

export interface Stretches {
  readonly bodies: readonly Stretch[]
  /** Of base64. */
  readonly runs: readonly Omit<Stretch, 'head'>[]
}

const [newline, carriageReturn, space, tab, dash, greater, equalsSign] = [10, 13, 32, 9, 45, 62, 61]
/** Bytes in front of a body that are looked at. */
const headBytes = 8 * 1024
/** An empty line may be within headers. */
const headOverlap = 512
const contentWords = /content|encoding|boundary/i
const fieldLine = /^[>|\s]*[!-9;-~]{1,100}\s*[:=]/
/** Of the same, without a colon: it may be the first line of a body as well. */
const fieldWithoutColon = /^[^:=]*=/
/** Digits of a line that make a run of base64 begin; padding does not count, of which quoted-printable is full. */
const minDigits = 16
/** Bytes of a run. Shorter ones are words, or a line of quoted-printable; no virus is as short. */
const minRunBytes = 64
/** Lines between two looks at the clock: to look whether there is content in a block takes as long as it is. */
const linesPerTurn = 64
const boundaryWord = /boundary/gi
const boundaryValue = /^boundary[^=\r\n"]{0,20}=\s{0,20}"?([^";\r\n]{1,200})/i
const maxBoundaryBytes = 250
const maxBoundaries = 64
/** Of boundaries that are announced. */
const maxMentions = 10_000
/** Lines with a boundary in them. */
const maxDelimiters = 100_000
/** In front of a boundary on its line. */
const maxPrefix = 100

/** Of every multipart that is announced anywhere, and how its lines begin where they are cut. @throws OverBudget */
async function boundariesIn(bytes: Buffer, budget: Budget): Promise<Set<string>> {
  const found = new Set<string>()
  let mentions = 0
  for await (const at of wordsIn(bytes, boundaryWord, budget)) {
    if (found.size === maxBoundaries) break
    const text = bytes.toString('latin1', at, at + maxBoundaryBytes)
    const trimmed = boundaryValue.exec(text)?.[1]?.trim()
    if (trimmed === undefined) continue
    if (++mentions > maxMentions) throw new OverBudget(`more than ${maxMentions} boundaries`)
    if (trimmed.length > 2) found.add(trimmed.slice(0, 60))
  }
  return found
}

/** Where lines begin that hold a boundary, dashes in front or not. @throws OverBudget */
async function delimitersIn(bytes: Buffer, budget: Budget): Promise<Set<number>> {
  const delimiters = new Set<number>()
  for (const boundary of await boundariesIn(bytes, budget)) {
    for (const at of placesOf(bytes, Buffer.from(boundary, 'latin1'))) {
      if (budget.isTurnOver) await budget.breathe()
      // Where it is announced it ends nothing.
      const before = bytes.toString('latin1', Math.max(0, at - maxPrefix), at)
      const prefix = before.slice(before.lastIndexOf('\n') + 1)
      if (prefix.length < maxPrefix && !prefix.toLowerCase().includes('boundary'))
        delimiters.add(at - prefix.length)
      if (delimiters.size > maxDelimiters)
        throw new OverBudget(`more than ${maxDelimiters} lines with a boundary`)
    }
  }
  return delimiters
}

/** Bytes of headers behind a delimiter that are looked at. */
const maxSectionBytes = 32 * 1024
const emptyLine = /\n\r?\n/

/**
 * What may be headers of a part: what stands behind each line that holds a boundary, up to an empty line; one character per
 * byte. No more than `maxSections`.
 * @throws OverBudget
 */
export async function* sectionsIn(
  bytes: Buffer,
  maxSections: number,
  budget: Budget,
): AsyncGenerator<string, void> {
  let count = 0
  for (const at of await delimitersIn(bytes, budget)) {
    const from = bytes.indexOf(newline, at) + 1
    if (from === 0) continue
    if (++count > maxSections) throw new OverBudget(`more than ${maxSections} parts`)
    const text = bytes.toString('latin1', from, from + maxSectionBytes)
    const end = text.startsWith('\n') || text.startsWith('\r\n') ? 0 : text.search(emptyLine)
    yield end < 0 ? text : text.slice(0, end)
    await budget.breathe()
  }
}

/** Places in order. */
function* placesOf(bytes: Buffer, text: Buffer): Generator<number> {
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) yield at
}

/**
 * Looks at every line once.
 * @param maxPlaces where bodies or runs may begin; there are far fewer in real mail
 * @throws OverBudget
 */
export async function stretchesOf(bytes: Buffer, maxPlaces: number, budget: Budget): Promise<Stretches> {
  const lines = new Lines(bytes, await delimitersIn(bytes, budget))
  for (let at = 0, count = 0; at < bytes.length; count++) {
    at = lines.take(at)
    if (count % linesPerTurn > 0) continue
    if (lines.places > maxPlaces) throw new OverBudget(`bodies may begin at more than ${maxPlaces} places`)
    if (budget.isTurnOver) await budget.breathe()
  }
  return lines.end()
}

class Lines {
  readonly #starts: { readonly at: number; readonly from: number }[] = []
  readonly #ends: number[] = []
  readonly #runs: Omit<Stretch, 'head'>[] = []
  /** The block of lines that are not empty. */
  #block = 0
  /** Whether a line of headers is in it, and no body has begun behind that. */
  #isHead = false
  #isBehindEnd = true
  /** Whether a line in this head may have been the first of a body. */
  #hasDoubtfulStart = false
  #run = -1
  #runEnd = 0

  constructor(
    private readonly bytes: Buffer,
    private readonly delimiters: ReadonlySet<number>,
  ) {}

  get places(): number {
    return this.#starts.length + this.#runs.length
  }

  /** @returns the next line */
  take(from: number): number {
    const { bytes } = this
    const found = bytes.indexOf(newline, from)
    const next = found < 0 ? bytes.length : found + 1
    const first = this.#firstOf(from, next)
    if (first === next) this.#empty(from, next)
    else if (isDashes(bytes, first) || this.delimiters.has(from)) this.#delimiter(from, next)
    else this.#line(from, next, first)
    return next
  }

  /** The first byte that is no blank and no mark of quoting. */
  #firstOf(from: number, to: number): number {
    let at = from
    for (; at < to; at++) {
      const byte = this.bytes[at] ?? 0
      if (
        byte !== space &&
        byte !== tab &&
        byte !== carriageReturn &&
        byte !== newline &&
        byte !== greater &&
        byte !== 0
      )
        break
    }
    return at
  }

  #empty(from: number, next: number): void {
    if (this.#isHead || this.#isBehindEnd || this.#isContentBlock(from))
      this.#starts.push({ at: next, from: this.#block })
    this.#isHead = this.#isBehindEnd = this.#hasDoubtfulStart = false
    this.#block = next
  }

  #delimiter(from: number, next: number): void {
    this.#endRun()
    this.#ends.push(from)
    this.#block = next
    this.#isHead = this.#hasDoubtfulStart = false
    this.#isBehindEnd = true
  }

  #line(from: number, next: number, first: number): void {
    const digits = this.#digits(first, next)
    const isRun = digits >= minDigits || (this.#run >= 0 && this.#isAllDigits(first, next))
    if (isRun) {
      if (this.#run < 0) this.#run = from
      this.#runEnd = next
    } else {
      this.#endRun()
    }
    if (!this.#isBehindEnd && !this.#isHead) return
    // Headers run into their body without an empty line.
    const text = this.bytes.toString('latin1', from, Math.min(next, from + 120))
    const isField = !isRun && fieldLine.test(text)
    if (isField && this.#isHead && !this.#hasDoubtfulStart && fieldWithoutColon.test(text)) {
      this.#starts.push({ at: from, from: this.#block })
      this.#hasDoubtfulStart = true
    }
    if (isField) this.#isHead = true
    else if (this.#isHead && !isBlank(this.bytes[from])) {
      this.#starts.push({ at: from, from: this.#block })
      this.#isHead = false
      this.#isBehindEnd = false
    }
  }

  #isContentBlock(to: number): boolean {
    const from = Math.max(this.#block, to - headBytes)
    return to > from && contentWords.test(this.bytes.toString('latin1', from, to))
  }

  /** At the beginning of a line; the count ends where there are enough to make it one of base64. */
  #digits(from: number, to: number): number {
    const limit = Math.min(to, from + minDigits)
    let at = from
    while (at < limit && isDigit[this.bytes[at] ?? 0] === 1 && this.bytes[at] !== equalsSign) at++
    return at - from
  }

  #isAllDigits(from: number, to: number): boolean {
    let at = from
    while (at < to && isDigit[this.bytes[at] ?? 0] === 1) at++
    return this.#firstOf(at, to) === to
  }

  #endRun(): void {
    if (this.#run >= 0 && this.#runEnd - this.#run >= minRunBytes)
      this.#runs.push({ from: this.#run, to: this.#runEnd })
    this.#run = -1
  }

  end(): Stretches {
    this.#endRun()
    const { bytes } = this
    const bodies: Stretch[] = []
    let next = 0
    for (const { at, from } of this.#starts) {
      while (next < this.#ends.length && (this.#ends[next] ?? 0) < at) next++
      const to = this.#ends[next] ?? bytes.length
      const head = () => bytes.toString('latin1', Math.max(0, from - headOverlap, at - headBytes), at)
      if (to > at) bodies.push({ from: at, to, head })
    }
    return { bodies, runs: this.#runs }
  }
}

function isDashes(bytes: Buffer, at: number): boolean {
  return bytes[at] === dash && bytes[at + 1] === dash
}

function isBlank(byte: number | undefined): boolean {
  return byte === space || byte === tab
}

const isDigit = new Uint8Array(256)
for (const digit of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/='))
  isDigit[digit] = 1
