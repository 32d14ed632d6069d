/*
 * Checks with Haraka's permissions. Haraka starts as root and then becomes `user` and `group` of smtp.ini; their
 * permissions decide whether a unix socket opens and a quarantine folder is writable. Without root, `check` uses the
 * permissions of the user that runs it.
 */

import { connect as dialNow } from 'node:net'
import type { Connect } from '../../clamd/connection'
import { isName } from '../accounts'

export interface AsHaraka {
  readonly connect: Connect
  /** Runs a synchronous function. */
  readonly act: <T>(act: () => T) => T
  /** The user for unix sockets and `act`; null: the user that runs the command. */
  readonly user: string | null
  /** Why Haraka cannot become the user and group of smtp.ini; null: it can, or that is unknown here. */
  readonly problem: string | null
}

/** @param main of smtp.ini */
export function asHaraka({ user, group }: { user?: unknown; group?: unknown } = {}): AsHaraka {
  const plain: AsHaraka = { connect: dialNow, act: (act) => act(), user: null, problem: null }
  if (process.geteuid?.() !== 0 || !isName(user)) return plain
  try {
    as(user, group, () => undefined)
  } catch (error) {
    return { ...plain, problem: (error as Error).message }
  }
  return {
    // The system call is made before connect() returns.
    connect: (options) => ('path' in options ? as(user, group, () => dialNow(options)) : dialNow(options)),
    act: (act) => as(user, group, act),
    user: String(user),
    problem: null,
  }
}

/** With the user's permissions; as in Haraka its only groups are `group` and those of root. */
function as<T>(user: string | number, group: unknown, act: () => T): T {
  const gid = process.getegid?.() ?? 0
  try {
    if (isName(group)) process.setegid?.(group)
    process.seteuid?.(user)
    return act()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(gid)
  }
}
