/*
 * Records the messages of one process for metrics and page, as the current settings say. The message path calls only
 * tell(), and no error of this module reaches it.
 */

import type { HttpSettings } from '../config/settings'
import type { AddressState } from '../hosts/host-pool'
import type { AttachmentFinding, Verdict } from '../policy/verdict'
import type { SnapshotKind } from './cluster-collect'
import { type Kind, kindOf, listedMessage, type MessageSummary } from './dashboard/listed-message'
import type { MessageStore } from './dashboard/message-log'
import { type RecentSnapshot, Stats, type StatsSnapshot } from './dashboard/stats'
import { type ActionResults, Metrics, type MetricsSnapshot, type Prom } from './metrics'

/** The state of one process; `recent` is null if the page was only just switched on. */
export interface PageSnapshot {
  readonly recent: RecentSnapshot | null
  readonly addresses: readonly AddressState[]
  readonly processes: number
}

/** A message, and what became of it. */
interface Judged {
  readonly verdict: Verdict
  readonly finding: AttachmentFinding
  readonly action: string
}

interface RecorderContext {
  readonly settings: () => HttpSettings
  readonly states: () => readonly AddressState[]
  /** Where messages are listed for the page. */
  readonly messages: MessageStore
  readonly version: string
  readonly warn: (text: string) => void
}

const recorders = new WeakMap<object, Recorder>()

/** Sets the plugin's recorder. Without one, tell() does nothing. */
export function recordWith(plugin: object, recorder: Recorder): void {
  recorders.set(plugin, recorder)
}

/** Calls `what` with the plugin's recorder. Never throws. */
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

  constructor(private readonly context: RecorderContext) {
    this.#applySettings()
  }

  /** @param summary called only for messages that the page lists */
  judged(message: Judged, summary: () => MessageSummary): void {
    const { verdict, finding, action } = message
    this.#applySettings()
    // Counters continue while metrics are switched off: otherwise they would jump when switched on again.
    this.#metrics?.count(verdict, finding, action)
    if (!this.#stats) return
    this.#stats.add(verdict, finding, action)
    const kind = kindOf(verdict, finding, action)
    if (kind) this.#list(kind, message, summary)
  }

  countAction<A extends keyof ActionResults>(action: A, result: ActionResults[A]): void {
    this.#metrics?.countAction(action, result)
  }

  /** @param why there is no copy */
  copyFailed(message: Judged, summary: () => MessageSummary, why: string): void {
    this.countAction('copy', 'failed')
    this.#stats?.addFailedCopy()
    if (this.#stats) this.#list('copy failed', message, summary, why)
  }

  /** Logs once: an error for one message usually repeats for the next. */
  failed(error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.context.warn(`metrics and page miss messages: ${String(error)}`)
  }

  async snapshot(part: SnapshotKind): Promise<MetricsSnapshot | PageSnapshot | StatsSnapshot | null> {
    this.#applySettings()
    switch (part) {
      case 'page':
        return { recent: this.#stats?.recent() ?? null, addresses: this.context.states(), processes: 1 }
      case 'figures':
        return this.#stats?.snapshot() ?? null
      case 'metrics':
        return (await this.#load()).snapshot()
    }
  }

  #list(kind: Kind, message: Judged, summary: () => MessageSummary, failure: string | null = null): void {
    this.context.messages.add(listedMessage(kind, message, summary(), Date.now(), failure))
  }

  /** Follows the current settings: statistics of a page that was switched off are dropped. */
  #applySettings(): void {
    const { metrics, page } = this.context.settings()
    if (page) this.#stats ??= new Stats(Date.now)
    else if (this.#stats) {
      this.#stats = null
      this.context.messages.forget()
    }
    if (metrics && !this.#loading) this.#load().catch((error: unknown) => this.failed(error))
  }

  #load(): Promise<Metrics> {
    this.#loading ??= loadProm().then((prom) => {
      this.#metrics = new Metrics(prom, this.context.version, this.context.states)
      return this.#metrics
    })
    return this.#loading
  }
}

export function loadProm(): Promise<Prom> {
  return import('prom-client')
}
