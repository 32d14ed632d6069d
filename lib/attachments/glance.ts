/*
 * Names and types of files, seen while a message is scanned: of a plain one in which no archive lies nothing else is to be
 * seen, and it is not read again. Of every other one the outcome is null, and lib/scan/inspect.ts reads it.
 */

import { endBytes } from '../base/file-marks'
import { contentHeaders } from '../mime/part-headers'
import type { PlainListener, PlainResult } from '../mime/plain/plain-check'
import { findZip, zipLookahead } from './archives/zip-headers'
import { containerOf, headBytes, isText, typesOf, typesOfEnd } from './file-types'
import { isAttached, type Name } from './filenames'
import { Findings, type Inspected } from './findings'
import type { Mask } from './masks'

interface GlanceOptions {
  readonly deny: readonly Mask[]
  readonly allow: readonly Mask[]
  readonly insideArchives: boolean
}

/** Bytes of all content headers of one message; what takes longer is read with a budget. */
const maxHeaderBytes = 32 * 1024
const maxNames = 1000

export class Glance {
  #pass: Pass | null = null
  #outcome: Inspected | null = null

  constructor(private readonly options: GlanceOptions) {}

  /** Null: nothing is known. */
  get outcome(): Inspected | null {
    return this.#outcome
  }

  /** The message is sent from its first byte. @returns is to be shown what is in it */
  begin(): PlainListener {
    this.#outcome = null
    return (this.#pass = new Pass(this.options))
  }

  /** All of it was sent. */
  end(plain: PlainResult | null): void {
    this.#outcome = plain?.oddity === null ? (this.#pass?.outcome ?? null) : null
    this.#pass = null
  }

  /** What was seen is not all. */
  miss(): void {
    this.#pass = this.#outcome = null
  }
}

class Pass implements PlainListener {
  /** Something was seen for which the message has to be read again. */
  #isPartial = false
  #headerBytes = 0
  #names: readonly Name[] = []
  #isAttached = false
  #head: Buffer[] = []
  #headLength = 0
  #isTold = false
  /** The last bytes, in which a zip header may begin or a footer lie. */
  #tail = Buffer.alloc(0)
  readonly #findings: Findings

  constructor(private readonly options: GlanceOptions) {
    this.#findings = new Findings(options.deny, options.allow, maxNames, () => undefined)
  }

  get outcome(): Inspected | null {
    const { outcome } = this.#findings
    return this.#isPartial || outcome.unreadable !== null ? null : outcome
  }

  section(text: string): void {
    this.#head = []
    this.#headLength = 0
    this.#isTold = false
    this.#tail = Buffer.alloc(0)
    if (this.#isPartial) return
    const headers = contentHeaders(text)
    for (const { value } of headers) this.#headerBytes += value.length
    if (this.#headerBytes > maxHeaderBytes) {
      this.#isPartial = true
      return
    }
    this.#names = this.#findings.headers(headers, '')
    this.#isAttached = isAttached(this.#names, headers)
  }

  content(bytes: Buffer): void {
    if (this.#isPartial || this.#findings.isDenied) return
    if (!this.#isTold) this.#addToHead(bytes)
    this.#search(bytes)
  }

  end(): void {
    if (!this.#isTold) this.#tell()
    if (typesOfEnd(this.#tail).size > 0) this.#isPartial = true
  }

  #addToHead(bytes: Buffer): void {
    const piece = Buffer.from(bytes.subarray(0, headBytes - this.#headLength))
    this.#head.push(piece)
    this.#headLength += piece.length
    if (this.#headLength === headBytes) this.#tell()
  }

  #tell(): void {
    this.#isTold = true
    const types = typesOf(Buffer.concat(this.#head, this.#headLength))
    this.#head = []
    const holdsOthers = this.options.insideArchives && containerOf(types) !== null
    if (holdsOthers || types.has('ole') || types.has('tnef')) this.#isPartial = true
    else if (this.#isAttached || !isText(types)) this.#findings.file({ names: this.#names, types })
  }

  #search(bytes: Buffer): void {
    if (this.options.insideArchives) {
      const seam = Buffer.concat([this.#tail.subarray(1 - zipLookahead), bytes.subarray(0, zipLookahead)])
      if (findZip(seam, 0) >= 0 || findZip(bytes, 0) >= 0) this.#isPartial = true
    }
    const last = bytes.length >= endBytes ? bytes : Buffer.concat([this.#tail, bytes])
    this.#tail = Buffer.from(last.subarray(-endBytes))
  }
}
