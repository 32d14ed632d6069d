/*
 * Server-sent events for the page. One view is built for all viewers, and none without viewers.
 */

import type { ServerResponse } from 'node:http'

const intervalMs = 2000
/** A browser with more unread bytes than this is skipped until it has read them. */
const maxUnreadBytes = 1024 * 1024
/** Skipped rounds in a row after which a browser is disconnected, since places are limited. */
const maxSkipped = 30
/** Browsers at most: in all, of one login, and of one address, so that one cannot shut the others out. */
const maxWatchers = 64
const maxOfLogin = 8
const maxOfAddress = 16

export interface Viewer {
  /** null: none was needed, or a program sent the token. */
  readonly login: string | null
  readonly address: string
}

interface Watcher extends Viewer {
  readonly response: ServerResponse
  readonly isAllowed: () => boolean
  last: string
  /** Skipped rounds in a row. */
  skipped: number
}

export class EventStream {
  readonly #watchers = new Set<Watcher>()
  #timer: NodeJS.Timeout | null = null
  #isBuilding = false
  #hasEnded = false

  /**
   * @param build returns the view; rejects if it is temporarily not available
   * @param pauseMs between two rounds
   */
  constructor(
    private readonly build: () => Promise<unknown>,
    private readonly pauseMs = intervalMs,
  ) {}

  hasRoomFor({ login, address }: Viewer): boolean {
    const all = [...this.#watchers]
    return (
      !this.#hasEnded &&
      all.length < maxWatchers &&
      all.filter((one) => one.address === address).length < maxOfAddress &&
      (login === null || all.filter((one) => one.login === login).length < maxOfLogin)
    )
  }

  /** Sends until the browser disconnects, logs out, or isAllowed() returns false. */
  add(response: ServerResponse, viewer: Viewer, isAllowed: () => boolean): void {
    // 'close' was already emitted.
    if (response.destroyed) return
    const watcher = { ...viewer, response, isAllowed, last: '', skipped: 0 }
    this.#watchers.add(watcher)
    response.on('close', () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size === 0) this.#stopTimer()
    })
    response.on('error', () => undefined)
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' })
    response.write('retry: 3000\n\n')
    this.#timer ??= setInterval(() => void this.#round(), this.pauseMs)
    void this.#round()
  }

  /** Closes the responses of a login. */
  endFor(login: string): void {
    for (const watcher of this.#watchers) if (watcher.login === login) watcher.response.end()
  }

  /** Closes all responses: an open one would keep the process alive. */
  end(): void {
    this.#hasEnded = true
    for (const { response } of this.#watchers) response.end()
    this.#stopTimer()
  }

  async #round(): Promise<void> {
    if (this.#isBuilding) return
    this.#isBuilding = true
    try {
      const text = JSON.stringify(await this.build())
      for (const watcher of this.#watchers) serve(watcher, text)
    } catch {
      for (const watcher of this.#watchers) serve(watcher, watcher.last)
    } finally {
      this.#isBuilding = false
    }
  }

  #stopTimer(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }
}

/** Sends the current view, unless the viewer lost access or is too slow. */
function serve(watcher: Watcher, text: string): void {
  const { response, isAllowed } = watcher
  if (!isAllowed()) response.end()
  else if (response.writableLength <= maxUnreadBytes) send(watcher, text)
  else if (++watcher.skipped > maxSkipped) response.destroy()
}

function send(watcher: Watcher, text: string): void {
  // A comment keeps proxies from closing an idle connection.
  watcher.response.write(text === watcher.last ? ':\n\n' : `data: ${text}\n\n`)
  watcher.last = text
  watcher.skipped = 0
}
