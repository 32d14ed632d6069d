// Messages a second with several clamds, each slow and with one scan at a time.
import type { RealClamd } from '../test/support/clamd/clamd'
import type { LoadClient, Sent } from './load'
import type { Throughput } from './results'
import { type Site, startSite, withClamavStream, withHarakaPluginClamd } from './sites'
import { SlowClamds } from './slow-clamds'

const scanMs = 50
const clamdCounts = [1, 2, 4]
const messagesPerClamd = 60
/** Enough that no daemon is ever without a message. */
const sessionsPerClamd = 6

export async function measureThroughput(
  client: LoadClient,
  clamd: RealClamd,
  repeats: number,
): Promise<Throughput> {
  const perSecond: Throughput['perSecond'] = { clamd: [], instream: [] }
  for (const clamds of clamdCounts) {
    const slow = await SlowClamds.start(clamd.port, clamds, scanMs)
    const addresses = slow.ports.map((port) => `127.0.0.1:${port}`)
    const sites = {
      clamd: withHarakaPluginClamd(addresses, 'randomize_host_order=true\n'),
      instream: withClamavStream(addresses),
    }
    try {
      for (const name of ['clamd', 'instream'] as const) {
        perSecond[name].push({ clamds, rounds: await ratesOf(client, sites[name], clamds, repeats) })
      }
    } finally {
      await slow.stop()
    }
  }
  return { scanMs, perSecond }
}

async function ratesOf(client: LoadClient, site: Site, clamds: number, repeats: number): Promise<number[]> {
  const server = await startSite(site)
  const load = { bytes: 5_000, count: messagesPerClamd * clamds, sessions: sessionsPerClamd * clamds }
  const rates: number[] = []
  try {
    for (let repeat = -1; repeat < repeats; repeat++) {
      const count = repeat < 0 ? Math.ceil(load.count / 4) : load.count
      await client.prepare({ smtp: server.port }, { ...load, count })
      const sent = await client.send()
      if (repeat >= 0) rates.push(steadyRate(sent))
    }
  } finally {
    await server.stop()
  }
  return rates
}

/** Messages a second without the first and the last tenth, when the daemons have not all begun or some have ended. */
export function steadyRate({ answeredMs }: Pick<Sent, 'answeredMs'>): number {
  const left = Math.floor(answeredMs.length / 10)
  const middle = [...answeredMs].sort((a, b) => a - b).slice(left, answeredMs.length - left)
  const [first = NaN, last = NaN] = [middle[0], middle.at(-1)]
  return ((middle.length - 1) * 1000) / (last - first)
}
