/*
 * Settings in force and what was made of them, for each instance of the plugin: read at start, where a
 * mistake stops Haraka, and again when a file changes, where it leaves the old ones in force.
 */

import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import bytes from 'bytes'
import { reportMs } from './actions/bounce'
import { copyMs, type QuarantinePlugin } from './actions/quarantine'
import { parseSettings, type Settings } from './config'
import type { Plugin } from './haraka'
import type { Address } from './address'
import { Hosts, type World } from './hosts'
import { patienceMs, Watch } from './proof/watch'
import { followMaster, serveWorkers } from './proof/workers'
import { Scanner } from './scanner'
import { checkAtStart } from './startup'

/** Everything that a reload replaces; messages in flight keep what they started with. */
export interface Live {
  readonly settings: Settings
  readonly hosts: Hosts
  readonly scanner: Scanner
  /** Ends the check of the addresses and the watch over them; null: none has been asked for. */
  check: AbortController | null
  /** Told when an address that had failed works again. */
  recovered: ((address: Address) => void) | null
}

/** A process of a Haraka: the only one, or one of a cluster. The master takes no mail. */
export type Role = 'alone' | 'master' | 'worker'

/** Milliseconds for looking at the attachments; the work itself has a tighter limit of its own. */
export const lookMs = 15_000

/** Milliseconds for what a hook does besides scanning and waiting for a neighbour: attachments, a copy, a report. */
const aroundMs = lookMs + copyMs + reportMs + 5000

const lives = new WeakMap<Plugin, Live>()
const roles = new WeakMap<Plugin, Role>()

export function currentOf(plugin: Plugin): Live {
  const live = lives.get(plugin)
  if (!live) throw new Error('the plugin is not registered')
  return live
}

/** Reads the settings and watches their files. @throws ConfigError */
export function load(plugin: Plugin): void {
  const hookSeconds = plugin.timeout
  const use = (settings: Settings) => {
    const old = lives.get(plugin)
    const live = liveOf(plugin, settings, old)
    lives.set(plugin, live)
    // 0 is an administrator's "no timer".
    const needed = Math.ceil((settings.scan.scanMs + settings.scan.connectMs + aroundMs) / 1000)
    plugin.timeout = hookSeconds === 0 ? 0 : Math.max(hookSeconds, needed)
    const role = roles.get(plugin)
    if (role && old?.hosts !== live.hosts) {
      old?.check?.abort()
      startCheck(plugin, role)
    }
  }
  const reload = () => {
    try {
      use(read(plugin, reload))
      plugin.loginfo('settings reloaded')
    } catch (error) {
      plugin.logerror(`settings not reloaded, the old ones stay in force: ${(error as Error).message}`)
    }
  }
  use(read(plugin, reload))
}

function read(plugin: Plugin, changed: () => void): Settings {
  return readSettings(plugin.config, isListed(plugin, quarantineName), changed)
}

/**
 * The settings of a site, as the plugin and the command line read them.
 * @param hasQuarantine queue/quarantine is listed in config/plugins
 * @throws ConfigError
 */
export function readSettings(
  config: Plugin['config'],
  hasQuarantine: boolean,
  changed?: () => void,
): Settings {
  const ini = config.get('clamav-stream.ini', changed)
  const iniLines = linesOf(config, 'clamav-stream.ini')
  const signatures = config.get('clamav-stream.signatures', 'list', changed)
  // Watched by the loader, but read by ourselves: the loader keeps no line numbers.
  config.get('clamav-stream.exempt', 'list', changed)
  const exemptLines = linesOf(config, 'clamav-stream.exempt')
  return parseSettings({ ini, iniLines, signatures, exemptLines, hasQuarantine })
}

export const quarantineName = 'queue/quarantine'

interface PluginsModule {
  readonly config?: { get(name: 'plugins', type: 'list'): string[] }
  readonly registered_hooks?: Record<string, { plugin: string; priority: number }[] | undefined>
  readonly registered_plugins?: Record<string, unknown>
}

/** Plugins below us in config/plugins are not loaded yet when we are, but they are listed. */
function isListed(plugin: Plugin, name: string): boolean {
  const { config } = plugin.haraka_require('plugins') as PluginsModule
  return config?.get('plugins', 'list').includes(name) ?? false
}

export function quarantinePlugin(plugin: Plugin): QuarantinePlugin | undefined {
  const { registered_plugins: plugins } = plugin.haraka_require('plugins') as PluginsModule
  return plugins?.[quarantineName] as QuarantinePlugin | undefined
}

/**
 * The lines of a configuration file as they stand there. Not through Haraka's loader: it keeps one reading of
 * a file, and older ones hand the lines to whoever asks for the settings next.
 */
function linesOf(config: Plugin['config'], name: string): string[] {
  for (const directory of [config.overrides_path, config.root_path]) {
    try {
      if (directory) return readFileSync(join(directory, name), 'utf8').split(/\r\n|\r|\n/)
    } catch {
      // No such file there: the site has none of its own, or it is not to be read, which the loader tells.
    }
  }
  return []
}

/** What is known of the addresses survives a reload that does not concern them. */
function liveOf(plugin: Plugin, settings: Settings, old: Live | undefined): Live {
  if (old && topicOf(plugin, old.settings) === topicOf(plugin, settings)) return { ...old, settings }
  const hosts: Hosts = new Hosts(
    settings.hosts,
    {
      ...world((text) => plugin.logwarn(text)),
      // A message that began before a reload may still use what is no longer in force.
      recovered: (address) => {
        const live = lives.get(plugin)
        if (live?.hosts === hosts) live.recovered?.(address)
      },
    },
    settings.startup.maxPings > 0 && settings.proof.selfTest !== 'off' ? patienceMs : 0,
  )
  const scanner = new Scanner(settings.scan, hosts, connect)
  return { settings, hosts, scanner, check: null, recovered: null }
}

/** Names, time and chance as they are. */
export function world(warn: (text: string) => void): World {
  return {
    lookup: async (name) => (await lookup(name, { all: true, verbatim: true })).map(({ address }) => address),
    now: () => performance.now(),
    random: Math.random,
    warn,
  }
}

/** What is found out about addresses holds for one plugin and these settings. */
function topicOf({ name }: Plugin, { hosts, scan, proof }: Settings): string {
  return JSON.stringify({ name, hosts, scan, proof })
}

/**
 * Begins, in the background, the check of every address and the watch over them. In a cluster each worker checks what
 * it can reach; the watch, with the self test, is the master's, who tells the workers.
 */
export function startCheck(plugin: Plugin, role: Role): void {
  roles.set(plugin, role)
  const live = currentOf(plugin)
  const { startup, scan, proof, debug } = live.settings
  if (startup.maxPings === 0) return
  const { signal } = (live.check = new AbortController())
  const log = {
    trace: (text: string) => plugin[debug ? 'loginfo' : 'logdebug'](text),
    info: (text: string) => plugin.loginfo(text),
    warn: (text: string) => plugin.logwarn(text),
    error: (text: string) => plugin.logerror(text),
  }
  const topic = topicOf(plugin, live.settings)
  const learn: Hosts['learn'] = (address, findings) => live.hosts.learn(address, findings)
  const check = (answered?: Watch['answered']) => {
    const settings = { ...startup, connectMs: scan.connectMs, protocol: scan.protocol }
    checkAtStart(settings, live.hosts, connect, log, signal, answered).catch((error: unknown) =>
      plugin.logerror(`start-up check failed: ${String(error)}`),
    )
  }
  if (role === 'worker') {
    live.recovered = followMaster(topic, learn, signal)
    check()
    return
  }
  const watch: Watch = new Watch(
    { ...scan, ...proof, pingIntervalMs: startup.pingIntervalMs },
    {
      connect,
      now: () => performance.now(),
      date: Date.now,
      log,
      addresses: (ends) => live.hosts.addresses(ends),
      tell: role === 'alone' ? learn : (address, findings) => tellWorkers(address, findings),
    },
    signal,
  )
  const recovered = (address: Address) => watch.recovered(address)
  const tellWorkers = role === 'alone' ? learn : serveWorkers(topic, () => watch.known(), recovered, signal)
  live.recovered = recovered
  watch.run(role === 'master' ? 'at once' : 'after a pause')
  if (role === 'alone') check((address, offer) => watch.answered(address, offer))
}

export function stop(plugin: Plugin): void {
  lives.get(plugin)?.check?.abort()
}

/**
 * Equal priorities run in the order of config/plugins, so a plugin that registered -100 before us would take
 * messages before the gate, or turn our rejections round.
 * @throws Error that names the plugin
 */
export function mustStandFirst(plugin: Plugin): void {
  const { registered_hooks: hooks } = plugin.haraka_require('plugins') as PluginsModule
  for (const hook of ['queue', 'queue_outbound', 'deny']) {
    const rival = hooks?.[hook]?.find(({ priority }) => priority <= -100)
    if (rival) {
      throw new Error(
        `config/plugins: ${plugin.name} must be listed before ${rival.plugin}, ` +
          `which has priority -100 on the hook ${hook} and would come before the check of the verdict`,
      )
    }
  }
}

/** Mail that Haraka takes and that is not scanned for its size deserves a word at start. */
export function warnOfLargerMail(plugin: Plugin): void {
  const { maxBytes } = currentOf(plugin).settings.scan
  const limit = harakaLimit(plugin)
  if (limit === null || (limit > 0 && limit <= maxBytes)) return
  plugin.logwarn(
    `Haraka accepts ${limit === 0 ? 'messages of any size' : (bytes(limit) ?? '')} ([max] bytes in connection.ini), ` +
      `max_size is ${bytes(maxBytes) ?? ''}: larger ones are not scanned but "too_large"`,
  )
}

/** Haraka's own limit in bytes, 0 for none; null where it cannot be seen, as under test fixtures. */
function harakaLimit(plugin: Plugin): number | null {
  try {
    const { cfg } = plugin.haraka_require('connection') as { cfg?: { max?: { bytes?: unknown } } }
    const given = cfg?.max?.bytes
    // What is no number, such as 25M, limits nothing.
    return given === undefined ? null : Number(given) || 0
  } catch {
    return null
  }
}
