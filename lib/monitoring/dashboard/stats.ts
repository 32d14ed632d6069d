/*
 * Figures of one process for the page: verdicts, sizes, scan times by address, and signatures, each for the last hour,
 * day and week. Memory is bounded. Pure; the clock is passed in.
 */

import { displayText } from '../../base/text'
import { type AttachmentFinding, isExempt, type Verdict } from '../../policy/verdict'
import { addTime, type ScanTimes, sumTimes } from './scan-times'
import { type Bucket, mergeBuckets, TimeWindow } from './time-window'

export interface Counts {
  clean: number
  infected: number
  /** Without exempt messages. */
  unscanned: number
  exempt: number
  /** Messages with a denied attachment; they also count in one of the fields above. */
  denied: number
  /** What became of unscanned messages; without exempt and encrypted ones. */
  deferred: number
  delivered: number
  refused: number
  copiesFailed: number
}

/** The scans of one address. */
export interface Work {
  scans: number
  bytes: number
  slowestMs: number
  readonly times: ScanTimes
}

/** Figures of a bucket of time. */
interface Slice {
  readonly counts: Counts
  readonly work: Map<string, Work>
  readonly names: Map<string, number>
}

/** Plain JSON, since it is sent between processes. */
export interface SliceSnapshot {
  readonly counts: Counts
  readonly work: readonly (readonly [address: string, Work])[]
  /** Signatures found. */
  readonly names: readonly (readonly [name: string, count: number])[]
}

export type Span = keyof typeof spans
export type StatsSnapshot = Readonly<Record<Span, readonly Bucket<SliceSnapshot>[]>>

/** What the state of the whole depends on, and is asked for every two seconds. */
export interface RecentSnapshot {
  /** The last minutes. */
  readonly minutes: readonly Bucket<Counts>[]
  /** Milliseconds since the epoch of the last message that a clamd has scanned, 0: none. */
  readonly scannedMs: number
  /** Of the first failure after that; null: none has failed. */
  readonly failingSinceMs: number | null
  readonly failures: number
}

const minuteMs = 60_000

/** Bucket width and number of buckets. */
export const spans = {
  hour: { widthMs: minuteMs, count: 60 },
  day: { widthMs: 15 * minuteMs, count: 96 },
  week: { widthMs: 120 * minuteMs, count: 84 },
} as const
export const spanNames = ['hour', 'day', 'week'] as const satisfies readonly Span[]

export const recent = { widthMs: minuteMs, count: 15 } as const

/** Maximum number of entries in a bucket. The last address stands for all others. */
export const bounds = { addresses: 32, names: 30 } as const
export const otherAddress = 'other'

export const noCounts = (): Counts => ({
  clean: 0,
  infected: 0,
  unscanned: 0,
  exempt: 0,
  denied: 0,
  deferred: 0,
  delivered: 0,
  refused: 0,
  copiesFailed: 0,
})
const noWork = (): Work => ({ scans: 0, bytes: 0, slowestMs: 0, times: [] })
const noSlice = (): Slice => ({ counts: noCounts(), work: new Map(), names: new Map() })
const windowOf = ({ widthMs, count }: (typeof spans)[Span]) => new TimeWindow(widthMs, count, noSlice)

export class Stats {
  readonly #windows = spanNames.map((span) => windowOf(spans[span]))
  #scannedMs = 0
  #failingSinceMs: number | null = null
  #failures = 0

  /** @param now milliseconds since the epoch */
  constructor(private readonly now: () => number) {}

  add(verdict: Verdict, finding: AttachmentFinding, action: string): void {
    const now = this.now()
    const kinds: (keyof Counts)[] = [isExempt(verdict) ? 'exempt' : verdict.outcome]
    if (finding !== null && 'denied' in finding) kinds.push('denied')
    if (verdict.outcome === 'unscanned') kinds.push(...fateOf(verdict.reason, action))
    const name = verdict.outcome === 'infected' ? displayText(verdict.virus, 128) : null
    for (const window of this.#windows) {
      const { counts, work, names } = window.at(now)
      for (const kind of kinds) counts[kind]++
      if (verdict.clamd !== null) addScan(workOf(work, verdict.clamd), verdict)
      if (name !== null) addName(names, name)
    }
    this.#addOutcome(verdict, now)
  }

  addFailedCopy(): void {
    for (const window of this.#windows) window.at(this.now()).counts.copiesFailed++
  }

  recent(): RecentSnapshot {
    const [minutes] = this.#windows
    const buckets = minutes?.buckets(this.now()) ?? []
    return {
      minutes: buckets.map(([index, { counts }]) => [index, counts] as const),
      scannedMs: this.#scannedMs,
      failingSinceMs: this.#failingSinceMs,
      failures: this.#failures,
    }
  }

  snapshot(): StatsSnapshot {
    const now = this.now()
    const buckets = this.#windows.map((window) =>
      window
        .buckets(now)
        .map(
          ([index, { counts, work, names }]) =>
            [index, { counts, work: [...work], names: [...names] }] as const,
        ),
    )
    const [hour = [], day = [], week = []] = buckets
    return { hour, day, week }
  }

  #addOutcome(verdict: Verdict, now: number): void {
    if (verdict.outcome !== 'unscanned') {
      this.#scannedMs = now
      this.#failingSinceMs = null
      this.#failures = 0
    } else if (verdict.reason === 'error' || verdict.reason === 'timeout') {
      this.#failingSinceMs ??= now
      this.#failures++
    }
  }
}

/** Encrypted mail is no failure, and exempt mail is configured. */
function fateOf(reason: string, action: string): (keyof Counts)[] {
  if (reason === 'exempt' || reason === 'encrypted') return []
  if (action.includes('defer')) return ['deferred']
  return [action === 'accept' || action === 'tag' ? 'delivered' : 'refused']
}

function addScan(work: Work, { ms, bytes }: Verdict): void {
  work.scans++
  work.bytes += bytes
  work.slowestMs = Math.max(work.slowestMs, ms)
  addTime(work.times, ms)
}

function workOf(all: Map<string, Work>, address: string): Work {
  const text = all.has(address) || all.size < bounds.addresses - 1 ? address : otherAddress
  const known = all.get(text) ?? noWork()
  all.set(text, known)
  return known
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

/** Merges several processes; buckets outside the window are dropped, since some processes are dead. */
export function mergeStats(all: readonly StatsSnapshot[], nowMs: number): StatsSnapshot {
  const merged = (span: Span) =>
    mergeBuckets(
      all.map((one) => one[span]),
      spans[span],
      nowMs,
      mergeSlices,
    )
  return { hour: merged('hour'), day: merged('day'), week: merged('week') }
}

/** Failures count from the last scan of any process on. */
export function mergeRecent(all: readonly RecentSnapshot[], nowMs: number): RecentSnapshot {
  const scannedMs = Math.max(0, ...all.map((one) => one.scannedMs))
  const failing = all.filter((one) => (one.failingSinceMs ?? 0) > scannedMs)
  return {
    minutes: mergeBuckets(
      all.map(({ minutes }) => minutes),
      recent,
      nowMs,
      sumCounts,
    ),
    scannedMs,
    failingSinceMs:
      failing.length === 0 ? null : Math.min(...failing.map((one) => one.failingSinceMs ?? Infinity)),
    failures: failing.reduce((sum, { failures }) => sum + failures, 0),
  }
}

/** The figures of several buckets as those of one; addresses beyond the bound are summed. */
export function mergeSlices(all: readonly SliceSnapshot[]): SliceSnapshot {
  const work = new Map<string, Work[]>()
  for (const [address, one] of all.flatMap((slice) => slice.work)) {
    const isNamed = work.has(address) || work.size < bounds.addresses - 1
    const text = isNamed ? address : otherAddress
    work.set(text, [...(work.get(text) ?? []), one])
  }
  return {
    counts: sumCounts(all.map(({ counts }) => counts)),
    work: [...work].map(([text, those]) => [text, sumWork(those)] as const),
    names: sumNames(all.map(({ names }) => names)).slice(0, bounds.names),
  }
}

export function sumCounts(all: readonly Counts[]): Counts {
  const sum = noCounts()
  for (const counts of all) {
    for (const kind of Object.keys(sum) as (keyof Counts)[]) sum[kind] += counts[kind]
  }
  return sum
}

export function sumWork(all: readonly Work[]): Work {
  return {
    scans: all.reduce((sum, { scans }) => sum + scans, 0),
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    slowestMs: Math.max(0, ...all.map(({ slowestMs }) => slowestMs)),
    times: sumTimes(all.map(({ times }) => times)),
  }
}

/** The most frequent first. */
function sumNames(lists: readonly SliceSnapshot['names'][]): (readonly [string, number])[] {
  const sum = new Map<string, number>()
  for (const [name, count] of lists.flat()) sum.set(name, (sum.get(name) ?? 0) + count)
  return [...sum].sort(([, a], [, b]) => b - a)
}
