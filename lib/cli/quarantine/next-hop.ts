/*
 * The next hop of a released message: the server of --to, or the site's own next hop as queue/smtp_forward and
 * queue/smtp_proxy read it. Never this Haraka itself, which would quarantine the message again.
 */

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { endpoint } from 'haraka-net-utils/lib/endpoint'
import ipaddr from 'ipaddr.js'
import type { QuarantineRecord } from '../../actions/quarantine-record'
import { Invalid } from '../../base/invalid'
import { hostPort, parseHost } from '../../clamd/address'
import { serverName } from '../../haraka/environment'
import type { Site } from '../site'
import { UserError } from '../user-error'

export interface Hop {
  readonly host: string
  readonly port: number
  /** STARTTLS: `offered`: if the server offers it, with any certificate; `never`. */
  readonly tls: 'offered' | 'never'
  readonly login: { readonly user: string; readonly pass: string; readonly method: string } | null
}

/** `host`, `host:port`, `[v6]:port`. @throws UserError */
export function parseHop(text: string): Hop {
  const host = parseHost(text, 25)
  if (host instanceof Invalid || 'path' in host)
    throw new UserError(`--to ${text}: must be host:port, for example mail.example.com:25 or [::1]:2525`)
  return { host: 'name' in host ? host.name : host.host, port: host.port, tls: 'offered', login: null }
}

type Ini = Record<string, Record<string, unknown> | undefined>

/** The queue plugins that forward over SMTP, and their files. */
const forwarders: Record<string, string> = {
  'queue/smtp_forward': 'smtp_forward.ini',
  smtp_forward: 'smtp_forward.ini',
  'queue/smtp_proxy': 'smtp_proxy.ini',
  smtp_proxy: 'smtp_proxy.ini',
}

const booleans = ['-main.enable_tls', '-main.enable_outbound', '*.enable_tls', '*.enable_outbound']

/** The site's next hop and listeners. */
export interface Routing {
  /** null: config/plugins lists none of the forwarders. */
  readonly forwarder: { readonly file: string; readonly ini: Ini } | null
  readonly listeners: readonly Listener[]
  /** The name of this server. */
  readonly me: string
  /** False: Haraka was not found, so its default files are missing here. */
  readonly isComplete: boolean
}

interface Listener {
  readonly host: string
  readonly port: number
}

/** Reads all files at once, before root drops its privileges. */
export function routingOf(site: Site): Routing {
  const file = forwarders[site.plugins.find((name) => name in forwarders) ?? '']
  return {
    forwarder: file === undefined ? null : { file, ini: site.haraka.get(file, { booleans }) },
    listeners: listenersOf(site),
    me: serverName(site.haraka.get('me', 'value')),
    isComplete: site.harakaPackage !== null,
  }
}

/**
 * The recipients of each next hop, without `--to`.
 * @throws UserError if the site's files name none
 */
export function routesOf(
  { forwarder, isComplete }: Routing,
  record: QuarantineRecord,
  recipients: readonly string[],
): Map<Hop, string[]> {
  if (forwarder === null)
    throw new UserError(
      'config/plugins lists neither queue/smtp_forward nor queue/smtp_proxy: use --to host:port',
    )
  const { file, ini } = forwarder
  const routes = new Map<string, { hop: Hop; recipients: string[] }>()
  for (const recipient of recipients) {
    const section = sectionFor(ini, record, recipient)
    if (record.user !== null && (section.enable_outbound ?? ini.main?.enable_outbound) !== true) {
      throw new UserError(
        `${recipient}: ${record.user} sent this message, and ${file} is for incoming mail only: use --to host:port`,
      )
    }
    const hop = hopOf(section, file, isComplete)
    const known = routes.get(JSON.stringify(hop))
    if (known) known.recipients.push(recipient)
    else routes.set(JSON.stringify(hop), { hop, recipients: [recipient] })
  }
  return new Map([...routes.values()].map((route) => [route.hop, route.recipients]))
}

/** As smtp_forward chooses: by the domain of the recipient, or with domain_selector=mail_from of the sender. */
function sectionFor(ini: Ini, { envelope }: QuarantineRecord, recipient: string): Record<string, unknown> {
  const main = ini.main ?? {}
  const isBySender = main.domain_selector === 'mail_from'
  const address = isBySender ? envelope.mail_from : recipient
  const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase()
  return (isBySender ? ini[address] : undefined) ?? ini[domain] ?? main
}

function hopOf(section: Record<string, unknown>, file: string, isComplete: boolean): Hop {
  const host = text(section.host)
  if (host === '')
    throw new UserError(
      section.forwarding_host_pool === undefined && isComplete
        ? `${file} names no host: use --to host:port`
        : `${file} names no single host: use --to host:port`,
    )
  const user = text(section.auth_user)
  return {
    host,
    port: Number(section.port ?? 25),
    tls: section.enable_tls === true ? 'offered' : 'never',
    login:
      user === ''
        ? null
        : { user, pass: text(section.auth_pass), method: text(section.auth_type).toUpperCase() },
  }
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

/** @throws UserError if this site's Haraka listens there */
export async function requireOtherServer({ listeners }: Routing, hop: Hop): Promise<void> {
  const near = listeners.filter(({ port }) => port === hop.port)
  const own = (await Promise.all(near.map(({ host }) => addressesOf(host)))).flat()
  const isOurs = (await addressesOf(hop.host)).some(
    (address) => isLocal(address) && own.some((one) => isAny(one) || one === address),
  )
  if (isOurs) throw new UserError(loopText(hop))
}

export function loopText(hop: Hop): string {
  return `${hostPort(hop)} is this Haraka itself, which would quarantine the message again: use --to with the server behind it`
}

/** As Haraka reads smtp.ini, with the same parser. A unix socket cannot be a next hop. */
function listenersOf(site: Site): Listener[] {
  const main = site.haraka.get('smtp.ini').main ?? {}
  const listeners = text(main.listen)
    .split(/\s*,\s*/)
    .filter(Boolean)
  if (text(main.port) !== '') listeners.push(`${text(main.listen_host) || '[::0]'}:${text(main.port)}`)
  if (listeners.length === 0) listeners.push('[::0]:25')
  return listeners.flatMap((listener) => {
    const found = endpoint(listener, 25)
    return 'host' in found ? [found] : []
  })
}

/** Normalized addresses; an IPv4-mapped IPv6 address becomes IPv4. */
async function addressesOf(host: string): Promise<string[]> {
  const found = isIP(host)
    ? [host]
    : (await lookup(host, { all: true }).catch(() => [])).map(({ address }) => address)
  return found.map((address) => ipaddr.process(address).toString())
}

function isAny(address: string): boolean {
  return address === '::' || address === '0.0.0.0'
}

function isLocal(address: string): boolean {
  if (/^(127\.|::1$)/.test(address)) return true
  return Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === address))
}
