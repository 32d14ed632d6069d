/*
 * A whole message in one piece.
 */

import { EventEmitter } from 'node:events'
import type { CancelSignal } from '../../base/cancellation'
import type { MessageSource, Sink } from '../../base/message-source'

/** Rejects with the signal's reason, or with what kept the message from being read. The reading is closed by then. */
export async function messageBytes(source: MessageSource, signal: CancelSignal): Promise<Buffer> {
  signal.throwIfAborted()
  if (source.whole) return source.whole
  const gathered = new Gathered(source.maxBytes)
  const aborted = () => gathered.fail(signal.reason)
  signal.addEventListener('abort', aborted)
  try {
    source.open(gathered).catch((error: unknown) => gathered.fail(error as Error))
    return await gathered.done
  } finally {
    signal.removeEventListener('abort', aborted)
    source.close()
  }
}

/**
 * Copies: the lines of a message stream are objects that cost as much again. Most lie behind each other in one buffer, and are
 * copied together.
 */
class Gathered extends EventEmitter implements Sink {
  readonly done: Promise<Buffer>
  #settle: { resolve: (bytes: Buffer) => void; reject: (error: Error) => void } | null = null
  #bytes: Buffer
  #length = 0
  /** Where the bytes lie that are not copied yet. */
  #span: ArrayBufferLike = noSpan
  #spanStart = 0
  #spanEnd = 0

  constructor(maxBytes: number) {
    super()
    this.#bytes = Buffer.allocUnsafe(maxBytes)
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  write(chunk: Buffer): boolean {
    if (this.#settle === null) return true
    if (chunk.buffer !== this.#span || chunk.byteOffset !== this.#spanEnd) {
      this.#copySpan()
      this.#span = chunk.buffer
      this.#spanStart = this.#spanEnd = chunk.byteOffset
    }
    this.#spanEnd += chunk.length
    return true
  }

  #copySpan(): void {
    const bytes = this.#spanEnd - this.#spanStart
    if (this.#length + bytes > this.#bytes.length) this.#grow(bytes)
    Buffer.from(this.#span, this.#spanStart, bytes).copy(this.#bytes, this.#length)
    this.#length += bytes
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafe(2 * this.#length + bytes)
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }

  end(): void {
    this.#copySpan()
    this.#settle?.resolve(this.#bytes.subarray(0, this.#length))
    this.#settle = null
    this.emit('finish')
  }

  fail(error: Error): void {
    this.#settle?.reject(error)
    this.#settle = null
  }
}

const noSpan = new ArrayBuffer(0)
