// The time of a small message on an idle server.
import type { Contender } from './contenders'
import { inTurn } from './cost'
import type { LoadClient } from './load'
import type { Latency } from './results'
import { median, percentile } from './statistics'

const load = { bytes: 5_000, count: 200, sessions: 1 }

export async function measureLatency<Name extends string>(
  client: LoadClient,
  contenders: readonly Contender<Name>[],
  rounds: number,
): Promise<Partial<Record<Name, Latency>>> {
  const latencies = await inTurn(contenders, rounds, load, async (contender, { count }) => {
    await client.prepare(contender.target, { ...load, count })
    const { latenciesMs } = await client.send()
    await contender.settled()
    return latenciesMs
  })
  const entries = contenders.map(({ name }): [Name, Latency] => {
    const byRound = latencies[name] ?? []
    const all = byRound.flat()
    return [
      name,
      {
        messages: all.length,
        p50Ms: median(all),
        p99Ms: percentile(all, 99),
        p50sMs: byRound.map(median),
      },
    ]
  })
  return Object.fromEntries(entries) as Partial<Record<Name, Latency>>
}
