/*
 * Where root gives up its rights, for good: the owner of a quarantine, Haraka's user, can lay links in it and swap names, and
 * must gain nothing by it. So root works there as that user.
 */

import { lstatSync, readlinkSync, type Stats } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'
import { UserError } from '../user-error'

/** The user that root has become, and the folder that is that user's. */
interface Owner {
  readonly name: string
  readonly folder: string
}

/** Of the process, as its user is. */
let owner: Owner | null = null

/** Null: this process was not started by root, or still is root's. */
export function rootGivenUp(): Owner | null {
  return owner
}

/** Of a user without an account, of whom nothing but the number is known. */
const noGroup = 65534

/** The kernel's own limit. */
const maxLinks = 40

/**
 * To be called before anything in the quarantine is opened, and after all that only root may read. Where root alone can change
 * the quarantine and the way to it, root stays root.
 * @throws UserError where users other than the owner may write, and for an owner root cannot become
 */
export function giveUpRoot(quarantine: string): void {
  if (process.geteuid?.() !== 0) return
  const found = firstNotOfRoot(quarantine)
  if (found === null) return
  const { place, uid } = found
  if (uid === 0)
    throw new UserError(
      `${place}: users other than root may write there, and could lay links for root: ` +
        "let Haraka's user alone write there, or be that user",
    )
  try {
    owner = { name: become(uid), folder: place }
  } catch (error) {
    throw new UserError(
      `${place}: belongs to the user with id ${uid}, whom root cannot become here: ${(error as Error).message}`,
    )
  }
}

/** @returns the user's name */
function become(uid: number): string {
  const account = accountOf(uid)
  if (account) process.initgroups?.(account.username, account.gid)
  else process.setgroups?.([])
  process.setgid?.(account?.gid ?? noGroup)
  // Of root also the saved id changes, so there is no way back. It is the last step, since it takes the right to the others.
  process.setuid?.(uid)
  return account?.username ?? `the user with id ${uid}`
}

/** From wherever the system has its users; Node asks for those of the effective user only. */
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

/** The first thing on the way from `/` that a user other than root can change; the kernel's way, links included. */
function firstNotOfRoot(target: string): { readonly place: string; readonly uid: number } | null {
  const rest = target.split(path.sep).filter(Boolean)
  let place = path.parse(target).root
  for (let links = 0; links <= maxLinks;) {
    const found = lstatSync(place, { throwIfNoEntry: false })
    // Nobody but root can create it.
    if (!found) return null
    if (found.uid !== 0) return { place, uid: found.uid }
    if (found.isSymbolicLink()) {
      links++
      const aim = readlinkSync(place)
      rest.unshift(...aim.split(path.sep).filter(Boolean))
      place = path.isAbsolute(aim) ? path.parse(aim).root : path.dirname(place)
    } else if (othersCanLay(found, place, rest[0])) return { place, uid: 0 }
    else {
      const next = rest.shift()
      if (next === undefined) return null
      place = path.join(place, next)
    }
  }
  throw new UserError(`${target}: too many symbolic links`)
}

/** In a folder such as /tmp nobody can replace what is root's. The group's right to write may be that of an ACL. */
function othersCanLay({ mode }: Stats, folder: string, next: string | undefined): boolean {
  if ((mode & 0o022) === 0) return false
  const isSticky = (mode & 0o1000) !== 0
  return !isSticky || next === undefined || !lstatSync(path.join(folder, next), { throwIfNoEntry: false })
}
