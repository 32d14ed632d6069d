/*
 * Settings in force and what is built from them, for each instance of the plugin. load.ts reads the settings, start.ts starts
 * what runs beside mail.
 */

import { isDeepStrictEqual } from 'node:util'
import { type Address, addressText } from '../clamd/address'
import { ClamdClient } from '../clamd/client'
import type { Settings } from '../config/settings'
import type { TlsConnect } from '../config/tls-files'
import type { Plugin } from '../haraka/types'
import { type HealthSettings, selfTestPatienceMs } from '../health/monitor'
import { eicarCheckWith } from '../health/self-test'
import { type AddressNews, HostPool, type HostSettings } from '../hosts/host-pool'
import { system } from '../hosts/system'
import { FailureMemory } from '../scan/failure-memory'
import type { ScanSettings } from '../scan/message-scan'
import { Scanner } from '../scan/scanner'

/** Everything that a reload replaces; messages in flight keep what they started with. */
export interface Runtime {
  readonly settings: Settings
  readonly dialling: TlsConnect
  readonly hosts: HostPool
  readonly clamd: ClamdClient
  readonly scanner: Scanner
  /** Outlives every reload. */
  readonly failures: FailureMemory
  /** Ends the start-up check and the health monitor; null: not started. Written by start.ts. */
  healthCheck: AbortController | null
  /** Called with what mail shows about an address. Written by start.ts. */
  onAddressNews: ((address: Address, news: AddressNews) => void) | null
}

/** Milliseconds for looking at the attachments; the work itself has a tighter limit of its own. */
export const attachmentTimeoutMs = 15_000

const runtimes = new WeakMap<Plugin, Runtime>()

export function runtimeOf(plugin: Plugin): Runtime {
  const runtime = runtimes.get(plugin)
  if (!runtime) throw new Error('the plugin is not registered')
  return runtime
}

export function stop(plugin: Plugin): void {
  runtimes.get(plugin)?.healthCheck?.abort()
}

/** Puts settings into force. @returns what was in force before, and what is now */
export function replaceRuntime(plugin: Plugin, settings: Settings, dialling: TlsConnect) {
  const old = runtimes.get(plugin)
  const runtime = buildRuntime(plugin, settings, dialling, old)
  runtimes.set(plugin, runtime)
  return { old, runtime }
}

function buildRuntime(
  plugin: Plugin,
  settings: Settings,
  dialling: TlsConnect,
  old: Runtime | undefined,
): Runtime {
  const failures = old?.failures ?? new FailureMemory(settings.unscannableAfter)
  failures.unscannableAfter = settings.unscannableAfter
  const dialsAlike = old && isDeepStrictEqual(old.dialling.credentials, dialling.credentials)
  const selfTest = settings.startup.maxPings > 0 ? settings.health.selfTest : 'off'
  const scannerOf = ({
    hosts,
    clamd,
    dialling: { connect },
  }: Pick<Runtime, 'hosts' | 'clamd' | 'dialling'>) => {
    const eicarCheck = selfTest === 'off' ? null : eicarCheckWith(settings.scan, selfTest, connect)
    return new Scanner(settings.scan, hosts, clamd, eicarCheck, failures)
  }
  if (dialsAlike && topicOf(plugin, old.settings) === topicOf(plugin, settings))
    return { ...old, settings, scanner: scannerOf(old) }
  const hosts: HostPool = new HostPool(
    settings.hosts,
    system((text) => plugin.logwarn(text)),
    // A message then still has time to find out by itself.
    selfTest === 'off' ? 0 : Math.min(selfTestPatienceMs, settings.scan.scanMs / 4),
    (address, news, isByMail) => {
      const runtime = runtimes.get(plugin)
      if (news === 'back' && isByMail) plugin.lognotice(`clamd ${addressText(address)} works again`)
      // A message that began before a reload may still use what is no longer in force.
      if (runtime?.hosts === hosts) runtime.onAddressNews?.(address, news)
      else if (news !== 'back') runtime?.hosts.learn(address, { type: 'doubted' })
    },
  )
  const clamd = dialsAlike ? old.clamd : new ClamdClient(dialling.connect)
  const scanner = scannerOf({ hosts, clamd, dialling })
  if (old && provesAlike(old.settings, settings)) hosts.inherit(old.hosts)
  old?.hosts.stopWaitingForChecks()
  return { settings, dialling, hosts, clamd, scanner, failures, healthCheck: null, onAddressNews: null }
}

/**
 * What a change of a setting does at a reload. `scans`: only new scans notice it. `pool`: the addresses are listed anew,
 * with what is known of them. `tests`: the self tests are made again as well. A cluster's processes that differ in `pool`
 * or `tests` do not hear each other.
 */
const effects: Record<
  keyof (HostSettings & ScanSettings & HealthSettings & Settings['startup']),
  'scans' | 'pool' | 'tests'
> = {
  hosts: 'pool',
  backups: 'pool',
  resolveMs: 'pool',
  connectMs: 'pool',
  restMs: 'pool',
  maxConcurrent: 'pool',
  scanMs: 'pool',
  scope: 'pool',
  signatures: 'scans',
  pingIntervalMs: 'pool',
  maxPings: 'pool',
  maxSignatureAgeMs: 'pool',
  selfTest: 'tests',
  protocol: 'tests',
  maxBytes: 'tests',
  bufferBytes: 'tests',
}

function valuesWith({ hosts, scan, startup, health }: Settings, ...wanted: readonly string[]): string {
  const all = { ...hosts, ...scan, ...startup, ...health }
  const isWanted = (key: string) => wanted.includes(effects[key as keyof typeof effects])
  return JSON.stringify(Object.entries(all).filter(([key]) => isWanted(key)))
}

/** True if self tests under the one settings hold under the other. */
export function provesAlike(one: Settings, other: Settings): boolean {
  const what = (settings: Settings) => [valuesWith(settings, 'tests'), settings.startup.maxPings > 0].join()
  return what(one) === what(other)
}

/** Cluster messages are for one plugin and for these settings. */
export function topicOf({ name }: Plugin, settings: Settings): string {
  return `${name} ${valuesWith(settings, 'pool', 'tests')}`
}
