/*
 * What Haraka may do: it starts as root and becomes `user` and `group` of smtp.ini, and whose rights they are decides
 * whether a unix socket opens, or a folder takes a copy. Where `check` is no root, it tries as whoever it is.
 */

import { connect as dialNow } from 'node:net'
import type { Connect } from '../../clamd/connection'
import { isName } from '../accounts'

export interface AsHaraka {
  readonly connect: Connect
  /** Does something synchronous. */
  readonly act: <T>(act: () => T) => T
  /** Who dials unix sockets and acts, if that is somebody else than who runs the command. */
  readonly user: string | null
  /** Why Haraka will not become who smtp.ini says, in words; null: it will, or it is not known here. */
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

/** With the rights of that user, who has no groups but `group` and those of root: Haraka takes on no others. */
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
