/*
 * The figures that the page draws for one span of time: a value for each bucket, and the sums.
 */

import { percentile } from './scan-times'
import {
  type Counts,
  mergeSlices,
  noCounts,
  type SliceSnapshot,
  type Span,
  spans,
  type StatsSnapshot,
  sumWork,
  type Work,
} from './stats'

/** Each array has one entry for each bucket, oldest first. Null: nothing was scanned. */
export interface Figures {
  readonly span: Span
  readonly widthMs: number
  /** When each bucket begins, in milliseconds since the epoch. */
  readonly times: readonly number[]
  /** When the last one was not over yet. */
  readonly untilMs: number
  readonly counts: readonly Counts[]
  readonly scans: readonly ScanFigures[]
  /** Those with the most scans first. */
  readonly addresses: readonly { readonly text: string; readonly scans: readonly ScanFigures[] }[]
  readonly sum: {
    readonly counts: Counts
    readonly scans: ScanFigures
    readonly addresses: readonly (readonly [text: string, ScanFigures])[]
    /** Most frequent first. */
    readonly signatures: SliceSnapshot['names']
  }
}

export interface ScanFigures {
  readonly scans: number
  readonly bytes: number
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly slowest: number | null
}

const nothing: SliceSnapshot = { counts: noCounts(), work: [], names: [] }

export function figuresOf(stats: StatsSnapshot, span: Span, nowMs: number): Figures {
  const { widthMs, count } = spans[span]
  const byIndex = new Map(stats[span])
  const last = Math.floor(nowMs / widthMs)
  const indexes = Array.from({ length: count }, (_, step) => last - count + 1 + step)
  const slices = indexes.map((index) => byIndex.get(index) ?? nothing)
  const { counts, work: unsorted, names } = mergeSlices(slices)
  const work = [...unsorted].sort(([, a], [, b]) => b.scans - a.scans)
  const all = (slice: SliceSnapshot) => sumWork(slice.work.map(([, one]) => one))
  const of = (slice: SliceSnapshot, text: string) => slice.work.find(([one]) => one === text)?.[1]
  return {
    span,
    widthMs,
    times: indexes.map((index) => index * widthMs),
    untilMs: nowMs,
    counts: slices.map((slice) => slice.counts),
    scans: slices.map((slice) => scanFigures(all(slice))),
    addresses: work.map(([text]) => ({
      text,
      scans: slices.map((slice) => scanFigures(of(slice, text) ?? sumWork([]))),
    })),
    sum: {
      counts,
      scans: scanFigures(sumWork(work.map(([, one]) => one))),
      addresses: work.map(([text, one]) => [text, scanFigures(one)] as const),
      signatures: names,
    },
  }
}

function scanFigures({ scans, bytes, slowestMs, times }: Work): ScanFigures {
  // A bucket may reach beyond the slowest scan.
  const percentileOf = (share: number) => {
    const ms = percentile(times, share)
    return ms === null ? null : Math.min(ms, slowestMs)
  }
  return {
    scans,
    bytes,
    p50: percentileOf(0.5),
    p95: percentileOf(0.95),
    p99: percentileOf(0.99),
    slowest: scans === 0 ? null : slowestMs,
  }
}
