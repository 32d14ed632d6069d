/*
 * What of Haraka and the plugins beside us bears on the scan: who might come before the gate, who keeps copies, which
 * of Haraka's own limits do not go with ours.
 */

import { hostname } from 'node:os'
import { ConfigError } from '../base/config-error'
import { bytesLimit, type HarakaLimits, inactivityLimit } from './limits'
import type { Plugin, QuarantinePlugin, Server } from './types'

export const quarantineName = 'queue/quarantine'

/** Where messages are taken, and rejections turned round: we come first there. */
export const gateHooks: readonly string[] = ['queue', 'queue_outbound', 'deny']
export const gatePriority = -100

/** As we may stand in config/plugins. */
export const ownNames: readonly string[] = ['clamav-stream', 'haraka-plugin-clamav-stream']

interface PluginsModule {
  readonly config?: { get(name: 'plugins', type: 'list'): string[] }
  readonly registered_hooks?: Record<string, { plugin: string; priority: number }[] | undefined>
  readonly registered_plugins?: Record<string, unknown>
  /** `ready`: it listens, or as a master it has workers, and has become the user that smtp.ini names. */
  readonly server?: Server & { readonly ready?: unknown }
}

interface ConnectionModule {
  readonly cfg?: { readonly max?: { readonly bytes?: unknown } }
}
interface ServerModule {
  readonly cfg?: { readonly main?: { readonly inactivity_timeout?: unknown } }
}

/** The server's name: what config/me says, and without that the machine's, as Haraka has it. @param me the file's value */
export function serverName(me: unknown): string {
  return typeof me === 'string' && me !== '' ? me : hostname()
}

/** Plugins below us in config/plugins are not loaded yet when we are, but they are listed. */
export function isListed(plugin: Plugin, name: string): boolean {
  const { config } = plugin.haraka_require('plugins') as PluginsModule
  return config?.get('plugins', 'list').includes(name) ?? false
}

export function quarantinePlugin(plugin: Plugin): QuarantinePlugin | undefined {
  const { registered_plugins: plugins } = plugin.haraka_require('plugins') as PluginsModule
  return plugins?.[quarantineName] as QuarantinePlugin | undefined
}

/**
 * Equal priorities run in the order of config/plugins, so a plugin that registered -100 before us, the least there is,
 * would take messages before the gate, or turn our rejections round.
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
        : `config/plugins: ${plugin.name} must be listed before ${rival.plugin}, ` +
          `which has priority -100 on the hook ${hook} and would come before the check of the verdict`,
    ])
  }
}

/** Milliseconds between two looks whether Haraka listens. */
const listeningMs = 1000

/** Calls back once, when Haraka listens. There is no event for that, and hooks may be kept from us. */
export function onListening(plugin: Plugin, callBack: (server: Server) => void): void {
  const { server } = plugin.haraka_require('plugins') as PluginsModule
  if (!server) return
  const timer = setInterval(() => {
    if (!server.ready) return
    clearInterval(timer)
    callBack(server)
  }, listeningMs).unref()
}

/** As the running Haraka has them; under test fixtures there are none. */
export function limitsOf(plugin: Plugin): HarakaLimits {
  const read = <T>(module: string, value: (module: unknown) => T): T | null => {
    try {
      return value(plugin.haraka_require(module))
    } catch {
      return null
    }
  }
  return {
    bytes: read('connection', (module) => bytesLimit((module as ConnectionModule).cfg?.max?.bytes)),
    inactivityMs: read('server', (module) => {
      const main = (module as ServerModule).cfg?.main
      return main ? inactivityLimit(main.inactivity_timeout) : null
    }),
  }
}
