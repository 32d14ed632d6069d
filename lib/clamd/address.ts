/*
 * The host as the administrator writes it, and the address as it is dialled. Host names are resolved in
 * lib/hosts/resolver.ts.
 */

import { isIP } from 'node:net'
// Only this module: the whole package reads two lists of domains and reports that on standard output.
import { endpoint } from 'haraka-net-utils/lib/endpoint'
import ipaddr from 'ipaddr.js'
import { Invalid } from '../base/invalid'

/**
 * Where to dial: `host` is a literal IPv4 or IPv6 address. `tls`: over TLS, and the host as the administrator wrote it, for
 * which the certificate must be.
 */
export type Address = { host: string; port: number; tls?: string } | { path: string }

/** A configured host; a name stands for every address that it resolves to. */
export type Host = Address | { name: string; port: number; tls?: string }

/** `127.0.0.1:3310`, `tls://127.0.0.1:3311`, `[::1]:3310` or the path: for logs, notes and as a key. */
export function addressText(address: Address): string {
  return 'path' in address ? address.path : `${isTls(address) ? 'tls://' : ''}${hostPort(address)}`
}

export function isTls(host: Host): boolean {
  return 'tls' in host
}

/** `host:port`, an IPv6 address in brackets. */
export function hostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

/** Parses `tls://` and a host with an optional port, or what `parseHost` does. */
export function parseClamdHost(text: string, defaultPort: number): Host | Invalid {
  const [, rest] = /^tls:\/\/(.*)$/i.exec(text) ?? []
  const host = parseHost(rest ?? text, defaultPort)
  if (rest === undefined || host instanceof Invalid) return host
  if ('path' in host) return new Invalid('is a path: TLS is for host names and addresses')
  return { ...host, tls: 'name' in host ? host.name : host.host }
}

/** A name or an address without a port; null: it is neither. */
export function parseHostName(text: string): string | null {
  if (isIP(text) !== 0) return text
  const host = text.includes(':') ? null : parseHost(text, 1)
  return host !== null && 'name' in host ? host.name : null
}

/** Parses `name`, `name:port`, `1.2.3.4:port`, `::1`, `[::1]:port` or `/path/to/clamd.sock`. */
export function parseHost(text: string, defaultPort: number): Host | Invalid {
  if (text.startsWith('/')) return { path: text }
  // endpoint() takes this for a port on every address…
  if (/^\d+$/.test(text)) return new Invalid('is a port without a host')
  // …and the last group of an IPv6 address for a port.
  const ambiguous = 'is an address, or an address and a port? Write it in brackets, the port behind them'
  if (isIP(text) === 6) {
    return new RegExp(`:(3310|${defaultPort})$`).test(text)
      ? new Invalid(ambiguous)
      : { host: usual(text), port: defaultPort }
  }
  const parts = split(text, defaultPort)
  if (parts === null) return new Invalid('is not a host')
  const { host, port } = parts
  if (port < 1 || port > 65535) return new Invalid('has a port outside 1 to 65535')
  if (text.startsWith('['))
    return isIP(host) === 6 ? { host: usual(host), port } : new Invalid('is not an IPv6 address')
  if (host.includes(':')) return new Invalid(ambiguous)
  if (isIP(host) === 4) return { host, port }
  if (/^[\d.]+$/.test(host)) return new Invalid('is not an IPv4 address')
  return host.length < 254 ? { name: host, port } : new Invalid('is not a host name')
}

const label = '[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?'

/**
 * Hosts that endpoint() refuses and the system's resolver takes: names with underscores, as container networks use them,
 * or with a final dot; IPv6 addresses with a zone, or with an IPv4 address at their end.
 */
const beyondEndpoint = new RegExp(
  `^(?:\\[(?<v6>[^\\]]+)\\]|(?<name>${label}(?:\\.${label})*\\.?))(?::(?<port>\\d+))?$`,
  'i',
)

/** Accepts what Haraka accepts in its own files, and what else the system's resolver takes. null: neither. */
function split(text: string, defaultPort: number): { readonly host: string; readonly port: number } | null {
  const found = endpoint(text, defaultPort)
  if (!(found instanceof Error)) return 'host' in found ? found : null
  const { v6, name, port } = beyondEndpoint.exec(text)?.groups ?? {}
  const host = v6 ?? name?.toLowerCase()
  return host === undefined ? null : { host, port: port === undefined ? defaultPort : Number(port) }
}

/** The canonical form of an IPv6 address (RFC 5952), so that each clamd has one address text. */
function usual(v6: string): string {
  const [address = '', ...zone] = v6.split('%')
  // ipaddr.js misreads a scoped or mapped address with an IPv4 address at its end.
  const text = address.includes('.') ? address.toLowerCase() : ipaddr.IPv6.parse(address).toRFC5952String()
  return [text, ...zone].join('%')
}
