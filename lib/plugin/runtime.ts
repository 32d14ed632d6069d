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
import { selfTestPatienceMs } from '../health/monitor'
import { eicarCheckWith } from '../health/self-test'
import { type AddressNews, HostPool } from '../hosts/host-pool'
import { system } from '../hosts/system'
import { FailureMemory } from '../scan/failure-memory'
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

/** True if self tests under the one settings hold under the other. */
function provesAlike(one: Settings, other: Settings): boolean {
  const what = ({ scan, health, startup }: Settings) =>
    JSON.stringify([scan.protocol, scan.maxBytes, scan.bufferBytes, health.selfTest, startup.maxPings > 0])
  return what(one) === what(other)
}

/** Cluster messages are for one plugin and for these settings; rules for signatures say nothing about a clamd. */
export function topicOf({ name }: Plugin, { hosts, scan, startup, health }: Settings): string {
  return JSON.stringify({ name, hosts, scan: { ...scan, signatures: undefined }, startup, health })
}
