// Chance that can be repeated: the same seed, the same numbers.

/** Whole numbers from 0 up to, and without, the one given. */
export type Random = (below: number) => number

/** mulberry32 */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

/** The same ones in another order, each as likely. */
export function shuffled<Value>(values: readonly Value[], random: Random): Value[] {
  const left = [...values]
  return values.flatMap(() => left.splice(random(left.length), 1))
}

/** One to four bytes flipped, stretches cut out, doubled, moved or replaced. */
export function damaged(bytes: Buffer, random: Random, snippets: readonly Buffer[]): Buffer {
  let result = Buffer.from(bytes)
  for (let times = random(4); times >= 0; times--) {
    const at = random(result.length + 1)
    const to = at + random(Math.min(60, result.length - at + 1))
    const [before, stretch, after] = [result.subarray(0, at), result.subarray(at, to), result.subarray(to)]
    const snippet = snippets[random(snippets.length)] ?? Buffer.alloc(0)
    const noise = Buffer.from(stretch.map(() => random(256)))
    const ways = [
      [before, noise, after],
      [before, after],
      [before, stretch, stretch, after],
      [before, snippet, after],
      [before, snippet, stretch, after],
      [after, before],
      [before],
    ]
    result = Buffer.concat(ways[random(ways.length)] ?? [])
  }
  return result
}
