/*
 * Opens files in folders where other users can create and rename entries. Each folder stays open, and names are looked up
 * in the open folder, so that a name swapped in between leads nowhere else. No link is followed, no open blocks, and each
 * opened file is checked before use.
 */

import { constants, type Dirent, existsSync, type Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** The file or folder at a path is not of the required kind. The message starts with the path. */
export class UnsafePath extends Error {}

/** Linux looks up `/proc/self/fd/N/NAME` in the open folder N. Elsewhere Node can use only the path. */
const canHold = process.platform === 'linux' && existsSync('/proc/self/fd')

/**
 * Works in the folder `below` the root. Links on the way to the root are followed, since the administrator has chosen
 * that path; below it there are none.
 * @param below relative; empty for the root itself
 * @param isMaking creates the folders below the root that are missing, for their owner alone
 * @throws UnsafePath for a link, or for a folder of a user other than root and this one
 */
export async function inFolder<T>(
  root: string,
  below: string,
  work: (folder: Folder) => Promise<T>,
  isMaking = false,
): Promise<T> {
  const descend = async (folder: Folder, [name, ...rest]: readonly string[]): Promise<T> => {
    if (name === undefined) return work(folder)
    if (isMaking) await folder.make(name)
    return folder.inside(name, (inner) => descend(inner, rest))
  }
  const handle = await open(root, O_RDONLY | O_DIRECTORY)
  try {
    return await descend(new Folder(root, handle), below.split(path.sep).filter(Boolean))
  } finally {
    await handle.close()
  }
}

/** An open folder. */
export class Folder {
  /** Path by which the system finds its entries. */
  readonly #place: string

  constructor(
    readonly path: string,
    private readonly handle: FileHandle,
  ) {
    this.#place = canHold ? `/proc/self/fd/${handle.fd}` : path
  }

  /** Works in a subfolder. */
  async inside<T>(name: string, work: (folder: Folder) => Promise<T>): Promise<T> {
    const inner = this.pathOf(name)
    mustBeFolder(await this.lstat(name), inner)
    const handle = await this.#at(name, (place) => open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
    try {
      mustBeFolder(await handle.stat(), inner)
      return await work(new Folder(inner, handle))
    } finally {
      await handle.close()
    }
  }

  /** Creates a folder for its owner alone, unless the name exists. */
  async make(name: string): Promise<void> {
    await this.#at(name, (place) => mkdir(place, 0o700)).catch(unless('EEXIST'))
  }

  /**
   * Opens a regular file that belongs to this user and has no other name.
   * @param flags with O_CREAT the file is created, for its owner alone
   * @throws UnsafePath for anything else
   */
  async open(name: string, flags = O_RDONLY): Promise<FileHandle> {
    const file = this.pathOf(name)
    // The check after opening decides; this one keeps devices closed, which may act on being opened, and names the kind.
    if ((flags & O_EXCL) === 0) {
      const found = await this.lstat(name).catch(unless(...((flags & O_CREAT) === 0 ? [] : ['ENOENT'])))
      if (found) mustBeOwnFile(found, file)
    }
    const handle = await this.#at(name, (place) => open(place, flags | O_NOFOLLOW | O_NONBLOCK, 0o600))
    try {
      mustBeOwnFile(await handle.stat(), file)
      return handle
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** @throws UnsafePath as `open` does, and for a file of more than `maxBytes` */
  async text(name: string, maxBytes = Infinity): Promise<string> {
    const handle = await this.open(name)
    try {
      const { size } = await handle.stat()
      if (size > maxBytes) throw new UnsafePath(`${this.pathOf(name)}: is too large (${size} bytes)`)
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  }

  /** Stats of the file that `open` would open; null: it would open none. */
  async ownFile(name: string): Promise<Stats | null> {
    try {
      const found = await this.lstat(name)
      mustBeOwnFile(found, this.pathOf(name))
      return found
    } catch {
      return null
    }
  }

  /** Stats of the name itself, also if it is a link. */
  lstat(name: string): Promise<Stats> {
    return this.#at(name, (place) => lstat(place))
  }

  /** Stats of the folder. */
  stat(): Promise<Stats> {
    return this.handle.stat()
  }

  entries(): Promise<Dirent[]> {
    return this.#named(() => readdir(this.#place, { withFileTypes: true }))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#at(from, (place) => this.#at(to, (target) => rename(place, target)))
  }

  /** Removes a name if it exists; a link, not its target. */
  async remove(name: string): Promise<void> {
    await this.#at(name, (place) => unlink(place)).catch(unless('ENOENT'))
  }

  /** Resolves when the folder's entries are on disk. */
  sync(): Promise<void> {
    return this.handle.sync()
  }

  pathOf(name: string): string {
    return path.join(this.path, name)
  }

  #at<T>(name: string, act: (place: string) => Promise<T>): Promise<T> {
    if (name === '' || name === '.' || name === '..' || name.includes(path.sep))
      throw new UnsafePath(`${this.pathOf(name)}: is no name in ${this.path}`)
    return this.#named(() => act(`${this.#place}${path.sep}${name}`))
  }

  /** Replaces /proc paths in system errors by the folder's own path. */
  async #named<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      if (error instanceof Error) error.message = error.message.replaceAll(this.#place, this.path)
      throw error
    }
  }
}

function unless(...codes: readonly string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

function mustBeFolder(found: Stats, folder: string): void {
  if (!found.isDirectory()) throw new UnsafePath(`${folder}: is ${kindOf(found)}, not a folder`)
  // The owner of a folder can swap its entries; root can do that anyway.
  if (found.uid !== 0) mustBeOurs(found, folder)
}

function mustBeOwnFile(found: Stats, file: string): void {
  mustBeRegular(found, file)
  mustBeOurs(found, file)
  if (found.nlink > 1) throw new UnsafePath(`${file}: has ${found.nlink} names (hard links)`)
}

function mustBeRegular(found: Stats, file: string): void {
  if (!found.isFile()) throw new UnsafePath(`${file}: is ${kindOf(found)}, not a regular file`)
}

function mustBeOurs({ uid }: Stats, file: string): void {
  const own = process.geteuid?.() ?? uid
  if (uid !== own)
    throw new UnsafePath(`${file}: belongs to the user with id ${uid}, not to that with id ${own}`)
}

function kindOf(found: Stats): string {
  if (found.isSymbolicLink()) return 'a symbolic link'
  if (found.isDirectory()) return 'a folder'
  if (found.isFIFO()) return 'a pipe'
  if (found.isSocket()) return 'a socket'
  return found.isFile() ? 'a file' : 'a device'
}

/**
 * Opens a regular file of any owner, under any name.
 * @param isLinkFollowed true for a path from the user, who may mean a link
 * @throws UnsafePath for anything else, without blocking
 */
export async function openRegular(file: string | Buffer, isLinkFollowed: boolean): Promise<FileHandle> {
  const handle = await open(file, O_RDONLY | O_NONBLOCK | (isLinkFollowed ? 0 : O_NOFOLLOW))
  try {
    mustBeRegular(await handle.stat(), file.toString())
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

const pieceBytes = 64 * 1024

/**
 * Streams bytes from `start` up to and without `end`. Opens the file for the first byte; closes it at the end, on an error,
 * and when the stream is destroyed.
 */
export function reading(opening: () => Promise<FileHandle>, start = 0, end = Infinity): Readable {
  return Readable.from(pieces(opening, start, end), { objectMode: false })
}

async function* pieces(
  opening: () => Promise<FileHandle>,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  const handle = await opening()
  try {
    for (let at = start; at < end;) {
      const length = Math.min(pieceBytes, end - at)
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, at)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
    }
  } finally {
    await handle.close()
  }
}
