/*
 * Reads the settings: at start, where a mistake stops Haraka, and again when a file changes, where it leaves the old ones in
 * force.
 */

import { existsSync } from 'node:fs'
import { reportMs } from '../actions/bounce'
import { copyMs } from '../actions/quarantine'
import { hasEntries, readSettingsFiles, refuseOverrides, type SettingsFiles } from '../config/files'
import { withPrograms } from '../config/programs'
import { fileNames } from '../config/schema'
import { withSecrets } from '../config/secrets'
import { parseSettings, type Settings } from '../config/settings'
import { tlsConnect } from '../config/tls-files'
import { isListed, quarantineName } from '../haraka/environment'
import type { Plugin } from '../haraka/types'
import { unresolved } from '../hosts/resolver'
import { system } from '../hosts/system'
import { attachmentTimeoutMs, replaceRuntime, runtimeOf } from './runtime'
import { restart, tryQuarantine } from './start'
import { warnOfHttp, warnOfLimits, warnOfWideSettings } from './start-warnings'

/** Milliseconds for what a hook does besides scanning and waiting for another plugin: attachments, a copy, a report. */
const hookOverheadMs = attachmentTimeoutMs + copyMs + reportMs + 5000

/** Reads the settings and watches their files. @throws ConfigError */
export function load(plugin: Plugin): void {
  const hookSeconds = plugin.timeout
  const folder = plugin.config.overrides_path ?? plugin.config.root_path ?? '.'
  /** @param isAsked to look at the clamds again, whose own settings may have changed */
  const use = (settings: Settings, { ini }: SettingsFiles, isAsked: boolean) => {
    const { old, runtime } = replaceRuntime(plugin, settings, tlsConnect(settings, folder))
    warnOfLimits(plugin, settings.scan)
    warnOfWideSettings(plugin, settings)
    warnOfHttp(plugin, settings, ini.path)
    tryQuarantine(plugin)
    // 0 is an administrator's "no timer".
    const needed = Math.ceil((settings.scan.scanMs + settings.scan.connectMs + hookOverheadMs) / 1000)
    plugin.timeout = hookSeconds === 0 ? 0 : Math.max(hookSeconds, needed)
    if (old && (isAsked || old.hosts !== runtime.hosts)) restart(plugin, old)
  }
  let files = readSettingsFiles(plugin.config)
  let reloads = 0
  const reload = async (name: string) => {
    const number = ++reloads
    try {
      const found = readSettingsFiles(plugin.config)
      mustNotVanish(files, found)
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
  refuseOverrides(plugin.config.get(fileNames.ini), plugin.config.get('smtp.json'), files.ini.lines)
  use(settings, files, false)
  for (const name of Object.values(fileNames)) plugin.config.get(name, () => void reload(name))
}

/** A file that vanishes, perhaps while it is written anew, would bring unwanted defaults into force. @throws Error */
function mustNotVanish(before: SettingsFiles, now: SettingsFiles): void {
  for (const kind of ['ini', 'signatures', 'exempt'] as const) {
    const { path, lines } = before[kind]
    if (path === null) continue
    if (!existsSync(path)) throw new Error(`${path} is gone`)
    if (kind !== 'ini' && hasEntries(lines) && now[kind].empty.includes(path))
      throw new Error(`${path} is empty`)
  }
  // In a list, comments alone are a wish for the package's rules, or for no exemption.
  if (hasEntries(before.ini.lines) && !hasEntries(now.ini.lines))
    throw new Error(`${String(before.ini.path)} says nothing any more`)
}
