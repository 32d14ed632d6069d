/*
 * The budget for reading one message and its archives. A reader that exceeds it reports `unreadable`, never a harmless
 * message.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CancelSignal } from '../base/cancellation'

export interface Limits {
  /** Bytes of the message that are looked at together: the message stream hands over line by line, which is dear. */
  readonly blockBytes: number
  /** Maximum header sections of the message, and of each encoded message in it. */
  readonly parts: number
  /** Maximum names in MIME parts. */
  readonly names: number
  /** Maximum levels of encoded messages. */
  readonly messages: number
  /** Readers of messages that are open at one time: of several encodings, each may be the one that counts. */
  readonly readers: number
  /** Maximum levels of archives, including the outermost. */
  readonly depth: number
  /** Entries of all archives; each may have two headers. */
  readonly entries: number
  /** Bytes that are held at one time to read them as archives, of all attachments and all readings of them. */
  readonly heldBytes: number
  /** Bytes that all nested archives of the message inflate to. */
  readonly inflatedBytes: number
  /**
   * Milliseconds of work, checked between pieces of the message and between entries of archives. CPU, or time where that
   * is less: waiting does not count, nor do other programs, nor does what the thread pool inflates.
   */
  readonly ms: number
  /** Milliseconds, by the clock on the wall, in which the library for archives works on one message. */
  readonly libraryMs: number
}

/**
 * Wide enough for what people send: an archive of a source tree, an office document in a zip in a zip. Narrow
 * enough that the worst message costs a few seconds of one core, and memory on the order of what is held and
 * inflated.
 */
export const defaultLimits: Limits = {
  blockBytes: 64 * 1024,
  parts: 10_000,
  names: 10_000,
  messages: 5,
  readers: 16,
  depth: 5,
  entries: 20_000,
  heldBytes: 32 * 1024 * 1024,
  inflatedBytes: 64 * 1024 * 1024,
  ms: 5000,
  libraryMs: 8000,
}

/** Milliseconds of work for a message of this size, so that a small hostile one is not as dear as a large one. */
export function workMs(bytes: number): number {
  return Math.min(defaultLimits.ms, 1000 + bytes / 1000)
}

export class OverBudget extends Error {
  override readonly name = 'OverBudget'
}

/** Milliseconds of work after which other connections get a turn. */
export const turnMs = 5

const wallMs = () => performance.now()

/** Of the whole process, so that it is an upper bound as the clock on the wall is one. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

interface Times {
  wallMs: number
  cpuMs: number
}

export class Budget {
  #headers = 0
  #inflated = 0
  #held = 0
  /** Until the last `leave`. */
  #spent: Times = { wallMs: 0, cpuMs: 0 }
  #since: Times | null = null
  /** Milliseconds of work since others had a turn, until the last `leave`. */
  #turnSpentMs = 0
  #libraryMs = 0

  /**
   * @param now milliseconds, from any beginning
   * @param cpu milliseconds of CPU, likewise
   */
  constructor(
    readonly limits: Limits,
    readonly signal: CancelSignal,
    private readonly now: () => number = wallMs,
    private readonly cpu: () => number = now === wallMs ? cpuMs : now,
  ) {}

  /** For the same message from its beginning: what was counted is counted again, but the time is shared. */
  restarted(limits: Limits = this.limits): Budget {
    const budget = new Budget(limits, this.signal, this.now, this.cpu)
    budget.#spent = this.#spent
    return budget
  }

  /** The clock runs from here to `leave`. */
  enter(): void {
    this.#since = { wallMs: this.now(), cpuMs: this.cpu() }
  }

  /** @returns milliseconds since `enter` */
  leave(): number {
    if (this.#since === null) return 0
    const ms = this.now() - this.#since.wallMs
    this.#spent.wallMs += ms
    this.#spent.cpuMs += this.cpu() - this.#since.cpuMs
    this.#turnSpentMs += ms
    this.#since = null
    return ms
  }

  /** For the header of an entry, of which one entry has two. @throws OverBudget */
  spendHeader(): void {
    if (++this.#headers > 2 * this.limits.entries) {
      throw new OverBudget(`more than ${this.limits.entries} entries`)
    }
  }

  /** Bytes that may still be inflated. */
  get inflatable(): number {
    return this.limits.inflatedBytes - this.#inflated
  }

  /** At most what is inflatable. */
  spendInflated(bytes: number): void {
    this.#inflated += bytes
  }

  /** Milliseconds that the library for archives may still take. */
  get libraryMs(): number {
    return this.limits.libraryMs - this.#libraryMs
  }

  /** @param work is handed what it calls when its turn has come: waiting for that costs nothing */
  async inLibrary<T>(work: (signal: CancelSignal, started: () => void) => Promise<T>): Promise<T> {
    const turn = { began: Infinity }
    const started = () => void (turn.began = this.now())
    try {
      return await this.offTheClock(() => work(this.signal, started))
    } finally {
      this.#libraryMs += Math.max(0, this.now() - turn.began)
    }
  }

  /** For bytes about to be held. @throws OverBudget and nothing is spent */
  spendHeld(bytes: number): void {
    if (this.#held + bytes > this.limits.heldBytes) {
      throw new OverBudget(`more than ${this.limits.heldBytes} bytes of archives`)
    }
    this.#held += bytes
  }

  releaseHeld(bytes: number): void {
    this.#held -= bytes
  }

  /** @throws OverBudget */
  checkTime(): void {
    const { ms } = this.limits
    const { wallMs, cpuMs } = this.#since ?? { wallMs: this.now(), cpuMs: null }
    // By the wall first, for that costs less to know.
    if (this.#spent.wallMs + this.now() - wallMs <= ms) return
    const cpu = this.#spent.cpuMs + (cpuMs === null ? 0 : this.cpu() - cpuMs)
    if (cpu > ms) throw new OverBudget(`more than ${ms} ms`)
  }

  /** Called often: checks time and abort, and lets others have a turn now and then. */
  async breathe(): Promise<void> {
    this.checkTime()
    if (!this.isTurnOver) return
    await this.offTheClock(() => nextTurn())
    this.#turnSpentMs = 0
    this.signal.throwIfAborted()
  }

  /** Whether `breathe` would let others have a turn: to be asked where a promise would cost more than the work. */
  get isTurnOver(): boolean {
    const ms = this.#since === null ? 0 : this.now() - this.#since.wallMs
    return this.#turnSpentMs + ms >= turnMs
  }

  /** Waits for something that is not work of this thread on this message. */
  async offTheClock<T>(wait: () => Promise<T>): Promise<T> {
    this.leave()
    try {
      return await wait()
    } finally {
      this.enter()
    }
  }
}
