// Medians, ranges and percentiles.

export interface Spread {
  median: number
  min: number
  max: number
}

/** NaN for no values. */
export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** Between the two values nearest to it, in proportion; NaN for no values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = ((sorted.length - 1) * percent) / 100
  const below = sorted[Math.floor(at)] ?? NaN
  const above = sorted[Math.ceil(at)] ?? NaN
  return below + (above - below) * (at - Math.floor(at))
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}
