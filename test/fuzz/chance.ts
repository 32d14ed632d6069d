// How much is tried, and from which seed. `npm run fuzz` tries a million inputs from a seed of its own; as part of
// `npm test` a share of that, always the same. FUZZ_RUNS and FUZZ_SEED set either; every test prints its seed.
// fast-check makes the inputs, and a failing one small.
import { test } from 'node:test'
import * as fc from 'fast-check'

const usual = { runs: 2000, seed: 20_261_122 }
export const runs = Number(process.env.FUZZ_RUNS ?? usual.runs)
export const seed = Number(
  process.env.FUZZ_SEED ?? (process.env.FUZZ_RUNS ? Date.now() % 2 ** 31 : usual.seed),
)

/** A test that holds the property against `share` of all runs: 1 for what costs little. */
export function fuzz(name: string, share: number, property: fc.IRawProperty<unknown>): void {
  const numRuns = Math.max(1, Math.ceil(runs * share))
  // An input that hangs is a finding, too.
  test(`${name}: ${numRuns} inputs`, { timeout: 60_000 + numRuns * 20 }, async (t) => {
    t.diagnostic(`FUZZ_SEED=${seed}`)
    await fc.assert(property as fc.IAsyncProperty<unknown>, {
      seed,
      numRuns,
    })
  })
}

/** A cut of `length` into pieces, from what fast-check gives as any numbers. */
export function cuts(
  length: number,
  at: readonly number[],
): readonly (readonly [from: number, to: number])[] {
  const places = [...new Set(at.map((n) => n % (length + 1)))].sort((a, b) => a - b)
  const bounds = [0, ...places.filter((place) => place > 0 && place < length), length]
  return bounds.slice(1).map((to, i) => [bounds[i] ?? 0, to] as const)
}
