// What the tests of proofs have in common: real, fronted and scripted daemons, and what is asked of them.
import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { Address } from '../../../lib/clamd/address'
import { parseVersion } from '../../../lib/clamd/version'
import { HealthMonitor, type MonitorSettings } from '../../../lib/health/monitor'
import type { SelfTestSettings } from '../../../lib/health/self-test'
import type { HealthEvent } from '../../../lib/hosts/host-state'
import { eicar, eicarName } from '../eicar'
import { TemporaryDirectory } from '../process'
import { type ClamdOptions, startClamd } from './clamd'
import { type FakeClamdOptions, type Script, startFakeClamd } from './fake-clamd'
import { type FrontBehaviour, startStreamFront } from './stream-front'

export const M = 1024 * 1024
export const bounded = { timeout: 60_000 }
export const never = new AbortController().signal

export const usual: SelfTestSettings = {
  depth: 'full',
  protocol: 'instream',
  maxBytes: 4 * M,
  bufferBytes: 8192,
  connectMs: 5000,
  scanMs: 30_000,
}

export async function real(t: TestContext, config: ClamdOptions['config'] = {}, databaseDirectory?: string) {
  const clamd = await startClamd({ config, ...(databaseDirectory !== undefined && { databaseDirectory }) })
  t.after(() => clamd.stop())
  return { clamd, address: { host: clamd.host, port: clamd.port } }
}

export async function front(t: TestContext, behaviour: FrontBehaviour) {
  const started = await startStreamFront(behaviour)
  t.after(() => started.stop())
  return started
}

export async function fake(t: TestContext, script: Script, options: FakeClamdOptions = {}) {
  const daemon = await startFakeClamd(options)
  t.after(() => daemon.stop())
  await daemon.play(script)
  return daemon
}

/** As a daemon with signatures says it. */
export function verdictOn(mail: Buffer): string {
  const isInfected =
    mail.includes(eicar()) || mail.includes(Buffer.from(eicar()).toString('base64').slice(0, 60))
  return isInfected ? `stream: ${eicarName} FOUND` : 'stream: OK'
}

/** Signatures, but none for EICAR. */
export function harmlessSignatures(t: TestContext): TemporaryDirectory {
  const directory = new TemporaryDirectory('signatures')
  t.after(() => directory.remove())
  writeFileSync(
    path.join(directory.path, 'other.ndb'),
    `Harmless:0:*:${Buffer.from('never seen').toString('hex')}\n`,
  )
  return directory
}

/** A watch that is under way, with what it told and logged. */
export function watching(
  t: TestContext,
  addresses: Address[],
  more: Partial<MonitorSettings> = {},
  everyMs?: number,
) {
  const stop = new AbortController()
  t.after(() => stop.abort())
  const told: HealthEvent[] = []
  const lines: string[] = []
  const line = (level: string) => (text: string) => void lines.push(`${level} ${text}`)
  const system = { dateMs: Date.now(), now: () => performance.now(), sockets: [] as Socket[] }
  const watch = new HealthMonitor(
    {
      ...usual,
      selfTest: 'full',
      maxSignatureAgeMs: 0,
      pingIntervalMs: 1,
      protocol: 'auto',
      maxBytes: M,
      ...more,
    },
    {
      connect: (options) => {
        const socket = connect(options)
        system.sockets.push(socket)
        return socket
      },
      now: () => system.now(),
      date: () => system.dateMs,
      log: { trace: () => undefined, info: line('info'), warn: line('warn'), error: line('error') },
      addresses: () => Promise.resolve(addresses),
      tell: (_, event) => void told.push(event),
    },
    stop.signal,
    everyMs,
  )
  return { watch, told, lines, system, stop }
}

/** The self tests among the events, in their order. */
export function selfTestsIn(told: readonly HealthEvent[]) {
  return told.filter((event) => event.type === 'selfTested')
}

/** The versions that the daemons told, in their order. */
export function enginesIn(told: readonly HealthEvent[]) {
  return told.flatMap((event) => (event.type === 'capabilities' ? (parseVersion(event.version) ?? []) : []))
}
