// `npm run bench`: what scanning adds to Haraka's CPU time and what it costs clamd, for this plugin and for
// haraka-plugin-clamd, interleaved on the same machine with the same clamd. Prints a table of medians and ratios.
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import path from 'node:path'
import { startClamd } from '../test/support/clamd'
import type { Haraka } from '../test/support/haraka'
import { big } from '../test/support/mails'
import { repository } from '../test/support/haraka-install'
import { connect } from '../test/support/smtp'
import { names, startContender, type Name } from './contenders'
import { cpuMs } from './cpu'

const rounds = 5
const sizes = [
  { label: '5 kB', bytes: 5_000, count: 200 },
  { label: '100 kB', bytes: 100_000, count: 100 },
  { label: '1 MB', bytes: 1_000_000, count: 30 },
  { label: '10 MB', bytes: 10_000_000, count: 5 },
]

/** Milliseconds per message. */
interface Cost {
  haraka: number
  clamd: number
  wall: number
}

async function measure(haraka: Haraka, clamdPid: number, bytes: number, count: number): Promise<Cost> {
  // Every message is new to clamd, which caches clean content by whole mails and by parts.
  const messages = Array.from({ length: count }, () => big(bytes))
  const client = await connect(haraka.port)
  await client.command('EHLO bench.example.com')
  const before = { haraka: cpuMs(haraka.pid), clamd: cpuMs(clamdPid), wall: performance.now() }
  for (const message of messages) {
    await client.transaction()
    const reply = await client.message(message)
    if (reply.code !== 250) throw new Error(`${reply.code} ${reply.text}`)
  }
  const after = { haraka: cpuMs(haraka.pid), clamd: cpuMs(clamdPid), wall: performance.now() }
  await client.quit()
  return {
    haraka: (after.haraka - before.haraka) / count,
    clamd: (after.clamd - before.clamd) / count,
    wall: (after.wall - before.wall) / count,
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}

function spread(values: readonly number[]): string {
  return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)}-${Math.max(...values).toFixed(2)})`
}

function version(name: string): string {
  const file = path.join(repository, 'node_modules', name, 'package.json')
  return `${name} ${(JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version}`
}

async function main(): Promise<void> {
  const clamd = await startClamd({
    config: { StreamMaxLength: '100M', MaxFileSize: '100M', MaxScanSize: '400M' },
  })
  const servers = new Map<Name, Haraka>()
  try {
    for (const name of names) servers.set(name, await startContender(name, clamd))
    console.log(`${cpus()[0]?.model ?? ''}, ${cpus().length} processors, node ${process.version}`)
    console.log(
      `${version('Haraka')}, ${version('haraka-plugin-clamd')}, medians of ${rounds} rounds (least-most)\n`,
    )
    for (const size of sizes) {
      const costs = new Map<Name, Cost[]>(names.map((name) => [name, []]))
      for (let round = -1; round < rounds; round++) {
        // The order turns round each time, so that a drift of the machine hits all alike; the first is warm-up.
        for (const name of round % 2 === 0 ? names : [...names].reverse()) {
          const server = servers.get(name)
          if (!server) throw new Error(`${name} did not start`)
          const cost = await measure(
            server,
            clamd.pid,
            size.bytes,
            round < 0 ? Math.ceil(size.count / 5) : size.count,
          )
          if (round >= 0) costs.get(name)?.push(cost)
        }
      }
      report(size.label, costs)
    }
  } finally {
    for (const server of servers.values()) await server.stop()
    await clamd.stop()
  }
}

function report(label: string, costs: ReadonlyMap<Name, readonly Cost[]>): void {
  const of = (name: Name, what: keyof Cost) => (costs.get(name) ?? []).map((cost) => cost[what])
  console.log(`${label}: milliseconds per message`)
  for (const name of names) {
    const row = (['haraka', 'clamd', 'wall'] as const).map((what) => `${what} ${spread(of(name, what))}`)
    console.log(`  ${name.padEnd(20)} ${row.join('  ')}`)
  }
  const added = (name: Name, what: keyof Cost) => median(of(name, what)) - median(of('no scanning', what))
  const ratio = (what: keyof Cost) =>
    (added('clamav-stream', what) / added('haraka-plugin-clamd', what)).toFixed(2)
  console.log(
    `  what scanning adds, clamav-stream / haraka-plugin-clamd: ` +
      `Haraka's CPU ${ratio('haraka')}, clamd's CPU ${ratio('clamd')}, wall time ${ratio('wall')}\n`,
  )
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
