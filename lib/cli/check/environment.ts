/*
 * Checks the site's other plugins: some can take a message past the scan. This command loads no plugin, so it reads
 * their source.
 */

import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { gateHooks, gatePriority, ownNames } from '../../haraka/environment'
import type { Site } from '../site'
import type { Finding } from './results'

export function checkOtherPlugins(site: Site): Finding[] {
  const ownIndex = site.plugins.findIndex((name) => ownNames.includes(name))
  const others = site.plugins.flatMap((name, index) => (ownNames.includes(name) ? [] : [{ name, index }]))
  const unknown: string[] = []
  const readers: string[] = []
  const found = others.flatMap(({ name, index }) => {
    const source = sourceOf(site, name)
    if (source === null) unknown.push(name)
    else if (index < ownIndex && readsMessages(source)) readers.push(name)
    return [
      ...(source === null ? [] : findingsIn(name, source, ownIndex !== -1 && index < ownIndex)),
      ...(/^(?:haraka-plugin-)?clamd$/.test(name) ? [scansToo(name)] : []),
      ...(name === 'karma' ? karma(site) : []),
      ...(name === 'bounce' ? bounce(site) : []),
    ]
  })
  const about = 'other plugins'
  if (readers.length > 0)
    found.push({
      level: 'note',
      about: 'data_post',
      text: `before clamav-stream the message is read by ${readers.join(', ')}: mail that one of them keeps open is deferred`,
    })
  if (unknown.length > 0)
    found.push({
      level: 'note',
      about,
      text: `not found, so not checked: ${unknown.join(', ')}`,
      ...(site.harakaPackage === null && {
        remedy: 'Haraka itself was not found: add its bin directory to PATH',
      }),
    })
  if (found.some(({ level }) => level !== 'note') || (unknown.length === others.length && unknown.length > 0))
    return found
  const which = unknown.length > 0 ? 'none of the others' : 'none'
  return [...found, { level: 'ok', about, text: `${which} is known to bypass the scan` }]
}

function scansToo(name: string): Finding {
  return {
    level: 'note',
    about: name,
    text: 'is listed too: every message is scanned twice',
    remedy: `config/plugins: remove ${name}`,
  }
}

function readsMessages(source: string): boolean {
  return /data_post\b/.test(source) && /\bmessage_stream\b/.test(source)
}

/** Searches for hooks and notes in the source. Haraka raises priorities below -100 to -100. */
function findingsIn(name: string, source: string, isBefore: boolean): Finding[] {
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
            remedy: `config/plugins: move clamav-stream above ${name}`,
          },
        ]
      : []),
    ...(first.includes('data_post') && isBefore
      ? [
          {
            level: 'note' as const,
            about,
            text: 'runs before clamav-stream on data_post (priority -100): it sees headers that a sender may have forged',
            remedy: `config/plugins: move clamav-stream above ${name}`,
          },
        ]
      : []),
    ...(isBefore && needsRedis(name, code)
      ? [
          {
            level: 'note' as const,
            about,
            text: 'is listed before clamav-stream and connects to redis at start: while redis does not answer, it may hold up the start of Haraka, and all plugins below it',
            remedy: `config/plugins: move clamav-stream above ${name}`,
          },
        ]
      : []),
    ...(/\bskip_plugins\b/.test(code)
      ? [
          {
            level: 'warning' as const,
            about,
            text: 'sets notes.skip_plugins: a message for which that contains clamav-stream is not scanned',
            remedy: `check which names ${name} adds`,
          },
        ]
      : []),
  ]
}

/** haraka-plugin-redis, and plugins that inherit its connection. */
function needsRedis(name: string, code: string): boolean {
  return (
    /^(?:haraka-plugin-)?redis$/.test(name) ||
    /\binit_redis_\w+|inherits\(\s*['"](?:haraka-plugin-)?redis['"]/.test(code)
  )
}

function karma(site: Site): Finding[] {
  const excludes = site.haraka.get('karma.ini').deny_excludes?.plugins
  const listed = typeof excludes === 'string' ? excludes.split(/[\s,]+/) : []
  const about = 'karma'
  if (listed.some((name) => ownNames.includes(name)))
    return [{ level: 'ok', about, text: 'does not override rejections by clamav-stream' }]
  const plugins = [...(listed.length > 0 ? listed : defaultExcludes), 'clamav-stream']
  return [
    {
      level: 'note',
      about,
      text: 'overrides rejections by clamav-stream; the gate rejects again, which karma cannot override',
      remedy: `to reject at once, karma.ini: [deny_excludes] plugins=${plugins.filter(Boolean).join(', ')}`,
    },
  ]
}

/** The default of haraka-plugin-karma 2.5.2. */
const defaultExcludes =
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

/** Searches where Haraka searches; null: not found. */
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
