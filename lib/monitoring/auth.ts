/*
 * Access to metrics and page with a token: a program sends the token itself, a browser a session cookie. The token is never
 * accepted in a URL, which logs, histories and referrers record.
 */

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

const cookieName = 'clamav_stream'

/** @param headers of the request */
export function isProgramAllowed(
  token: string,
  headers: { readonly authorization?: string | undefined },
): boolean {
  if (token === '') return true
  const given = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  return given !== undefined && isSame(given, token)
}

/** Accepts the session cookie or the token. */
export function isBrowserAllowed(
  token: string,
  headers: { readonly authorization?: string | undefined; readonly cookie?: string | undefined },
): boolean {
  if (isProgramAllowed(token, headers)) return true
  const given = (headers.cookie ?? '')
    .split(';')
    .map((pair) => pair.trim().split('='))
    .filter(([name]) => name === cookieName)
  return given.some(([, value = '']) => isSame(value, sessionToken(token)))
}

/**
 * The Set-Cookie after a login. Without a path the browser uses that of the request (RFC 6265, 5.1.4), which is also right
 * behind a proxy. It is valid until the browser closes or the token changes.
 */
export function sessionCookie(token: string, isSecure: boolean): string {
  return `${cookieName}=${sessionToken(token)}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`
}

/** Compares in constant time. */
export function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected))
}

/** Not the token itself: a stolen cookie opens the page only. */
function sessionToken(token: string): string {
  return createHmac('sha256', token).update('haraka-plugin-clamav-stream page').digest('base64url')
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
