/*
 * What one process has to tell of its messages: for metrics, for the page, for both or for neither, as the settings
 * have it at the moment. The message path calls `tell` and nothing else here; no fault of this part reaches it.
 */

import type { HttpSettings } from '../config/settings'
import type { AddressState } from '../hosts/host-pool'
import type { AttachmentFinding, Verdict } from '../policy/verdict'
import type { SnapshotKind } from './cluster-collect'
import { type MessageSummary, Stats, type StatsSnapshot } from './dashboard/stats'
import { type ActionResults, Metrics, type MetricsSnapshot, type Prom } from './metrics'

/** What the page is made of; `tally` is null in a process that has just been told that there is a page. */
export interface PageSnapshot {
  readonly stats: StatsSnapshot | null
  readonly addresses: readonly AddressState[]
  readonly processes: number
}

interface Surroundings {
  readonly settings: () => HttpSettings
  readonly states: () => readonly AddressState[]
  readonly version: string
  readonly warn: (text: string) => void
}

const recorders = new WeakMap<object, Recorder>()

/** From now on the plugin's messages are recorded. Without it `tell` does nothing. */
export function recordWith(plugin: object, recorder: Recorder): void {
  recorders.set(plugin, recorder)
}

/** Never throws. */
export function tell(plugin: object, what: (recorder: Recorder) => void): void {
  const recorder = recorders.get(plugin)
  if (!recorder) return
  try {
    what(recorder)
  } catch (error) {
    recorder.failed(error)
  }
}

export class Recorder {
  #stats: Stats | null = null
  #metrics: Metrics | null = null
  #loading: Promise<Metrics> | null = null
  #hasFailed = false

  constructor(private readonly surroundings: Surroundings) {
    this.#fit()
  }

  /** @param correspondence is asked only for messages that the page will show */
  judged(
    verdict: Verdict,
    finding: AttachmentFinding,
    action: string,
    correspondence: () => MessageSummary,
  ): void {
    this.#fit()
    // Counters that have begun go on also while nobody is to see them: they would jump otherwise.
    this.#metrics?.count(verdict, finding, action)
    this.#stats?.add(verdict, finding, action, correspondence)
  }

  countAction<D extends keyof ActionResults>(deed: D, result: ActionResults[D]): void {
    this.#metrics?.countAction(deed, result)
  }

  /** Says it once: what fails for one message will fail for the next as well. */
  failed(error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.surroundings.warn(`metrics and page miss messages: ${String(error)}`)
  }

  async snapshot(part: SnapshotKind): Promise<MetricsSnapshot | PageSnapshot> {
    this.#fit()
    if (part === 'page') {
      return { stats: this.#stats?.snapshot() ?? null, addresses: this.surroundings.states(), processes: 1 }
    }
    return (await this.#load()).snapshot()
  }

  /** Settings may have changed. What is not wanted any more is forgotten. */
  #fit(): void {
    const { metrics, page } = this.surroundings.settings()
    if (!page) this.#stats = null
    else this.#stats ??= new Stats(Date.now)
    if (metrics && !this.#loading) this.#load().catch((error: unknown) => this.failed(error))
  }

  #load(): Promise<Metrics> {
    this.#loading ??= loadProm().then((prom) => {
      this.#metrics = new Metrics(prom, this.surroundings.version, this.surroundings.states)
      return this.#metrics
    })
    return this.#loading
  }
}

export function loadProm(): Promise<Prom> {
  return import('prom-client')
}
