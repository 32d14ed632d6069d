/*
 * The data of the page: the state, sent to each viewer as it changes, and what a viewer asks for. However many ask, each
 * thing is collected once at a time, and then not again for a while.
 */

import type { ServerResponse } from 'node:http'
import type { Cancellation } from '../../base/cancellation'
import type { Collect } from '../cluster-collect'
import type { PageSnapshot } from '../recorder'
import type { AlertSettings } from './alerts'
import { EventStream, type Viewer } from './event-stream'
import { type Figures, figuresOf } from './figures'
import type { LogPage, MessageStore } from './message-log'
import type { CopySummary, Quarantine } from './quarantine-summary'
import type { Rescan, RescanResult } from './rescan'
import { mergeStats, spanNames, type StatsSnapshot } from './stats'
import { viewOf } from './view'

export interface DashboardParts {
  readonly collect: Collect
  readonly messages: Pick<MessageStore, 'after'>
  readonly quarantine: Pick<Quarantine, 'look' | 'list'>
  readonly rescan: Pick<Rescan, 'scan'>
  readonly alerts: () => AlertSettings
}

/** Milliseconds for which figures, and answers about messages, are good for all viewers. */
const figuresMs = 5000
const messagesMs = 500

export class PageData {
  readonly #eventStream: EventStream
  readonly #stats = new Shared<StatsSnapshot>(figuresMs)
  readonly #messages = new Shared<LogPage>(messagesMs)

  constructor(private readonly parts: DashboardParts) {
    const { collect, messages, quarantine, alerts } = parts
    this.#eventStream = new EventStream(async () => {
      const [pages, kept, { epoch, seq }] = await Promise.all([
        collect('page'),
        quarantine.look(),
        messages.after(null),
      ])
      return viewOf(pages as readonly PageSnapshot[], alerts(), kept, { epoch, seq }, Date.now())
    })
  }

  /** @returns false if there are too many viewers */
  watch(response: ServerResponse, viewer: Viewer, isAllowed: () => boolean): boolean {
    if (!this.#eventStream.hasRoomFor(viewer)) return false
    this.#eventStream.add(response, viewer, isAllowed)
    return true
  }

  /** Shows a login out. */
  endFor(login: string): void {
    this.#eventStream.endFor(login)
  }

  messages(query: URLSearchParams): Promise<LogPage> {
    const cursor = { epoch: numberIn(query, 'epoch'), seq: numberIn(query, 'seq') }
    return this.#messages.get(JSON.stringify(cursor), () => this.parts.messages.after(cursor))
  }

  async figures(query: URLSearchParams): Promise<Figures> {
    const span = spanNames.find((one) => one === query.get('span')) ?? 'hour'
    const stats = await this.#stats.get('', async () => {
      const all = (await this.parts.collect('figures')) as readonly (StatsSnapshot | null)[]
      return mergeStats(
        all.flatMap((one) => (one ? [one] : [])),
        Date.now(),
      )
    })
    return figuresOf(stats, span, Date.now())
  }

  copies(): Promise<readonly CopySummary[]> {
    return this.parts.quarantine.list()
  }

  /** @param body JSON with day and uuid of the copy */
  async rescan(body: string, gone: Cancellation): Promise<RescanResult | 'busy' | 'missing'> {
    const { day, uuid } = parsed(body)
    return this.parts.rescan.scan(String(day), String(uuid), gone)
  }

  end(): void {
    this.#eventStream.end()
  }
}

function parsed(body: string): { readonly day?: unknown; readonly uuid?: unknown } {
  try {
    return (JSON.parse(body) as { readonly day?: unknown; readonly uuid?: unknown } | null) ?? {}
  } catch {
    return {}
  }
}

function numberIn(query: URLSearchParams, name: string): number {
  const number = Number(query.get(name) ?? 0)
  return Number.isSafeInteger(number) ? number : 0
}

const maxShared = 32

/** One answer for all that ask within the time. */
class Shared<T> {
  readonly #answers = new Map<string, Promise<T>>()

  constructor(private readonly freshMs: number) {}

  get(key: string, build: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(key)
    if (known) return known
    if (this.#answers.size >= maxShared) this.#answers.clear()
    const answer = build()
    this.#answers.set(key, answer)
    setTimeout(() => this.#answers.delete(key), this.freshMs).unref()
    return answer
  }
}
