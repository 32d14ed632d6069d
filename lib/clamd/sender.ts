/*
 * Puts one reading of a message on a socket: our Received line and what follows, in buffers of one size,
 * framed for INSTREAM or bare for STREAM, no faster than the socket takes it, and never more than maxBytes.
 */

import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Exchange, Sink } from './exchange'
import { TooLarge } from './failure'
import { chunkHeaderBytes, endOfChunks, headLine } from './protocol'

/** After so many bytes the event loop gets a turn, so that an early reply is read before the next write fails. */
const bytesPerTurn = 256 * 1024

/**
 * Only the part of a Writable that a pipe needs: the queue of a real one would hold every line of the
 * message once more.
 */
export class Sender extends EventEmitter implements Sink {
  /** Content taken so far in bytes, our Received line included, chunk headers not. */
  bytes = 0
  /** True once everything, the end included, has been handed to the system. */
  complete = false

  readonly #framing: number
  #buffer: Buffer
  /** Where the content begins in the buffer: behind the prologue and the chunk header. */
  #start: number
  #filled: number
  #sinceTurn = 0
  #turn: NodeJS.Immediate | null = null
  #full = false
  #stopped = false

  /**
   * @param prologue goes out in front, unframed: the INSTREAM command. null: STREAM, which has no frames.
   * @param onTooLarge called once, when the message turns out larger than maxBytes; nothing more is sent then.
   */
  constructor(
    private readonly socket: Socket,
    private readonly how: Pick<Exchange, 'bufferBytes' | 'maxBytes'>,
    prologue: Buffer | null,
    private readonly onTooLarge: (reason: TooLarge) => void,
  ) {
    super()
    this.#framing = prologue ? chunkHeaderBytes : 0
    this.#buffer = this.#newBuffer(prologue?.length ?? 0)
    this.#start = (prologue?.copy(this.#buffer) ?? 0) + this.#framing
    this.#filled = this.#start
    socket.on('drain', this.#onDrain)
    this.write(headLine)
  }

  write(chunk: Buffer): boolean {
    if (this.#stopped) return true
    this.bytes += chunk.length
    if (this.bytes > this.how.maxBytes) {
      this.stop()
      this.onTooLarge(new TooLarge(this.bytes))
      return true
    }
    for (let taken = 0; taken < chunk.length;) {
      const room = this.#start + this.how.bufferBytes - this.#filled
      const copied = chunk.copy(this.#buffer, this.#filled, taken, taken + room)
      this.#filled += copied
      taken += copied
      if (copied === room) this.#flush()
    }
    return !this.#full && !this.#turn
  }

  end(): void {
    if (this.#stopped) return
    const done = (error?: Error | null) => {
      this.complete = !error
    }
    if (this.#framing === 0) {
      this.socket.end(this.#buffer.subarray(0, this.#filled), done)
    } else if (this.#filled === this.#start) {
      this.socket.write(endOfChunks, done)
    } else {
      this.#writeChunkHeader()
      this.#filled += endOfChunks.copy(this.#buffer, this.#filled)
      this.socket.write(this.#buffer.subarray(0, this.#filled), done)
    }
  }

  /** Takes and sends nothing more, and forgets the socket. */
  stop(): void {
    this.#stopped = true
    this.socket.off('drain', this.#onDrain)
    if (this.#turn) clearImmediate(this.#turn)
  }

  #flush(): void {
    if (this.#framing > 0) this.#writeChunkHeader()
    this.#full = !this.socket.write(this.#buffer.subarray(0, this.#filled))
    this.#sinceTurn += this.#filled
    if (this.#sinceTurn >= bytesPerTurn) {
      this.#sinceTurn = 0
      this.#turn ??= setImmediate(this.#onTurn)
    }
    // The socket may still hold the old buffer.
    this.#buffer = this.#newBuffer(0)
    this.#start = this.#framing
    this.#filled = this.#start
  }

  /** Room for a prologue, a chunk header, the content, and the end behind the last chunk. */
  #newBuffer(prologueBytes: number): Buffer {
    return Buffer.allocUnsafe(prologueBytes + this.#framing + this.how.bufferBytes + this.#framing)
  }

  #writeChunkHeader(): void {
    this.#buffer.writeUInt32BE(this.#filled - this.#start, this.#start - chunkHeaderBytes)
  }

  readonly #onDrain = () => {
    this.#full = false
    if (!this.#turn) this.emit('drain')
  }

  readonly #onTurn = () => {
    this.#turn = null
    if (!this.#full) this.emit('drain')
  }
}
