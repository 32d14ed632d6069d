/*
 * What the log says at start, and after a reload, about settings that work but deserve a look.
 */

import { userInfo } from 'node:os'
import ms from 'ms'
import { installCommand, tryCopy } from '../actions/quarantine-trial'
import { sizeText } from '../base/text'
import { httpProblems } from '../config/http-problems'
import { wideSettings } from '../config/reach'
import { type Settings, wantingQuarantine } from '../config/settings'
import { httpServerOf, limitsOf, quarantinePlugin } from '../haraka/environment'
import { limitConflicts, usualMaxScanMs } from '../haraka/limits'
import type { Plugin } from '../haraka/types'
import type { ScanSettings } from '../scan/message-scan'

/** Mail that Haraka takes but that is too large to be scanned; connections that end during a scan. */
export function warnOfLimits(plugin: Plugin, scan: ScanSettings): void {
  const limits = limitsOf(plugin)
  const { takesLarger, mayBeUnfinished, mayBreakOff } = limitConflicts(scan, limits)
  if (takesLarger)
    plugin.logwarn(
      `Haraka accepts ${limits.bytes ? sizeText(limits.bytes) : 'messages of any size'} ([max] bytes in connection.ini), ` +
        `max_size is ${sizeText(scan.maxBytes)}: larger ones are not scanned but "too_large"`,
    )
  if (mayBeUnfinished)
    plugin.logwarn(
      `scan_timeout is ${ms(scan.scanMs)}, and clamd's MaxScanTime is ${ms(usualMaxScanMs)} by default: unless that is longer, ` +
        'clamd says OK to what it has not finished',
    )
  if (mayBreakOff)
    plugin.logwarn(
      `scan_timeout is ${ms(scan.scanMs)}, and Haraka ends connections after ${ms(limits.inactivityMs ?? 0)} (inactivity_timeout in smtp.ini): ` +
        'some will end in the middle of a scan',
    )
}

/** Settings that exempt, or deliver, more mail than intended. */
export function warnOfWideSettings(plugin: Plugin, settings: Settings): void {
  for (const { kind, text, remedy } of wideSettings(settings, plugin.config.get('host_list', 'list')))
    plugin[kind === 'everybody' ? 'logerror' : 'logwarn'](`${text}; better: ${remedy}`)
}

/** @param ini path of clamav-stream.ini */
export function warnOfHttp(plugin: Plugin, settings: Settings, ini: string | null): void {
  for (const { text, remedy } of httpProblems(settings, httpServerOf(plugin), ini))
    plugin.logwarn(`${text}; ${remedy}`)
}

/** A folder that cannot be written defers every message that is to be kept. */
export function warnOfQuarantine(plugin: Plugin, settings: Settings): void {
  if (wantingQuarantine(settings).length === 0) return
  const base = quarantinePlugin(plugin)?.get_base_dir?.()
  if (base === undefined) return
  try {
    tryCopy(base, settings.quarantineFolder)
  } catch (error) {
    const user = userName()
    plugin.logerror(
      `no copy can be kept, so messages that are to be kept are deferred: ${(error as Error).message} by ${user}; ` +
        `as root: ${installCommand(base, settings.quarantineFolder, user)}`,
    )
  }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.geteuid?.())
  }
}
