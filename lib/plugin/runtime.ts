/*
 * Settings in force and what was made of them, for each instance of the plugin: read at start, where a
 * mistake stops Haraka, and again when a file changes, where it leaves the old ones in force.
 */

import { setMaxListeners } from 'node:events'
import { existsSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { reportMs } from '../actions/bounce'
import { copyMs } from '../actions/quarantine'
import { ToMaster, ToWorkers } from '../base/cluster-channel'
import { type Address, addressText } from '../clamd/address'
import { ClamdClient } from '../clamd/client'
import {
  hasEntries,
  readSettingsFiles,
  refuseOverrides,
  type SettingsFile,
  type SettingsFiles,
} from '../config/files'
import { withPrograms } from '../config/programs'
import { fileNames } from '../config/schema'
import { withSecrets } from '../config/secrets'
import { parseSettings, type Settings } from '../config/settings'
import { type TlsConnect, tlsConnect } from '../config/tls-files'
import { isListed, quarantineName } from '../haraka/environment'
import type { Plugin, Server } from '../haraka/types'
import { followMaster, serveWorkers } from '../health/cluster-sync'
import { HealthMonitor, selfTestPatienceMs } from '../health/monitor'
import { eicarCheckWith } from '../health/self-test'
import { checkAtStart } from '../health/startup-check'
import { type AddressNews, HostPool } from '../hosts/host-pool'
import type { HealthEvent } from '../hosts/host-state'
import { unresolved } from '../hosts/resolver'
import { system } from '../hosts/system'
import { FailureMemory } from '../scan/failure-memory'
import { followFailures, keepFailures } from '../scan/failure-sync'
import { Scanner } from '../scan/scanner'
import { warnOfHttp, warnOfLimits, warnOfWideSettings } from './start-warnings'

/** Everything that a reload replaces; messages in flight keep what they started with. */
export interface Runtime {
  readonly settings: Settings
  readonly dialling: TlsConnect
  readonly hosts: HostPool
  readonly clamd: ClamdClient
  readonly scanner: Scanner
  /** Outlives every reload. */
  readonly failures: FailureMemory
  /** Ends the start-up check and the health monitor; null: not started. */
  check: AbortController | null
  /** Called with what mail shows about an address. */
  onAddressNews: ((address: Address, news: AddressNews) => void) | null
}

/** A process of a Haraka: the only one, or one of a cluster. The master takes no mail. */
export type Role = 'alone' | 'master' | 'worker'

/** Milliseconds for looking at the attachments; the work itself has a tighter limit of its own. */
export const attachmentTimeoutMs = 15_000

/** Milliseconds for what a hook does besides scanning and waiting for another plugin: attachments, a copy, a report. */
const hookOverheadMs = attachmentTimeoutMs + copyMs + reportMs + 5000

const runtimes = new WeakMap<Plugin, Runtime>()
const roles = new WeakMap<Plugin, Role>()

export function runtimeOf(plugin: Plugin): Runtime {
  const runtime = runtimes.get(plugin)
  if (!runtime) throw new Error('the plugin is not registered')
  return runtime
}

/** Reads the settings and watches their files. @throws ConfigError */
export function load(plugin: Plugin): void {
  const hookSeconds = plugin.timeout
  const folder = plugin.config.overrides_path ?? plugin.config.root_path ?? '.'
  /** @param isAsked to look at the clamds again, whose own settings may have changed */
  const use = (settings: Settings, { ini }: SettingsFiles, isAsked: boolean) => {
    const old = runtimes.get(plugin)
    const runtime = buildRuntime(plugin, settings, tlsConnect(settings, folder), old)
    runtimes.set(plugin, runtime)
    warnOfLimits(plugin, settings.scan)
    warnOfWideSettings(plugin, settings)
    warnOfHttp(plugin, settings, ini.path)
    // 0 is an administrator's "no timer".
    const needed = Math.ceil((settings.scan.scanMs + settings.scan.connectMs + hookOverheadMs) / 1000)
    plugin.timeout = hookSeconds === 0 ? 0 : Math.max(hookSeconds, needed)
    const role = roles.get(plugin)
    if (role && (isAsked || old?.hosts !== runtime.hosts)) {
      old?.check?.abort()
      startHealthCheck(plugin, role)
    }
  }
  let files = readSettingsFiles(plugin.config)
  let reloads = 0
  const reload = async (name: string) => {
    const number = ++reloads
    try {
      const found = readSettingsFiles(plugin.config)
      mustNotVanish(files.ini, found.ini)
      const settings = parse(found)
      const { hosts } = runtimeOf(plugin).settings
      const missing = await unresolved(settings.hosts, hosts, system(() => undefined).lookup)
      // A later change has begun meanwhile.
      if (number !== reloads) return
      if (missing.length > 0) throw new Error(`[main] host or backup: ${missing.join('; ')}`)
      use(settings, found, name === fileNames.ini)
      files = found
      plugin.loginfo('settings reloaded')
    } catch (error) {
      plugin.logerror(`settings not reloaded, the old ones stay in force: ${(error as Error).message}`)
    }
  }
  const hasQuarantine = isListed(plugin, quarantineName)
  const parse = (read: SettingsFiles) => withPrograms(withSecrets(parseSettings(read, hasQuarantine)))
  const settings = parse(files)
  refuseOverrides(plugin.config.get('clamav-stream.ini'), files.ini.lines)
  use(settings, files, false)
  for (const name of Object.values(fileNames)) plugin.config.get(name, () => void reload(name))
}

/** A file that vanishes would bring unwanted defaults into force. @throws Error */
function mustNotVanish(before: SettingsFile, now: SettingsFile): void {
  if (before.path === null) return
  if (!existsSync(before.path)) throw new Error(`${before.path} is gone`)
  if (hasEntries(before.lines) && !hasEntries(now.lines))
    throw new Error(`${before.path} says nothing any more`)
}

/** A reload that does not change the addresses keeps what is known of them. */
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
  return { settings, dialling, hosts, clamd, scanner, failures, check: null, onAddressNews: null }
}

/** True if self tests under the one settings hold under the other. */
function provesAlike(one: Settings, other: Settings): boolean {
  const what = ({ scan, health, startup }: Settings) =>
    JSON.stringify([scan.protocol, scan.maxBytes, scan.bufferBytes, health.selfTest, startup.maxPings > 0])
  return what(one) === what(other)
}

/** Cluster messages are for one plugin and for these settings; rules for signatures say nothing about a clamd. */
function topicOf({ name }: Plugin, { hosts, scan, startup, health }: Settings): string {
  return JSON.stringify({ name, hosts, scan: { ...scan, signatures: undefined }, startup, health })
}

/**
 * Starts the health check, at the first call. Hooks call it at Haraka's start, but a plugin before ours may stop them, with
 * OK or without an answer.
 * @returns null after the first call
 */
export function begin(plugin: Plugin, { cluster }: Server): Role | null {
  if (roles.has(plugin)) return null
  const role = cluster ? (cluster.isMaster ? 'master' : 'worker') : 'alone'
  startHealthCheck(plugin, role)
  shareFailures(plugin, role)
  return role
}

/**
 * Starts the start-up check and the health monitor, in the background. In a cluster each worker checks which addresses it
 * reaches; the monitor, with the self test, runs in the master, which tells the workers.
 */
function startHealthCheck(plugin: Plugin, role: Role): void {
  roles.set(plugin, role)
  const runtime = runtimeOf(plugin)
  const { startup, scan, health, debug } = runtime.settings
  const { connect } = runtime.dialling
  if (startup.maxPings === 0) return
  const { signal } = (runtime.check = new AbortController())
  // Every address adds listeners.
  setMaxListeners(0, signal)
  const log = {
    trace: (text: string) => plugin[debug ? 'loginfo' : 'logdebug'](text),
    info: (text: string) => plugin.loginfo(text),
    warn: (text: string) => plugin.logwarn(text),
    error: (text: string) => plugin.logerror(text),
  }
  // During a reload master and workers may have different settings.
  const topic = topicOf(plugin, runtime.settings)
  const failed = (error: unknown) => log.error(`cluster message ignored: ${String(error)}`)
  const learn = (address: Address, event: HealthEvent) => {
    if (event.type === 'capabilities') runtime.clamd.learn(address, event)
    runtime.hosts.learn(address, event)
  }
  const check = (answered: HealthMonitor['answered']) => {
    const settings = { ...startup, connectMs: scan.connectMs, protocol: scan.protocol }
    checkAtStart(settings, runtime.hosts, connect, log, signal, answered).catch((error: unknown) =>
      plugin.logerror(`start-up check failed: ${String(error)}`),
    )
  }
  if (role === 'worker') {
    runtime.onAddressNews = followMaster(new ToMaster(topic, failed), learn, signal)
    check((address, offer) => learn(address, { type: 'capabilities', ...offer }))
    return
  }
  let tell = learn
  const monitor = new HealthMonitor(
    { ...scan, ...health, pingIntervalMs: startup.pingIntervalMs },
    {
      connect,
      now: () => performance.now(),
      date: Date.now,
      log,
      addresses: (ends) => runtime.hosts.addresses(ends),
      tell: (address, event) => tell(address, event),
    },
    signal,
  )
  const onAddressNews = (runtime.onAddressNews = (address: Address, news: AddressNews) =>
    monitor.onAddressNews(address, news))
  if (role === 'master') {
    tell = serveWorkers(new ToWorkers(topic, failed), () => monitor.known(), onAddressNews, signal)
    monitor.run('at once')
  } else {
    monitor.run('after a pause')
    check((address, offer) => monitor.answered(address, offer))
  }
}

function shareFailures(plugin: Plugin, role: Role): void {
  const { failures } = runtimeOf(plugin)
  const failed = (error: unknown) => plugin.logerror(`cluster message ignored: ${String(error)}`)
  const topic = `${plugin.name} failures`
  if (role === 'master') keepFailures(failures, new ToWorkers(topic, failed))
  else if (role === 'worker') followFailures(failures, new ToMaster(topic, failed))
}

export function stop(plugin: Plugin): void {
  runtimes.get(plugin)?.check?.abort()
}
