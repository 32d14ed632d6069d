/*
 * Names, time and chance as they are, for hosts.ts; tests have their own.
 */

import { lookup } from 'node:dns/promises'
import type { World } from './hosts'

export function world(warn: (text: string) => void): World {
  return {
    lookup: async (name) => (await lookup(name, { all: true, verbatim: true })).map(({ address }) => address),
    now: () => performance.now(),
    random: Math.random,
    warn,
  }
}
