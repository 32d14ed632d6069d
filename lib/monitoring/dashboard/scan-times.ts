/*
 * Scan times in buckets of a third of an octave, so that those of several addresses and processes can be added up and a
 * percentile is still right to within a quarter, a bucket's width.
 */

/** How many scans took 2^(i/3) to 2^((i+1)/3) milliseconds, from 1 ms on; no longer than its last scan needs. */
export type ScanTimes = number[]

const perOctave = 3
/** Over four minutes: longer than any budget that makes sense. */
const maxBins = 54

export function addTime(times: ScanTimes, ms: number): void {
  const bin = Math.min(maxBins - 1, Math.floor(perOctave * Math.log2(Math.max(1, ms))))
  while (times.length <= bin) times.push(0)
  times[bin] = (times[bin] ?? 0) + 1
}

export function sumTimes(all: readonly ScanTimes[]): ScanTimes {
  const length = Math.max(0, ...all.map((times) => times.length))
  return Array.from({ length }, (_, bin) => all.reduce((sum, times) => sum + (times[bin] ?? 0), 0))
}

/** Milliseconds within which that share of the scans was done, 0 to 1. Null: no scans. */
export function percentile(times: ScanTimes, share: number): number | null {
  const total = times.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  let left = share * total
  for (const [bin, count] of times.entries()) {
    if (count > 0 && left <= count) {
      const ms = 2 ** ((bin + left / count) / perOctave)
      return ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)
    }
    left -= count
  }
  return null
}
