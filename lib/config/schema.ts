/*
 * The settings of a site: names of the files, and every section and key of the ini with default and type. The types are in
 * value-types.ts; settings.ts builds the settings from them.
 */

import { notifyEvents } from '../actions/notify'
import {
  actionWords,
  duration,
  fallback,
  folder,
  hostName,
  hosts,
  mailbox,
  masks,
  oneOf,
  orEmpty,
  pemFile,
  programPath,
  prose,
  rate,
  secretPath,
  size,
  someOf,
  text,
  token,
  type ValueType,
  whole,
  yesNo,
} from './value-types'

export const fileNames = {
  ini: 'clamav-stream.ini',
  signatures: 'clamav-stream.signatures',
  exempt: 'clamav-stream.exempt',
} as const

const dayMs = 24 * 60 * 60 * 1000

/** A key: its default as written in the ini, and its type. */
export interface Key<T> {
  readonly initial: string
  readonly type: ValueType<T>
}

const key = <T>(initial: string, type: ValueType<T>): Key<T> => ({ initial, type })

const defaultPort = 3310

/** Every section and key. docs/reference/config.md says what an empty default means. */
export const schema = {
  main: {
    host: key('localhost', hosts(defaultPort)),
    backup: key('', orEmpty(hosts(defaultPort))),
    port: key(String(defaultPort), whole(1, 65535)),
    protocol: key('auto', oneOf(['auto', 'stream', 'instream'])),
    scan: key('auto', oneOf(['auto', 'all', 'parts', 'message'])),
    max_pings: key('6', whole(0, 1000)),
    ping_interval: key('30s', duration(1, dayMs)),
    stream_buffer_size: key('8192', size(1, 16 * 1024 ** 2)),
    connect_timeout: key('5s', duration(1, dayMs)),
    scan_timeout: key('60s', duration(1, dayMs)),
    host_rest: key('30s', duration(0, dayMs)),
    resolve_interval: key('60s', duration(1, dayMs)),
    max_size: key('25M', size(1, 2 * 1024 ** 3)),
    max_concurrent: key('0', whole(0, 100_000)),
    self_test: key('full', oneOf(['full', 'eicar', 'off'])),
    unscannable_after: key('3', whole(0, 1000)),
    max_signature_age: key('3d', duration(0, 365 * dayMs)),
    details_header: key('false', yesNo),
    debug: key('false', yesNo),
  },
  tls: {
    ca: key('', orEmpty(pemFile('certificates of CAs'))),
    cert: key('', orEmpty(pemFile('a certificate and its chain'))),
    key: key('', orEmpty(pemFile('the key of cert, without a passphrase'))),
    servername: key('', orEmpty(hostName)),
  },
  infected: {
    action: key('reject', actionWords),
    authenticated: key('', orEmpty(actionWords)),
    message: key('Message is infected with {virus}', text(256, ['virus'])),
  },
  unscanned: {
    error: key('defer', fallback),
    timeout: key('defer', fallback),
    unscannable: key('defer', fallback),
    too_large: key('reject', fallback),
    limits: key('reject', fallback),
    encrypted: key('accept', fallback),
    authenticated: key('', orEmpty(fallback)),
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
  notify: {
    to: key('', orEmpty(mailbox)),
    on: key(notifyEvents.join(' '), someOf(notifyEvents)),
    limit: key('10/h', rate),
    command: key('', orEmpty(programPath)),
  },
  attachments: {
    deny: key('', masks),
    allow: key('', masks),
    inside_archives: key('true', yesNo),
    action: key('reject', actionWords),
    unreadable: key('accept', fallback),
    debug: key('false', yesNo),
  },
  http: {
    metrics: key('true', yesNo),
    page: key('false', yesNo),
    token: key('', token),
    token_file: key('', orEmpty(secretPath)),
  },
} as const

type Schema = typeof schema
export type Section = keyof Schema
/** Without `host` and `backup`, whose types depend on the port. */
export type Values<S extends Section> = {
  readonly [K in Exclude<keyof Schema[S], 'host' | 'backup'>]: Schema[S][K] extends Key<infer T> ? T : never
}
