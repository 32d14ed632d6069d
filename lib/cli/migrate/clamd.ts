/*
 * clamd.ini and clamd.excludes of haraka-plugin-clamd 1.0.6, as its index.js reads them.
 */

import { Invalid } from '../../base/invalid'
import { schema } from '../../config/schema'
import type { Draft } from './draft'

type Keys = Readonly<Record<string, string | undefined>>
export type Ini = Readonly<Record<string, Keys | undefined>>

/** An ini as haraka-config returns it, with numbers and lists as they are written. */
export function textsOf(loaded: Readonly<Record<string, object>>): Ini {
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
  const keys = (section: object) =>
    Object.fromEntries(Object.entries(section).map(([key, value]) => [key, text(value)]))
  return Object.fromEntries(Object.entries(loaded).map(([name, section]) => [name, keys(section)]))
}

/** `is_truth` of haraka-config: any other value of a boolean is false. */
export function isTrue(value: string | undefined): boolean {
  return /^(?:true|yes|ok|enabled|on|1)$/i.test(value ?? '')
}

/** Lists each key that is not read. */
export function leaveUnknown(draft: Draft, file: string, ini: Ini, known: readonly string[]): void {
  for (const [section, keys = {}] of Object.entries(ini))
    for (const key of Object.keys(keys))
      if (!known.includes(`${section}.${key}`))
        draft.leave(`${file}: [${section}] ${key}=${keys[key] ?? ''}: it had no effect there`)
}

/** The categories of [reject] that become rules, by key: the pattern for our rules. */
const patterns = {
  'Broken.Executable': '*Broken.Executable*',
  Structured: 'Heuristics.Structured.*',
  PUA: 'PUA.*',
  OLE2: 'Heuristics.OLE2.ContainsMacros*',
  Safebrowsing: 'Heuristics.Safebrowsing.*',
  UNOFFICIAL: '*.UNOFFICIAL',
  Phishing: 'Heuristics.Phishing.*',
} as const
type Category = keyof typeof patterns
const categories = Object.keys(patterns) as Category[]

const mainKeys = [
  'clamd_socket',
  'randomize_host_order',
  'only_with_attachments',
  'only_with_attachment',
  'connect_timeout',
  'timeout',
  'max_size',
]
const known = [
  ...mainKeys.map((key) => `main.${key}`),
  ...['virus', 'error', 'Encrypted', ...categories].map((key) => `reject.${key}`),
  ...['authenticated', 'relay', 'private_ip', 'local_ip'].map((key) => `check.${key}`),
]

const file = 'clamd.ini'

export function migrateClamd(draft: Draft, ini: Ini, excludes: readonly string[]): void {
  const { main = {}, reject = {}, check = {} } = ini
  hosts(draft, main)
  seconds(draft, 'connect_timeout', 'connect_timeout', main.connect_timeout)
  seconds(draft, 'timeout', 'scan_timeout', main.timeout)
  maxSize(draft, main)
  for (const key of ['only_with_attachments', 'only_with_attachment'])
    if (isTrue(main[key]))
      draft.leave(`${file}: [main] ${key}=true: every message is scanned, for viruses come in plain text too`)
  rejections(draft, reject, excludes)
  senders(draft, check)
  leaveUnknown(draft, file, ini, known)
}

/** There the first host took all mail, and the others came after it in their order. */
function hosts(draft: Draft, { clamd_socket: written, randomize_host_order: random }: Keys): void {
  if (written === undefined) return
  const from = `${file}: [main] clamd_socket`
  const usable = written.split(/[,; ]+/).filter((word) => {
    const host = word === '' ? null : schema.main.host.type.parse(word)
    if (host instanceof Invalid) draft.leave(`${from}: ${word} ${host.why}`)
    return host !== null && !(host instanceof Invalid)
  })
  const [first, ...others] = usable
  if (first === undefined) {
    draft.leave(`${from}: there is no host in it`)
  } else if (others.length === 0 || isTrue(random)) {
    draft.set('main', 'host', usable.join(' '), from)
  } else {
    draft.set(
      'main',
      'host',
      first,
      `${from}: the first took all mail. To share it, name all of them in host`,
    )
    draft.set('main', 'backup', others.join(' '), `${from}: the others`)
  }
}

/** Both keys are in seconds, and 0 is the default. */
function seconds(draft: Draft, key: string, own: string, value: string | undefined): void {
  if (value === undefined) return
  const from = `${file}: [main] ${key}=${value}`
  const isNumber = /^\d+(\.\d+)?$/.test(value)
  if (!isNumber || Number(value) === 0) {
    draft.leave(`${from}: ${isNumber ? 'it stood for the default there' : 'it is no number of seconds'}`)
    return
  }
  const change = own === 'scan_timeout' ? '; here for all hosts together' : ''
  draft.set('main', own, `${value}s`, `${from}, in seconds${change}`)
}

function maxSize(draft: Draft, { max_size: value }: Keys): void {
  if (value !== undefined) {
    const from = `${file}: [main] max_size=${value}`
    if (/^\d+$/.test(value)) draft.set('main', 'max_size', value, from)
    else draft.leave(`${from}: it is no number of bytes, so that there was no limit`)
  }
  const why = 'Larger mail was delivered unscanned; here it gets 552. As before:'
  draft.suggest('unscanned', 'too_large', 'accept', why)
}

function rejections(draft: Draft, reject: Keys, excludes: readonly string[]): void {
  const isOn = (key: string, initial = true) => (reject[key] === undefined ? initial : isTrue(reject[key]))
  if (!isOn('error'))
    for (const reason of ['error', 'timeout'])
      draft.set('unscanned', reason, 'accept', `${file}: [reject] error=false: delivered unscanned`)
  if (reject.Encrypted === undefined)
    draft.suggest('unscanned', 'encrypted', 'reject', 'Where clamd.conf has AlertEncrypted yes, as before:')
  else if (isOn('Encrypted'))
    draft.set(
      'unscanned',
      'encrypted',
      'reject',
      `${file}: [reject] Encrypted=true; here without AlertEncrypted too`,
    )
  else draft.set('unscanned', 'encrypted', 'accept', `${file}: [reject] Encrypted=false`)

  if (!isOn('virus')) {
    draft.set(
      'infected',
      'action',
      'tag',
      `${file}: [reject] virus=false: infected mail is delivered, with a header`,
    )
    if (excludes.length > 0) draft.leave('clamd.excludes: without effect, for [reject] virus is false')
    return
  }
  const off = categories.filter((category) => !isOn(category, category !== 'Phishing'))
  const isNoneOn = off.length === categories.length && !isOn('Encrypted')
  if (isNoneOn) draft.leave(`${file}: [reject]: with all categories false, haraka-plugin-clamd ignored them`)
  const tagged = isNoneOn ? [] : off
  // The package's rules, which these replace, have this one.
  const isChanged = excludes.length > 0 || tagged.length !== 1 || tagged[0] !== 'Phishing'
  if (!isChanged) return
  for (const category of tagged)
    draft.rule(taggedPattern(category, tagged), 'tag', `${file}: [reject] ${category}=false`)
  // Those were tested first.
  const negated = (entry: string) => entry.startsWith('!')
  for (const entry of excludes.filter(negated)) exclude(draft, entry, entry.slice(1), 'reject')
  for (const entry of excludes.filter((one) => !negated(one))) exclude(draft, entry, entry, 'tag')
  // Otherwise the package's rules would stay in force.
  if (!draft.hasRules) draft.rule(patterns.Phishing, 'reject', `${file}: [reject] Phishing=true`)
}

/** A name of two categories was tagged only if both are off; only UNOFFICIAL, an ending, goes together with another. */
function taggedPattern(category: Category, off: readonly Category[]): string {
  if (category === 'PUA' && !off.includes('UNOFFICIAL')) return String.raw`/^PUA\.(?!.*\.UNOFFICIAL$)/`
  if (category === 'UNOFFICIAL' && !off.includes('PUA')) return String.raw`/^(?!PUA\.).*\.UNOFFICIAL$/`
  return patterns[category]
}

/** There a wildcard pattern may begin anywhere in the name. */
function exclude(draft: Draft, entry: string, pattern: string, action: 'reject' | 'tag'): void {
  const from = `clamd.excludes: ${entry}`
  if (pattern.startsWith('/')) draft.rule(`/${pattern.slice(1, -1)}/`, action, from)
  else draft.rule(pattern.startsWith('*') ? pattern : `*${pattern}`, action, from)
}

function senders(draft: Draft, check: Keys): void {
  const isOff = (key: string) => check[key] !== undefined && !isTrue(check[key])
  for (const key of ['authenticated', 'relay', 'local_ip'])
    if (isOff(key)) draft.set('check', key, 'false', `${file}: [check] ${key}=false`)
  if (!isOff('private_ip')) return
  const from = `${file}: [check] private_ip=false`
  if (isOff('local_ip')) {
    draft.set('check', 'private_ip', 'false', from)
    return
  }
  // There local_ip=true kept this machine's own mail in the scan.
  const why = `${from}: here it exempts this machine's own mail as well; or name networks in clamav-stream.exempt`
  draft.suggest('check', 'private_ip', 'false', why)
  draft.leave(`${from}: see [check]`)
}
