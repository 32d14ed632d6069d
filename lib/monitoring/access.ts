/*
 * Who may see metrics and page: answers those who may not, and logs browsers in and out.
 */

import type { ServerResponse } from 'node:http'
import type { HttpSettings } from '../config/settings'
import { bearerOf, loginCookie, loginOf, logoutCookie } from './auth'
import { answer, bodyOf, type HandlerRequest, redirect, type Reply } from './responses'
import { clientOf, TokenCheck, wrongTokens } from './token-check'

const tooMany = 'Too many wrong tokens: try again in a minute.'

export class Access {
  readonly #tokens: TokenCheck

  constructor(
    private readonly settings: () => HttpSettings,
    warn: (text: string) => void,
  ) {
    this.#tokens = new TokenCheck(warn)
  }

  /** The login of a browser with a valid cookie; null: there is none. */
  loginOf({ headers }: HandlerRequest): string | null {
    const { token } = this.settings()
    return token === '' ? null : loginOf(token, headers)
  }

  /** Whether no token is needed, or the request has it; otherwise it is answered. @param form for a browser */
  admitsProgram(request: HandlerRequest, response: ServerResponse, form?: () => string): boolean {
    const { token } = this.settings()
    if (token === '') return true
    const given = bearerOf(request.headers)
    const result = given === null ? 'none' : this.#tokens.check(given, token, clientOf(request))
    if (result === 'right') return true
    if (result === 'blocked') {
      response.setHeader('Retry-After', String(wrongTokens.perMs / 1000))
      answer(response, 429, 'text/plain', `${tooMany}\n`)
      return false
    }
    response.setHeader('WWW-Authenticate', 'Bearer')
    if (form) answer(response, 401, 'text/html', form())
    else answer(response, 401, 'text/plain', 'Token required\n')
    return false
  }

  /** The same, and a login is enough. */
  admitsBrowser(request: HandlerRequest, response: ServerResponse, form?: () => string): boolean {
    return this.loginOf(request) !== null || this.admitsProgram(request, response, form)
  }

  readonly login: Reply = async (request, response) => {
    const { token } = this.settings()
    const body = await bodyOf(request)
    if (body === null) {
      answer(response, 413, 'text/plain', 'Form too long\n')
      return
    }
    const given = new URLSearchParams(body).get('token') ?? ''
    const result = token === '' ? 'wrong' : this.#tokens.check(given, token, clientOf(request))
    if (result === 'right') response.setHeader('Set-Cookie', loginCookie(token, isSecure(request)))
    redirect(response, result === 'right' ? '../clamav-stream' : `../clamav-stream?${result}`)
  }

  /**
   * Only for a valid cookie, which no other site can make the browser send.
   * @param ended called with the login
   */
  logout(ended: (login: string) => void): Reply {
    return (request, response) => {
      const login = this.loginOf(request)
      if (login !== null) {
        ended(login)
        response.setHeader('Set-Cookie', logoutCookie(isSecure(request)))
      }
      redirect(response, '../clamav-stream')
    }
  }
}

/** For the login form, after login(). */
export function loginMessage(url: string): string {
  const text = { wrong: 'Wrong token.', blocked: tooMany }[url.split('?')[1] ?? '']
  return text === undefined ? '' : `<p class="alert" role="alert">${text}</p>`
}

function isSecure({ socket, headers }: HandlerRequest): boolean {
  return 'encrypted' in socket || headers['x-forwarded-proto'] === 'https'
}
