/*
 * What the library for archives is asked, and answers. Types only; both go to another thread and back.
 */

export interface LibraryRequest {
  readonly archive: Uint8Array
  readonly maxEntries: number
  /**
   * `files`: all of every file. `beginnings`: all of those that may hold files, and the beginnings of the others. `archives`:
   * of those that may hold files all, or what begins with the mark of a RAR archive; nothing of the others.
   */
  readonly keep: 'files' | 'beginnings' | 'archives'
  /** Of everything that is kept of what is unpacked. */
  readonly maxBytes: number
}

/** A file in the archive. */
export interface Member {
  /** As it would lie on a disk; null: it has none of its own. */
  readonly name: string | null
  /** All of it, or its beginning, as it was asked for. */
  readonly bytes: Uint8Array
  /** Of all of it, in bytes. */
  readonly size: number
}

/** What an archive says of all that is in it. */
export interface Listing {
  readonly isEncrypted: boolean
  /** How files are packed, as 7-Zip calls it: `BCJ LZMA2:12k`. */
  readonly methods: readonly string[]
  readonly entries: number
  /** Of the largest file. */
  readonly maxBytes: number
  /** Of all files. */
  readonly totalBytes: number
}

export interface LibraryAnswer {
  /** Null: it could not be listed. */
  readonly listing: Listing | null
  /** As the archive has them, directories left out; there may be other members, and members without a name. */
  readonly names: readonly string[]
  readonly members: readonly Member[]
  /** Why there may be more; null: this is all. */
  readonly trouble: string | null
}
