/*
 * clamav-stream.ini and clamav-stream.signatures -> one frozen Settings, or one ConfigError that names every
 * wrong key. Reads no files and knows no Haraka: it is handed what Haraka's config loader made of them.
 */

import { closest } from 'fastest-levenshtein'
import type { Action } from './action'
import type { BounceSettings } from './actions/bounce'
import { parseMasks, type Mask } from './attachments/masks'
import type { HostSettings } from './hosts'
import type { Check, Rules } from './policy'
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
  prose,
  rate,
  size,
  text,
  whole,
  Wrong,
  yesNo,
  type Kind,
} from './values'

const iniName = 'clamav-stream.ini'
const signaturesName = 'clamav-stream.signatures'

const dayMs = 24 * 60 * 60 * 1000

/** A key: its default as it would stand in the ini, and its kind. */
interface Key<T> {
  readonly initial: string
  readonly kind: Kind<T>
}

const masks: Kind<readonly Mask[]> = {
  allowed: 'masks such as *.exe or *.scr, separated by space or comma, without quotes or slashes',
  parse: (value) =>
    value.split(/[\s,]+/).every((mask) => /^[^"'<>/\\]{0,64}$/.test(mask)) ? parseMasks(value) : new Wrong(),
}

const key = <T>(initial: string, kind: Kind<T>): Key<T> => ({ initial, kind })

/** Every section and key there is. An empty default stands for what docs/config.md says of it. */
export const schema = {
  main: {
    host: key('localhost', hosts(3310)),
    port: key('3310', whole(1, 65535)),
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
    authenticated: key('', actionWords),
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
} as const

export interface Settings {
  readonly scan: ScanSettings
  readonly hosts: HostSettings
  readonly startup: { readonly maxPings: number; readonly pingIntervalMs: number }
  readonly proof: ProofSettings
  readonly rules: Rules
  readonly check: Check
  /** Text of the answer for an infected message. */
  readonly message: string
  /** Where copies go, below the quarantine plugin's own path. */
  readonly quarantineFolder: string
  readonly bounce: BounceSettings
  readonly attachments: AttachmentSettings
  readonly detailsHeader: boolean
  readonly debug: boolean
}

export interface ProofSettings {
  readonly selfTest: 'full' | 'eicar' | 'off'
  /** Signatures older than this are worth a warning; 0: none are. */
  readonly maxSignatureAgeMs: number
}

export interface AttachmentSettings {
  /** None: attachments are not looked at. */
  readonly deny: readonly Mask[]
  readonly insideArchives: boolean
  /** Log every name seen. */
  readonly debug: boolean
}

/** What Haraka's loader makes of the files. */
export interface Sources {
  /** Sections of keys; values are strings, or numbers where they look like some. */
  readonly ini: Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>
  /** The ini's lines, for those that the loader skips in silence. */
  readonly iniLines: readonly string[]
  readonly signatures: readonly string[]
  /** queue/quarantine is listed in config/plugins. */
  readonly hasQuarantine: boolean
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

/** @throws ConfigError that names every wrong key, its value and what is allowed */
export function parseSettings(sources: Sources): Settings {
  const problems = [...misplaced(sources.ini), ...skippedLines(sources.iniLines)]

  function read<T>(section: keyof typeof schema, name: string, { initial, kind }: Key<T>): T {
    const given = sources.ini[section]?.[name]
    const value = given === undefined ? initial : scalarText(given)
    const parsed = kind.parse(value)
    if (!(parsed instanceof Wrong)) return parsed
    problems.push(
      `${iniName}: [${section}] ${name} = ${value}${parsed.why ? ` (${parsed.why})` : ''}: allowed is ${kind.allowed}`,
    )
    return kind.parse(initial) as T
  }
  const isSet = (section: keyof typeof schema, name: string) =>
    scalarText(sources.ini[section]?.[name]) !== ''

  const { main, infected, unscanned, check, quarantine, bounce, attachments } = schema
  const port = read('main', 'port', main.port)
  const connectMs = read('main', 'connect_timeout', main.connect_timeout)
  const action = read('infected', 'action', infected.action)
  const signatures = sources.signatures.flatMap((line) => {
    const rule = parseSignatureRule(line)
    if (rule instanceof Wrong) problems.push(`${signaturesName}: ${line}: ${rule.why ?? 'is not a rule'}`)
    return rule === null || rule instanceof Wrong ? [] : [rule]
  })

  const settings: Settings = {
    scan: {
      protocol: read('main', 'protocol', main.protocol),
      bufferBytes: read('main', 'stream_buffer_size', main.stream_buffer_size),
      connectMs,
      scanMs: read('main', 'scan_timeout', main.scan_timeout),
      maxBytes: read('main', 'max_size', main.max_size),
    },
    hosts: {
      hosts: read('main', 'host', { ...main.host, kind: hosts(port) }),
      restMs: read('main', 'host_rest', main.host_rest),
      resolveMs: read('main', 'resolve_interval', main.resolve_interval),
      connectMs,
      maxConcurrent: read('main', 'max_concurrent', main.max_concurrent),
    },
    startup: {
      maxPings: read('main', 'max_pings', main.max_pings),
      pingIntervalMs: read('main', 'ping_interval', main.ping_interval),
    },
    proof: {
      selfTest: read('main', 'self_test', main.self_test),
      maxSignatureAgeMs: read('main', 'max_signature_age', main.max_signature_age),
    },
    rules: {
      infected: action,
      // Left empty it is as good as not set.
      authenticated: isSet('infected', 'authenticated')
        ? read('infected', 'authenticated', infected.authenticated)
        : action,
      signatures,
      unscanned: {
        error: read('unscanned', 'error', unscanned.error),
        timeout: read('unscanned', 'timeout', unscanned.timeout),
        too_large: read('unscanned', 'too_large', unscanned.too_large),
        limits: read('unscanned', 'limits', unscanned.limits),
      },
      attachments: {
        denied: read('attachments', 'action', attachments.action),
        unreadable: read('attachments', 'unreadable', attachments.unreadable),
      },
    },
    check: {
      authenticated: read('check', 'authenticated', check.authenticated),
      relay: read('check', 'relay', check.relay),
      privateIp: read('check', 'private_ip', check.private_ip),
      localIp: read('check', 'local_ip', check.local_ip),
    },
    message: read('infected', 'message', infected.message),
    quarantineFolder: read('quarantine', 'folder', quarantine.folder),
    bounce: {
      from: read('bounce', 'from', bounce.from),
      notice: read('bounce', 'notice', bounce.notice),
      include: read('bounce', 'include', bounce.include),
      limit: read('bounce', 'limit', bounce.limit),
    },
    attachments: {
      deny: read('attachments', 'deny', attachments.deny),
      insideArchives: read('attachments', 'inside_archives', attachments.inside_archives),
      debug: read('attachments', 'debug', attachments.debug),
    },
    detailsHeader: read('main', 'details_header', main.details_header),
    debug: read('main', 'debug', main.debug),
  }
  const wanting = wantingQuarantine(settings)
  if (wanting.length > 0 && !sources.hasQuarantine) {
    problems.push(
      `config/plugins: ${wanting.join(', ')} need${wanting.length === 1 ? 's' : ''} queue/quarantine, which is not listed there`,
    )
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return deepFreeze(settings)
}

/** The settings whose action keeps a copy. */
function wantingQuarantine({ rules, attachments }: Settings): string[] {
  const actions: Record<string, Action> = {
    '[infected] action': rules.infected,
    ...(rules.authenticated === rules.infected ? {} : { '[infected] authenticated': rules.authenticated }),
    ...Object.fromEntries(rules.signatures.map(({ text, action }) => [text, action])),
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

/** Sections and keys that do not exist, each with the nearest one that does. */
function misplaced(ini: Sources['ini']): string[] {
  const sections = Object.keys(schema)
  return Object.entries(ini).flatMap(([section, keys]) => {
    const keysOf = Object.hasOwn(schema, section) ? schema[section as keyof typeof schema] : undefined
    if (keysOf === undefined) {
      return [`${iniName}: [${section}] is no section; did you mean [${closest(section, sections)}]?`]
    }
    const names = Object.keys(keysOf)
    // A key without "=" has no value; it is named among the lines.
    return Object.entries(keys ?? {})
      .filter(([name, value]) => !names.includes(name) && value !== undefined)
      .map(([name]) => `${iniName}: [${section}] ${name} is no key; did you mean ${nearest(name, section)}?`)
  })
}

/** The nearest key of the section; the same key of another section if it stands there. */
function nearest(name: string, section: string): string {
  const elsewhere = Object.entries(schema).find(([, keys]) => Object.hasOwn(keys, name))
  if (elsewhere) return `[${elsewhere[0]}] ${name}`
  const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return closest(snake, Object.keys(schema[section as keyof typeof schema]))
}

/** Lines that are neither setting, section nor comment; Haraka's loader passes over them. */
function skippedLines(lines: readonly string[]): string[] {
  return lines
    .filter((line) => !/^\s*([;#].*)?$/.test(line))
    .join('\n')
    .replace(/\\[ \t]*\n/g, '') // a backslash at the end continues a line
    .split('\n')
    .filter((line) => line !== '' && !/^\s*(\[[^\]]*\]\s*|[\w@:._+\-/[\]]+\s*=.*)$/.test(line))
    .map((line) => `${iniName}: "${line.trim()}" is not a setting; write KEY = VALUE`)
}

function scalarText(value: unknown): string {
  if (Array.isArray(value)) return value.map(scalarText).join(' ')
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value).trim()
    : ''
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner)
  }
  return Object.freeze(value)
}
