// From measurements to comparisons: the cost that scanning adds to the same server without it.
import { baselines, type ContenderName } from './contenders'
import type { Cost, CostTable, Latency, Results, SizeCosts } from './results'
import { median, type Spread, spread } from './statistics'

/** What a contender costs as it is; undefined if it was not measured. */
export function costSpread(size: SizeCosts, name: ContenderName, kind: keyof Cost): Spread | undefined {
  const rounds = size.rounds[name]
  return rounds && spread(rounds.map((cost) => cost[kind]))
}

/**
 * What scanning adds in each round to the same server without it. A bare client adds all it costs; with STREAM, the time
 * that the front takes from a bare client is subtracted, for no installation has it.
 */
export function addedByRound(
  size: SizeCosts,
  name: ContenderName,
  kind: 'wall' | 'server',
): number[] | undefined {
  const rounds = size.rounds[name]
  if (!rounds) return undefined
  if (name === 'bare' || name === 'bare-stream') return rounds.map((cost) => cost[kind])
  const baseline = size.rounds[baselines[name] ?? name]
  if (!baseline || baseline === rounds) return undefined
  return rounds.map((cost, round) => {
    const front = name === 'stream' && kind === 'wall' ? frontWall(size, round) : 0
    return cost[kind] - (baseline[round]?.[kind] ?? NaN) - front
  })
}

function frontWall(size: SizeCosts, round: number): number {
  const [through, direct] = [size.rounds['bare-stream']?.[round], size.rounds.bare?.[round]]
  return through && direct ? through.wall - direct.wall : 0
}

export function added(size: SizeCosts, name: ContenderName, kind: 'wall' | 'server'): Spread | undefined {
  const values = addedByRound(size, name, kind)
  return values && spread(values)
}

/** Of two medians; undefined if one of them is missing. */
export function ratio(above: Spread | undefined, below: Spread | undefined): number | undefined {
  return above && below && above.median / below.median
}

/** The table that targets are about, and the others. */
export function primaryTable({ costs }: Results): CostTable | undefined {
  return costs[0]
}

export interface AddedLatency {
  p50Ms: number
  /** Of a message's time less the median without scanning; what the server itself strays is in it. */
  p99Ms: number
}

export function addedLatency(
  latencies: Partial<Record<ContenderName, Latency>>,
  name: ContenderName,
): AddedLatency | undefined {
  const isBare = name === 'bare' || name === 'bare-stream'
  const own = latencies[name]
  const without = isBare ? 0 : latencies[baselines[name] ?? name]?.p50Ms
  if (!own || without === undefined) return undefined
  return { p50Ms: own.p50Ms - without, p99Ms: own.p99Ms - without }
}

/** Median of the rounds; undefined without any. */
export function middle(values: readonly number[] | undefined): number | undefined {
  return values && values.length > 0 ? median(values) : undefined
}
