/*
 * Whether copies can be kept: tried with a file of no content, in the steps of queue/quarantine and quarantine.ts.
 * Synchronous, for `check` does it with the rights of another user, which it takes on for no longer than that.
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

/** Below the path of queue/quarantine, what a copy goes through; `folder` is `[quarantine] folder`. */
function foldersOf(base: string, folder: string): string[] {
  const place = path.join(base, folder)
  const day = path.join(place, today())
  return [base, path.join(base, 'tmp'), place, ...(existsSync(day) ? [day] : [])]
}

const reasons: readonly (readonly [codes: readonly string[], why: string])[] = [
  [['EACCES', 'EPERM', 'EROFS'], 'cannot be read and written to'],
  [['EEXIST', 'ENOTDIR'], 'is no folder'],
  [['EXDEV'], 'is on another file system than tmp beside it'],
  [['ENOSPC', 'EDQUOT'], 'is full'],
]

/**
 * Makes a copy and takes it away again.
 * @returns folders that were not there before, outermost first
 * @throws Error that names the folder where that fails; nothing is left then
 */
export function tryCopy(base: string, folder: string): string[] {
  const [, tmp = '', place = '', ...days] = foldersOf(base, folder)
  const name = `.trial-${randomUUID()}`
  const file = path.join(tmp, name)
  const tomorrow = path.join(place, name)
  const made: string[] = []
  const undo: (() => void)[] = []
  const step = (directory: string, act: () => void, back?: () => void) => {
    try {
      act()
    } catch (error) {
      throw inWords(directory, error as NodeJS.ErrnoException)
    }
    if (back) undo.unshift(() => step(directory, back))
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
    // Their entries are brought to the disk, each folder opened for that.
    for (const directory of [base, place]) step(directory, () => closeSync(openSync(directory, 'r')))
    while (undo.length > 0) undo.shift()?.()
    return made
  } catch (error) {
    for (const back of undo) attempt(back)
    removeEmpty(made)
    throw error
  }
}

/** @param folders outermost first. What has something in it stays. */
export function removeEmpty(folders: readonly string[]): void {
  for (const folder of folders.toReversed()) attempt(() => rmdirSync(folder))
}

function attempt(act: () => void): void {
  try {
    act()
  } catch {
    // There is nothing more to be done about it.
  }
}

function inWords(directory: string, { code = '', message }: NodeJS.ErrnoException): Error {
  const [, why] = reasons.find(([codes]) => codes.includes(code)) ?? []
  return new Error(`${directory} ${why === undefined ? `cannot be used: ${message}` : `${why} (${code})`}`)
}

/** As `mkdir -p`. @returns what was not there */
function make(directory: string): string[] {
  const first = mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (first === undefined) return []
  const inner = path.relative(first, directory).split(path.sep).filter(Boolean)
  return [first, ...inner.map((_, index) => path.join(first, ...inner.slice(0, index + 1)))]
}

/** The command by which the folders are as they have to be. */
export function installCommand(base: string, folder: string, user: string): string {
  return `install -d -o ${user} -m 700 ${foldersOf(base, folder).join(' ')}`
}
