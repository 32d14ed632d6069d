/*
 * Haraka's environment of the plugin: other plugins that could run before the gate, the quarantine plugin, and Haraka's
 * limits.
 */

import { createRequire } from 'node:module'
import { hostname } from 'node:os'
import { ConfigError } from '../base/config-error'
import { bytesLimit, type HarakaLimits, inactivityLimit } from './limits'
import type { Plugin, QuarantinePlugin, Server } from './types'

export const quarantineName = 'queue/quarantine'

/** Hooks that accept messages or override rejections: this plugin must be the first on them. */
export const gateHooks: readonly string[] = ['queue', 'queue_outbound', 'deny']
export const gatePriority = -100

/** This plugin's names in config/plugins. */
export const ownNames: readonly string[] = ['clamav-stream', 'haraka-plugin-clamav-stream']

interface PluginsModule {
  readonly config?: { get(name: 'plugins', type: 'list'): string[] }
  readonly registered_hooks?: Record<string, { plugin: string; priority: number }[] | undefined>
  readonly registered_plugins?: Record<string, unknown>
  /** `ready`: it listens (a master: it has workers) and runs as the user of smtp.ini. */
  readonly server?: Server & { readonly ready?: unknown }
}

interface ConnectionModule {
  readonly cfg?: { readonly max?: { readonly bytes?: unknown } }
}
interface ServerModule {
  readonly cfg?: { readonly main?: { readonly inactivity_timeout?: unknown } }
  readonly http?: { readonly cfg?: { readonly listen?: unknown } }
}

/** The server's name, as Haraka has it: config/me, or the host name. @param me value of the file */
export function serverName(me: unknown): string {
  return typeof me === 'string' && me !== '' ? me : hostname()
}

/** Whether config/plugins lists it: plugins below this one are not loaded yet when this one registers. */
export function isListed(plugin: Plugin, name: string): boolean {
  const { config } = plugin.haraka_require('plugins') as PluginsModule
  return config?.get('plugins', 'list').includes(name) ?? false
}

export function quarantinePlugin(plugin: Plugin): QuarantinePlugin | undefined {
  const { registered_plugins: plugins } = plugin.haraka_require('plugins') as PluginsModule
  return plugins?.[quarantineName] as QuarantinePlugin | undefined
}

/**
 * Requires that no other plugin with priority -100, the lowest, is registered earlier: equal priorities run in the order of
 * config/plugins, so it could accept messages before the gate, or override rejections.
 * @throws ConfigError that names the plugin
 */
export function requireFirstInLine(plugin: Plugin): void {
  const { registered_hooks: hooks } = plugin.haraka_require('plugins') as PluginsModule
  for (const hook of gateHooks) {
    const rival = hooks?.[hook]?.find(({ priority }) => priority <= gatePriority)
    if (!rival) continue
    throw new ConfigError([
      ownNames.includes(rival.plugin)
        ? `config/plugins: ${plugin.name} is listed twice`
        : `config/plugins: move the line ${plugin.name} above ${rival.plugin}, ` +
          `which has priority -100 on the hook ${hook} and would run before the check of the verdict`,
    ])
  }
}

/** The other plugins with a data_post hook that runs before the scan, in the order in which they run. */
export function readersBeforeScan(plugin: Plugin): readonly string[] {
  const { registered_hooks: hooks } = plugin.haraka_require('plugins') as PluginsModule
  const all = hooks?.data_post ?? []
  const before = all.slice(
    0,
    all.findIndex(({ plugin: name, priority }) => name === plugin.name && priority === 0),
  )
  return [...new Set(before.map(({ plugin: name }) => name))].filter((name) => name !== plugin.name)
}

/** Milliseconds between two checks whether Haraka listens. */
const pollMs = 1000

/** Calls back once, when Haraka listens. Haraka has no event for that, and another plugin can end its hooks early. */
export function onListening(plugin: Plugin, callBack: (server: Server) => void): void {
  const { server } = plugin.haraka_require('plugins') as PluginsModule
  if (!server) return
  const timer = setInterval(() => {
    if (!server.ready) return
    clearInterval(timer)
    callBack(server)
  }, pollMs).unref()
}

/** A value of one of Haraka's modules; null: under test fixtures there is none. */
function read<T>(plugin: Plugin, module: string, value: (module: unknown) => T): T | null {
  try {
    return value(plugin.haraka_require(module))
  } catch {
    return null
  }
}

/** The HTTP server of the running Haraka, whose main module can say which packages are beside it. */
export function httpServerOf(plugin: Plugin): { listens: boolean; hasExpress: boolean | null } {
  const listens = read(plugin, 'server', (module) => Boolean((module as ServerModule).http?.cfg?.listen))
  return { listens: listens ?? false, hasExpress: hasPackage(require.main?.filename, 'express') }
}

/** @param from a file beside which, or above which, the package may be; undefined: unknown */
export function hasPackage(from: string | undefined, name: string): boolean | null {
  if (from === undefined) return null
  try {
    createRequire(from).resolve(name)
    return true
  } catch {
    return false
  }
}

/** The limits of the running Haraka; null under test fixtures. */
export function limitsOf(plugin: Plugin): HarakaLimits {
  return {
    bytes: read(plugin, 'connection', (module) => bytesLimit((module as ConnectionModule).cfg?.max?.bytes)),
    inactivityMs: read(plugin, 'server', (module) => {
      const main = (module as ServerModule).cfg?.main
      return main ? inactivityLimit(main.inactivity_timeout) : null
    }),
  }
}
