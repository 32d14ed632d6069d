/*
 * Server-sent events for the page: one look at everything for all who watch, and none while nobody does.
 */

import type { ServerResponse } from 'node:http'

const everyMs = 2000
/** A browser with more than this unread is passed over until it has caught up. */
const maxUnreadBytes = 1024 * 1024
/** One that has not after so many rounds is cut off: it is stopped or gone, and places are few. */
const maxPassedOver = 30
const maxWatchers = 32

interface Watcher {
  readonly response: ServerResponse
  readonly mayWatch: () => boolean
  last: string
  /** Rounds in a row. */
  passedOver: number
}

export class EventStream {
  readonly #watchers = new Set<Watcher>()
  #timer: NodeJS.Timeout | null = null
  #isLooking = false
  #isOver = false

  /**
   * @param look at what is shown; rejects when that cannot be had at the moment
   * @param pauseMs between two looks
   */
  constructor(
    private readonly look: () => Promise<unknown>,
    private readonly pauseMs = everyMs,
  ) {}

  get hasRoom(): boolean {
    return !this.#isOver && this.#watchers.size < maxWatchers
  }

  /** Sends until the browser goes, or `mayWatch` says no. */
  add(response: ServerResponse, mayWatch: () => boolean): void {
    // Its 'close' has been.
    if (response.destroyed) return
    const watcher = { response, mayWatch, last: '', passedOver: 0 }
    this.#watchers.add(watcher)
    response.on('close', () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size === 0) this.#rest()
    })
    response.on('error', () => undefined)
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' })
    response.write('retry: 3000\n\n')
    this.#timer ??= setInterval(() => void this.#round(), this.pauseMs)
    void this.#round()
  }

  /** Nobody is served any more: an open response would keep the process from ending. */
  end(): void {
    this.#isOver = true
    for (const { response } of this.#watchers) response.end()
    this.#rest()
  }

  async #round(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      const text = JSON.stringify(await this.look())
      for (const watcher of this.#watchers) serve(watcher, text)
    } catch {
      for (const watcher of this.#watchers) serve(watcher, watcher.last)
    } finally {
      this.#isLooking = false
    }
  }

  #rest(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }
}

/** With what is shown now, if it may have it and can take it. */
function serve(watcher: Watcher, text: string): void {
  const { response, mayWatch } = watcher
  if (!mayWatch()) response.end()
  else if (response.writableLength <= maxUnreadBytes) send(watcher, text)
  else if (++watcher.passedOver > maxPassedOver) response.destroy()
}

function send(watcher: Watcher, text: string): void {
  // A comment keeps proxies from taking the connection for dead.
  watcher.response.write(text === watcher.last ? ':\n\n' : `data: ${text}\n\n`)
  watcher.last = text
  watcher.passedOver = 0
}
