/*
 * Drops root's privileges for good. The owner of a quarantine, Haraka's user, can place links in it and replace files, and
 * must gain nothing by that. So root works there as that user.
 */

import { lstatSync, readlinkSync, type Stats } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'
import { UserError } from '../user-error'

/** The user that root has become, and the folder that this user owns. */
interface Owner {
  readonly name: string
  readonly folder: string
}

/** State of the process, as its user id is. */
let droppedTo: Owner | null = null

/** Null: root did not start this process, or it still runs as root. */
export function rootDroppedTo(): Owner | null {
  return droppedTo
}

/** Group for a user id without an account. */
const noGroup = 65534

/** The kernel's limit of symbolic links in a path. */
const maxLinks = 40

/**
 * Call it before the first access to the quarantine, and after reading everything that only root may read. If only root can
 * change the quarantine and every folder above it, root keeps its privileges.
 * @throws UserError if users other than the owner may write there, or root cannot become the owner
 */
export function dropRoot(quarantine: string): void {
  if (process.geteuid?.() !== 0) return
  const found = firstNotOfRoot(quarantine)
  if (found === null) return
  const { place, uid } = found
  if (uid === 0)
    throw new UserError(
      `${place}: users other than root may write there and could place links: ` +
        "let only Haraka's user write there, or run the command as that user",
    )
  try {
    droppedTo = { name: become(uid), folder: place }
  } catch (error) {
    throw new UserError(
      `${place}: belongs to the user with id ${uid}, and root cannot become that user: ${(error as Error).message}`,
    )
  }
}

/** @returns the user's name */
function become(uid: number): string {
  const account = accountOf(uid)
  if (account) process.initgroups?.(account.username, account.gid)
  else process.setgroups?.([])
  process.setgid?.(account?.gid ?? noGroup)
  // setuid() by root also changes the saved id, so there is no way back. It is last because the other calls need root.
  process.setuid?.(uid)
  return account?.username ?? `the user with id ${uid}`
}

/** From the system's user database; userInfo() reads only the effective user. */
function accountOf(uid: number): { username: string; gid: number } | null {
  process.seteuid?.(uid)
  try {
    return userInfo()
  } catch {
    return null
  } finally {
    process.seteuid?.(0)
  }
}

/** The first path component from `/` on that a user other than root can change; links are followed as by the kernel. */
function firstNotOfRoot(target: string): { readonly place: string; readonly uid: number } | null {
  const rest = target.split(path.sep).filter(Boolean)
  let place = path.parse(target).root
  for (let links = 0; links <= maxLinks;) {
    const found = lstatSync(place, { throwIfNoEntry: false })
    // Only root can create it.
    if (!found) return null
    if (found.uid !== 0) return { place, uid: found.uid }
    if (found.isSymbolicLink()) {
      links++
      const linked = readlinkSync(place)
      rest.unshift(...linked.split(path.sep).filter(Boolean))
      place = path.isAbsolute(linked) ? path.parse(linked).root : path.dirname(place)
    } else if (othersCanReplace(found, place, rest[0])) return { place, uid: 0 }
    else {
      const next = rest.shift()
      if (next === undefined) return null
      place = path.join(place, next)
    }
  }
  throw new UserError(`${target}: too many symbolic links`)
}

/** A sticky folder such as /tmp protects root's files. The group's write bit may stand for an ACL. */
function othersCanReplace({ mode }: Stats, folder: string, next: string | undefined): boolean {
  if ((mode & 0o022) === 0) return false
  const isSticky = (mode & 0o1000) !== 0
  return !isSticky || next === undefined || !lstatSync(path.join(folder, next), { throwIfNoEntry: false })
}
