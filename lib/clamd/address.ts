/*
 * A clamd's place: the host as an administrator writes it, the address as it is dialled.
 * Names are turned into addresses in names.ts.
 */

import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { Invalid } from '../base/invalid'

/** Where to dial: `host` is a literal IPv4 or IPv6 address. */
export type Address = { host: string; port: number } | { path: string }

/** As configured: a name stands for every address it resolves to. */
export type Host = Address | { name: string; port: number }

/** `127.0.0.1:3310`, `[::1]:3310` or the path: for logs, notes and as a key. */
export function addressText(address: Address): string {
  return 'path' in address ? address.path : hostPort(address)
}

/** `host:port`, an IPv6 address in brackets. */
export function hostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

/** Parses `name`, `name:port`, `1.2.3.4:port`, `::1`, `[::1]:port` or `/path/to/clamd.sock`. */
export function parseHost(text: string, defaultPort: number): Host | Invalid {
  if (text.startsWith('/')) return { path: text }
  if (isIP(text) === 6) {
    return new RegExp(`:(3310|${defaultPort})$`).test(text)
      ? new Invalid('is an address, or an address and a port? Write it in brackets, the port behind them')
      : { host: usual(text), port: defaultPort }
  }
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<name>[^:[\]/]+))(?::(?<port>\d+))?$/.exec(text)?.groups
  if (!match) return new Invalid('is not a host')
  const port = match.port === undefined ? defaultPort : Number(match.port)
  if (port < 1 || port > 65535) return new Invalid('has a port outside 1 to 65535')
  if (match.v6 !== undefined)
    return isIP(match.v6) === 6 ? { host: usual(match.v6), port } : new Invalid('is not an IPv6 address')
  const name = match.name ?? ''
  if (isIP(name) === 4) return { host: name, port }
  if (/^[\d.]+$/.test(name)) return new Invalid('is not an IPv4 address')
  // Underscores are no DNS host names, but container networks use them and the system resolver takes them.
  return /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i.test(name) &&
    name.length < 254
    ? { name, port }
    : new Invalid('is not a host name')
}

/** Of the many ways to write an IPv6 address the usual one (RFC 5952), for two of them are the same clamd. */
function usual(v6: string): string {
  const [address = '', ...zone] = v6.split('%')
  // With an IPv4 address at its end it would be read as another one.
  const text = address.includes('.') ? address.toLowerCase() : ipaddr.IPv6.parse(address).toRFC5952String()
  return [text, ...zone].join('%')
}
