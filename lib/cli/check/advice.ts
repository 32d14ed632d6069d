/*
 * What to do about a clamd that cannot be used, by the step and the cause of the failure. The commands are those of Debian.
 */

import { isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import { type Address, isTls } from '../../clamd/address'
import { ClamdError } from '../../clamd/errors'
import { type TlsProblem, tlsProblemOf } from '../../clamd/tls-errors'

const log = 'journalctl -u clamav-daemon -n 50'

/** For a unix socket on which Haraka has no write permission. */
const permissions =
  "set LocalSocketGroup and LocalSocketMode in clamd.conf so that Haraka may write to it; with `user` in smtp.ini also set `group` there, because Haraka drops that user's other groups"

const tlsAdvice: Readonly<Record<TlsProblem, string>> = {
  expired: 'renew the certificate there, and let the server load it',
  'not yet valid': 'compare the clocks of both machines: timedatectl',
  'other name': 'write the host as the certificate has it, or set [tls] servername to the name in it',
  'self-signed': '[tls] ca=, with the certificate itself or that of its CA',
  'unknown CA': '[tls] ca=, with the certificate of the CA; the server must send the certificates between',
  'no TLS': 'correct [main] host: the port of clamd itself has no TLS; or leave out tls://',
  'old TLS': 'allow TLS 1.2 or 1.3 there',
  'wants certificate': '[tls] cert= and key=, signed by the CA that the server trusts',
  'refuses certificate':
    'sign [tls] cert with the CA that the server trusts, and look at its dates and at the log there',
  'refuses handshake': '[tls] cert= and key= if the server wants a client certificate; else its log says why',
}

export function adviceFor(error: unknown, address: Address): string {
  const cause = ((error as ClamdError).cause ?? {}) as NodeJS.ErrnoException
  const { code } = cause
  const problem = tlsProblemOf(cause)
  if (problem !== null) return tlsAdvice[problem]
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
      if (isTls(address)) return `${where}start the TLS proxy in front of clamd, or correct [main] host`
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
  if (error.message.startsWith('connection ended during the TLS'))
    return `${where}the log of the TLS proxy says why; it may want another certificate in [tls] cert`
  if (isTls(address) && error.message.startsWith('connected'))
    return 'the port has no TLS, or the proxy there hangs: correct [main] host, or restart the proxy'
  if (isTls(address) && error.code === 'no_reply')
    return `${where}the log of the TLS proxy says why: it does not reach clamd, or wants another [tls] cert`
  if (error.step === 'connect') {
    if ('path' in address || isHere(address)) return restart
    return 'that machine is down, or a firewall drops the packets: check both, and the route'
  }
  if (error.message.startsWith('not PONG'))
    return 'another program answers there: correct [main] host and port'
  return `${where}clamd fails, or another program answers there: ${log}`
}

function isHere(address: Address): boolean {
  return 'path' in address || ipaddr.process(address.host).range() === 'loopback'
}

/** For a name without addresses. */
export function nameAdvice(name: string): string {
  return `correct [main] host, or repair the resolver: getent ahosts ${name}`
}
