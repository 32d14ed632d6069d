// What Cancellation and Deadline (lib/base/cancellation.ts) save over AbortController, of the CPU of scanning a small
// message: `node --import tsx bench/cancellation.ts`. The scanner is loaded twice, the second time with the platform's in their place;
// both scan the same message at the same clamd, in turn. They stay as long as that is 5 % or more on a supported Node.
// Batches are short and many, and the fastest tenth of them counts: those that nothing else on the machine disturbed.
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import path from 'node:path'
import type * as Cancelling from '../lib/base/cancellation'
import type { CancelSignal } from '../lib/base/cancellation'
import type * as Clients from '../lib/clamd/client'
import type * as Pools from '../lib/hosts/host-pool'
import type * as Scanning from '../lib/scan/scanner'
import { type RealClamd, startClamd } from '../test/support/clamd/clamd'
import { BufferMessage } from '../test/support/clamd/scanning'
import { uniqueMessage } from './messages'
import { percentile } from './statistics'

const bytes = 5000
const warmUp = 2000
const rounds = 250
const scansPerRound = 40
const atOnce = 4

const lib = path.join(__dirname, '..', 'lib')
const load = createRequire(__filename)

/** As a Deadline would be made with what the platform has. */
function platformDeadline(
  outer: CancelSignal,
  ms: number,
  tooLate: () => Error,
  calledOff = () => outer.reason,
): CancelSignal & { end(): void } {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(tooLate()), ms)
  const onAbort = () => controller.abort(calledOff())
  outer.addEventListener('abort', onAbort)
  if (outer.aborted) onAbort()
  return Object.assign(controller.signal, {
    end() {
      clearTimeout(timer)
      outer.removeEventListener('abort', onAbort)
    },
  })
}

/** A scan from its beginning to its end, as a hook has it made. */
type Scan = (message: Buffer) => Promise<void>

function scanOver(clamd: RealClamd, hasSessions: boolean, isPlatform: boolean): Scan {
  for (const file of Object.keys(load.cache))
    if (file.startsWith(lib)) Reflect.deleteProperty(load.cache, file)
  const { Cancellation } = load('../lib/base/cancellation') as typeof Cancelling
  const module = load.cache[load.resolve('../lib/base/cancellation')]
  if (isPlatform && module) {
    module.exports = {
      Deadline: function (...args: Parameters<typeof platformDeadline>) {
        return platformDeadline(...args)
      },
    }
  }
  const { ClamdClient } = load('../lib/clamd/client') as typeof Clients
  const { HostPool } = load('../lib/hosts/host-pool') as typeof Pools
  const { Scanner } = load('../lib/scan/scanner') as typeof Scanning
  const address = { host: clamd.host, port: clamd.port }
  const limits = { connectMs: 5000, maxConcurrent: 0, restMs: 30_000, resolveMs: 60_000 }
  const hosts = new HostPool(
    { hosts: [address], ...limits },
    { lookup: () => Promise.resolve([]), now: () => performance.now(), random: () => 0, warn: console.error },
  )
  const client = new ClamdClient(connect)
  client.learn(address, { version: null, commands: hasSessions ? ['INSTREAM', 'IDSESSION'] : ['INSTREAM'] })
  const scanner = new Scanner(
    {
      protocol: 'instream',
      bufferBytes: 8192,
      connectMs: 5000,
      scanMs: 60_000,
      maxBytes: 1e6,
      scope: 'message',
      signatures: [],
    },
    hosts,
    client,
  )
  const log = { trace: () => undefined, warn: console.error }
  return async (message) => {
    const dropped = isPlatform ? new AbortController().signal : new Cancellation()
    const { outcome } = await scanner.scan(new BufferMessage(message), dropped, log)
    if (outcome !== 'clean') throw new Error(`the message is ${outcome}`)
  }
}

/** Microseconds of CPU a scan, of this process alone. */
async function cost(scan: Scan, message: Buffer, scans: number): Promise<number> {
  let left = scans
  const oneByOne = async () => {
    while (left-- > 0) await scan(message)
  }
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: atOnce }, oneByOne))
  const { user, system } = process.cpuUsage(before)
  return (user + system) / scans
}

async function main(): Promise<void> {
  const clamd = await startClamd()
  try {
    const message = uniqueMessage(bytes)
    for (const hasSessions of [true, false]) {
      const own = scanOver(clamd, hasSessions, false)
      const platform = scanOver(clamd, hasSessions, true)
      for (const scan of [own, platform]) await cost(scan, message, warmUp)
      const costs = { own: [] as number[], platform: [] as number[] }
      for (let round = 0; round < rounds; round++) {
        costs.own.push(await cost(own, message, scansPerRound))
        costs.platform.push(await cost(platform, message, scansPerRound))
      }
      const best = { own: percentile(costs.own, 10), platform: percentile(costs.platform, 10) }
      const way = hasSessions ? 'in sessions' : 'a connection each'
      const figures = [
        `Cancellation ${best.own.toFixed(0)} µs`,
        `AbortController ${best.platform.toFixed(0)} µs`,
        `ratio ${(best.platform / best.own).toFixed(2)}`,
      ]
      console.log(`Node ${process.version}, ${bytes} bytes, ${way}: ${figures.join(', ')}`)
    }
  } finally {
    await clamd.stop()
  }
}

void main()
