/*
 * The users of this machine, from /etc/passwd: the `user` of smtp.ini, and owners of files. Users of a directory
 * service (LDAP, for example) are not found here.
 */

import { readFileSync } from 'node:fs'

export interface Account {
  readonly name: string
  readonly uid: number
}

/** True for a value that names a user or a group, as `user` and `group` of smtp.ini do. */
export function isName(value: unknown): value is string | number {
  return (typeof value === 'string' && value !== '') || typeof value === 'number'
}

/** @param user name or number */
export function accountOf(user: string): Account | null {
  const entry = fieldsOf('/etc/passwd').find(([name, , uid]) => name === user || uid === user)
  if (!entry) return null
  const [name = '', , uid] = entry
  return { name, uid: Number(uid) }
}

function fieldsOf(file: string): string[][] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
  } catch {
    return []
  }
}
