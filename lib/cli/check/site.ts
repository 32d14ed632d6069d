/*
 * Checks the site: config/plugins, Haraka's limits against the plugin's, and exceptions from the scan. The quarantine is in
 * quarantine.ts, files that Haraka's user needs are in files.ts, the other plugins in environment.ts.
 */

import path from 'node:path'
import ms from 'ms'
import { sizeText } from '../../base/text'
import { httpProblems } from '../../config/http-problems'
import { withPrograms } from '../../config/programs'
import { wideSettings } from '../../config/reach'
import { keyOf } from '../../config/reader'
import { fileNames } from '../../config/schema'
import { secretFile, withSecrets } from '../../config/secrets'
import { actionsOf, type ConfiguredAction, type Settings } from '../../config/settings'
import { hasPackage, ownNames } from '../../haraka/environment'
import { bytesLimit, inactivityLimit, limitConflicts, usualMaxScanMs } from '../../haraka/limits'
import { delivers } from '../../policy/action'
import type { Scope } from '../../scan/second-look'
import { defaultSettings, type Site } from '../site'
import type { AsHaraka } from './as-haraka'
import { checkOtherPlugins } from './environment'
import { checkConfigFiles, checkOutboundQueue } from './files'
import { examineQuarantine } from './quarantine'
import type { Finding } from './results'

export async function examineSite(site: Site, settings: Settings, haraka: AsHaraka): Promise<Finding[]> {
  return [
    listing(site),
    ...badPlugins(site),
    ...checkConfigFiles(site, haraka),
    ...limits(site, settings),
    ...exceptions(site, settings),
    ...permissiveActions(settings),
    ...(await examineQuarantine(site, settings, haraka)),
    ...checkOutboundQueue(site, settings, haraka),
    ...webServer(site, settings, haraka),
    ...program(settings, haraka),
    ...checkOtherPlugins(site),
  ]
}

/** Metrics and page. The token's file is read with Haraka's permissions. */
function webServer(site: Site, settings: Settings, haraka: AsHaraka): Finding[] {
  const about = 'http'
  const { harakaPackage, configDirectory } = site
  const listens = Boolean(site.haraka.get('http.ini').main?.listen)
  const hasExpress = harakaPackage === null ? null : hasPackage(path.join(harakaPackage, 'x.js'), 'express')
  const ini = path.join(configDirectory, fileNames.ini)
  const found = httpProblems(settings, { listens, hasExpress }, ini).map((one): Finding => ({
    level: 'warning',
    about,
    ...one,
  }))
  const { tokenFile } = settings
  if (tokenFile !== null && !path.isAbsolute(tokenFile) && secretFile(tokenFile) === null)
    return [
      ...found,
      {
        level: 'note',
        about,
        text: `the credential ${tokenFile} is for Haraka's unit alone: not checked here`,
      },
    ]
  try {
    haraka.act(() => withSecrets(settings))
    return found
  } catch (error) {
    return [
      ...found,
      {
        level: 'failure',
        about,
        text: (error as Error).message,
        remedy: "put the token there, readable for Haraka's user: without it Haraka does not start",
      },
    ]
  }
}

/** [notify] command, with Haraka's permissions. */
function program(settings: Settings, haraka: AsHaraka): Finding[] {
  try {
    haraka.act(() => withPrograms(settings))
    return []
  } catch (error) {
    const remedy = 'correct it: without that program Haraka does not start'
    return [{ level: 'failure', about: 'notify', text: (error as Error).message, remedy }]
  }
}

function listing(site: Site): Finding {
  const about = 'config/plugins'
  const places = site.plugins.filter((name) => ownNames.includes(name))
  if (places.length > 1)
    return {
      level: 'failure',
      about,
      text: 'clamav-stream is listed twice: Haraka will not start',
      remedy: 'config/plugins: list clamav-stream once',
    }
  if (places.length > 0) return { level: 'ok', about, text: 'clamav-stream is listed' }
  return {
    level: 'failure',
    about,
    text: 'clamav-stream is not listed: nothing is scanned',
    remedy: 'config/plugins: add clamav-stream as the first line',
  }
}

/** Haraka takes any text as true, also `false`. */
function badPlugins(site: Site): Finding[] {
  if (!site.haraka.get('smtp.ini').main?.ignore_bad_plugins) return []
  return [
    {
      level: 'warning',
      about: 'smtp.ini',
      text: 'ignore_bad_plugins: if clamav-stream fails to load, Haraka starts without it, and nothing is scanned',
      remedy: 'smtp.ini: remove ignore_bad_plugins',
    },
  ]
}

/** Haraka's default message size limit in bytes, for a site whose Haraka was not found. */
const defaultMaxBytes = 26_214_400

/** Bytes. If messages larger than that are delivered unscanned, nearly all messages are. */
const smallBytes = 64 * 1024

function limits(site: Site, { scan, rules }: Settings): Finding[] {
  const max = site.haraka.get('connection.ini').max?.bytes ?? site.haraka.get('databytes', 'value')
  const bytes = bytesLimit(max) ?? defaultMaxBytes
  const inactivityMs = inactivityLimit(site.haraka.get('smtp.ini').main?.inactivity_timeout)
  const { takesLarger, mayBeUnfinished, mayBreakOff } = limitConflicts(scan, { bytes, inactivityMs })
  const maxBytes = sizeText(scan.maxBytes)
  const budget = ms(scan.scanMs)
  const inactivity = `inactivity_timeout is ${inactivityMs / 1000} s`
  const isNearlyAll = delivers(rules.unscanned.too_large) && scan.maxBytes < smallBytes
  return [
    takesLarger
      ? {
          level: isNearlyAll ? 'failure' : 'warning',
          about: 'size',
          text: `Haraka accepts ${bytes === 0 ? 'messages of any size' : `up to ${sizeText(bytes)}`}, max_size is ${maxBytes}: larger messages are not scanned (too_large=${rules.unscanned.too_large.text})`,
          remedy: `connection.ini: [max] bytes=${scan.maxBytes}, or a larger max_size`,
        }
      : {
          level: 'ok',
          about: 'size',
          text: `Haraka accepts up to ${sizeText(bytes)}, max_size is ${maxBytes}`,
        },
    hookTimer(site, budget),
    ...(mayBeUnfinished
      ? [
          {
            level: 'warning' as const,
            about: 'time',
            text: `scan_timeout is ${budget}, clamd's MaxScanTime ${ms(usualMaxScanMs)} by default: after that it replies OK to an unfinished scan`,
            remedy: 'set a MaxScanTime above scan_timeout in clamd.conf, or a shorter scan_timeout',
          },
        ]
      : []),
    mayBreakOff
      ? {
          level: 'warning',
          about: 'time',
          text: `${inactivity}, scan_timeout is ${budget}: Haraka may close a connection during a scan`,
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
        text: 'the hook timer is off (plugin_timeout, clamav-stream.timeout): only scan_timeout ends a hook',
      }
    : {
        level: 'ok',
        about,
        text: `scan_timeout is ${budget}; the hook timer of ${hook} s is raised above it if necessary`,
      }
}

function number(value: unknown): number | null {
  const found = typeof value === 'number' || (typeof value === 'string' && value !== '') ? Number(value) : NaN
  return Number.isNaN(found) ? null : found
}

const scopes: Readonly<Record<Scope, string>> = {
  auto: 'scan=auto: the whole message, and every reading of what programs may read differently',
  all: 'scan=all: the whole message and its parts',
  parts: 'scan=parts: larger messages in parts; signatures for whole mails do not match them',
  message: 'scan=message: only the whole message, as clamd reads it',
}

/** Intended exceptions are notes; exceptions that are hardly intended are failures or warnings. */
function exceptions(site: Site, settings: Settings): Finding[] {
  const { check, exemptions, health, startup } = settings
  const about = 'exceptions'
  const exempt = Object.entries(check).flatMap(([name, isChecked]) => (isChecked ? [] : [keyOf(name)]))
  const texts = [
    ...(exempt.length > 0 ? [`[check] exempts ${exempt.join(', ')} senders`] : []),
    ...(exemptions.length > 0
      ? [`clamav-stream.exempt has ${exemptions.length} ${exemptions.length === 1 ? 'entry' : 'entries'}`]
      : []),
    ...(startup.maxPings === 0 || health.selfTest === 'off'
      ? ['detection is not checked (self_test or max_pings is off)']
      : []),
    ...settings.rules.signatures
      .filter(({ action }) => action === 'ignore')
      .map(({ text }) => `${fileNames.signatures}: ${text} is ignored, as if nothing were found`),
  ]
  return [
    {
      level: settings.scan.scope === 'message' ? 'note' : 'ok',
      about: 'scan',
      text: scopes[settings.scan.scope],
    },
    ...wideSettings(settings, site.haraka.get('host_list', 'list')).map(
      ({ kind, text, remedy }): Finding => ({
        level: kind === 'everybody' ? 'failure' : 'warning',
        about,
        text,
        remedy,
      }),
    ),
    ...texts.map((text): Finding => ({ level: 'note', about, text })),
  ]
}

/** Actions that deliver infected or unscanned messages, and the action discard. */
function permissiveActions(settings: Settings): Finding[] {
  const defaults = new Set(actionsOf(defaultSettings()).map(ruleText))
  const texts = actionsOf(settings)
    .filter(({ action }) => delivers(action) || action.text === 'discard')
    .map(ruleText)
  return texts.map((text) =>
    // A default is no choice of this site.
    defaults.has(text)
      ? { level: 'note', about: 'rules', text: `${text}, by default` }
      : { level: 'note', about: 'exceptions', text },
  )
}

function ruleText({ rule, where, action }: ConfiguredAction): string {
  if (rule === 'signatures') return `${where}: ${action.text}`
  return `${where}=${action.text}${rule === 'unscanned' ? ' delivers unscanned messages' : ''}`
}
