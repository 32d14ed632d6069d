/*
 * The processes of one Haraka, who together know what a single one does not: a worker asks the master, the master
 * asks every worker and keeps the last answer of each, so that what a worker has counted is not lost with it.
 * What the answers hold is recorder.ts' business; how they get there is channel.ts'.
 */

import type { ToMaster, ToWorkers } from '../base/cluster-channel'

const kinds = ['metrics', 'page'] as const

/** What can be asked for. */
export type SnapshotKind = (typeof kinds)[number]

export type TakeSnapshot = (part: SnapshotKind) => Promise<unknown>

/** The answer of every process. Rejects when they cannot be had in time. */
export type Collect = (part: SnapshotKind) => Promise<readonly unknown[]>

/** A worker asks; the master has it tell; it has told; the master gives it all. */
type Words =
  | { readonly kind: 'ask' | 'tell'; readonly id: number; readonly part: SnapshotKind }
  | { readonly kind: 'told'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'all'; readonly id: number; readonly answers: readonly unknown[] }

/** Milliseconds that the master waits for workers, and a worker for the master. */
const tellMs = 1000
const allMs = 3000

/** For Haraka in one process. */
export function alone(answer: TakeSnapshot): Collect {
  return async (part) => [await answer(part)]
}

/** In a worker of a cluster. */
export class Worker {
  #asked = 0
  readonly #waiting = new Map<number, (answers: readonly unknown[]) => void>()

  constructor(
    private readonly master: Pick<ToMaster, 'send'>,
    private readonly answer: TakeSnapshot,
    private readonly limitMs = allMs,
  ) {}

  readonly collect: Collect = (part) =>
    new Promise((resolve, reject) => {
      const id = ++this.#asked
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error(`the master has not answered within ${this.limitMs} ms`))
      }, this.limitMs)
      this.#waiting.set(id, (answers) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(answers)
      })
      this.#send({ kind: 'ask', id, part })
    })

  /** To be called with whatever the master says. */
  receive(said: object): void {
    const payload = said as Words
    if (payload.kind === 'all') this.#waiting.get(payload.id)?.(payload.answers)
    if (payload.kind !== 'tell' || !kinds.includes(payload.part)) return
    this.answer(payload.part).then(
      (answer) => this.#send({ kind: 'told', id: payload.id, answer }),
      // The master goes on without it when the time is up.
      () => undefined,
    )
  }

  #send(payload: Words): void {
    this.master.send(payload)
  }
}

/** Makes one answer of those of processes that have ended. */
export type Merge = (answers: readonly unknown[]) => unknown

interface Round {
  readonly part: SnapshotKind
  readonly pending: Set<number>
  end(): void
}

/** In the master of a cluster. */
export class Master {
  #rounds = 0
  readonly #open = new Map<number, Round>()
  readonly #last: Record<SnapshotKind, Map<number, unknown>> = { metrics: new Map(), page: new Map() }
  readonly #deadWorkersSnapshot: Partial<Record<SnapshotKind, unknown>> = {}
  readonly #folds: Partial<Record<SnapshotKind, Merge>> = {}

  constructor(
    private readonly workers: Pick<ToWorkers, 'ids' | 'send'>,
    private readonly mergerFor: (part: SnapshotKind) => Promise<Merge>,
    private readonly limitMs = tellMs,
  ) {}

  /** To be called with whatever a worker says. */
  receive(said: object, from: number): void {
    const payload = said as Words
    if (payload.kind === 'ask' && kinds.includes(payload.part)) {
      this.#collect(payload.part).then(
        (answers) => this.#send(from, { kind: 'all', id: payload.id, answers }),
        // The worker has its own limit.
        () => undefined,
      )
    }
    if (payload.kind === 'told') this.#told(from, payload.id, payload.answer)
  }

  /** To be called when a worker's channel has closed. @throws whatever is thrown where its answers are folded */
  onExit(worker: number): void {
    for (const round of this.#open.values()) {
      if (round.pending.delete(worker) && round.pending.size === 0) round.end()
    }
    const lasts = kinds.map((part) => [part, this.#last[part].get(worker)] as const)
    for (const part of kinds) this.#last[part].delete(worker)
    for (const [part, last] of lasts) {
      const merge = this.#folds[part]
      if (last === undefined || !merge) continue
      const before = this.#deadWorkersSnapshot[part]
      this.#deadWorkersSnapshot[part] = merge(before === undefined ? [last] : [before, last])
    }
  }

  async #collect(part: SnapshotKind): Promise<unknown[]> {
    this.#folds[part] ??= await this.mergerFor(part)
    const id = ++this.#rounds
    const workers = this.workers.ids()
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.limitMs)
      const end = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#open.set(id, { part, pending: new Set(workers), end })
      if (workers.length === 0) end()
      for (const worker of workers) this.#send(worker, { kind: 'tell', id, part })
    })
    this.#open.delete(id)
    const deadWorkersSnapshot = this.#deadWorkersSnapshot[part]
    // Of a worker that has not answered in time this is what it said before: late, but nothing goes backwards.
    return [...(deadWorkersSnapshot === undefined ? [] : [deadWorkersSnapshot]), ...this.#last[part].values()]
  }

  #told(worker: number, id: number, answer: unknown): void {
    const round = this.#open.get(id)
    // Too late, and what it said since may be newer.
    if (!round?.pending.delete(worker)) return
    this.#last[round.part].set(worker, answer)
    if (round.pending.size === 0) round.end()
  }

  #send(to: number, payload: Words): void {
    this.workers.send(to, payload)
  }
}
