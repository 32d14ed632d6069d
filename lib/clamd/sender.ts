/*
 * Puts one reading of a message on a socket: our Received line and what follows, in buffers of one size,
 * framed for INSTREAM or bare for STREAM, no faster than the socket takes it, and never more than maxBytes.
 */

import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Exchange, Sink } from './exchange'
import { TooLarge } from './failure'
import { chunkHeaderBytes, endOfChunks, headLine } from './protocol'

/** So much is gathered for one system call, if a chunk is smaller; a call for every 8 KiB is what sending costs most. */
const bytesPerWrite = 64 * 1024

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
  readonly #chunkBytes: number
  readonly #spare: Buffer[] = []
  /** Several chunks, each with its header in front; the last one is being filled. */
  #buffer: Buffer
  /** Where the content of the last chunk begins. */
  #start: number
  #filled: number
  /** Writes that wait for their turn. */
  readonly #outbox: (() => boolean)[] = []
  #turn: NodeJS.Immediate | null = null
  #hasWritten = false
  #full = false
  #stopped = false

  /**
   * @param prologue goes out in front, unframed: the INSTREAM command. null: STREAM, which has no frames.
   * @param onTooLarge called once, when the message turns out larger than maxBytes; nothing more is sent then.
   * @param expected bytes that the message is thought to have at most, for the size of buffers.
   */
  constructor(
    private readonly socket: Socket,
    private readonly how: Pick<Exchange, 'bufferBytes' | 'maxBytes'>,
    prologue: Buffer | null,
    private readonly onTooLarge: (reason: TooLarge) => void,
    private readonly expected = Infinity,
  ) {
    super()
    this.#framing = prologue ? chunkHeaderBytes : 0
    this.#chunkBytes = Math.min(how.bufferBytes, headLine.length + expected)
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
      const room = this.#start + this.#chunkBytes - this.#filled
      const copied = chunk.copy(this.#buffer, this.#filled, taken, taken + room)
      this.#filled += copied
      taken += copied
      if (copied === room) this.#nextChunk()
    }
    return !this.#full && !this.#turn
  }

  end(): void {
    if (this.#stopped) return
    const done = (error?: Error | null) => {
      this.complete = !error
    }
    if (this.#framing === 0) {
      const last = this.#buffer.subarray(0, this.#filled)
      this.#send(() => {
        this.socket.end(last, done)
        return true
      })
    } else {
      if (this.#filled > this.#start) this.#writeChunkHeader()
      else this.#filled -= this.#framing
      this.#filled += endOfChunks.copy(this.#buffer, this.#filled)
      const last = this.#buffer.subarray(0, this.#filled)
      this.#send(() => this.socket.write(last, done))
    }
    this.emit('finish')
  }

  /** Takes and sends nothing more, and forgets the socket. */
  stop(): void {
    this.#stopped = true
    this.socket.off('drain', this.#onDrain)
    if (this.#turn) clearImmediate(this.#turn)
  }

  #nextChunk(): void {
    if (this.#framing > 0) this.#writeChunkHeader()
    this.#start = this.#filled + this.#framing
    // The end mark has its place behind the last chunk.
    if (this.#start + this.#chunkBytes + this.#framing > this.#buffer.length) this.#flush()
    this.#filled = this.#start
  }

  #flush(): void {
    const full = this.#buffer
    const filled = full.subarray(0, this.#filled)
    // Memory outside the heap is what makes the collector work; what the socket has taken is used again.
    this.#send(() => this.socket.write(filled, () => this.#spare.push(full)))
    this.#buffer = this.#spare.pop() ?? this.#newBuffer(0)
    this.#start = this.#framing
  }

  /** Room for a prologue, as many chunks as one write takes, and the end mark. */
  #newBuffer(prologueBytes: number): Buffer {
    const chunk = this.#framing + this.#chunkBytes
    const bytes = Math.min(bytesPerWrite, headLine.length + this.expected + this.#framing)
    const chunks = Math.max(1, Math.ceil(bytes / chunk))
    return Buffer.allocUnsafe(prologueBytes + chunks * chunk + this.#framing)
  }

  #writeChunkHeader(): void {
    this.#buffer.writeUInt32BE(this.#filled - this.#start, this.#start - chunkHeaderBytes)
  }

  /**
   * Each write but the first comes right after the event loop has looked at the socket. For a clamd that has had
   * enough replies and closes at once; a write that fails then takes the socket with it, the unread reply included.
   */
  #send(write: () => boolean): void {
    if (this.#hasWritten) {
      this.#outbox.push(write)
      this.#turn ??= setImmediate(this.#onTurn)
    } else {
      this.#hasWritten = true
      this.#full = !write()
    }
  }

  readonly #onTurn = () => {
    this.#turn = null
    const write = this.#outbox.shift()
    if (write) this.#full = !write()
    if (this.#outbox.length > 0) this.#turn = setImmediate(this.#onTurn)
    else if (!this.#full) this.emit('drain')
  }

  readonly #onDrain = () => {
    this.#full = false
    if (!this.#turn) this.emit('drain')
  }
}
