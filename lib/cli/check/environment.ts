/*
 * The other plugins of the site, of which some might take a message past the scan. They are judged by their source,
 * since nothing is loaded here.
 */

import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { gateHooks, gatePriority, ownNames } from '../../haraka/environment'
import type { Site } from '../site'
import type { Finding } from './results'

export function examineNeighbours(site: Site): Finding[] {
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
    found.push({
      level: 'note',
      about,
      text: `not found, so not looked into: ${unknown.join(', ')}`,
      ...(site.harakaPackage === null && { remedy: 'Haraka itself was not found; have it in PATH' }),
    })
  if (found.some(({ level }) => level !== 'note') || (unknown.length === others.length && unknown.length > 0))
    return found
  const them = unknown.length > 0 ? 'the others' : 'them'
  return [...found, { level: 'ok', about, text: `none of ${them} is known to bypass the scan` }]
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
            remedy: `check into ${name} for the names that it puts there`,
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
      text: 'overrides the rejections of plugins that it does not know; ours are repeated at the gate, which it cannot override',
      remedy: `to have them answered at once, karma.ini: [deny_excludes] plugins=${plugins.filter(Boolean).join(', ')}`,
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
