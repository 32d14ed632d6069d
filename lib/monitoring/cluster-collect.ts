/*
 * Collects the snapshots of all processes of a Haraka cluster. A worker asks the master; the master asks every worker and
 * stores the last answer of each, so that the counts of a dead worker are not lost. recorder.ts makes the snapshots,
 * base/cluster-channel.ts carries them.
 */

import type { ToMaster, ToWorkers } from '../base/cluster-channel'

const kinds = ['metrics', 'page', 'figures'] as const

/** What a snapshot is for. */
export type SnapshotKind = (typeof kinds)[number]

export type TakeSnapshot = (part: SnapshotKind) => Promise<unknown>

/** The snapshots of all processes. Rejects after a timeout. */
export type Collect = (part: SnapshotKind) => Promise<readonly unknown[]>

/** Worker to master: ask; master to each worker: tell; each worker to master: told; master to worker: all. */
type Payload =
  | { readonly kind: 'ask' | 'tell'; readonly id: number; readonly part: SnapshotKind }
  | { readonly kind: 'told'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'all'; readonly id: number; readonly answers: readonly unknown[] }

/** Milliseconds that the master waits for the workers (tellMs), and a worker for the master (allMs). */
const tellMs = 1000
const allMs = 3000

/** For a Haraka without cluster. */
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
        reject(new Error(`the master did not answer within ${this.limitMs} ms`))
      }, this.limitMs)
      this.#waiting.set(id, (answers) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(answers)
      })
      this.#send({ kind: 'ask', id, part })
    })

  /** Call it with every message of the master. */
  receive(received: object): void {
    const payload = received as Payload
    if (payload.kind === 'all') this.#waiting.get(payload.id)?.(payload.answers)
    if (payload.kind !== 'tell' || !kinds.includes(payload.part)) return
    this.answer(payload.part).then(
      (answer) => this.#send({ kind: 'told', id: payload.id, answer }),
      // The master continues without it after its timeout.
      () => undefined,
    )
  }

  #send(payload: Payload): void {
    this.master.send(payload)
  }
}

/** Merges the snapshots of dead workers. */
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
  readonly #last: Record<SnapshotKind, Map<number, unknown>> = {
    metrics: new Map(),
    page: new Map(),
    figures: new Map(),
  }
  readonly #deadWorkersSnapshot: Partial<Record<SnapshotKind, unknown>> = {}
  readonly #mergers: Partial<Record<SnapshotKind, Merge>> = {}

  constructor(
    private readonly workers: Pick<ToWorkers, 'ids' | 'send'>,
    private readonly mergerFor: (part: SnapshotKind) => Promise<Merge>,
    private readonly limitMs = tellMs,
  ) {}

  /** Call it with every message of a worker. */
  receive(received: object, from: number): void {
    const payload = received as Payload
    if (payload.kind === 'ask' && kinds.includes(payload.part)) {
      this.#collect(payload.part).then(
        (answers) => this.#send(from, { kind: 'all', id: payload.id, answers }),
        // The worker has its own timeout.
        () => undefined,
      )
    }
    if (payload.kind === 'told') this.#told(from, payload.id, payload.answer)
  }

  /** Call it when a worker's channel closed. @throws any error of the merge */
  onExit(worker: number): void {
    for (const round of this.#open.values()) {
      if (round.pending.delete(worker) && round.pending.size === 0) round.end()
    }
    const lasts = kinds.map((part) => [part, this.#last[part].get(worker)] as const)
    for (const part of kinds) this.#last[part].delete(worker)
    for (const [part, last] of lasts) {
      const merge = this.#mergers[part]
      if (last === undefined || !merge) continue
      const before = this.#deadWorkersSnapshot[part]
      this.#deadWorkersSnapshot[part] = merge(before === undefined ? [last] : [before, last])
    }
  }

  async #collect(part: SnapshotKind): Promise<unknown[]> {
    this.#mergers[part] ??= await this.mergerFor(part)
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
    // For a worker without an answer in time this is its previous one, so that no counter decreases.
    return [...(deadWorkersSnapshot === undefined ? [] : [deadWorkersSnapshot]), ...this.#last[part].values()]
  }

  #told(worker: number, id: number, answer: unknown): void {
    const round = this.#open.get(id)
    // Late: the stored answer may be newer.
    if (!round?.pending.delete(worker)) return
    this.#last[round.part].set(worker, answer)
    if (round.pending.size === 0) round.end()
  }

  #send(to: number, payload: Payload): void {
    this.workers.send(to, payload)
  }
}
