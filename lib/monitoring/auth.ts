/*
 * Access to metrics and page with a token: a program sends the token itself, a browser the cookie of its login. The token is
 * never accepted in a URL, which logs, histories and referrers record.
 */

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const cookieName = 'clamav_stream'

/** The token that a program sends, right or wrong; null: none. @param headers of the request */
export function bearerOf(headers: { readonly authorization?: string | undefined }): string | null {
  return /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1] ?? null
}

/** The login of a browser, which is an id of its own for each; null: there is no valid cookie. */
export function loginOf(token: string, headers: { readonly cookie?: string | undefined }): string | null {
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [name, value = ''] = pair.trim().split('=')
    const [id = '', mac = '', ...rest] = value.split('.')
    if (name === cookieName && rest.length === 0 && isSame(mac, macOf(token, id))) return id
  }
  return null
}

/**
 * The Set-Cookie of a new login. Without a path the browser uses that of the request (RFC 6265, 5.1.4), which is also right
 * behind a proxy. It is valid until the browser closes or the token changes.
 */
export function loginCookie(token: string, isSecure: boolean): string {
  const id = randomBytes(12).toString('base64url')
  return cookie(`${id}.${macOf(token, id)}`, isSecure)
}

/** The Set-Cookie of a logout. */
export function logoutCookie(isSecure: boolean): string {
  return `${cookie('', isSecure)}; Max-Age=0`
}

function cookie(value: string, isSecure: boolean): string {
  return `${cookieName}=${value}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`
}

/** Compares in constant time. */
export function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected))
}

/** Not the token itself: a stolen cookie opens the page only. */
function macOf(token: string, id: string): string {
  return createHmac('sha256', token).update(`haraka-plugin-clamav-stream page ${id}`).digest('base64url')
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
