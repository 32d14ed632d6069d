/*
 * The data of the page, from the snapshots of all processes. page/page.js formats them.
 */

import type { AddressState } from '../../hosts/host-pool'
import type { PageSnapshot } from '../recorder'
import type { QuarantineSummary } from './quarantine-summary'
import {
  type Counts,
  mergeStats,
  type RecentMessage,
  type StatsSnapshot,
  sumCounts,
  sumNames,
  sumWork,
  windows,
} from './stats'
import type { Bucket, Window } from './time-window'

export interface View {
  readonly processes: number
  readonly addresses: readonly AddressView[]
  readonly hour: Counts
  readonly day: Counts
  /** One for each minute of the last hour, oldest first. */
  readonly minutes: readonly Counts[]
  /** One for each 15 minutes of the last day, oldest first. */
  readonly quarters: readonly Counts[]
  /** Signatures of the last day, most frequent first. */
  readonly signatures: readonly (readonly [name: string, count: number])[]
  readonly infected: readonly RecentMessage[]
  readonly unscanned: readonly RecentMessage[]
  readonly kept: QuarantineSummary | null
}

/** An address as all processes see it, with its scans of the last hour. */
export interface AddressView {
  readonly text: string
  readonly role: AddressState['role']
  /** Number of processes for which the address is up. */
  readonly up: number
  readonly resting: number
  readonly untrusted: number
  readonly inFlight: number
  readonly protocol: string | null
  readonly engine: string | null
  readonly signatures: { readonly number: number; readonly builtMs: number } | null
  readonly maxScannableBytes: number | null
  readonly scans: number
  /** Share of all scans, 0 to 1. */
  readonly share: number
  /** null: no scans. */
  readonly meanMs: number | null
  readonly slowestMs: number | null
}

const maxSignatures = 10

/** Merges the snapshots of several processes. */
function mergePages(pages: readonly PageSnapshot[], nowMs: number) {
  return {
    stats: mergeStats(
      pages.flatMap(({ stats }) => (stats ? [stats] : [])),
      nowMs,
    ),
    addresses: pages.flatMap(({ addresses }) => addresses),
    processes: pages.reduce((sum, { processes }) => sum + processes, 0),
  }
}

/** The snapshot of dead workers: their counts are kept, their address states are not. */
export function deadWorkersPage(pages: readonly PageSnapshot[], nowMs: number): PageSnapshot {
  return { ...mergePages(pages, nowMs), addresses: [], processes: 0 }
}

export function viewOf(pages: readonly PageSnapshot[], kept: QuarantineSummary | null, nowMs: number): View {
  const { stats, addresses, processes } = mergePages(pages, nowMs)
  const minutes = series(stats.minutes, windows.minutes, nowMs)
  const quarters = series(stats.quarters, windows.quarters, nowMs)
  return {
    processes,
    addresses: addressViews(addresses, stats.addresses),
    hour: sumCounts(minutes),
    day: sumCounts(quarters),
    minutes,
    quarters,
    signatures: sumNames(stats.signatures.map(([, names]) => names)).slice(0, maxSignatures),
    infected: stats.infected,
    unscanned: stats.unscanned,
    kept,
  }
}

/** In the order of the ini, as in each process. */
function addressViews(states: readonly AddressState[], work: StatsSnapshot['addresses']): AddressView[] {
  const scansOf = new Map(work.map(([text, buckets]) => [text, sumWork(buckets.map(([, one]) => one))]))
  const total = [...scansOf.values()].reduce((sum, { scans }) => sum + scans, 0)
  return [...new Set(states.map(({ text }) => text))].map((text) => {
    const seen = states.filter((state) => state.text === text)
    const count = (wanted: AddressState['state']) => seen.filter(({ state }) => state === wanted).length
    const engine = seen.find((state) => state.engine)?.engine ?? null
    const { scans, ms, slowestMs } = scansOf.get(text) ?? sumWork([])
    return {
      text,
      role: seen[0]?.role ?? 'host',
      up: count('up'),
      resting: count('resting'),
      untrusted: count('untrusted'),
      inFlight: seen.reduce((sum, { inFlight }) => sum + inFlight, 0),
      protocol: seen.find(({ protocol }) => protocol)?.protocol ?? null,
      engine: engine?.release ?? null,
      signatures: engine?.signatures ?? null,
      maxScannableBytes:
        seen.find(({ maxScannableBytes }) => maxScannableBytes !== null)?.maxScannableBytes ?? null,
      scans,
      share: total === 0 ? 0 : scans / total,
      meanMs: scans === 0 ? null : Math.round(ms / scans),
      slowestMs: scans === 0 ? null : slowestMs,
    }
  })
}

/** Every bucket of the window, including empty ones. */
function series(buckets: readonly Bucket<Counts>[], { widthMs, count }: Window, nowMs: number): Counts[] {
  const byIndex = new Map(buckets)
  const last = Math.floor(nowMs / widthMs)
  return Array.from({ length: count }, (_, step) => {
    const counts = byIndex.get(last - count + 1 + step)
    return sumCounts(counts ? [counts] : [])
  })
}
