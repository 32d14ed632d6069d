/*
 * Who may see metrics and page where a token is set: a program sends the token itself, a browser the cookie that it
 * got for it. The token is never taken from an address, where logs, histories and referrers would keep it.
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

/** With the cookie, or as a program. */
export function isBrowserAllowed(
  token: string,
  headers: { readonly authorization?: string | undefined; readonly cookie?: string | undefined },
): boolean {
  if (isProgramAllowed(token, headers)) return true
  const given = (headers.cookie ?? '')
    .split(';')
    .map((pair) => pair.trim().split('='))
    .filter(([name]) => name === cookieName)
  return given.some(([, value = '']) => isSame(value, passOf(token)))
}

/**
 * The Set-Cookie of whoever has shown the token. Without a path of its own the browser takes that of the request
 * (RFC 6265, 5.1.4), which is right behind a proxy, too. It lasts as long as the browser runs, or the token.
 */
export function sessionCookie(token: string, isSecure: boolean): string {
  return `${cookieName}=${passOf(token)}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`
}

/** In constant time. */
export function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected))
}

/** Not the token itself: what a browser keeps on disk opens the page and nothing else. */
function passOf(token: string): string {
  return createHmac('sha256', token).update('haraka-plugin-clamav-stream page').digest('base64url')
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
