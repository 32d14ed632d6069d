/*
 * What the page is told every two seconds: the state of the whole, from the snapshots of all processes. Figures and lists
 * are asked for when they are looked at.
 */

import type { PageSnapshot } from '../recorder'
import { type AddressView, addressViews } from './addresses'
import { type Alert, type AlertSettings, alertsOf } from './alerts'
import type { Cursor } from './message-log'
import type { QuarantineSummary } from './quarantine-summary'
import { mergeRecent, sumCounts } from './stats'

export interface View {
  /** Milliseconds since the epoch. */
  readonly timeMs: number
  readonly processes: number
  readonly alerts: readonly Alert[]
  readonly addresses: readonly AddressView[]
  readonly kept: QuarantineSummary | null
  /** Where the list of messages ends. */
  readonly messages: Cursor
}

/** Merges the snapshots of several processes. */
function mergePages(pages: readonly PageSnapshot[], nowMs: number) {
  return {
    recent: mergeRecent(
      pages.flatMap(({ recent }) => (recent ? [recent] : [])),
      nowMs,
    ),
    addresses: pages.flatMap(({ addresses }) => addresses),
    processes: pages.reduce((sum, { processes }) => sum + processes, 0),
  }
}

/** The snapshot of dead workers: their counts are kept, their states are not. */
export function deadWorkersPage(pages: readonly PageSnapshot[], nowMs: number): PageSnapshot {
  const { recent } = mergePages(pages, nowMs)
  return { recent: { ...recent, failingSinceMs: null, failures: 0 }, addresses: [], processes: 0 }
}

export function viewOf(
  pages: readonly PageSnapshot[],
  settings: AlertSettings,
  kept: QuarantineSummary | null,
  messages: Cursor,
  nowMs: number,
): View {
  const { recent, addresses: states, processes } = mergePages(pages, nowMs)
  const addresses = addressViews(states)
  const counts = sumCounts(recent.minutes.map(([, one]) => one))
  return {
    timeMs: nowMs,
    processes,
    alerts: alertsOf({ addresses, counts, ...recent }, settings, nowMs),
    addresses,
    kept,
    messages,
  }
}
