// Haraka's peak memory with many large messages at the same time, and the memory that remains after them.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { RealClamd } from '../test/support/clamd/clamd'
import type { Haraka } from '../test/support/haraka/haraka'
import { LoadClient } from './load'
import { type Memory, type MemoryName, memoryNames, type Rounds } from './results'
import {
  type Site,
  startSite,
  withClamavStream,
  withHarakaPluginClamd,
  withHeldMessages,
  withoutScanning,
} from './sites'

const bytes = 10_000_000
const busySessions = 20
const stalledSessions = 40
/** Once it has read every message, a server that takes no more memory for so long will take no more. */
const quietMs = 3_000
/** Compiled code grows as well, and goes on doing so for some thousand messages. */
const growthSteps = [3_000, 5_000, 7_000, 9_000]

export async function measureMemory(clamd: RealClamd, repeats: number): Promise<Memory> {
  const busy: Rounds<MemoryName, number> = {}
  const stalled: Rounds<MemoryName, number> = {}
  const heldMiB: number[] = []
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const name of repeat % 2 === 0 ? memoryNames : [...memoryNames].reverse()) {
      ;(busy[name] ??= []).push(await busyPeak(siteOf(name, clamd)))
      const stalledSite = name === 'none' ? withHeldMessages() : siteOf(name, clamd)
      ;(stalled[name] ??= []).push(await stalledPeak(stalledSite, stalledSessions, clamd))
    }
    heldMiB.push(await stalledPeak(withHeldMessages(), busySessions, clamd))
  }
  const growth: Memory['growth'] = {}
  for (const name of memoryNames) growth[name] = await growthOf(siteOf(name, clamd))
  return {
    bytes,
    busy: { sessions: busySessions, peakMiB: busy, heldMiB },
    stalled: { sessions: stalledSessions, peakMiB: stalled },
    growth,
  }
}

function siteOf(name: MemoryName, clamd: RealClamd): Site {
  const addresses = [`${clamd.host}:${clamd.port}`]
  // Nobody gives up before the figure is taken.
  if (name === 'instream') return withClamavStream(addresses, 'scan_timeout=250s')
  if (name === 'none') return withoutScanning()
  const site = withHarakaPluginClamd(addresses, 'timeout=250\n')
  return { ...site, files: { ...site.files, plugin_timeout: '300\n' } }
}

async function busyPeak(site: Site): Promise<number> {
  return withServer(site, async (server, client) => {
    await client.prepare({ smtp: server.port }, { bytes, count: busySessions, sessions: busySessions })
    await client.send()
    return peakMiB(server.pid)
  })
}

async function stalledPeak(site: Site, sessions: number, clamd: RealClamd): Promise<number> {
  return withServer(site, async (server, client) => {
    const load = { bytes, count: sessions, sessions }
    await client.prepare({ smtp: server.port }, load)
    clamd.pause()
    // Messages are a few bytes longer or shorter than asked for.
    const expected = bytesRead(server.pid) + sessions * bytes * 0.999
    let known = false
    try {
      // They are stuck and end with the server.
      const sent = client.send().catch((error: unknown) => {
        if (!known) throw error
      })
      const unexpected = sent.then(() =>
        Promise.reject(new Error('messages that should be stuck got through')),
      )
      return await Promise.race([unexpected, settledPeak(server.pid, expected)])
    } finally {
      known = true
      // It would wait for its sessions.
      server.signal('SIGKILL')
      await server.stop()
      clamd.resume()
    }
  })
}

async function settledPeak(pid: number, expectedBytes: number): Promise<number> {
  let peak = 0
  let since = Date.now()
  while (Date.now() - since < quietMs) {
    await delay(100)
    const now = peakMiB(pid)
    if (now > peak || bytesRead(pid) < expectedBytes) since = Date.now()
    peak = now
  }
  return peak
}

async function growthOf(site: Site): Promise<{ messages: number; retainedBytes: number; files: number }[]> {
  return withServer(site, async (server, client) => {
    const found = []
    for (let messages = 0; messages < Math.max(...growthSteps);) {
      const next = growthSteps.find((step) => step > messages) ?? 0
      await client.prepare({ smtp: server.port }, { bytes: 5_000, count: next - messages, sessions: 4 })
      await client.send()
      messages = next
      found.push({ messages, retainedBytes: await retainedBytes(server), files: openFiles(server.pid) })
    }
    return found
  })
}

async function retainedBytes(server: Haraka): Promise<number> {
  const from = server.log.length
  server.signal('SIGUSR2')
  const line = await server.waitForLog(/\[memory\] retained \d+/, 30_000, from)
  return Number(/retained (\d+)/.exec(line)?.[1])
}

/** A server and a client of its own, for peaks are those of a process since its start. */
async function withServer<Value>(
  site: Site,
  use: (server: Haraka, client: LoadClient) => Promise<Value>,
): Promise<Value> {
  const server = await startSite(site, ['memory'])
  const client = new LoadClient()
  try {
    await client.prepare({ smtp: server.port }, { bytes: 5_000, count: 50, sessions: 4 })
    await client.send()
    return await use(server, client)
  } finally {
    await client.stop()
    await server.stop()
  }
}

function peakMiB(pid: number): number {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(peak) / 1024
}

/** From files and sockets together, since its start. */
function bytesRead(pid: number): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
