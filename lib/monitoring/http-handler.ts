/*
 * HTTP handler below /clamav-stream: metrics, page, page files, event stream, login with the token and logout. The data come from
 * recorder.ts, cluster-collect.ts and dashboard/view.ts.
 */

import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'
import type { HttpSettings } from '../config/settings'
import { Access, loginMessage } from './access'
import type { Collect } from './cluster-collect'
import { EventStream } from './dashboard/event-stream'
import type { Quarantine } from './dashboard/quarantine-summary'
import { viewOf } from './dashboard/view'
import { exposition, type MetricsSnapshot, type Prom } from './metrics'
import type { PageSnapshot } from './recorder'
import { answer, type HandlerRequest, redirect, type Reply } from './responses'
import { clientOf } from './token-check'

interface HandlerParts {
  readonly settings: () => HttpSettings
  readonly collect: Collect
  readonly prom: () => Promise<Prom>
  readonly quarantine: Pick<Quarantine, 'look'>
  readonly warn: (text: string) => void
}

const files = path.join(__dirname, 'dashboard', 'page')

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
  readonly #eventStream: EventStream
  readonly #texts = new Map<string, string>()
  readonly #access: Access
  /** By path below the mount point. */
  readonly #replies: ReadonlyMap<string, Reply>

  constructor(private readonly parts: HandlerParts) {
    this.#eventStream = new EventStream(async () => {
      const [pages, kept] = await Promise.all([this.parts.collect('page'), this.parts.quarantine.look()])
      return viewOf(pages as readonly PageSnapshot[], kept, Date.now())
    })
    this.#access = new Access(parts.settings, parts.warn)
    this.#replies = new Map([
      ['/metrics', only(['GET', 'HEAD'], this.#metrics)],
      ['/', only(['GET', 'HEAD'], this.#page)],
      ['/events', only(['GET'], this.#events)],
      ['/session', only(['POST'], this.#access.login)],
      [
        '/logout',
        only(
          ['POST'],
          this.#access.logout((login) => this.#eventStream.endFor(login)),
        ),
      ],
      ['/page.css', only(['GET', 'HEAD'], this.#file('page.css', 'text/css'))],
      ['/page.js', only(['GET', 'HEAD'], this.#file('page.js', 'text/javascript'))],
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
    this.#eventStream.end()
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
    const form = () => this.#text('login.html').replace('<!-- message -->', () => loginMessage(url))
    if (!this.#access.admitsBrowser(request, response, form)) return
    const logout = this.#access.loginOf(request) === null ? '' : logoutForm
    answer(response, 200, 'text/html', this.#text('page.html').replace('<!-- log out -->', logout))
  }

  readonly #events: Reply = (request, response) => {
    const { token } = this.parts.settings()
    const isAllowed = () => {
      const { page, token: current } = this.parts.settings()
      return page && current === token
    }
    if (!this.#access.admitsBrowser(request, response)) return
    const viewer = { login: this.#access.loginOf(request), address: clientOf(request) }
    if (this.#eventStream.hasRoomFor(viewer)) this.#eventStream.add(response, viewer, isAllowed)
    else answer(response, 503, 'text/plain', 'Too many viewers\n')
  }

  #file(name: string, type: string): Reply {
    return (_request, response) => answer(response, 200, type, this.#text(name))
  }

  #text(name: string): string {
    const known = this.#texts.get(name)
    if (known !== undefined) return known
    const text = readFileSync(path.join(files, name), 'utf8')
    this.#texts.set(name, text)
    return text
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
