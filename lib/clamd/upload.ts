/*
 * Puts one reading of a message on a socket: our Received line and what follows, framed for INSTREAM or bare
 * for STREAM (framing.ts), no faster than the socket takes it, and never more than maxBytes.
 */

import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Sink } from '../base/message-source'
import { ChunkEncoder, type Batch } from './chunk-encoder'
import { TooLarge } from './errors'
import type { Exchange } from './exchange'
import { receivedLine } from './protocol'
import { ReadQueue, type Waiter } from './read-queue'

/** Pieces shorter than this on average are cheaper copied into one than handed to the system one by one. */
const pieceBytes = 1024

/** Whose source may be read on. Messages of one parcel need no turn; the others wait a second for theirs at most. */
const reading = new ReadQueue()

/**
 * Only the part of a Writable that a pipe needs: the queue of a real one would hold every line of the message
 * once more. What is written must not be changed afterwards.
 */
export class Upload extends EventEmitter implements Sink, Waiter {
  /** Content taken so far in bytes, our Received line included, chunk headers not. */
  bytes = 0
  /** True once everything, the end included, has been handed to the system. */
  complete = false

  readonly #isFramed: boolean
  readonly #encoder: ChunkEncoder
  readonly #queue: Batch[] = []
  /** A parcel is under way, or waits for the next turn of the event loop. */
  #isBusy = false
  #flushing: NodeJS.Immediate | null = null
  #hasWritten = false
  /** The source waits for `drain`. */
  #isFull = false
  #hasEnded = false
  #stopped = false

  /**
   * @param prologue goes out in front, unframed: the INSTREAM command. null: STREAM, which has no frames.
   * @param onTooLarge called once, when the message turns out larger than maxBytes; nothing more is sent then.
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
    reading.pass(this)
    this.#encoder.end()
    this.emit('finish')
  }

  /** Takes and sends nothing more, and forgets the socket. */
  stop(): void {
    this.#stopped = true
    reading.pass(this)
    this.#queue.length = 0
    this.socket.off('drain', this.#onDrain)
    if (this.#flushing) clearImmediate(this.#flushing)
  }

  /**
   * Each parcel but the first goes right after the event loop has looked at the socket. For a clamd that has had
   * enough replies and closes at once; a write that fails then takes the socket with it, the unread reply included.
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
    // The system has not taken it all: others, to other addresses, may have a use for the turn.
    if (this.socket.writableLength > 0) reading.pass(this)
    if (!this.#isBusy) this.#onDrain()
  }

  readonly #onDrain = (): void => {
    if (this.#flushing) return
    this.#isBusy = false
    if (this.#queue.length > 0) {
      this.#flushSoon()
    } else if (this.#isFull && reading.take(this)) {
      this.#readOn()
    }
  }

  /** @returns false if the socket wants to be left alone until it drains */
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
