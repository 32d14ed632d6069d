/*
 * Lines of clamav-stream.ini and its two lists -> one frozen Settings, or one ConfigError that names every wrong key and
 * line. Reads no files and does not depend on Haraka.
 */

import type { BounceSettings } from '../actions/bounce'
import type { NotifySettings } from '../actions/notify'
import type { Mask } from '../attachments/masks'
import { ConfigError } from '../base/config-error'
import { isTls } from '../clamd/address'
import type { HealthSettings } from '../health/monitor'
import type { HostSettings } from '../hosts/host-pool'
import type { Action } from '../policy/action'
import type { Check, Rules } from '../policy/rules'
import type { ScanSettings } from '../scan/message-scan'
import { type Exemption, parseExemption } from './exemptions'
import { SettingsReader, type Sources } from './reader'
import { fileNames } from './schema'
import { parseSignatureRule } from './signature-rules'

export interface Settings {
  readonly scan: ScanSettings
  readonly hosts: HostSettings
  /** Failed scans after which a message counts as one that no clamd can finish; 0: none does. */
  readonly unscannableAfter: number
  /** null: no host is `tls://`. */
  readonly tls: TlsSettings | null
  readonly startup: { readonly maxPings: number; readonly pingIntervalMs: number }
  readonly health: HealthSettings
  readonly rules: Rules
  readonly check: Check
  readonly exemptions: readonly Exemption[]
  /** Text of the SMTP reply to an infected message. */
  readonly infectedText: string
  /** Folder of the copies, below the quarantine plugin's own path. */
  readonly quarantineFolder: string
  readonly bounce: BounceSettings
  readonly notify: NotifySettings
  readonly attachments: AttachmentSettings
  readonly http: HttpSettings
  /** File of the token, which withSecrets() reads; null: the token is in the ini. */
  readonly tokenFile: string | null
  readonly detailsHeader: boolean
  readonly debug: boolean
}

/** Files as they are written, which readTls() reads; null: not set. */
export interface TlsSettings {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  readonly servername: string | null
}

interface AttachmentSettings {
  /** Empty: attachments are not inspected. */
  readonly deny: readonly Mask[]
  /** Exceptions. */
  readonly allow: readonly Mask[]
  readonly insideArchives: boolean
  /** Log every name seen. */
  readonly debug: boolean
}

/** Served by Haraka's HTTP server, if it has one. */
export interface HttpSettings {
  readonly metrics: boolean
  readonly page: boolean
  /** Required for metrics and page; empty: both are public. */
  readonly token: string
}

/**
 * @param hasQuarantine queue/quarantine is listed in config/plugins
 * @param host from the command line, replaces `[main] host`
 * @throws ConfigError that names every wrong key, its value and what is allowed, in the order of the files
 */
export function parseSettings(sources: Sources, hasQuarantine: boolean, host?: string): Settings {
  const reader = new SettingsReader(sources)
  const tls = reader.section('tls')
  const settings = settingsOf(reader, tls, host)
  const problems = [
    ...reader.problems,
    ...tlsProblems(settings, tls, host !== undefined),
    ...(hasQuarantine ? [] : missingQuarantine(settings)),
    ...(settings.http.token !== '' && settings.tokenFile !== null
      ? [`${fileNames.ini}: [http] token and token_file are both set: keep one`]
      : []),
  ]
  if (problems.length > 0) throw new ConfigError(problems)
  return deepFreeze(settings)
}

function settingsOf(reader: SettingsReader, tls: TlsSettings, host: string | undefined): Settings {
  const main = reader.section('main')
  const infected = reader.section('infected')
  const { authenticated: unscannedUsers, ...unscanned } = reader.section('unscanned')
  const check = reader.section('check')
  const quarantine = reader.section('quarantine')
  const bounce = reader.section('bounce')
  const attachments = reader.section('attachments')
  const http = reader.section('http')
  const signatures = reader.list('signatures', parseSignatureRule)
  const hosts = reader.hosts(main.port, host)
  // A host from the command line stands alone.
  const backups = host === undefined ? reader.backups(main.port) : []
  return {
    scan: {
      protocol: main.protocol,
      bufferBytes: main.stream_buffer_size,
      connectMs: main.connect_timeout,
      scanMs: main.scan_timeout,
      maxBytes: main.max_size,
      scope: main.scan,
      signatures,
    },
    hosts: {
      hosts,
      backups,
      restMs: main.host_rest,
      resolveMs: main.resolve_interval,
      connectMs: main.connect_timeout,
      maxConcurrent: main.max_concurrent,
    },
    unscannableAfter: main.unscannable_after,
    tls: [...hosts, ...backups].some(isTls) ? tls : null,
    startup: { maxPings: main.max_pings, pingIntervalMs: main.ping_interval },
    health: { selfTest: main.self_test, maxSignatureAgeMs: main.max_signature_age },
    rules: {
      infected: infected.action,
      authenticated: infected.authenticated ?? infected.action,
      signatures,
      unscanned,
      unscannedAuthenticated: forUsers(unscanned, unscannedUsers),
      attachments: { denied: attachments.action, unreadable: attachments.unreadable },
    },
    check: {
      authenticated: check.authenticated,
      relay: check.relay,
      privateIp: check.private_ip,
      localIp: check.local_ip,
    },
    exemptions: reader.list('exempt', parseExemption),
    infectedText: infected.message,
    quarantineFolder: quarantine.folder,
    bounce,
    notify: reader.section('notify'),
    attachments: {
      deny: attachments.deny,
      allow: attachments.allow,
      insideArchives: attachments.inside_archives,
      debug: attachments.debug,
    },
    http: { metrics: http.metrics, page: http.page, token: http.token },
    tokenFile: http.token_file,
    detailsHeader: main.details_header,
    debug: main.debug,
  }
}

/**
 * `[unscanned] authenticated` replaces the action of every reason but `encrypted`, which is no failure: a user whose mail is
 * deferred for it could never send the file.
 */
function forUsers(unscanned: Rules['unscanned'], action: Action | null): Rules['unscanned'] {
  if (action === null) return unscanned
  const { encrypted, ...failures } = unscanned
  const replaced = Object.keys(failures).map((reason) => [reason, action] as const)
  return { encrypted, ...(Object.fromEntries(replaced) as Record<keyof typeof failures, Action>) }
}

/** @param isGiven the host is from the command line */
function tlsProblems({ tls, scan }: Settings, keys: TlsSettings, isGiven: boolean): string[] {
  const [first] = Object.entries(keys).find(([, value]) => value !== null) ?? []
  if (tls === null)
    return first === undefined || isGiven
      ? []
      : [
          `${fileNames.ini}: [tls] ${first} is set, but no host begins with tls://: mail would go in clear text`,
        ]
  const isHalf = (tls.cert === null) !== (tls.key === null)
  return [
    ...(scan.protocol === 'stream'
      ? [
          `${fileNames.ini}: [main] protocol = stream (its data port has no TLS): allowed with tls:// is auto or instream`,
        ]
      : []),
    ...(isHalf ? [`${fileNames.ini}: [tls] cert and key: set both, or neither`] : []),
  ]
}

function missingQuarantine(settings: Settings): string[] {
  const keys = wantingQuarantine(settings)
  if (keys.length === 0) return []
  const need = keys.length === 1 ? 'needs' : 'need'
  return [
    `config/plugins: ${keys.join(', ')} ${need} queue/quarantine: add the line queue/quarantine, and restart Haraka`,
  ]
}

/** An action of the settings, and its key or rule. */
export interface ConfiguredAction {
  readonly rule: keyof Rules
  /** For example `[infected] action` or `Heuristics.* (clamav-stream.signatures)`. */
  readonly where: string
  readonly action: Action
}

/** Every action that can apply to a message; keys that repeat another one or have no effect are left out. */
export function actionsOf({ rules, attachments }: Settings): ConfiguredAction[] {
  const all: ConfiguredAction[] = []
  const add = (rule: keyof Rules, where: string, action: Action) => void all.push({ rule, where, action })
  add('infected', '[infected] action', rules.infected)
  if (rules.authenticated !== rules.infected)
    add('authenticated', '[infected] authenticated', rules.authenticated)
  for (const { text, action } of rules.signatures)
    if (action !== 'ignore') add('signatures', `${text} (${fileNames.signatures})`, action)
  for (const [key, action] of Object.entries(rules.unscanned)) add('unscanned', `[unscanned] ${key}`, action)
  if (rules.unscannedAuthenticated !== rules.unscanned)
    add('unscanned', '[unscanned] authenticated', rules.unscannedAuthenticated.error)
  if (attachments.deny.length > 0) {
    add('attachments', '[attachments] action', rules.attachments.denied)
    add('attachments', '[attachments] unreadable', rules.attachments.unreadable)
  }
  return all
}

/** The keys and rules whose action quarantines. */
export function wantingQuarantine(settings: Settings): string[] {
  const wanting = actionsOf(settings).filter(({ action }) => action.quarantine)
  return [...new Set(wanting.map(({ where }) => where))]
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner)
  }
  return Object.freeze(value)
}
