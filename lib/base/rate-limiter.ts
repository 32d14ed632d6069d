/* At most n events of each key in a sliding window. */

import { BoundedMap } from './bounded-map'

export interface RateLimit {
  readonly count: number
  readonly perMs: number
}

/** Remembered keys at most; the oldest is forgotten first. */
const maxKeys = 10_000

export class RateLimiter {
  readonly #times = new BoundedMap<number[]>(maxKeys)

  /** True, and counted, if the limit allows another one. @param now milliseconds, from any beginning */
  allow(key: string, limit: RateLimit, now: number): boolean {
    for (const [name] of this.#times) this.#forget(name, limit, now)
    if (this.isReached(key, limit, now)) return false
    const times = this.#times.get(key) ?? []
    this.#times.set(key, [...times, now])
    return true
  }

  /** Counts nothing. */
  isReached(key: string, limit: RateLimit, now: number): boolean {
    this.#forget(key, limit, now)
    return (this.#times.get(key)?.length ?? 0) >= limit.count
  }

  #forget(key: string, { perMs }: RateLimit, now: number): void {
    const recent = this.#times.get(key)?.filter((time) => now - time < perMs) ?? []
    if (recent.length > 0) this.#times.set(key, recent)
    else this.#times.delete(key)
  }
}
