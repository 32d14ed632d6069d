/*
 * Names, time and chance as they are, for hosts.ts and names.ts; tests have their own.
 */

import { lookup } from 'node:dns/promises'

export interface System {
  /** Every address of a name as the system resolves it, /etc/hosts included. */
  readonly lookup: (name: string) => Promise<readonly string[]>
  /** Milliseconds that never go backwards. */
  readonly now: () => number
  /** 0 ≤ n < 1; where the rotation starts in this process. */
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
