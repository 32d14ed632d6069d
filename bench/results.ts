// The results of a run as in results.json: raw enough to make report, targets and plot again.
import type { ContenderName } from './contenders'

/** Milliseconds per message. */
export interface Cost {
  wall: number
  /** CPU of the mail server, all processes and threads; of a milter too. */
  server: number
  clamd: number
  /** CPU of the STREAM front, which no installation has. */
  front: number
}

/** One entry a round. */
export type Rounds<Name extends string, Value> = Partial<Record<Name, Value[]>>

export interface SizeCosts {
  label: string
  bytes: number
  /** Messages per contender and round. */
  count: number
  rounds: Rounds<ContenderName, Cost>
}

export interface CostTable {
  /** At the same time. */
  sessions: number
  sizes: SizeCosts[]
}

export interface Latency {
  messages: number
  /** Of all messages together. */
  p50Ms: number
  p99Ms: number
  /** Of each round. */
  p50sMs: number[]
}

export const memoryNames = ['none', 'clamd', 'instream'] as const
export type MemoryName = (typeof memoryNames)[number]

export interface Memory {
  bytes: number
  /** `heldMiB`: without scanning, with none of them let go of. */
  busy: { sessions: number; peakMiB: Rounds<MemoryName, number>; heldMiB: number[] }
  stalled: { sessions: number; peakMiB: Rounds<MemoryName, number> }
  /** Memory after a full collection, and open files, after that number of messages. */
  growth: Partial<Record<MemoryName, { messages: number; retainedBytes: number; files: number }[]>>
}

export interface Throughput {
  scanMs: number
  /** Messages a second by number of clamds. */
  perSecond: Record<'clamd' | 'instream', { clamds: number; rounds: number[] }[]>
}

export interface FailOver {
  hostRestMs: number
  connectMs: number
  sessions: number
  messages: number
  wallMs: number
  /** Messages that took as long as a connect that never comes about. */
  paid: number
}

export const extraNames = [
  'names',
  'names and types',
  'names in a zip',
  'quarantine copy',
  'page and metrics',
] as const
export type ExtraName = (typeof extraNames)[number]

/** What one feature adds to the plugin's own cost. */
export interface Extra {
  name: ExtraName
  label: string
  without: Cost[]
  with: Cost[]
}

export interface Machine {
  processor: string
  processors: number
  memoryGiB: number
  system: string
  versions: Record<string, string>
  signatures: string
}

export interface Results {
  /** Of the day, as in 2025-11-22. */
  date: string
  machine: Machine
  /** Reasons for missing contenders. */
  leftOut: string[]
  costs: CostTable[]
  latency?: Partial<Record<ContenderName, Latency>>
  memory?: Memory
  throughput?: Throughput
  failOver?: FailOver
  extras?: Extra[]
}
