/*
 * The files below the paths on the command line. Symbolic links on the command line are followed, those inside folders
 * are not; everything that is neither file nor folder is reported as skipped.
 */

import { createWriteStream, type Stats } from 'node:fs'
import { lstat, mkdtemp, opendir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'

/** A path that is not UTF-8 stays bytes: as a string it could not be opened. */
export type Path = string | Buffer

export type Found =
  | {
      readonly path: Path
      readonly kind: 'file'
      readonly bytes: number
      readonly isMail: boolean
      /** Named on the command line; otherwise found in a folder. */
      readonly isNamed: boolean
    }
  | { readonly path: Path; readonly kind: 'skipped'; readonly why: string }
  | { readonly path: Path; readonly kind: 'error'; readonly why: string }

export async function* walk(paths: readonly string[]): AsyncGenerator<Found> {
  for (const one of paths) yield* visit(one, true)
}

async function* visit(file: Path, isNamed: boolean): AsyncGenerator<Found> {
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
    // As bytes, because a name need not be UTF-8; @types/node lacks this encoding.
    const entries = await opendir(directory, { encoding: 'buffer' as BufferEncoding })
    for await (const entry of entries) names.push(entry.name as unknown as Buffer)
  } catch (error) {
    yield { path: directory, kind: 'error', why: systemText(error) }
  }
  for (const name of names.sort((a, b) => a.compare(b))) yield* visit(joined(directory, name), false)
}

/** `NAME.eml`, and files in the folders cur and new of a Maildir. */
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

/** The message of strerror(3) for usual errors. */
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

/** Copies standard input to a temporary file, since a message may be read twice. The caller removes it. */
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
