/*
 * Statistics of one process for the page: verdicts by time, scans by address, signatures, and the last infected and
 * unscanned messages of one day. Memory is bounded. Pure; the clock is passed in.
 */

import { displayText } from '../../base/text'
import type { AttachmentFinding, Verdict } from '../../policy/verdict'
import { type Bucket, mergeBuckets, TimeWindow } from './time-window'

export interface Counts {
  clean: number
  infected: number
  /** Without exempt messages. */
  unscanned: number
  exempt: number
  /** Messages with a denied attachment; they also count in one of the fields above. */
  denied: number
}

interface Work {
  scans: number
  ms: number
  slowestMs: number
}

/** Sender, recipients and identifiers, to find the message in the log. */
export interface MessageSummary {
  readonly uuid: string
  readonly from: string
  /** The first few. */
  readonly to: readonly string[]
  readonly recipients: number
  readonly ip: string
  readonly user: string | null
  readonly subject: string
}

/** One of the last messages. Every string is bounded and printable. */
export interface RecentMessage extends MessageSummary {
  /** Milliseconds since the epoch. */
  readonly time: number
  /** Signature name or unscanned reason. */
  readonly what: string
  /** For an unscanned message: address, step and cause. */
  readonly why: string
  readonly action: string
  readonly clamd: string | null
}

export type Names = readonly (readonly [name: string, count: number])[]

/** Plain JSON, since it is sent between processes. */
export interface StatsSnapshot {
  readonly minutes: readonly Bucket<Counts>[]
  readonly quarters: readonly Bucket<Counts>[]
  readonly addresses: readonly (readonly [text: string, work: readonly Bucket<Work>[]])[]
  readonly signatures: readonly Bucket<Names>[]
  /** Newest first, like `unscanned`. */
  readonly infected: readonly RecentMessage[]
  readonly unscanned: readonly RecentMessage[]
}

const minuteMs = 60_000

/** Bucket width and number of buckets of each series. */
export const windows = {
  minutes: { widthMs: minuteMs, count: 60 },
  quarters: { widthMs: 15 * minuteMs, count: 96 },
  work: { widthMs: 5 * minuteMs, count: 12 },
  signatures: { widthMs: 60 * minuteMs, count: 24 },
} as const

/** Maximum number of entries. */
export const bounds = { messages: 50, addresses: 32, names: 30, recipients: 3 } as const

const noCounts = (): Counts => ({ clean: 0, infected: 0, unscanned: 0, exempt: 0, denied: 0 })
const noWork = (): Work => ({ scans: 0, ms: 0, slowestMs: 0 })

export class Stats {
  readonly #minutes = new TimeWindow(windows.minutes.widthMs, windows.minutes.count, noCounts)
  readonly #quarters = new TimeWindow(windows.quarters.widthMs, windows.quarters.count, noCounts)
  readonly #signatures = new TimeWindow(
    windows.signatures.widthMs,
    windows.signatures.count,
    () => new Map<string, number>(),
  )
  readonly #addresses = new Map<string, TimeWindow<Work>>()
  readonly #infected: RecentMessage[] = []
  readonly #unscanned: RecentMessage[] = []

  /** @param now milliseconds since the epoch */
  constructor(private readonly now: () => number) {}

  /** @param summary called only for messages of the lists */
  add(verdict: Verdict, finding: AttachmentFinding, action: string, summary: () => MessageSummary): void {
    const now = this.now()
    const isExempt = verdict.outcome === 'unscanned' && verdict.reason === 'exempt'
    for (const counts of [this.#minutes.at(now), this.#quarters.at(now)]) {
      counts[isExempt ? 'exempt' : verdict.outcome]++
      if (finding !== null && 'denied' in finding) counts.denied++
    }
    if (verdict.clamd !== null) this.#addWork(verdict.clamd, verdict.ms, now)
    const list = (messages: RecentMessage[], what: string, why: string) =>
      prepend(messages, { ...bounded(summary()), time: now, what, why, action, clamd: verdict.clamd })
    if (verdict.outcome === 'infected') {
      const name = displayText(verdict.virus, 128)
      addName(this.#signatures.at(now), name)
      list(this.#infected, name, '')
    } else if (verdict.outcome === 'unscanned' && !isExempt) {
      list(this.#unscanned, verdict.reason, displayText(verdict.text, 300))
    }
  }

  snapshot(): StatsSnapshot {
    const now = this.now()
    return {
      minutes: this.#minutes.buckets(now),
      quarters: this.#quarters.buckets(now),
      addresses: [...this.#addresses].map(([text, timeWindow]) => [text, timeWindow.buckets(now)] as const),
      signatures: this.#signatures.buckets(now).map(([index, names]) => [index, [...names]] as const),
      infected: [...this.#infected],
      unscanned: [...this.#unscanned],
    }
  }

  #addWork(text: string, ms: number, now: number): void {
    const timeWindow =
      this.#addresses.get(text) ?? new TimeWindow(windows.work.widthMs, windows.work.count, noWork)
    // The last used address is moved to the end.
    this.#addresses.delete(text)
    this.#addresses.set(text, timeWindow)
    const [oldest = ''] = this.#addresses.keys()
    if (this.#addresses.size > bounds.addresses) this.#addresses.delete(oldest)
    const work = timeWindow.at(now)
    work.scans++
    work.ms += ms
    work.slowestMs = Math.max(work.slowestMs, ms)
  }
}

/** Merges the statistics of several processes; buckets outside the window are dropped, since some processes are dead. */
export function mergeStats(all: readonly StatsSnapshot[], nowMs: number): StatsSnapshot {
  const { minutes, quarters, signatures } = windows
  return {
    minutes: mergeBuckets(
      all.map((one) => one.minutes),
      minutes,
      nowMs,
      sumCounts,
    ),
    quarters: mergeBuckets(
      all.map((one) => one.quarters),
      quarters,
      nowMs,
      sumCounts,
    ),
    addresses: mergeWork(
      all.flatMap(({ addresses }) => addresses),
      nowMs,
    ),
    signatures: mergeBuckets(
      all.map((one) => one.signatures),
      signatures,
      nowMs,
      (lists) => sumNames(lists).slice(0, bounds.names),
    ),
    infected: newest(all.flatMap(({ infected }) => infected)),
    unscanned: newest(all.flatMap(({ unscanned }) => unscanned)),
  }
}

/** Merges scans by address; the least recently used addresses are dropped. */
function mergeWork(all: StatsSnapshot['addresses'], nowMs: number): StatsSnapshot['addresses'] {
  const latestFirst = [...new Set(all.map(([text]) => text).reverse())]
  return latestFirst
    .map((text) => {
      const buckets = all.filter(([other]) => other === text).map(([, work]) => work)
      return [text, mergeBuckets(buckets, windows.work, nowMs, sumWork)] as const
    })
    .filter(([, work]) => work.length > 0)
    .slice(0, bounds.addresses)
    .reverse()
}

export function sumCounts(all: readonly Counts[]): Counts {
  const sum = noCounts()
  for (const counts of all) {
    for (const kind of Object.keys(sum) as (keyof Counts)[]) sum[kind] += counts[kind]
  }
  return sum
}

export function sumWork(all: readonly Work[]): Work {
  return all.reduce(
    (sum, { scans, ms, slowestMs }) => ({
      scans: sum.scans + scans,
      ms: sum.ms + ms,
      slowestMs: Math.max(sum.slowestMs, slowestMs),
    }),
    noWork(),
  )
}

/** The most frequent first. */
export function sumNames(lists: readonly Names[]): (readonly [string, number])[] {
  const sum = new Map<string, number>()
  for (const [name, count] of lists.flat()) sum.set(name, (sum.get(name) ?? 0) + count)
  return [...sum].sort(([, a], [, b]) => b - a)
}

/**
 * When full, the new name replaces the rarest one and inherits its count: a flood of rare names never displaces frequent
 * ones, and no count is too low (Metwally et al., "space-saving").
 */
function addName(names: Map<string, number>, name: string): void {
  const count = names.get(name)
  if (count !== undefined || names.size < bounds.names) {
    names.set(name, (count ?? 0) + 1)
    return
  }
  let rarest: [string, number] = ['', Infinity]
  for (const entry of names) if (entry[1] < rarest[1]) rarest = entry
  names.delete(rarest[0])
  names.set(name, rarest[1] + 1)
}

/** With bounded, printable strings. */
function bounded({ uuid, from, to, recipients, ip, user, subject }: MessageSummary): MessageSummary {
  return {
    uuid: displayText(uuid, 64),
    from: displayText(from, 160),
    to: to.slice(0, bounds.recipients).map((recipient) => displayText(recipient, 160)),
    recipients,
    ip: displayText(ip, 64),
    user: user === null ? null : displayText(user, 100),
    subject: displayText(subject, 160),
  }
}

function prepend(list: RecentMessage[], recentMessage: RecentMessage): void {
  list.unshift(recentMessage)
  if (list.length > bounds.messages) list.pop()
}

function newest(list: readonly RecentMessage[]): RecentMessage[] {
  return [...list].sort((a, b) => b.time - a.time).slice(0, bounds.messages)
}
