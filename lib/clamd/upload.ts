/*
 * Writes one reading of a message to a socket: our Received line, then the content, in chunks for INSTREAM or bare for
 * STREAM (chunk-encoder.ts). Obeys the socket's back-pressure and never sends more than maxBytes.
 */

import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Sink } from '../base/message-source'
import { type Batch, ChunkEncoder } from './chunk-encoder'
import { TooLarge } from './errors'
import type { Exchange } from './exchange'
import { receivedLine } from './protocol'
import { ReadQueue, type Waiter } from './read-queue'

/** Below this average size in bytes, copying pieces into one buffer is cheaper than writing each. */
const pieceBytes = 1024

/** Decides which message is read on. A message of one batch needs no turn. */
const readQueue = new ReadQueue()

/**
 * Has only the part of a Writable that a pipe needs: a real Writable would hold every line of the message a second time.
 * The caller must not change the buffers that it writes.
 */
export class Upload extends EventEmitter implements Sink, Waiter {
  /** Bytes of content taken so far, with our Received line, without chunk headers. */
  bytes = 0
  /** True once everything, including the end mark, has been handed to the system. */
  complete = false

  readonly #isFramed: boolean
  readonly #encoder: ChunkEncoder
  readonly #queue: Batch[] = []
  /** A batch is being written, or waits for the next turn of the event loop. */
  #isBusy = false
  #flushing: NodeJS.Immediate | null = null
  #hasWritten = false
  /** The source waits for `drain`. */
  #isFull = false
  #hasEnded = false
  #stopped = false

  /**
   * @param preamble sent unframed before the content: the INSTREAM command. null: STREAM, which has no frames
   * @param onTooLarge called once, when the message is larger than maxBytes; nothing more is sent then
   */
  constructor(
    private readonly socket: Socket,
    private readonly how: Pick<Exchange, 'bufferBytes' | 'maxBytes' | 'preface' | 'onContent'>,
    preamble: Buffer | null,
    private readonly onTooLarge: (reason: TooLarge) => void,
  ) {
    super()
    this.#isFramed = preamble !== null
    this.#encoder = new ChunkEncoder(
      how.bufferBytes,
      preamble,
      (batch) => this.#enqueue(batch),
      how.onContent,
    )
    socket.on('drain', this.#onDrain)
    const { preface = receivedLine } = how
    if (preface.length > 0) this.write(preface)
  }

  write(lines: Buffer): boolean {
    if (this.#stopped) return true
    this.bytes += lines.length
    if (this.bytes > this.how.maxBytes) {
      this.stop()
      this.onTooLarge(new TooLarge(this.bytes))
      return true
    }
    this.#encoder.add(lines)
    return !this.#isFull
  }

  end(): void {
    if (this.#stopped) return
    this.#hasEnded = true
    this.#isFull = false
    readQueue.pass(this)
    this.#encoder.end()
    this.emit('finish')
  }

  /** Ignores further writes, sends nothing more and releases the socket. */
  stop(): void {
    this.#stopped = true
    readQueue.pass(this)
    this.#queue.length = 0
    this.socket.off('drain', this.#onDrain)
    if (this.#flushing) clearImmediate(this.#flushing)
  }

  /**
   * Each batch but the first is written right after the event loop has read the socket: clamd may reply and close before
   * the end of the message, and a failed write would destroy the socket with the unread reply.
   */
  #enqueue(batch: Batch): void {
    this.#queue.push(batch)
    this.#isFull = !this.#hasEnded
    if (!this.#hasWritten) {
      this.#hasWritten = true
      this.#flush()
    } else if (!this.#isBusy) {
      this.#flushSoon()
    }
  }

  onReadable(): void {
    if (!this.#isBusy) this.#readOn()
  }

  #readOn(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.emit('drain')
  }

  #flushSoon(): void {
    this.#isBusy = true
    this.#flushing = setImmediate(this.#flush)
  }

  readonly #flush = (): void => {
    this.#flushing = null
    const batch = this.#queue.shift()
    if (!batch) return
    const isLast = this.#hasEnded && this.#queue.length === 0
    this.#isBusy = !this.#write(batch, isLast)
    // The system has not taken all bytes: a message to another address can use the turn.
    if (this.socket.writableLength > 0) readQueue.pass(this)
    if (!this.#isBusy) this.#onDrain()
  }

  readonly #onDrain = (): void => {
    if (this.#flushing) return
    this.#isBusy = false
    if (this.#queue.length > 0) {
      this.#flushSoon()
    } else if (this.#isFull && readQueue.take(this)) {
      this.#readOn()
    }
  }

  /** @returns false: wait for the socket's `drain` */
  #write({ pieces, bytes }: Batch, isLast: boolean): boolean {
    const { socket } = this
    const done = (error?: Error | null) => {
      this.complete = !error
    }
    const gathered = bytes < pieces.length * pieceBytes ? [Buffer.concat(pieces, bytes)] : pieces
    const last = gathered.pop()
    socket.cork()
    for (const piece of gathered) socket.write(piece)
    const isFree = !last || socket.write(last, isLast && this.#isFramed ? done : undefined)
    socket.uncork()
    if (isLast && !this.#isFramed) socket.end(done)
    return isFree
  }
}
