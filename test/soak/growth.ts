// Does what a worker holds grow while mail comes? Pure.
import type { ResourceUsage } from './resource-usage'

/** What the workers hold at one moment. */
export interface Sample {
  /** Milliseconds since the first message. */
  readonly atMs: number
  /** Of each worker, in the same order every time. */
  readonly usages: readonly ResourceUsage[]
}

/** Below that many samples chance is larger than any growth. */
const minSamples = 12

/**
 * What the last third may hold more than the middle one, by their medians: messages in flight make the difference, of
 * which some have 10 MB. The first third is not counted, when the process still grows to its size.
 */
const slack = {
  descriptors: 8,
  heapBytes: 8 * 1024 * 1024,
  externalBytes: 32 * 1024 * 1024,
  rssBytes: 48 * 1024 * 1024,
} as const satisfies Partial<Record<keyof ResourceUsage, number>>

/** In words; nothing, if nothing grows. */
export function growthOf(samples: readonly Sample[]): string[] {
  if (samples.length < minSamples) return []
  const third = Math.floor(samples.length / 3)
  const [middle, last] = [samples.slice(-2 * third, -third), samples.slice(-third)]
  const workers = samples[0]?.usages ?? []
  return workers.flatMap(({ pid }, i) =>
    (Object.keys(slack) as (keyof typeof slack)[]).flatMap((what) => {
      const [before, after] = [middle, last].map((some) =>
        median(some.map(({ usages }) => usages[i]?.[what] ?? 0)),
      )
      return (after ?? 0) - (before ?? 0) <= slack[what]
        ? []
        : [`worker ${pid}: ${what} grows, from ${before} to ${after}`]
    }),
  )
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
