/*
 * What one message holds: its names and files, up to the first that is denied. Takes the message block by block, with
 * part-readers.ts, and reads the archives found in it between the blocks; and takes contents as another reader of the message
 * finds them. lib/scan/inspect.ts reads a message for it.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { Blocks } from '../mime/blocks'
import { type Budget, OverBudget, turnMs } from '../mime/budget'
import type { MimeReader } from '../mime/mime-reader'
import type { ReadingObserver } from '../mime/observer'
import { contentHeaders } from '../mime/part-headers'
import { lookInside } from './archives/look-inside'
import { archiveSemaphore } from './archives/semaphore'
import type { Sighting } from './archives/sighting'
import { tnefNames } from './archives/tnef'
import { zipNames } from './archives/zip'
import { findZip } from './archives/zip-headers'
import { containerOf, isText, typesOfEnd, typesOfWhole } from './file-types'
import { bareName, isAttached, namesOf } from './filenames'
import { Findings } from './findings'
import type { Mask } from './masks'
import { type FileChecks, type FoundArchive, Readers } from './part-readers'

export interface Wanted {
  readonly deny: readonly Mask[]
  readonly allow?: readonly Mask[]
  /** Also names in archives. */
  readonly insideArchives: boolean
}

/** A content of the message, decoded. */
export interface InspectedContent {
  /** For a log: `part 3`. */
  readonly name: string
  readonly bytes: Buffer
  /** Headers of its part. */
  readonly head?: string
}

export class Inspection implements ReadingObserver {
  readonly blocks: Blocks
  readonly findings: Findings
  readonly #readers: Readers
  readonly #reader: MimeReader
  readonly #checks: FileChecks
  /** Those that are complete and not yet read. */
  readonly #archives: FoundArchive[] = []
  /** Milliseconds of work since others had a turn. */
  #turnMs = 0

  /** @param onBlock is shown each block of the message */
  constructor(
    private readonly wanted: Wanted,
    private readonly budget: Budget,
    private readonly onBlock: (block: Buffer) => void = () => undefined,
  ) {
    const { deny, allow = [], insideArchives } = wanted
    const { limits } = budget
    this.blocks = new Blocks(limits.blockBytes, (block) => this.#step(block))
    this.findings = new Findings(deny, allow, limits.names, () => this.blocks.stop())
    this.#checks = { insideArchives, types: deny.some((mask) => mask.of === 'type') }
    const onArchive = (archive: FoundArchive) => this.#found(archive)
    this.#readers = new Readers(this.findings, this.budget, onArchive, this.#checks)
    this.#reader = this.#readers.outermost()
  }

  /** Not all that is to be opened was held. */
  get hasMissed(): boolean {
    return this.#readers.hasMissed
  }

  /** Takes nothing more. */
  stop(): void {
    this.blocks.stop()
    this.#archives.length = 0
  }

  headers(where: string, headers: Parameters<ReadingObserver['headers']>[1]): void {
    this.findings.headers(headers, where)
  }

  fileName(where: string, text: string): void {
    const name = bareName(text)
    if (name) this.findings.nameInPart(name, where)
  }

  trouble(where: string, what: string): void {
    this.findings.trouble(where, what)
  }

  /**
   * One content, and what is in it. Rejects with the signal's reason.
   * @param isMissed it was seen as it streamed by, and is looked into only if it was missed then
   */
  async content({ name, bytes, head = '' }: InspectedContent, isMissed: boolean): Promise<void> {
    if (isMissed && typesOfEnd(bytes).size === 0) return
    const types = typesOfWhole(bytes)
    if (!isMissed && this.#checks.types && (!isText(types) || isFile(head)))
      this.findings.file({ names: [], types })
    const holdsOthers = types.has('tnef')
    const isArchive = this.#checks.insideArchives && containerOf(types) !== null
    const zipAt = isArchive || holdsOthers || !this.#checks.insideArchives ? -1 : findZip(bytes, 0)
    if (!isArchive && !holdsOthers && zipAt < 0) return
    const content = zipAt < 0 ? bytes : bytes.subarray(zipAt)
    try {
      this.budget.spendHeld(content.length)
    } catch (error) {
      if (!(error instanceof OverBudget)) throw error
      this.trouble(name, error.message)
      return
    }
    this.#found({
      content,
      types: zipAt < 0 ? types : noTypes,
      where: name,
      names: [],
      isDoubtful: !isMissed,
    })
    await this.#readFound()
  }

  #step(block: Buffer | null): Promise<void> | null {
    this.budget.enter()
    if (block) {
      this.onBlock(block)
      this.#reader.write(block)
    } else {
      this.#reader.end()
    }
    this.#turnMs += this.budget.leave()
    this.budget.checkTime()
    return this.#archives.length > 0 || this.#turnMs >= turnMs ? this.#pause() : null
  }

  /** To be read between the blocks: archives, and TNEF, whose names are as many as its sender likes. */
  #found(archive: FoundArchive): void {
    if (this.findings.isDenied) return
    const { content, types, where, names } = archive
    if (this.#checks.types) {
      const all = typesOfWhole(content, types)
      if (all.size > types.size && this.findings.file({ names, types: all })) return
    }
    // It was held from where a zip archive began in it.
    if (types.size === 0 && typesOfEnd(content).size > 0) this.#readers.hasMissed = true
    if (this.wanted.insideArchives || types.has('tnef')) this.#archives.push({ ...archive, where })
    else this.budget.releaseHeld(content.length)
  }

  /** Others get their turn, then archives are read. */
  async #pause(): Promise<void> {
    this.#turnMs = 0
    await nextTurn()
    await this.#readFound()
  }

  async #readFound(): Promise<void> {
    if (this.#archives.length === 0) return
    await archiveSemaphore.run(() => this.#readArchives(), this.budget.signal)
  }

  async #readArchives(): Promise<void> {
    this.budget.enter()
    try {
      for (let archive = this.#archives.shift(); archive; archive = this.#archives.shift()) {
        await this.#readArchive(archive)
        if (this.findings.isDenied) return
        this.budget.releaseHeld(archive.content.length)
      }
    } finally {
      this.budget.leave()
    }
  }

  /** Attachments that Outlook wraps in TNEF are like any others. @returns whether one is denied @throws OverBudget */
  async #readTnef({ content, where }: FoundArchive): Promise<boolean> {
    for await (const name of tnefNames(content, this.budget))
      if (!this.findings.nameInPart(name, where)) break
    return this.findings.isDenied
  }

  async #readArchive(archive: FoundArchive): Promise<void> {
    try {
      if (archive.types.has('tnef') && (await this.#readTnef(archive))) return
      // Archives lie in TNEF as they are.
      if (!this.wanted.insideArchives) return
      for await (const sighting of this.#sightings(archive)) {
        if ('unreadable' in sighting && archive.isDoubtful && sighting.unreadable.includes('damaged'))
          continue
        if ('unreadable' in sighting)
          this.findings.trouble([archive.where, ...sighting.within].join(' > '), sighting.unreadable)
        else this.#see(sighting)
        if (this.findings.isDenied) return
      }
    } catch (error) {
      if (!(error instanceof OverBudget)) throw error
      this.findings.trouble(archive.where, error.message)
    }
  }

  #sightings({ content, types }: FoundArchive): AsyncGenerator<Sighting> {
    const isZip = types.size === 0 || types.has('zip') || types.has('tnef')
    return isZip
      ? zipNames(content, this.budget, !types.has('zip'), [], lookInside)
      : lookInside(content, this.budget, [])
  }

  #see(sighting: Exclude<Sighting, { unreadable: string }>): void {
    const { kinds } = sighting.place
    if ('name' in sighting) this.findings.file({ names: [sighting.name], kinds })
    else
      this.findings.file({ names: sighting.of === null ? [] : [sighting.of], types: sighting.types, kinds })
  }
}

const noTypes: ReadonlySet<string> = new Set()

function isFile(head: string): boolean {
  const headers = contentHeaders(head)
  return isAttached(namesOf(headers).names, headers)
}
