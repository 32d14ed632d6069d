// One run: starts clamd and the contenders, measures the chosen parts one after the other, and stops everything.
import { type RealClamd, startClamd } from '../test/support/clamd/clamd'
import { baselines, type Contender, startContender, titles } from './contenders'
import { costOf, inTurn, warmUp } from './cost'
import { measureExtras } from './extras'
import { measureFailOver } from './fail-over'
import { measureLatency } from './latency'
import { LoadClient } from './load'
import { describeMachine } from './machine'
import { measureMemory } from './memory'
import type { Options } from './options'
import type { CostTable, Results } from './results'
import { measureThroughput } from './throughput'

/** Fewer rounds are enough for what takes long and hardly varies. */
const repeatsAtMost = 3

/** @param say called with the progress, and with the reason why a contender is left out */
export async function measureAll(options: Options, say: (line: string) => void): Promise<Results> {
  const clamd = await startClamd({
    // Threads that end would take their CPU time with them.
    config: { StreamMaxLength: '100M', MaxFileSize: '100M', MaxScanSize: '400M', IdleTimeout: 86_400 },
    ...(options.database !== undefined && { databaseDirectory: options.database, startMs: 300_000 }),
  })
  const client = new LoadClient()
  try {
    const { database } = options
    const results: Results = {
      date: new Date().toISOString().slice(0, 10),
      machine: await describeMachine(database),
      leftOut: [],
      costs: [],
    }
    const wants = (part: Options['parts'][number]) => {
      if (options.parts.includes(part)) say(`measuring ${part}`)
      return options.parts.includes(part)
    }
    const repeats = Math.min(options.rounds, repeatsAtMost)
    if (options.parts.includes('cpu') || options.parts.includes('latency')) {
      const contenders = await startAll(options, clamd, (name) => {
        say(`left out: ${name}`)
        results.leftOut.push(name)
      })
      try {
        await warmUp(client, contenders)
        if (wants('cpu')) results.costs = await measureCosts(client, clamd, contenders, options, say)
        if (wants('latency')) results.latency = await measureLatency(client, contenders, options.rounds)
      } finally {
        for (const contender of contenders) await contender.stop()
      }
    }
    if (wants('extras')) results.extras = await measureExtras(client, clamd, options.rounds)
    if (wants('throughput')) results.throughput = await measureThroughput(client, clamd, repeats)
    if (wants('fail-over')) results.failOver = await measureFailOver(client, clamd)
    if (wants('memory')) results.memory = await measureMemory(clamd, repeats)
    return results
  } finally {
    await client.stop()
    await clamd.stop()
  }
}

async function startAll(
  options: Options,
  clamd: RealClamd,
  onLeftOut: (why: string) => void,
): Promise<Contender[]> {
  const contenders: Contender[] = []
  for (const name of options.contenders) {
    try {
      contenders.push(await startContender(name, clamd))
    } catch (error) {
      const optional = (baselines[name] ?? name) === 'postfix'
      if (!optional) throw error
      const [why = ''] = (error as Error).message.split('\n')
      onLeftOut(`${titles[name]} (${why})`)
    }
  }
  return contenders
}

async function measureCosts(
  client: LoadClient,
  clamd: RealClamd,
  contenders: readonly Contender[],
  options: Options,
  say: (line: string) => void,
): Promise<CostTable[]> {
  const tables: CostTable[] = []
  for (const sessions of options.sessions) {
    const table: CostTable = { sessions, sizes: [] }
    tables.push(table)
    for (const { label, bytes, count: most } of options.sizes) {
      say(`  ${label}, ${sessions} at a time`)
      const count = sessions === 1 ? Math.ceil(most / 2) : most
      const load = { bytes, count, sessions }
      const rounds = await inTurn(contenders, options.rounds, load, (contender, each) =>
        costOf(client, contender, clamd.pid, each),
      )
      table.sizes.push({ label, bytes, count, rounds })
    }
  }
  return tables
}
