/*
 * Name look-ups, clock and random numbers for host-pool.ts and resolver.ts; tests pass their own.
 */

import { lookup } from 'node:dns/promises'

export interface System {
  /** Every address of a name from the system's resolver, /etc/hosts included. */
  readonly lookup: (name: string) => Promise<readonly string[]>
  /** Monotonic clock in milliseconds. */
  readonly now: () => number
  /** 0 ≤ n < 1; gives the random start of the round robin in each process. */
  readonly random: () => number
  readonly warn: (text: string) => void
}

export function system(warn: (text: string) => void): System {
  return {
    lookup: async (name) => (await lookup(name, { all: true, verbatim: true })).map(({ address }) => address),
    now: () => performance.now(),
    random: Math.random,
    warn,
  }
}
