/*
 * A message in blocks, for work that is dear by the piece and may have to wait: gathers what a source hands over, and
 * makes it wait. What is done with a block, and when others get a turn, is the step's business.
 */

import { EventEmitter } from 'node:events'
import type { Sink } from '../base/message-source'

/** Works on a block, or on what is left behind the last one (null). A promise: the next one waits for it. */
export type Step = (block: Buffer | null) => Promise<void> | null

export class Blocks extends EventEmitter implements Sink {
  /** Resolves after the last step or with `stop`, rejects with what `fail` is told or a step throws. */
  readonly done: Promise<void>
  #settle: { resolve: () => void; reject: (error: Error) => void } | null = null

  /** Chunks that are to make a block. */
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  /** Blocks that came in the meantime, from a source that does not wait; null: there are no more. */
  readonly #waiting: (Buffer | null)[] = []
  #busy = false

  constructor(
    private readonly blockBytes: number,
    private readonly step: Step,
  ) {
    super()
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  get isOver(): boolean {
    return this.#settle === null
  }

  write(chunk: Buffer): boolean {
    if (this.isOver) return false
    this.#gathered.push(chunk)
    this.#gatheredBytes += chunk.length
    if (this.#gatheredBytes >= this.blockBytes) {
      this.#endBlock()
      this.#work()
    }
    return this.#isOpen()
  }

  end(): void {
    this.#endBlock()
    this.#waiting.push(null)
    this.emit('finish')
    this.#work()
  }

  fail(reason: unknown): void {
    this.#settle?.reject(reason instanceof Error ? reason : new Error(String(reason)))
    this.stop()
  }

  /** Takes nothing more. */
  stop(): void {
    this.#settle?.resolve()
    this.#settle = null
    this.#gathered = []
    this.#waiting.length = 0
  }

  #endBlock(): void {
    if (this.#gatheredBytes > 0) this.#waiting.push(Buffer.concat(this.#gathered, this.#gatheredBytes))
    this.#gathered = []
    this.#gatheredBytes = 0
  }

  #work(): void {
    try {
      while (this.#isOpen()) {
        const block = this.#waiting.shift()
        if (block === undefined) return
        const pause = this.step(block)
        if (pause) this.#await(pause, block === null)
        else if (block === null) this.stop()
      }
    } catch (error) {
      this.fail(error)
    }
  }

  #await(pause: Promise<void>, wasLast: boolean): void {
    this.#busy = true
    pause
      .then(() => {
        this.#busy = false
        if (wasLast) this.stop()
        this.#work()
        if (this.#isOpen()) this.emit('drain')
      })
      .catch((error: unknown) => this.fail(error))
  }

  #isOpen(): boolean {
    return !this.isOver && !this.#busy
  }
}
