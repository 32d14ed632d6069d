/*
 * Reads one message up to the first name that a mask denies: block by block with part-readers.ts, and the archives found in
 * it between the blocks.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CancelSignal } from '../base/cancellation'
import type { MessageSource } from '../base/message-source'
import { Blocks } from '../mime/blocks'
import { Budget, defaultLimits, type Limits, OverBudget, turnMs } from '../mime/budget'
import type { MimeReader } from '../mime/mime-reader'
import { archiveSemaphore } from './archives/semaphore'
import { tnefNames } from './archives/tnef'
import { zipNames } from './archives/zip'
import { Findings, type Inspected } from './findings'
import type { Mask } from './masks'
import { type FoundArchive, Readers } from './part-readers'

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
  const { blocks, findings } = inspection
  const aborted = () => blocks.fail(options.signal.reason)
  options.signal.addEventListener('abort', aborted)
  try {
    options.signal.throwIfAborted()
    source.open(blocks).catch((error: unknown) => blocks.fail(error))
    await blocks.done
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error
    findings.trouble('message', error.message)
  } finally {
    options.signal.removeEventListener('abort', aborted)
    inspection.stop()
    source.close()
  }
  return findings.outcome
}

class Inspection {
  readonly blocks: Blocks
  readonly findings: Findings
  readonly #budget: Budget
  readonly #reader: MimeReader
  /** Those that are complete and not yet read. */
  readonly #archives: FoundArchive[] = []
  /** Milliseconds of work since others had a turn. */
  #turnMs = 0

  constructor(private readonly options: InspectOptions) {
    const limits = { ...defaultLimits, ...options.limits }
    this.blocks = new Blocks(limits.blockBytes, (block) => this.#step(block))
    this.findings = new Findings(options.masks, limits.names, () => this.blocks.stop())
    this.#budget = new Budget(limits, options.signal)
    const onArchive = (archive: FoundArchive) => this.#found(archive)
    this.#reader = new Readers(this.findings, this.#budget, onArchive, options.insideArchives).outermost()
  }

  /** Takes nothing more. */
  stop(): void {
    this.blocks.stop()
    this.#archives.length = 0
  }

  #step(block: Buffer | null): Promise<void> | null {
    this.#budget.enter()
    if (block) this.#reader.write(block)
    else this.#reader.end()
    this.#turnMs += this.#budget.leave()
    this.#budget.checkTime()
    return this.#archives.length > 0 || this.#turnMs >= turnMs ? this.#pause() : null
  }

  /** Attachments that Outlook wraps in TNEF are like any others; archives lie in it as they are. */
  #found(archive: FoundArchive): void {
    if (this.blocks.isOver) return
    if (archive.kind === 'tnef') this.#seeTnef(archive)
    if (this.options.insideArchives) this.#archives.push(archive)
    else this.#budget.releaseHeld(archive.content.length)
  }

  #seeTnef({ content, where }: FoundArchive): void {
    for (const name of tnefNames(content)) if (!this.findings.nameInPart(name, where)) return
  }

  /** Others get their turn, then archives are read. */
  async #pause(): Promise<void> {
    this.#turnMs = 0
    await nextTurn()
    if (this.#archives.length === 0) return
    await archiveSemaphore.run(() => this.#readArchives(), this.options.signal)
  }

  async #readArchives(): Promise<void> {
    this.#budget.enter()
    try {
      for (let archive = this.#archives.shift(); archive; archive = this.#archives.shift()) {
        for await (const sighting of zipNames(archive.content, this.#budget, archive.isInside)) {
          if ('name' in sighting) this.findings.name(sighting.name)
          else this.findings.trouble([archive.where, ...sighting.within].join(' > '), sighting.unreadable)
          if (this.blocks.isOver) return
        }
        this.#budget.releaseHeld(archive.content.length)
      }
    } finally {
      this.#budget.leave()
    }
  }
}
