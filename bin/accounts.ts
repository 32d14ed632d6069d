/*
 * The users of this machine, from /etc/passwd and /etc/group: whom smtp.ini names, and whose a file is. One that only a
 * directory service knows is not known here.
 */

import { readFileSync } from 'node:fs'

export interface Account {
  readonly name: string
  readonly uid: number
  /** The first is his own. */
  readonly groups: readonly number[]
}

/** @param user name or number */
export function accountOf(user: string): Account | null {
  const entry = fieldsOf('/etc/passwd').find(([name, , uid]) => name === user || uid === user)
  if (!entry) return null
  const [name = '', , uid, gid] = entry
  const others = fieldsOf('/etc/group').filter(([, , , members]) => members?.split(',').includes(name))
  return { name, uid: Number(uid), groups: [Number(gid), ...others.map(([, , id]) => Number(id))] }
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
