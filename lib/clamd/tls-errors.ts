/*
 * What is wrong at the other end of a TLS connection, in plain words: by the codes of the errors of node:tls and OpenSSL.
 */

import { printable } from '../base/text'

export type TlsProblem =
  | 'expired'
  | 'not yet valid'
  | 'other name'
  | 'self-signed'
  | 'unknown CA'
  | 'no TLS'
  | 'old TLS'
  | 'wants certificate'
  | 'refuses certificate'
  | 'refuses handshake'

const codes: readonly (readonly [TlsProblem, RegExp])[] = [
  ['expired', /^CERT_HAS_EXPIRED$/],
  ['not yet valid', /^CERT_NOT_YET_VALID$/],
  ['other name', /^ERR_TLS_CERT_ALTNAME_INVALID$/],
  ['self-signed', /^DEPTH_ZERO_SELF_SIGNED_CERT$/],
  [
    'unknown CA',
    /^UNABLE_TO_(GET_ISSUER_CERT|VERIFY_LEAF_SIGNATURE)|^CERT_(UNTRUSTED|SIGNATURE_FAILURE)$|^SELF_SIGNED_CERT_IN_CHAIN$/,
  ],
  ['no TLS', /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/],
  ['old TLS', /^ERR_SSL_(.*ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)$/],
  ['wants certificate', /^ERR_SSL_.*ALERT_CERTIFICATE_REQUIRED$/],
  ['refuses certificate', /^ERR_SSL_.*ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/],
  ['refuses handshake', /^ERR_SSL_.*ALERT_HANDSHAKE_FAILURE$/],
]

/** @returns null: it is not about TLS, or of a rare kind that its code names */
export function tlsProblemOf(cause: unknown): TlsProblem | null {
  const { code = '' } = cause as NodeJS.ErrnoException
  return codes.find(([, pattern]) => pattern.test(code))?.[0] ?? null
}

const texts: Readonly<Record<TlsProblem, string>> = {
  expired: 'certificate has expired',
  'not yet valid': 'certificate is not valid yet',
  'other name': 'certificate is for another name',
  'self-signed': 'self-signed certificate: set [tls] ca',
  'unknown CA': 'certificate of an unknown CA: set [tls] ca',
  'no TLS': 'the server speaks no TLS',
  'old TLS': 'the server has no TLS 1.2 or later',
  'wants certificate': 'the server wants a client certificate: set [tls] cert and key',
  'refuses certificate': 'the server refuses the client certificate in [tls] cert',
  'refuses handshake': 'the server refuses TLS, perhaps without a client certificate: set [tls] cert and key',
}

/** null: `tlsProblemOf` is null. */
export function tlsProblemText(cause: unknown): string | null {
  const problem = tlsProblemOf(cause)
  if (problem !== 'other name') return problem && texts[problem]
  const { host = 'this host', cert } = cause as { host?: string; cert?: { subjectaltname?: string } }
  return `certificate is not for ${host}, but for ${printable(cert?.subjectaltname ?? '') || 'no host'}`
}
