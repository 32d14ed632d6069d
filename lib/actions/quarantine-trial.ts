/*
 * Tests whether copies can be stored: makes a one-byte copy with the same steps as queue/quarantine and quarantine.ts.
 * Synchronous, because `check` switches to another user for exactly this call.
 */

import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { today } from './quarantine'

/** The folders of a copy below the path of queue/quarantine; `folder` is `[quarantine] folder`. */
function foldersOf(base: string, folder: string): string[] {
  const place = path.join(base, folder)
  const day = path.join(place, today())
  return [base, path.join(base, 'tmp'), place, ...(existsSync(day) ? [day] : [])]
}

const reasons: readonly (readonly [codes: readonly string[], why: string])[] = [
  [['EACCES', 'EPERM', 'EROFS'], 'cannot be read and written'],
  [['EEXIST', 'ENOTDIR'], 'is not a folder'],
  [['EXDEV'], 'is on another file system than tmp'],
  [['ENOSPC', 'EDQUOT'], 'is full'],
]

/**
 * Makes a copy and removes it.
 * @returns the folders that it created, outermost first
 * @throws Error that names the folder; nothing is left behind then
 */
export function tryCopy(base: string, folder: string): string[] {
  const [, tmp = '', place = '', ...days] = foldersOf(base, folder)
  const name = `.trial-${randomUUID()}`
  const file = path.join(tmp, name)
  const tomorrow = path.join(place, name)
  const made: string[] = []
  const undo: (() => void)[] = []
  const step = (directory: string, act: () => void, revert?: () => void) => {
    try {
      act()
    } catch (error) {
      throw readable(directory, error as NodeJS.ErrnoException)
    }
    if (revert) undo.unshift(() => step(directory, revert))
  }
  try {
    for (const directory of [tmp, place]) step(directory, () => made.push(...make(directory)))
    step(
      tmp,
      () => writeFileSync(file, 'x', { flag: 'wx', mode: 0o600 }),
      () => unlinkSync(file),
    )
    step(
      place,
      () => mkdirSync(tomorrow, { mode: 0o700 }),
      () => rmdirSync(tomorrow),
    )
    for (const directory of [tomorrow, ...days]) {
      const copy = path.join(directory, name)
      step(
        directory === tomorrow ? place : directory,
        () => linkSync(file, copy),
        () => unlinkSync(copy),
      )
    }
    // quarantine.ts opens each folder to sync its entries.
    for (const directory of [base, place]) step(directory, () => closeSync(openSync(directory, 'r')))
    while (undo.length > 0) undo.shift()?.()
    return made
  } catch (error) {
    for (const revert of undo) attempt(revert)
    removeEmpty(made)
    throw error
  }
}

/** Folders that are not empty stay. @param folders outermost first */
export function removeEmpty(folders: readonly string[]): void {
  for (const folder of folders.toReversed()) attempt(() => rmdirSync(folder))
}

function attempt(act: () => void): void {
  try {
    act()
  } catch {
    // Best effort: the first error is the one to report.
  }
}

function readable(directory: string, { code = '', message }: NodeJS.ErrnoException): Error {
  const [, why] = reasons.find(([codes]) => codes.includes(code)) ?? []
  return new Error(`${directory} ${why === undefined ? `cannot be used: ${message}` : `${why} (${code})`}`)
}

/** Like `mkdir -p`. @returns the created folders */
function make(directory: string): string[] {
  const first = mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (first === undefined) return []
  const inner = path.relative(first, directory).split(path.sep).filter(Boolean)
  return [first, ...inner.map((_, index) => path.join(first, ...inner.slice(0, index + 1)))]
}

/** The command that creates the folders with the right owner and mode. */
export function installCommand(base: string, folder: string, user: string): string {
  return `install -d -o ${user} -m 700 ${foldersOf(base, folder).join(' ')}`
}
