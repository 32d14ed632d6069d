/*
 * What of Haraka and the plugins beside us bears on the scan: who might come before the gate, who keeps copies, which
 * of Haraka's own limits do not go with ours.
 */

import { hostname } from 'node:os'
import bytes from 'bytes'
import ms from 'ms'
import type { QuarantinePlugin } from './actions/quarantine'
import { ConfigError } from './config'
import type { Plugin } from './haraka'
import type { ScanSettings } from './scanner'

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
export function mustStandFirst(plugin: Plugin): void {
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

/** Mail that Haraka takes and that is not scanned for its size, or connections that end in a scan, deserve a word. */
export function warnOfLimits(plugin: Plugin, { maxBytes, scanMs }: ScanSettings): void {
  const limit = harakaLimit(plugin)
  if (limit !== null && (limit === 0 || limit > maxBytes))
    plugin.logwarn(
      `Haraka accepts ${limit === 0 ? 'messages of any size' : (bytes(limit) ?? '')} ([max] bytes in connection.ini), ` +
        `max_size is ${bytes(maxBytes) ?? ''}: larger ones are not scanned but "too_large"`,
    )
  if (scanMs >= usualMaxScanMs)
    plugin.logwarn(
      `scan_timeout is ${ms(scanMs)}, and clamd's MaxScanTime is ${ms(usualMaxScanMs)} by default: unless that is longer, or ` +
        'AlertExceedsMax is set, clamd says OK to what it has not finished',
    )
  const inactivityMs = inactivityLimit(plugin)
  if (inactivityMs !== null && scanMs >= inactivityMs)
    plugin.logwarn(
      `scan_timeout is ${ms(scanMs)}, and Haraka ends connections after ${ms(inactivityMs)} (inactivity_timeout in smtp.ini): ` +
        'some will end in the middle of a scan',
    )
}

/** clamd's default, which cannot be asked for. Later than that, an OK may be that of a clamd that has given up. */
export const usualMaxScanMs = 120_000

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

/** After which Haraka ends a connection that says nothing, in milliseconds; null where it cannot be seen. */
function inactivityLimit(plugin: Plugin): number | null {
  try {
    const { cfg } = plugin.haraka_require('server') as {
      cfg?: { main?: { inactivity_timeout?: unknown } }
    }
    const seconds = Number(cfg?.main?.inactivity_timeout)
    return seconds > 0 ? seconds * 1000 : null
  } catch {
    return null
  }
}
