/*
 * clamav-stream.ini and its two lists -> one frozen Settings, or one ConfigError that names every wrong key and
 * line. Reads no files and knows no Haraka: it is handed their lines.
 */

import { closest } from 'fastest-levenshtein'
import type { Action } from './action'
import type { BounceSettings } from './actions/bounce'
import { parseMasks, type Mask } from './attachments/masks'
import { parseExemption, type Exemption } from './exemptions'
import type { Host } from './address'
import type { HostSettings } from './hosts'
import { parseIni, type Ini, type Problem } from './ini'
import { entryIn } from './lists'
import type { Check, Rules } from './policy'
import type { ProofSettings } from './proof/watch'
import type { ScanSettings } from './scanner'
import { parseSignatureRule } from './signatures'
import {
  actionWords,
  duration,
  fallback,
  folder,
  hosts,
  mailbox,
  oneOf,
  orEmpty,
  prose,
  rate,
  refusal,
  size,
  text,
  token,
  whole,
  yesNo,
  type Kind,
} from './values'
import { Wrong } from './wrong'

export const fileNames = {
  ini: 'clamav-stream.ini',
  signatures: 'clamav-stream.signatures',
  exempt: 'clamav-stream.exempt',
} as const

const dayMs = 24 * 60 * 60 * 1000

/** A key: its default as it would stand in the ini, and its kind. */
interface Key<T> {
  readonly initial: string
  readonly kind: Kind<T>
}

const masks: Kind<readonly Mask[]> = {
  allowed: 'masks such as *.exe or *.scr, separated by space, comma or semicolon, without quotes or slashes',
  parse(value) {
    const found = parseMasks(value)
    for (const { text } of found) {
      // Meant for an extension; as it stands it fits a file of just that name.
      if (/^\.[^*?]*$/.test(text)) return new Wrong(`did you mean *${text}?`)
      if (/^[a-z0-9]{2,4}$/i.test(text)) return new Wrong(`did you mean *.${text}?`)
      if (!/^[^"'<>/\\#]{1,64}$/.test(text)) return new Wrong(text)
    }
    return found
  },
}

const key = <T>(initial: string, kind: Kind<T>): Key<T> => ({ initial, kind })

const defaultPort = 3310

/** Every section and key there is. An empty default stands for what docs/config.md says of it. */
export const schema = {
  main: {
    host: key('localhost', hosts(defaultPort)),
    port: key(String(defaultPort), whole(1, 65535)),
    protocol: key('auto', oneOf(['auto', 'stream', 'instream'])),
    max_pings: key('6', whole(0, 1000)),
    ping_interval: key('30s', duration(1, dayMs)),
    stream_buffer_size: key('8192', size(1, 16 * 1024 ** 2)),
    connect_timeout: key('5s', duration(1, dayMs)),
    scan_timeout: key('60s', duration(1, dayMs)),
    host_rest: key('30s', duration(0, dayMs)),
    resolve_interval: key('60s', duration(1, dayMs)),
    max_size: key('25M', size(1, 4 * 1024 ** 3)),
    max_concurrent: key('0', whole(0, 100_000)),
    self_test: key('full', oneOf(['full', 'eicar', 'off'])),
    max_signature_age: key('3d', duration(0, 365 * dayMs)),
    details_header: key('false', yesNo),
    debug: key('false', yesNo),
  },
  infected: {
    action: key('reject', actionWords),
    authenticated: key('', orEmpty(actionWords)),
    message: key('Message is infected with {virus}', text(256, ['virus'])),
  },
  unscanned: {
    error: key('defer', fallback),
    timeout: key('defer', fallback),
    too_large: key('reject', fallback),
    limits: key('reject', fallback),
  },
  check: {
    authenticated: key('true', yesNo),
    relay: key('true', yesNo),
    private_ip: key('true', yesNo),
    local_ip: key('true', yesNo),
  },
  quarantine: {
    folder: key('infected', folder),
  },
  bounce: {
    from: key('MAILER-DAEMON@(me)', mailbox),
    notice: key(
      'Warning: We were unable to deliver the message below because it was found infected by virus(es).',
      prose(2000),
    ),
    include: key('headers', oneOf(['headers', 'none'])),
    limit: key('10/h', rate),
  },
  attachments: {
    deny: key('', masks),
    inside_archives: key('true', yesNo),
    action: key('reject', actionWords),
    unreadable: key('accept', fallback),
    debug: key('false', yesNo),
  },
  http: {
    metrics: key('true', yesNo),
    page: key('false', yesNo),
    token: key('', token),
  },
} as const

export interface Settings {
  readonly scan: ScanSettings
  readonly hosts: HostSettings
  readonly startup: { readonly maxPings: number; readonly pingIntervalMs: number }
  readonly proof: ProofSettings
  readonly rules: Rules
  readonly check: Check
  readonly exemptions: readonly Exemption[]
  /** Text of the answer for an infected message. */
  readonly message: string
  /** Where copies go, below the quarantine plugin's own path. */
  readonly quarantineFolder: string
  readonly bounce: BounceSettings
  readonly attachments: AttachmentSettings
  readonly http: HttpSettings
  readonly detailsHeader: boolean
  readonly debug: boolean
}

export interface AttachmentSettings {
  /** None: attachments are not looked at. */
  readonly deny: readonly Mask[]
  readonly insideArchives: boolean
  /** Log every name seen. */
  readonly debug: boolean
}

/** What is served by Haraka's own HTTP server, if it has one. */
export interface HttpSettings {
  readonly metrics: boolean
  readonly page: boolean
  /** Asked of whoever wants to see either; empty: nothing is asked. */
  readonly token: string
}

/** The lines of a file; none: there is no such file. */
interface Lines {
  readonly lines: readonly string[]
}

/** The three files, as they stand there. */
export interface Sources {
  readonly ini: Lines
  readonly signatures: Lines
  readonly exempt: Lines
}

/** All that is wrong with the settings, in one message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor(problems: readonly string[]) {
    super(
      problems.length === 1
        ? problems.join('')
        : `${problems.length} settings are wrong:${problems.map((problem) => `\n  ${problem}`).join('')}`,
    )
    // Haraka logs the stack of what stops it; an administrator's mistake has nothing to do with our lines.
    this.stack = `${this.name}: ${this.message}`
  }
}

type Schema = typeof schema
type Section = keyof Schema
/** Without the hosts, which need to know the port. */
type Values<S extends Section> = {
  readonly [K in Exclude<keyof Schema[S], 'host'>]: Schema[S][K] extends Key<infer T> ? T : never
}

/**
 * @param hasQuarantine queue/quarantine is listed in config/plugins
 * @param host takes the place of `[main] host`: from the command line
 * @throws ConfigError that names every wrong key, its value and what is allowed, in the order of the files
 */
export function parseSettings(sources: Sources, hasQuarantine: boolean, host?: string): Settings {
  const ini = parseIni(sources.ini.lines)
  const inIni: Problem[] = [...misplaced(ini), ...ini.problems]
  const elsewhere: string[] = []

  function read<S extends Section>(section: S): Values<S> {
    const keys = Object.entries<Key<unknown>>(schema[section]).filter(([name]) => name !== 'host')
    return Object.fromEntries(keys.map(([name, key]) => [name, readKey(section, name, key)])) as Values<S>
  }
  function readKey(section: Section, name: string, { initial, kind }: Key<unknown>): unknown {
    const setting = ini.settings.find((one) => one.section === section && one.key === name)
    const value = setting?.value ?? initial
    const parsed = kind.parse(value)
    if (!(parsed instanceof Wrong)) return parsed
    const shown = kind.isSecret ? '(not shown)' : value
    const text = refusal(`[${section}] ${name} = ${shown}`, parsed, kind)
    inIni.push({ line: setting?.line ?? 0, text })
    return kind.parse(initial)
  }
  function readHosts(): readonly Host[] {
    const kind = hosts(main.port)
    if (host === undefined) return readKey('main', 'host', { ...schema.main.host, kind }) as Host[]
    const parsed = kind.parse(host)
    if (!(parsed instanceof Wrong)) return parsed
    elsewhere.push(refusal(`--host ${host}`, parsed, kind))
    return []
  }
  function readList<T>(file: string, { lines }: Lines, parse: (entry: string) => T | Wrong): T[] {
    return lines.flatMap((line, index) => {
      const entry = entryIn(line)
      if (entry === '') return []
      const parsed = parse(entry)
      if (!(parsed instanceof Wrong)) return [parsed]
      elsewhere.push(`${file}: line ${index + 1}: ${parsed.why}`)
      return []
    })
  }

  const main = read('main')
  const infected = read('infected')
  const unscanned = read('unscanned')
  const check = read('check')
  const quarantine = read('quarantine')
  const bounce = read('bounce')
  const attachments = read('attachments')
  const http = read('http')
  const settings: Settings = {
    scan: {
      protocol: main.protocol,
      bufferBytes: main.stream_buffer_size,
      connectMs: main.connect_timeout,
      scanMs: main.scan_timeout,
      maxBytes: main.max_size,
    },
    hosts: {
      hosts: readHosts(),
      restMs: main.host_rest,
      resolveMs: main.resolve_interval,
      connectMs: main.connect_timeout,
      maxConcurrent: main.max_concurrent,
    },
    startup: { maxPings: main.max_pings, pingIntervalMs: main.ping_interval },
    proof: { selfTest: main.self_test, maxSignatureAgeMs: main.max_signature_age },
    rules: {
      infected: infected.action,
      authenticated: infected.authenticated ?? infected.action,
      signatures: readList(fileNames.signatures, sources.signatures, parseSignatureRule),
      unscanned,
      attachments: { denied: attachments.action, unreadable: attachments.unreadable },
    },
    check: {
      authenticated: check.authenticated,
      relay: check.relay,
      privateIp: check.private_ip,
      localIp: check.local_ip,
    },
    exemptions: readList(fileNames.exempt, sources.exempt, parseExemption),
    message: infected.message,
    quarantineFolder: quarantine.folder,
    bounce,
    attachments: {
      deny: attachments.deny,
      insideArchives: attachments.inside_archives,
      debug: attachments.debug,
    },
    http,
    detailsHeader: main.details_header,
    debug: main.debug,
  }
  const wanting = wantingQuarantine(settings)
  if (wanting.length > 0 && !hasQuarantine) {
    elsewhere.push(
      `config/plugins: ${wanting.join(', ')} need${wanting.length === 1 ? 's' : ''} queue/quarantine, which is not listed there, or was not when Haraka started`,
    )
  }
  const problems = [
    ...inIni.sort((a, b) => a.line - b.line).map(({ text }) => `${fileNames.ini}: ${text}`),
    ...elsewhere,
  ]
  if (problems.length > 0) throw new ConfigError(problems)
  return deepFreeze(settings)
}

/** The settings whose action keeps a copy. */
export function wantingQuarantine({ rules, attachments }: Settings): string[] {
  const actions: Record<string, Action> = {
    '[infected] action': rules.infected,
    ...(rules.authenticated === rules.infected ? {} : { '[infected] authenticated': rules.authenticated }),
    ...Object.fromEntries(
      rules.signatures.map(({ text, action }) => [`${text} (${fileNames.signatures})`, action]),
    ),
    ...Object.fromEntries(
      Object.entries(rules.unscanned).map(([name, action]) => [`[unscanned] ${name}`, action]),
    ),
    ...(attachments.deny.length > 0
      ? {
          '[attachments] action': rules.attachments.denied,
          '[attachments] unreadable': rules.attachments.unreadable,
        }
      : {}),
  }
  return Object.entries(actions).flatMap(([name, { quarantine }]) => (quarantine ? [name] : []))
}

/** Keys of haraka-plugin-clamd and of Haraka, which look like others of ours. */
const strangers = new Map([
  ['main clamd_socket', 'host'],
  ['main timeout', 'scan_timeout'],
  ['main randomize_host_order', 'host, whose addresses are asked in turn'],
  ['main only_with_attachments', '[check], for every message is scanned'],
  ['http listen', "listen in Haraka's own http.ini"],
])

/** Sections of haraka-plugin-clamd, and what is a file of its own. */
const strangeSections = new Map([
  ['reject', fileNames.signatures],
  ['signature', fileNames.signatures],
  ['signatures', fileNames.signatures],
  ['exempt', fileNames.exempt],
])

/** Sections and keys that do not exist, each with the nearest one that does. */
function misplaced({ sections, settings }: Ini): Problem[] {
  const known = Object.keys(schema)
  const isKnown = (section: string): section is Section => Object.hasOwn(schema, section)
  return [
    ...[...sections]
      .filter(([section]) => !isKnown(section))
      .map(([section, line]) => ({
        line,
        text: `[${section}] is no section; did you mean ${strangeSections.get(section) ?? `[${closest(section, known)}]`}?`,
      })),
    ...settings.flatMap(({ section, key, line }) =>
      isKnown(section) && !Object.hasOwn(schema[section], key)
        ? [{ line, text: `[${section}] ${key} is no key; did you mean ${nearest(key, section)}?` }]
        : [],
    ),
  ]
}

/** The nearest key of the section; the same key of another section if it stands there. */
function nearest(name: string, section: Section): string {
  const meant = strangers.get(`${section} ${name}`)
  if (meant !== undefined) return meant
  const elsewhere = Object.entries(schema).find(([, keys]) => Object.hasOwn(keys, name))
  if (elsewhere) return `[${elsewhere[0]}] ${name}`
  const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return closest(snake, Object.keys(schema[section]))
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner)
  }
  return Object.freeze(value)
}
