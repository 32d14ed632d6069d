/*
 * Messages that no clamd could finish: each ended a scan in an error, a broken connection or silence. What goes wrong with
 * such a message is its own fault first; the memory keeps it from taking one address after the other with it at each retry.
 * Bounded in number and age. Each process has one; failure-sync.ts shares them.
 */

import { BoundedMap } from '../base/bounded-map'

/** Plain JSON, because it is sent between the processes of a cluster. */
export interface FailedMessage {
  readonly digest: string
  readonly bodyBytes: number
  /** Number of scans that ended so. */
  readonly failures: number
  /** The addresses where they did, each once. */
  readonly addresses: readonly string[]
  /** Unix time in ms until which a clamd may be at work on it; 0: none is. */
  readonly busyUntil: number
  /** Unix time in ms of the last scan that did, or that its client has left. */
  readonly failedAt: number
}

/** Plain JSON. `scanned`: the digest of a message that has a verdict after all. */
export type MemoryChange = { readonly failed: FailedMessage } | { readonly scanned: string }

/** In milliseconds. */
export interface FailureTimes {
  /** clamd goes on with a message whose client has gone: MaxScanTime, by default. */
  readonly busyMs: number
  /** A reply that takes longer makes a retry likely that has to be recognised. */
  readonly slowMs: number
  /** Pause between two scans of a message that counts as unscannable. */
  readonly pauseMs: number
  /** A retry that comes later is a new message. */
  readonly forgetMs: number
}

const minuteMs = 60_000

export const defaultFailureTimes: FailureTimes = {
  busyMs: 2 * minuteMs,
  slowMs: 1000,
  pauseMs: 15 * minuteMs,
  forgetMs: 24 * 60 * minuteMs,
}

/** The message that has not been seen for longest makes room. */
const maxMessages = 1000

export class FailureMemory {
  /** In the order in which they were seen last. */
  readonly #messages = new BoundedMap<FailedMessage>(maxMessages)
  /** Called with each change that did not come from another process. */
  onChange: (change: MemoryChange) => void = () => undefined

  /** @param unscannableAfter failed scans after which a message counts as unscannable; 0: never */
  constructor(
    public unscannableAfter: number,
    readonly times = defaultFailureTimes,
  ) {}

  isUnscannable({ failures }: FailedMessage): boolean {
    return this.unscannableAfter > 0 && failures >= this.unscannableAfter
  }

  /** False: no message of this length is known, and a digest would be for nothing. */
  mayKnow(bodyBytes: number): boolean {
    for (const message of this.#messages.values()) if (message.bodyBytes === bodyBytes) return true
    return false
  }

  find(digest: string): FailedMessage | null {
    const message = this.#messages.get(digest)
    return message && Date.now() - message.failedAt < this.times.forgetMs ? message : null
  }

  remember(failed: FailedMessage): void {
    this.#change({ failed })
  }

  /** Call when it has a verdict. */
  forget(digest: string): void {
    if (this.#messages.has(digest)) this.#change({ scanned: digest })
  }

  /** Takes over a change of another process. */
  learn(change: MemoryChange): void {
    if ('scanned' in change) {
      this.#messages.delete(change.scanned)
      return
    }
    const { failed } = change
    this.#messages.delete(failed.digest)
    this.#messages.set(failed.digest, failed)
  }

  /** For a process that starts later. */
  all(): readonly MemoryChange[] {
    return [...this.#messages.values()].map((failed) => ({ failed }))
  }

  #change(change: MemoryChange): void {
    this.learn(change)
    this.onChange(change)
  }
}
