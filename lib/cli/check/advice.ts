/*
 * What to do about a clamd that cannot be used, by the step and the cause of the failure. The commands are those of Debian.
 */

import { isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Address } from '../../clamd/address'
import { ClamdError } from '../../clamd/errors'

const log = 'journalctl -u clamav-daemon -n 50'

/** For a unix socket on which Haraka has no write permission. */
const permissions =
  "set LocalSocketGroup and LocalSocketMode in clamd.conf so that Haraka may write to it; with `user` in smtp.ini also set `group` there, because Haraka drops that user's other groups"

export function adviceFor(error: unknown, address: Address): string {
  const { code } = ((error as ClamdError).cause ?? {}) as NodeJS.ErrnoException
  const where = isHere(address) ? '' : 'on that machine: '
  const start = `${where}systemctl start clamav-daemon, which needs up to a minute`
  const restart = `${where}clamd hangs: systemctl restart clamav-daemon; its log: ${log}`
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return permissions
    case 'ENOENT':
      return `${start}; LocalSocket in clamd.conf must be this path`
    case 'ECONNREFUSED':
      return 'path' in address ? start : `${start}; TCPSocket and TCPAddr in clamd.conf must be this address`
    case 'EAGAIN':
      return restart
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EINVAL':
      return `correct [main] host, or repair the route: ip ${'host' in address && isIPv6(address.host) ? '-6 ' : ''}route`
  }
  if (!(error instanceof ClamdError)) return `${where}${log}`
  if (error.code === 'reply_timeout') return restart
  if (error.step === 'connect') {
    if ('path' in address || isHere(address)) return restart
    return 'that machine is down, or a firewall drops the packets: check both, and the route'
  }
  if (error.message.startsWith("not PONG")) return 'another program answers there: correct [main] host and port'
  return `${where}clamd fails, or another program answers there: ${log}`
}

function isHere(address: Address): boolean {
  return 'path' in address || ipaddr.process(address.host).range() === 'loopback'
}

/** For a name without addresses. */
export function nameAdvice(name: string): string {
  return `correct [main] host, or repair the resolver: getent ahosts ${name}`
}
