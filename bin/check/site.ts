/*
 * The site around the plugin: limits of Haraka that have to fit ours, the quarantine, and neighbours that might
 * take a message past the scan. Neighbours are judged by their source, since nothing is loaded here.
 */

import { access, constants, stat } from 'node:fs/promises'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import ms from 'ms'
import { wantingQuarantine, type Settings } from '../../lib/config'
import { gateHooks, gatePriority, ownNames, usualMaxScanMs } from '../../lib/neighbours'
import { quarantineOf } from '../quarantine/store'
import type { Site } from '../site'
import { sizeText } from '../terminal'
import type { Finding } from './findings'

export async function examineSite(site: Site, settings: Settings): Promise<Finding[]> {
  return [
    listing(site),
    size(site, settings),
    ...timers(site, settings),
    ...(await quarantine(site, settings)),
    ...neighbours(site),
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

function size(site: Site, { scan, rules }: Settings): Finding {
  const about = 'size'
  const given = site.haraka.get('connection.ini').max?.bytes ?? site.haraka.get('databytes', 'value')
  // What is no number, such as 25M, limits nothing.
  const limit = given === undefined || given === null || given === '' ? usualBytes : Number(given) || 0
  const most = sizeText(scan.maxBytes)
  if (limit > 0 && limit <= scan.maxBytes)
    return { level: 'ok', about, text: `Haraka takes up to ${sizeText(limit)}, max_size is ${most}` }
  const taken = limit === 0 ? 'messages of any size' : `up to ${sizeText(limit)}`
  return {
    level: 'warning',
    about,
    text: `Haraka takes ${taken}, max_size is ${most}: larger ones are not scanned (too_large=${rules.unscanned.too_large.text})`,
    remedy: `connection.ini: [max] bytes=${scan.maxBytes}, or a larger max_size`,
  }
}

function timers(site: Site, { scan }: Settings): Finding[] {
  const about = 'time'
  const hook =
    number(site.own.get('clamav-stream.timeout', 'value')) ??
    number(site.haraka.get('plugin_timeout', 'value')) ??
    30
  const mayBeUnfinished = scan.scanMs >= usualMaxScanMs
  const inactivity = number(site.haraka.get('smtp.ini').main?.inactivity_timeout) ?? 300
  const budget = ms(scan.scanMs)
  return [
    hook === 0
      ? {
          level: 'note',
          about,
          text: 'the hook timer is switched off (plugin_timeout, clamav-stream.timeout): nothing but scan_timeout ends a hook',
        }
      : {
          level: 'ok',
          about,
          text: `scan_timeout is ${budget}; the hook timer of ${hook} s is raised above it where need be`,
        },
    ...(mayBeUnfinished
      ? [
          {
            level: 'warning' as const,
            about,
            text: `scan_timeout is ${budget}, clamd's MaxScanTime ${ms(usualMaxScanMs)} by default: after that it says OK to what it has not finished`,
            remedy:
              'clamd.conf: AlertExceedsMax yes, or a MaxScanTime above scan_timeout; or a shorter scan_timeout',
          },
        ]
      : []),
    inactivity > 0 && inactivity * 1000 <= scan.scanMs
      ? {
          level: 'warning',
          about,
          text: `inactivity_timeout is ${inactivity} s, scan_timeout ${budget}: connections end in the middle of a scan`,
          remedy: `smtp.ini: inactivity_timeout=${Math.ceil(scan.scanMs / 1000) + 60}`,
        }
      : { level: 'ok', about, text: `inactivity_timeout of ${inactivity} s is above scan_timeout` },
  ]
}

function number(value: unknown): number | null {
  const found = typeof value === 'number' || (typeof value === 'string' && value !== '') ? Number(value) : NaN
  return Number.isNaN(found) ? null : found
}

/** Asked for only if a rule keeps messages. That queue/quarantine is listed then, the settings have seen to. */
async function quarantine(site: Site, settings: Settings): Promise<Finding[]> {
  const about = 'quarantine'
  if (wantingQuarantine(settings).length === 0)
    return [{ level: 'ok', about, text: 'no rule keeps messages' }]
  const folder = quarantineOf(site)
  const directory = existsSync(folder) ? folder : path.dirname(folder)
  const user = site.haraka.get('smtp.ini').main?.user
  const deferred = 'messages that are to be kept are deferred'
  if (!existsSync(directory))
    return [
      {
        level: 'warning',
        about,
        text: `${directory} does not exist; Haraka makes it if it may, else ${deferred}`,
        remedy: `install -d -m 0700 ${isName(user) ? `-o ${user} ` : ''}${directory}`,
      },
    ]
  if (!statSync(directory).isDirectory())
    return [{ level: 'failure', about, text: `${directory} is no folder: ${deferred}` }]
  const mayWrite = await isWritable(directory, user)
  if (mayWrite === null)
    return [
      { level: 'note', about, text: `whether ${String(user)} may write to ${directory} is not known here` },
    ]
  if (mayWrite) return [{ level: 'ok', about, text: `${directory} can be written to` }]
  return [
    {
      level: 'warning',
      about,
      text: `${directory} cannot be written to by ${isName(user) ? user : 'this user'}: ${deferred}`,
      remedy: `chown -R ${isName(user) ? user : 'HARAKA'} ${directory}`,
    },
  ]
}

function isName(user: unknown): user is string | number {
  return (typeof user === 'string' && user !== '') || typeof user === 'number'
}

/** By whom Haraka runs as, `user` in smtp.ini; without that by whoever asks. Null: that user is not known here. */
async function isWritable(directory: string, user: unknown): Promise<boolean | null> {
  if (!isName(user))
    return access(directory, constants.W_OK).then(
      () => true,
      () => false,
    )
  const account = accountOf(String(user))
  if (!account) return null
  if (account.uid === 0) return true
  const { uid, gid, mode } = await stat(directory)
  if (uid === account.uid) return (mode & 0o200) !== 0
  return (mode & (account.groups.includes(gid) ? 0o020 : 0o002)) !== 0
}

/** By name or number. */
function accountOf(user: string): { uid: number; groups: number[] } | null {
  const fieldsOf = (file: string) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
  try {
    const entry = fieldsOf('/etc/passwd').find(([name, , uid]) => name === user || uid === user)
    if (!entry) return null
    const [name = '', , uid, gid] = entry
    const others = fieldsOf('/etc/group').filter(([, , , members]) => members?.split(',').includes(name))
    return { uid: Number(uid), groups: [Number(gid), ...others.map(([, , id]) => Number(id))] }
  } catch {
    return null
  }
}

function neighbours(site: Site): Finding[] {
  const place = site.plugins.findIndex((name) => ownNames.includes(name))
  const others = site.plugins.flatMap((name, index) => (ownNames.includes(name) ? [] : [{ name, index }]))
  const unknown: string[] = []
  const found = others.flatMap(({ name, index }) => {
    const source = sourceOf(site, name)
    if (source === null) unknown.push(name)
    return [
      ...(source === null ? [] : judged(name, source, place !== -1 && index < place)),
      ...(/^(?:haraka-plugin-)?clamd$/.test(name) ? [scansToo(name)] : []),
      ...(name === 'karma' ? karma(site) : []),
      ...(name === 'bounce' ? bounce(site) : []),
    ]
  })
  const about = 'neighbours'
  if (unknown.length > 0)
    found.push({ level: 'note', about, text: `not found, so not looked into: ${unknown.join(', ')}` })
  if (found.some(({ level }) => level !== 'note')) return found
  return [...found, { level: 'ok', about, text: 'none of them is known to pass the scan by' }]
}

function scansToo(name: string): Finding {
  return {
    level: 'note',
    about: name,
    text: 'is listed as well: every message is scanned twice',
    remedy: `config/plugins: without ${name}`,
  }
}

/** By what it registers, and what it writes into the notes. Haraka takes whatever is below -100 for that. */
function judged(name: string, source: string, isBefore: boolean): Finding[] {
  const about = name
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  const first = [...code.matchAll(/register_hook\(\s*['"](\w+)['"]\s*,\s*['"][^'"]+['"]\s*,\s*(-\d+)/g)]
    .filter(([, , priority]) => Number(priority) <= gatePriority)
    .map(([, hook]) => hook ?? '')
  const gate = first.find((hook) => gateHooks.includes(hook))
  return [
    ...(gate !== undefined && isBefore
      ? [
          {
            level: 'failure' as const,
            about,
            text: `has priority -100 on the hook ${gate} and is listed before clamav-stream: Haraka will not start`,
            remedy: `config/plugins: clamav-stream above ${name}`,
          },
        ]
      : []),
    ...(first.includes('data_post') && isBefore
      ? [
          {
            level: 'note' as const,
            about,
            text: 'has priority -100 on data_post before us: it sees headers that a sender may have forged',
            remedy: `config/plugins: clamav-stream above ${name}`,
          },
        ]
      : []),
    ...(/\bskip_plugins\b/.test(code)
      ? [
          {
            level: 'warning' as const,
            about,
            text: 'writes notes.skip_plugins: messages for which that names clamav-stream are not scanned',
            remedy: `look into ${name} for the names that it puts there`,
          },
        ]
      : []),
  ]
}

function karma(site: Site): Finding[] {
  const excludes = site.haraka.get('karma.ini').deny_excludes?.plugins
  const listed = typeof excludes === 'string' ? excludes.split(/[\s,]+/) : []
  const about = 'karma'
  if (listed.some((name) => ownNames.includes(name)))
    return [{ level: 'ok', about, text: 'leaves our rejections alone' }]
  const plugins = [...(listed.length > 0 ? listed : shippedExcludes), 'clamav-stream']
  return [
    {
      level: 'note',
      about,
      text: 'would turn the rejections of plugins that it does not know into acceptance; ours are final before it sees them',
      remedy: `to have it in writing, karma.ini: [deny_excludes] plugins=${plugins.filter(Boolean).join(', ')}`,
    },
  ]
}

/** What karma ships with, 2.5.2. */
const shippedExcludes =
  'access attachment clamd headers helo.checks limit rspamd spamassassin send_email tls'.split(' ')

function bounce(site: Site): Finding[] {
  const skip = site.haraka.get('bounce.ini', { booleans: ['skip.remaining_plugins'] }).skip?.remaining_plugins
  if (skip !== true) return []
  return [
    {
      level: 'note',
      about: 'bounce',
      text: 'ends data_post for bounces ([skip] remaining_plugins); they are scanned at the gate instead',
    },
  ]
}

/** As Haraka looks for it; null: not found, or not to be read. */
function sourceOf(site: Site, name: string): string | null {
  const roots = [site.directory, ...(site.harakaPackage === null ? [] : [site.harakaPackage])]
  for (const root of roots) {
    const candidates = [
      path.join(root, 'plugins', `${name}.js`),
      resolved(root, path.join(root, 'plugins', name)),
      resolved(root, `haraka-plugin-${name}`),
      resolved(root, name),
    ]
    for (const file of candidates) {
      if (file !== null && statSync(file, { throwIfNoEntry: false })?.isFile())
        return readFileSync(file, 'utf8')
    }
  }
  return null
}

function resolved(root: string, name: string): string | null {
  try {
    const file = createRequire(path.join(root, 'x.js')).resolve(name)
    return path.isAbsolute(file) ? file : null
  } catch {
    return null
  }
}
