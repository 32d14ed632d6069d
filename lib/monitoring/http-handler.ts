/*
 * HTTP handler below /clamav-stream: metrics, page, its files and data, login with the token and logout. The data come
 * from recorder.ts, cluster-collect.ts and dashboard/.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { Cancellation } from '../base/cancellation'
import type { HttpSettings } from '../config/settings'
import { Access, loginMessage } from './access'
import type { Collect } from './cluster-collect'
import { type DashboardParts, PageData } from './dashboard/page-data'
import { fileText, staticFiles } from './dashboard/static-files'
import { exposition, type MetricsSnapshot, type Prom } from './metrics'
import { answer, bodyOf, type HandlerRequest, redirect, type Reply } from './responses'
import { clientOf } from './token-check'

interface HandlerParts extends DashboardParts {
  readonly settings: () => HttpSettings
  readonly collect: Collect
  readonly prom: () => Promise<Prom>
  readonly warn: (text: string) => void
}

/** All resources come from this origin, and no string can become a script. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const headers = {
  'Content-Security-Policy': policy,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
}

export class Handler {
  readonly #data: PageData
  readonly #access: Access
  /** By path below the mount point. */
  readonly #replies: ReadonlyMap<string, Reply>

  constructor(private readonly parts: HandlerParts) {
    const data = new PageData(parts)
    const access = new Access(parts.settings, parts.warn)
    this.#data = data
    this.#access = access
    const get = (reply: Reply) => only(['GET', 'HEAD'], reply)
    const post = (reply: Reply) => only(['POST'], reply)
    this.#replies = new Map([
      ['/metrics', get(this.#metrics)],
      ['/', get(this.#page)],
      ['/runbook', get(this.#guarded(file('runbook.html', 'text/html')))],
      ['/session', post(access.login)],
      ['/logout', post(access.logout((login) => data.endFor(login)))],
      ['/events', only(['GET'], this.#guarded(this.#events))],
      ['/messages', get(this.#guarded(json((query) => data.messages(query))))],
      ['/figures', get(this.#guarded(json((query) => data.figures(query))))],
      ['/quarantine', get(this.#guarded(json(() => data.copies())))],
      ['/rescan', post(this.#guarded(this.#rescan))],
      ...[...staticFiles].map(([name, type]) => [`/${name}`, get(file(name, type))] as const),
    ])
  }

  /** Calls `next` for unknown paths, and for parts that are switched off. */
  handle(request: HandlerRequest, response: ServerResponse, next: () => void): void {
    const reply = this.#replyTo(request)
    if (!reply) {
      next()
      return
    }
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    Promise.resolve()
      .then(() => reply(request, response))
      .catch((error: unknown) => {
        // The client disconnected: no answer is needed, and nothing failed here.
        if (response.destroyed) return
        this.parts.warn(`cannot answer ${request.method ?? ''} ${pathOf(request)}: ${String(error)}`)
        if (response.headersSent) response.destroy()
        else answer(response, 503, 'text/plain', 'Temporarily unavailable\n')
      })
  }

  end(): void {
    this.#data.end()
  }

  #replyTo(request: HandlerRequest): Reply | undefined {
    const { metrics, page } = this.parts.settings()
    const requested = pathOf(request)
    return (requested === '/metrics' ? metrics : page) ? this.#replies.get(requested) : undefined
  }

  readonly #metrics: Reply = async (request, response) => {
    if (!this.#access.admitsProgram(request, response)) return
    const [prom, snapshots] = await Promise.all([this.parts.prom(), this.parts.collect('metrics')])
    const { type, text } = await exposition(prom, snapshots as readonly MetricsSnapshot[])
    answer(response, 200, type, text)
  }

  readonly #page: Reply = (request, response) => {
    const url = request.originalUrl ?? request.url ?? ''
    // The page's URLs are relative, so that it works below any proxy path; they need a URL without a slash at the end.
    if (/^[^?]*\/(\?|$)/.test(url) && request.originalUrl !== undefined) {
      redirect(response, '../clamav-stream')
      return
    }
    const form = () => fileText('login.html').replace('<!-- message -->', () => loginMessage(url))
    if (!this.#access.admitsBrowser(request, response, form)) return
    const logout = this.#access.loginOf(request) === null ? '' : logoutForm
    answer(response, 200, 'text/html', fileText('page.html').replace('<!-- log out -->', logout))
  }

  readonly #events: Reply = (request, response) => {
    const { token } = this.parts.settings()
    const isAllowed = () => {
      const { page, token: current } = this.parts.settings()
      return page && current === token
    }
    const viewer = { login: this.#access.loginOf(request), address: clientOf(request) }
    if (!this.#data.watch(response, viewer, isAllowed))
      answer(response, 503, 'text/plain', 'Too many viewers\n')
  }

  /** JSON, because no other site can make a browser send that; a form it could. */
  readonly #rescan: Reply = async (request, response) => {
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
      answer(response, 415, 'text/plain', 'JSON required\n')
      return
    }
    const body = await bodyOf(request)
    const gone = new Cancellation()
    response.once('close', () => gone.abort(new Error('the browser disconnected')))
    const result = await this.#data.rescan(body ?? '', gone)
    if (result === 'missing') answer(response, 404, 'text/plain', 'No such copy\n')
    else if (result === 'busy') answer(response, 429, 'text/plain', 'Another copy is being scanned\n')
    else answer(response, 200, 'application/json', JSON.stringify(result))
  }

  /** For what only viewers of the page may see. */
  #guarded(reply: Reply): Reply {
    return (request, response) =>
      this.#access.admitsBrowser(request, response) ? reply(request, response) : undefined
  }
}

/** Without figures or names: the login form needs some of them. */
function file(name: string, type: string): Reply {
  return (_request, response) => answer(response, 200, type, fileText(name))
}

function json(build: (query: URLSearchParams) => Promise<unknown>): Reply {
  return async (request, response) => {
    const query = new URLSearchParams(/\?(.*)$/s.exec(request.url ?? '')?.[1])
    answer(response, 200, 'application/json', JSON.stringify(await build(query)))
  }
}

const logoutForm =
  '<form class="logout" method="post" action="clamav-stream/logout"><button>Log out</button></form>'

function pathOf({ url = '/' }: IncomingMessage): string {
  return url.replace(/\?.*$/s, '')
}

function only(methods: readonly string[], reply: Reply): Reply {
  return (request, response) => {
    if (methods.includes(request.method ?? '')) return reply(request, response)
    response.setHeader('Allow', methods.join(', '))
    answer(response, 405, 'text/plain', 'Method not allowed\n')
  }
}
