/*
 * Files in folders where other users can create and rename things. Each folder is held open, and a name is looked up in
 * the folder that is held, so that a name swapped meanwhile leads nowhere else. No link is followed, no open waits, and
 * what was opened is checked before it is used.
 */

import { constants, type Dirent, existsSync, type Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** What lies at a path is not what it has to be. The message begins with the path. */
export class UnsafePath extends Error {}

/** Linux looks up `/proc/self/fd/N/NAME` in the open folder N. Elsewhere Node has nothing but the path. */
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

/** A folder that is held open. */
export class Folder {
  /** Where the system finds what is in it. */
  readonly #place: string

  constructor(
    readonly path: string,
    private readonly handle: FileHandle,
  ) {
    this.#place = canHold ? `/proc/self/fd/${handle.fd}` : path
  }

  /** Works in a folder that is in this one. */
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

  /** Creates a folder for its owner alone, unless there is something of that name. */
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
    // Only the open file is sure; but a device may act on being opened, and an error of the system does not say what it is.
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

  /** What `open` would find; null: there is nothing that it would open. */
  async ownFile(name: string): Promise<Stats | null> {
    try {
      const found = await this.lstat(name)
      mustBeOwnFile(found, this.pathOf(name))
      return found
    } catch {
      return null
    }
  }

  /** Of the name itself, also where it is a link. */
  lstat(name: string): Promise<Stats> {
    return this.#at(name, (place) => lstat(place))
  }

  /** Of the folder. */
  stat(): Promise<Stats> {
    return this.handle.stat()
  }

  entries(): Promise<Dirent[]> {
    return this.#named(() => readdir(this.#place, { withFileTypes: true }))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#at(from, (place) => this.#at(to, (target) => rename(place, target)))
  }

  /** Removes a name if it is there; of a link the link itself. */
  async remove(name: string): Promise<void> {
    await this.#at(name, (place) => unlink(place)).catch(unless('ENOENT'))
  }

  /** Resolves when the names in it are on disk. */
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

  /** An error of the system names the path that people know. */
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
  // Whoever owns the folder could swap what is in it; root can do that anyway.
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
 * @param isLinkFollowed the path was named by the user, so that a link at its end is meant
 * @throws UnsafePath for anything else, without waiting for it
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
 * Reads from `start` up to `end`, which is not included. The file is opened for the first byte, and closed at the end, on an
 * error, and when the stream is destroyed.
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
