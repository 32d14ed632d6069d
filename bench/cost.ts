// The cost of one message in time and CPU time; the contenders take turns.
import { seeded, shuffled } from '../test/support/random'
import type { Contender } from './contenders'
import { cpuMsBetween, cpuSnapshot } from './cpu'
import type { Load, LoadClient } from './load'
import type { Cost, Rounds } from './results'

export const costKinds = ['wall', 'server', 'clamd', 'front'] as const satisfies readonly (keyof Cost)[]

/** Until then V8 still compiles: a Haraka's CPU for each of them goes on falling up to here, with any plugin. */
const warmUpLoad: Load = { bytes: 5_000, count: 8_000, sessions: 4 }

export async function warmUp(
  client: LoadClient,
  contenders: readonly Contender<string>[],
  load: Pick<Load, 'kind' | 'expected'> = {},
): Promise<void> {
  for (const contender of contenders) {
    await client.prepare(contender.target, { ...warmUpLoad, ...load, ...kindOf(contender) })
    await client.send()
    await contender.settled()
  }
}

function kindOf({ kind }: Contender<string>): Pick<Load, 'kind'> {
  return kind === undefined ? {} : { kind }
}

/**
 * Calls `measure` for each contender in each round. Two rounds have one order, there and back, so that a drift of the
 * machine hits all alike; the next two have another order, because a contender gains when the one before it leaves the
 * processors idle. A first round, with half of the messages, is not counted: V8 drops the code of a server that was idle.
 */
export async function inTurn<Name extends string, Value, L extends Pick<Load, 'count'>>(
  contenders: readonly Contender<Name>[],
  rounds: number,
  load: L,
  measure: (contender: Contender<Name>, load: L) => Promise<Value>,
): Promise<Rounds<Name, Value>> {
  const values = new Map(contenders.map(({ name }) => [name, [] as Value[]]))
  const random = seeded(contenders.length)
  let order = [...contenders]
  for (let round = -1; round < rounds; round++) {
    const count = round < 0 ? Math.ceil(load.count / 2) : load.count
    order = round % 2 === 0 ? shuffled(order, random) : order.reverse()
    for (const contender of order) {
      const value = await measure(contender, { ...load, count })
      if (round >= 0) values.get(contender.name)?.push(value)
    }
  }
  return Object.fromEntries(values) as Rounds<Name, Value>
}

export async function costOf(
  client: LoadClient,
  contender: Contender<string>,
  clamdPid: number,
  load: Load,
): Promise<Cost> {
  await client.prepare(contender.target, { ...load, ...kindOf(contender) })
  const look = () => ({
    server: cpuSnapshot(contender.serverPids),
    clamd: cpuSnapshot([clamdPid]),
    front: cpuSnapshot(contender.frontPids),
  })
  const before = look()
  const { wallMs } = await client.send().catch((error: unknown) => {
    throw new Error(`${contender.name}: ${(error as Error).message}`)
  })
  await contender.settled()
  const after = look()
  const per = (whose: 'server' | 'clamd' | 'front') => cpuMsBetween(before[whose], after[whose]) / load.count
  return { wall: wallMs / load.count, server: per('server'), clamd: per('clamd'), front: per('front') }
}
