/*
 * Opens connections to clamd: plain ones, and TLS ones that verify the other end, which is usually a proxy in front of
 * clamd. node:tls is loaded with the first `tls://` host. Errors in plain words: tls-errors.ts.
 */

import { connect, isIP, type TcpNetConnectOpts } from 'node:net'
import type { Connect } from './connection'

/** Texts in PEM; null: not set. */
export interface TlsCredentials {
  /** Certificates that sign the servers' ones; null: those that Node.js trusts. */
  readonly ca: string | null
  /** Our own certificate with its chain, and its key, for servers that want one. */
  readonly cert: string | null
  readonly key: string | null
  /** Name in the servers' certificates; null: the host as it is written. */
  readonly servername: string | null
}

/** Opens plain connections, and TLS where the address says so. Throws if OpenSSL refuses the credentials. */
export function connectWith(credentials: TlsCredentials | null): Connect {
  if (credentials === null)
    return (options) => {
      // Mail for a TLS host must never go out in clear text.
      if (options.tls !== undefined) throw new Error(`no TLS settings for ${options.tls}`)
      return connect(options)
    }
  const tls = process.getBuiltinModule('node:tls')
  const { ca, cert, key, servername } = credentials
  const secureContext = tls.createSecureContext({
    ...(ca !== null && { ca }),
    ...(cert !== null && key !== null && { cert, key }),
  })
  return (options) => {
    if (options.tls === undefined) return connect(options)
    const name = servername ?? options.tls
    const socket = tls.connect({
      ...(options as TcpNetConnectOpts),
      secureContext,
      // SNI has no addresses and no final dot.
      servername: isIP(name) ? '' : name.replace(/\.$/, ''),
      rejectUnauthorized: true,
      checkServerIdentity: (_, certificate) => tls.checkServerIdentity(name, certificate),
    })
    // tls.connect() ignores noDelay.
    return socket.once('connect', () => socket.setNoDelay(true))
  }
}
