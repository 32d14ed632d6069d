/*
 * Joins a message's lines, cuts them into chunks, and gathers the chunks into batches of one system call each: INSTREAM
 * chunks with their headers, or bare bytes for STREAM. upload.ts sends the batches. Copies nothing: the caller must not
 * change the bytes that it adds.
 */

import { chunkHeader, endOfChunks } from './protocol'

/** System calls are the main cost of sending: one per chunk of 8 KiB would be too many. */
const batchBytes = 64 * 1024

/** Bytes that are handed to the system in one call. */
export interface Batch {
  readonly pieces: Buffer[]
  bytes: number
}

export class ChunkEncoder {
  readonly #isFramed: boolean
  /** Consecutive lines in one buffer that are not yet part of a chunk. */
  #span: ArrayBufferLike = emptySpan
  #spanStart = 0
  #spanEnd = 0
  /** Where the content begins that was not handed to `onContent`. */
  #untoldStart = 0
  #chunk: Batch = emptyBatch()
  #batch: Batch = emptyBatch()

  /**
   * @param chunkBytes size of each chunk; the last may be smaller
   * @param preamble sent unframed before the first chunk: the INSTREAM command. null: STREAM, which has no frames
   * @param onBatch called with each full batch, and with the last one
   * @param onContent called with the content in its order, in pieces of about a batch where its bytes lie in one buffer
   */
  constructor(
    private readonly chunkBytes: number,
    preamble: Buffer | null,
    private readonly onBatch: (batch: Batch) => void,
    private readonly onContent?: (piece: Buffer) => void,
  ) {
    this.#isFramed = preamble !== null
    if (preamble) put(this.#batch, preamble)
  }

  /** Haraka's message stream cuts lines from larger buffers, so most lines directly follow the one before. */
  add(lines: Buffer): void {
    if (lines.buffer !== this.#span || lines.byteOffset !== this.#spanEnd) {
      this.#endSpan()
      this.#span = lines.buffer
      this.#spanStart = lines.byteOffset
      this.#spanEnd = lines.byteOffset
      this.#untoldStart = lines.byteOffset
    }
    this.#spanEnd += lines.length
    this.#fillChunks()
  }

  end(): void {
    this.#endSpan()
    if (this.#chunk.bytes > 0) this.#endChunk()
    if (this.#isFramed) put(this.#batch, endOfChunks)
    this.#endBatch()
  }

  #endSpan(): void {
    if (this.#spanEnd > this.#spanStart) this.#cut(this.#spanEnd - this.#spanStart)
    this.#tell()
  }

  #tell(): void {
    const bytes = this.#spanStart - this.#untoldStart
    if (bytes > 0) this.onContent?.(Buffer.from(this.#span, this.#untoldStart, bytes))
    this.#untoldStart = this.#spanStart
  }

  #fillChunks(): void {
    for (;;) {
      const room = this.chunkBytes - this.#chunk.bytes
      if (this.#spanEnd - this.#spanStart < room) return
      this.#cut(room)
      this.#endChunk()
      if (this.#batch.bytes >= batchBytes) this.#endBatch()
    }
  }

  /** Moves the first bytes of the span to the chunk. */
  #cut(bytes: number): void {
    const piece = Buffer.from(this.#span, this.#spanStart, bytes)
    put(this.#chunk, piece)
    this.#spanStart += bytes
    if (this.#spanStart - this.#untoldStart >= batchBytes) this.#tell()
  }

  #endChunk(): void {
    if (this.#isFramed) put(this.#batch, chunkHeader(this.#chunk.bytes))
    for (const piece of this.#chunk.pieces) put(this.#batch, piece)
    this.#chunk = emptyBatch()
  }

  #endBatch(): void {
    const batch = this.#batch
    this.#batch = emptyBatch()
    this.onBatch(batch)
  }
}

const emptySpan = new ArrayBuffer(0)

function emptyBatch(): Batch {
  return { pieces: [], bytes: 0 }
}

function put(to: Batch, piece: Buffer): void {
  to.pieces.push(piece)
  to.bytes += piece.length
}
