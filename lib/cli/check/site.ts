/*
 * The site around the plugin: its place in config/plugins, limits of Haraka that have to fit ours, and what the settings
 * let by. The quarantine is quarantine.ts, and the other plugins are neighbours.ts.
 */

import ms from 'ms'
import { letBy } from '../../config/reach'
import { keyOf } from '../../config/reader'
import { actionsOf, type ConfiguredAction, type Settings } from '../../config/settings'
import { ownNames } from '../../haraka/environment'
import { bytesLimit, inactivityLimit, limitConflicts, sizeText, usualMaxScanMs } from '../../haraka/limits'
import { delivers } from '../../policy/action'
import { shippedSettings, type Site } from '../site'
import type { AsHaraka } from './as-haraka'
import { examineNeighbours } from './environment'
import { examineQuarantine } from './quarantine'
import type { Finding } from './results'

export async function examineSite(site: Site, settings: Settings, haraka: AsHaraka): Promise<Finding[]> {
  return [
    listing(site),
    ...limits(site, settings),
    ...lettingBy(site, settings),
    ...lenient(settings),
    ...(await examineQuarantine(site, settings, haraka)),
    ...examineNeighbours(site),
  ]
}

function listing(site: Site): Finding {
  const about = 'config/plugins'
  const places = site.plugins.filter((name) => ownNames.includes(name))
  if (places.length > 1)
    return {
      level: 'failure',
      about,
      text: 'clamav-stream is listed twice: Haraka will not start',
      remedy: 'config/plugins: one clamav-stream',
    }
  if (places.length > 0) return { level: 'ok', about, text: 'clamav-stream is listed' }
  return {
    level: 'failure',
    about,
    text: 'clamav-stream is not listed: nothing is scanned',
    remedy: 'config/plugins: clamav-stream, in the part DATA',
  }
}

/** Haraka's default, where its own files were not found. */
const usualBytes = 26_214_400

/** Of a message that has anything in it: where larger ones are delivered unscanned, as good as all are. */
const smallBytes = 64 * 1024

function limits(site: Site, { scan, rules }: Settings): Finding[] {
  const max = site.haraka.get('connection.ini').max?.bytes ?? site.haraka.get('databytes', 'value')
  const bytes = bytesLimit(max) ?? usualBytes
  const inactivityMs = inactivityLimit(site.haraka.get('smtp.ini').main?.inactivity_timeout)
  const { takesLarger, mayBeUnfinished, mayBreakOff } = limitConflicts(scan, { bytes, inactivityMs })
  const maxBytes = sizeText(scan.maxBytes)
  const budget = ms(scan.scanMs)
  const inactivity = `inactivity_timeout is ${inactivityMs / 1000} s`
  const isLetBy = delivers(rules.unscanned.too_large) && scan.maxBytes < smallBytes
  return [
    takesLarger
      ? {
          level: isLetBy ? 'failure' : 'warning',
          about: 'size',
          text: `Haraka takes ${bytes === 0 ? 'messages of any size' : `up to ${sizeText(bytes)}`}, max_size is ${maxBytes}: larger ones are not scanned (too_large=${rules.unscanned.too_large.text})`,
          remedy: `connection.ini: [max] bytes=${scan.maxBytes}, or a larger max_size`,
        }
      : {
          level: 'ok',
          about: 'size',
          text: `Haraka takes up to ${sizeText(bytes)}, max_size is ${maxBytes}`,
        },
    hookTimer(site, budget),
    ...(mayBeUnfinished
      ? [
          {
            level: 'warning' as const,
            about: 'time',
            text: `scan_timeout is ${budget}, clamd's MaxScanTime ${ms(usualMaxScanMs)} by default: after that it says OK to what it has not finished`,
            remedy:
              'clamd.conf: AlertExceedsMax yes, or a MaxScanTime above scan_timeout; or a shorter scan_timeout',
          },
        ]
      : []),
    mayBreakOff
      ? {
          level: 'warning',
          about: 'time',
          text: `${inactivity}, scan_timeout ${budget}: connections end in the middle of a scan`,
          remedy: `smtp.ini: inactivity_timeout=${Math.ceil(scan.scanMs / 1000) + 60}`,
        }
      : { level: 'ok', about: 'time', text: `${inactivity}, above scan_timeout` },
  ]
}

function hookTimer(site: Site, budget: string): Finding {
  const about = 'time'
  const hook =
    number(site.own.get('clamav-stream.timeout', 'value')) ??
    number(site.haraka.get('plugin_timeout', 'value')) ??
    30
  return hook === 0
    ? {
        level: 'note',
        about,
        text: 'the hook timer is switched off (plugin_timeout, clamav-stream.timeout): nothing but scan_timeout ends a hook',
      }
    : {
        level: 'ok',
        about,
        text: `scan_timeout is ${budget}; the hook timer of ${hook} s is raised above it where need be`,
      }
}

function number(value: unknown): number | null {
  const found = typeof value === 'number' || (typeof value === 'string' && value !== '') ? Number(value) : NaN
  return Number.isNaN(found) ? null : found
}

/** What is let by on purpose is no fault, but who looks should see it; what nobody can have meant is one. */
function lettingBy(site: Site, settings: Settings): Finding[] {
  const { check, exemptions, health, startup } = settings
  const about = 'let by'
  const exempt = Object.entries(check).flatMap(([name, isChecked]) => (isChecked ? [] : [keyOf(name)]))
  const texts = [
    ...(exempt.length > 0 ? [`[check] leaves out whoever is ${exempt.join(', ')}`] : []),
    ...(exemptions.length > 0 ? [`clamav-stream.exempt has ${exemptions.length} of them`] : []),
    ...(startup.maxPings === 0 || health.selfTest === 'off'
      ? ['no clamd has to show that it finds anything (self_test, max_pings)']
      : []),
  ]
  return [
    ...letBy(settings, site.haraka.get('host_list', 'list')).map(({ kind, text, remedy }): Finding => ({
      level: kind === 'everybody' ? 'failure' : 'warning',
      about,
      text,
      remedy,
    })),
    ...texts.map((text): Finding => ({ level: 'note', about, text })),
  ]
}

/** Actions that deliver what there is something against, or lose it without a word to anybody. */
function lenient(settings: Settings): Finding[] {
  const shipped = new Set(actionsOf(shippedSettings()).map(ruleText))
  const texts = actionsOf(settings)
    .filter(({ action }) => delivers(action) || action.text === 'discard')
    .map(ruleText)
  return texts.map((text) =>
    // Nobody has to be told of it as of something that was done here.
    shipped.has(text)
      ? { level: 'note', about: 'rules', text: `${text}, as shipped` }
      : { level: 'note', about: 'let by', text },
  )
}

function ruleText({ rule, where, action }: ConfiguredAction): string {
  if (rule === 'signatures') return `${where}: ${action.text}`
  return `${where}=${action.text}${rule === 'unscanned' ? ' delivers what was not scanned' : ''}`
}
