/*
 * HTTP handler below /clamav-stream: metrics, page, page files, event stream, and login with the token. The data come from
 * recorder.ts, cluster-collect.ts and dashboard/view.ts.
 */

import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'
import type { HttpSettings } from '../config/settings'
import { isBrowserAllowed, isProgramAllowed, isSame, sessionCookie } from './auth'
import type { Collect } from './cluster-collect'
import { EventStream } from './dashboard/event-stream'
import type { Quarantine } from './dashboard/quarantine-summary'
import { viewOf } from './dashboard/view'
import { exposition, type MetricsSnapshot, type Prom } from './metrics'
import type { PageSnapshot } from './recorder'

interface HandlerParts {
  readonly settings: () => HttpSettings
  readonly collect: Collect
  readonly prom: () => Promise<Prom>
  readonly quarantine: Pick<Quarantine, 'look'>
  readonly warn: (text: string) => void
}

/** From express: `url` is relative to the mount point, `originalUrl` is the whole. */
export type HandlerRequest = IncomingMessage & { readonly originalUrl?: string }

const files = path.join(__dirname, 'dashboard', 'page')
const maxFormBytes = 4096

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

type Reply = (request: HandlerRequest, response: ServerResponse) => void | Promise<void>

export class Handler {
  readonly #eventStream: EventStream
  readonly #texts = new Map<string, string>()
  /** By path below the mount point. */
  readonly #replies: ReadonlyMap<string, Reply>

  constructor(private readonly parts: HandlerParts) {
    this.#eventStream = new EventStream(async () => {
      const [pages, kept] = await Promise.all([this.parts.collect('page'), this.parts.quarantine.look()])
      return viewOf(pages as readonly PageSnapshot[], kept, Date.now())
    })
    this.#replies = new Map([
      ['/metrics', only(['GET', 'HEAD'], this.#metrics)],
      ['/', only(['GET', 'HEAD'], this.#page)],
      ['/events', only(['GET'], this.#events)],
      ['/session', only(['POST'], this.#session)],
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
    const { token } = this.parts.settings()
    if (!isProgramAllowed(token, request.headers)) {
      refuse(response, 'text/plain', 'Token required\n')
      return
    }
    const [prom, snapshots] = await Promise.all([this.parts.prom(), this.parts.collect('metrics')])
    const { type, text } = await exposition(prom, snapshots as readonly MetricsSnapshot[])
    answer(response, 200, type, text)
  }

  readonly #page: Reply = (request, response) => {
    const { token } = this.parts.settings()
    const url = request.originalUrl ?? request.url ?? ''
    // The page's URLs are relative, so that it works below any proxy path; they need a URL without a slash at the end.
    if (/^[^?]*\/(\?|$)/.test(url) && request.originalUrl !== undefined) {
      redirect(response, '../clamav-stream')
      return
    }
    if (isBrowserAllowed(token, request.headers)) answer(response, 200, 'text/html', this.#text('page.html'))
    else
      refuse(
        response,
        'text/html',
        this.#text('login.html').replace('<!-- message -->', () => loginMessage(url)),
      )
  }

  readonly #events: Reply = (request, response) => {
    const { token } = this.parts.settings()
    const isAllowed = () => {
      const { page, token: current } = this.parts.settings()
      return page && current === token
    }
    if (!isBrowserAllowed(token, request.headers)) refuse(response, 'text/plain', 'Token required\n')
    else if (!this.#eventStream.hasRoom) answer(response, 503, 'text/plain', 'Too many viewers\n')
    else this.#eventStream.add(response, isAllowed)
  }

  readonly #session: Reply = async (request, response) => {
    const { token } = this.parts.settings()
    const body = await bodyOf(request)
    if (body === null) {
      answer(response, 413, 'text/plain', 'Form too long\n')
      return
    }
    const form = new URLSearchParams(body)
    if (token === '' || !isSame(form.get('token') ?? '', token)) {
      redirect(response, '../clamav-stream?wrong')
      return
    }
    const isSecure = 'encrypted' in request.socket || request.headers['x-forwarded-proto'] === 'https'
    response.setHeader('Set-Cookie', sessionCookie(token, isSecure))
    redirect(response, '../clamav-stream')
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

function loginMessage(url: string): string {
  return url.endsWith('?wrong') ? '<p class="alert" role="alert">Wrong token.</p>' : ''
}

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

/** Node omits the body in answers to HEAD. */
function answer(response: ServerResponse, code: number, type: string, text: string): void {
  response.writeHead(code, { 'Content-Type': type.includes('charset') ? type : `${type}; charset=utf-8` })
  response.end(text)
}

function refuse(response: ServerResponse, type: string, text: string): void {
  response.setHeader('WWW-Authenticate', 'Bearer')
  answer(response, 401, type, text)
}

function redirect(response: ServerResponse, to: string): void {
  response.setHeader('Location', to)
  answer(response, 303, 'text/plain', '')
}

/** @returns null if the body is longer than maxFormBytes */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxFormBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
