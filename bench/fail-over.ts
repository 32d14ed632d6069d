// The delay of messages when one of three addresses never answers a connect.
import { openBlackHole } from '../test/support/clamd/black-hole'
import { type RealClamd, startClamd } from '../test/support/clamd/clamd'
import type { LoadClient } from './load'
import type { FailOver } from './results'
import { startSite, withClamavStream } from './sites'

const hostRestMs = 2_000
const connectMs = 1_000
const load = { bytes: 5_000, count: 3_000, sessions: 4 }

export async function measureFailOver(client: LoadClient, clamd: RealClamd): Promise<FailOver> {
  const hole = await openBlackHole()
  const other = await startClamd()
  const ports = [clamd.port, hole.port, other.port]
  const server = await startSite(
    withClamavStream(
      ports.map((port) => `127.0.0.1:${port}`),
      `host_rest=${hostRestMs}ms\nconnect_timeout=${connectMs}ms\nmax_pings=0`,
    ),
  )
  try {
    await client.prepare({ smtp: server.port }, load)
    const { latenciesMs, wallMs } = await client.send()
    return {
      hostRestMs,
      connectMs,
      sessions: load.sessions,
      messages: load.count,
      wallMs,
      paid: latenciesMs.filter((latency) => latency >= connectMs * 0.95).length,
    }
  } finally {
    await server.stop()
    await other.stop()
    await hole.close()
  }
}
