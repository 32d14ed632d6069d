/*
 * A message's lines put together again, cut into chunks, and these gathered into parcels for the system: INSTREAM chunks
 * with their headers, or STREAM's bare bytes. Bytes only; upload.ts sends them. Copies nothing: what is added must not
 * be changed afterwards.
 */

import { chunkHeader, endOfChunks } from './protocol'

/** So much is gathered for one system call; a call for every chunk of 8 KiB is what sending costs most. */
const parcelBytes = 64 * 1024

/** What goes to the system in one call. */
export interface Batch {
  readonly pieces: Buffer[]
  bytes: number
}

export class ChunkEncoder {
  readonly #isFramed: boolean
  /** Lines that lie one behind the other in one buffer, not yet part of a chunk. */
  #span: ArrayBufferLike = emptyRun
  #runStart = 0
  #runEnd = 0
  /** The chunk that is being filled. */
  #chunk: Batch = emptyParcel()
  #batch: Batch = emptyParcel()

  /**
   * @param chunkBytes in each chunk but the last
   * @param prologue stands in front of the first chunk, unframed: the INSTREAM command. null: STREAM, which has no frames.
   * @param onParcel given each parcel as it is full, and the last one
   * @param onContent given the content, in its order, as it is put into chunks
   */
  constructor(
    private readonly chunkBytes: number,
    preamble: Buffer | null,
    private readonly onParcel: (batch: Batch) => void,
    private readonly onContent: ((piece: Buffer) => void) | undefined = undefined,
  ) {
    this.#isFramed = preamble !== null
    if (preamble) put(this.#batch, preamble)
  }

  /** The message stream cuts its lines from larger buffers, so most of them lie right behind the one before. */
  add(lines: Buffer): void {
    if (lines.buffer !== this.#span || lines.byteOffset !== this.#runEnd) {
      this.#endRun()
      this.#span = lines.buffer
      this.#runStart = lines.byteOffset
      this.#runEnd = lines.byteOffset
    }
    this.#runEnd += lines.length
    this.#fillChunks()
  }

  /** Nothing more comes. */
  end(): void {
    this.#endRun()
    if (this.#chunk.bytes > 0) this.#endChunk()
    if (this.#isFramed) put(this.#batch, endOfChunks)
    this.#endParcel()
  }

  #endRun(): void {
    if (this.#runEnd > this.#runStart) this.#cut(this.#runEnd - this.#runStart)
  }

  #fillChunks(): void {
    for (;;) {
      const room = this.chunkBytes - this.#chunk.bytes
      if (this.#runEnd - this.#runStart < room) return
      this.#cut(room)
      this.#endChunk()
      if (this.#batch.bytes >= parcelBytes) this.#endParcel()
    }
  }

  /** Moves the first bytes of the run to the chunk. */
  #cut(bytes: number): void {
    const piece = Buffer.from(this.#span, this.#runStart, bytes)
    this.onContent?.(piece)
    put(this.#chunk, piece)
    this.#runStart += bytes
  }

  #endChunk(): void {
    if (this.#isFramed) put(this.#batch, chunkHeader(this.#chunk.bytes))
    for (const piece of this.#chunk.pieces) put(this.#batch, piece)
    this.#chunk = emptyParcel()
  }

  #endParcel(): void {
    const batch = this.#batch
    this.#batch = emptyParcel()
    this.onParcel(batch)
  }
}

const emptyRun = new ArrayBuffer(0)

function emptyParcel(): Batch {
  return { pieces: [], bytes: 0 }
}

function put(to: Batch, piece: Buffer): void {
  to.pieces.push(piece)
  to.bytes += piece.length
}
