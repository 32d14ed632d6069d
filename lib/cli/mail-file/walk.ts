/*
 * The files below the paths that were named. Links that were named are followed, those inside folders are
 * not; what is neither file nor folder is passed over, and said to be.
 */

import { createWriteStream, type Stats } from 'node:fs'
import { lstat, mkdtemp, opendir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'

/** A path as bytes where it is no UTF-8, since it could not be opened otherwise. */
export type Path = string | Buffer

export type Found =
  | {
      readonly path: Path
      readonly kind: 'file'
      readonly bytes: number
      readonly isMail: boolean
      /** By the user; else it was found in a folder. */
      readonly isNamed: boolean
    }
  | { readonly path: Path; readonly kind: 'skipped'; readonly why: string }
  | { readonly path: Path; readonly kind: 'error'; readonly why: string }

export async function* walk(paths: readonly string[]): AsyncGenerator<Found> {
  for (const one of paths) yield* look(one, true)
}

async function* look(file: Path, isNamed: boolean): AsyncGenerator<Found> {
  let found: Stats
  try {
    found = await (isNamed ? stat : lstat)(file)
  } catch (error) {
    yield { path: file, kind: 'error', why: systemText(error) }
    return
  }
  if (found.isDirectory()) yield* inside(file)
  else if (found.isSymbolicLink()) yield { path: file, kind: 'skipped', why: 'Symbolic link' }
  else if (!found.isFile()) yield { path: file, kind: 'skipped', why: 'Not supported file type' }
  else if (found.size === 0) yield { path: file, kind: 'skipped', why: 'Empty file' }
  else yield { path: file, kind: 'file', bytes: found.size, isMail: isMailByName(file), isNamed }
}

async function* inside(directory: Path): AsyncGenerator<Found> {
  const names: Buffer[] = []
  try {
    // As bytes: a name that is no UTF-8 would name nothing. Node's types know no buffers here.
    const entries = await opendir(directory, { encoding: 'buffer' as BufferEncoding })
    for await (const entry of entries) names.push(entry.name as unknown as Buffer)
  } catch (error) {
    yield { path: directory, kind: 'error', why: systemText(error) }
  }
  for (const name of names.sort((a, b) => a.compare(b))) yield* look(joined(directory, name), false)
}

/** `NAME.eml`, and what lies where a Maildir keeps its messages. */
function isMailByName(file: Path): boolean {
  const text = file.toString('latin1')
  return /\.eml$/i.test(text) || /^(cur|new)$/.test(path.basename(path.dirname(text)))
}

function joined(directory: Path, name: Buffer): Path {
  const whole = Buffer.concat([
    Buffer.from(directory),
    Buffer.from(directory.toString('latin1').endsWith('/') ? '' : '/'),
    name,
  ])
  const text = whole.toString()
  return Buffer.from(text).equals(whole) ? text : whole
}

/** As the system's own tools say it. */
export function systemText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  const known: Record<string, string> = {
    ENOENT: 'No such file or directory',
    EACCES: 'Permission denied',
    EPERM: 'Operation not permitted',
    EIO: 'Input/output error',
    ELOOP: 'Too many levels of symbolic links',
    ENOTDIR: 'Not a directory',
  }
  return known[code ?? ''] ?? message
}

/** Standard input in a file of its own, for a message may have to be read twice. The caller removes it. */
export async function spool(
  input: NodeJS.ReadableStream,
  signal: AbortSignal,
): Promise<{ file: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(path.join(tmpdir(), 'clamav-stream-'))
  const remove = () => rm(directory, { recursive: true, force: true })
  try {
    const file = path.join(directory, 'stdin')
    await pipeline(input, createWriteStream(file, { mode: 0o600 }), { signal })
    return { file, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
