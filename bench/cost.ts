// What one message costs: time on the clock and on the processors, contender by contender in turn.
import { cpuMsBetween, cpuSnapshot } from './cpu'
import type { Contender, ContenderName } from './contenders'
import type { LoadClient } from './load'

/** Milliseconds per message. */
export interface Cost {
  wall: number
  /** CPU of the mail server, all processes and threads. */
  server: number
  clamd: number
  /** CPU of the STREAM front, which no installation has. */
  front: number
}

export const costKinds = ['wall', 'server', 'clamd', 'front'] as const

export interface Size {
  label: string
  bytes: number
  /** Messages per contender and round. */
  count: number
}

export interface CostOptions {
  sizes: readonly Size[]
  rounds: number
  sessions: number
}

/** By size label, then by contender, one entry a round. */
export type Costs = Map<string, Map<ContenderName, Cost[]>>

/** So many small messages, and V8 has compiled what it will. */
const warmUp = { bytes: 5_000, count: 400 }

export async function measureCosts(
  contenders: readonly Contender[],
  clamdPid: number,
  client: LoadClient,
  options: CostOptions,
): Promise<Costs> {
  const { sizes, rounds, sessions } = options
  for (const contender of contenders) await send(client, contender, { ...warmUp, sessions })
  const costs: Costs = new Map()
  for (const { label, bytes, count } of sizes) {
    const ofSize = new Map(contenders.map(({ name }) => [name, [] as Cost[]]))
    costs.set(label, ofSize)
    // The order turns round each time, so that a drift of the machine hits all alike; the first is warm-up.
    for (let round = -1; round < rounds; round++) {
      for (const contender of round % 2 === 0 ? contenders : [...contenders].reverse()) {
        const load = { bytes, count: round < 0 ? Math.ceil(count / 4) : count, sessions }
        const cost = await measureOnce(client, contender, clamdPid, load)
        if (round >= 0) ofSize.get(contender.name)?.push(cost)
      }
    }
  }
  return costs
}

async function measureOnce(
  client: LoadClient,
  contender: Contender,
  clamdPid: number,
  load: { bytes: number; count: number; sessions: number },
): Promise<Cost> {
  await client.prepare(contender.target, load)
  const look = () => ({
    server: cpuSnapshot(contender.serverPids),
    clamd: cpuSnapshot([clamdPid]),
    front: cpuSnapshot(contender.frontPids),
  })
  const before = look()
  const { wallMs, refused } = await client.send()
  if (refused[0] !== undefined) throw new Error(`${contender.name}: ${refused.length} refused, ${refused[0]}`)
  const after = look()
  const per = (what: 'server' | 'clamd' | 'front') => cpuMsBetween(before[what], after[what]) / load.count
  return { wall: wallMs / load.count, server: per('server'), clamd: per('clamd'), front: per('front') }
}

async function send(
  client: LoadClient,
  contender: Contender,
  load: { bytes: number; count: number; sessions: number },
): Promise<void> {
  await client.prepare(contender.target, load)
  await client.send()
}
