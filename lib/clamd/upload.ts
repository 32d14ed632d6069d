/*
 * Puts one reading of a message on a socket: our Received line and what follows, framed for INSTREAM or bare
 * for STREAM, no faster than the socket takes it, and never more than maxBytes. Copies as little as it can.
 */

import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Exchange, Sink } from './exchange'
import { TooLarge } from './failure'
import { chunkHeader, endOfChunks, headLine } from './protocol'
import { Turn, type Waiter } from './turn'

/** So much is gathered for one system call; a call for every chunk of 8 KiB is what sending costs most. */
const parcelBytes = 64 * 1024

/**
 * What the senders of this process hold together before they stop their sources, save one parcel each. Every stop makes
 * the message stream keep hundreds of lines as objects, which the collector then has to carry along; but twenty large
 * messages at once must not hold as much as one may.
 */
const mostHeldBytes = 2 * 1024 * 1024

/** Bytes in the outboxes of all senders. */
let held = 0

/** Whose source may go on. Messages of one parcel need no turn; the others wait a second for theirs at most. */
const turn = new Turn()

/** Pieces shorter than this on average are cheaper copied into one than handed to the system one by one. */
const pieceBytes = 1024

/** What goes to the system in one call. */
interface Parcel {
  readonly pieces: Buffer[]
  bytes: number
}

/**
 * Only the part of a Writable that a pipe needs: the queue of a real one would hold every line of the message
 * once more. The message stream cuts its lines from larger buffers; here they are put together again, as views of
 * those buffers. What is written must not be changed afterwards.
 */
export class Upload extends EventEmitter implements Sink, Waiter {
  /** Content taken so far in bytes, our Received line included, chunk headers not. */
  bytes = 0
  /** True once everything, the end included, has been handed to the system. */
  complete = false

  readonly #isFramed: boolean
  /** Lines that lie one behind the other in one buffer, not yet part of a chunk. */
  #run: ArrayBufferLike = emptyRun
  #runStart = 0
  #runEnd = 0
  /** The chunk that is being filled. */
  #chunk: Parcel = { pieces: [], bytes: 0 }
  #parcel: Parcel = { pieces: [], bytes: 0 }
  readonly #outbox: Parcel[] = []
  /** A parcel is under way, or waits for its turn of the event loop. */
  #isBusy = false
  #turn: NodeJS.Immediate | null = null
  #hasWritten = false
  /** The system has not taken everything of what was written last. */
  #isBlocked = false
  #isFull = false
  #hasEnded = false
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
    this.#isFramed = prologue !== null
    if (prologue) put(this.#parcel, prologue)
    socket.on('drain', this.#onDrain)
    this.write(headLine)
  }

  write(lines: Buffer): boolean {
    if (this.#stopped) return true
    this.bytes += lines.length
    if (this.bytes > this.how.maxBytes) {
      this.stop()
      this.onTooLarge(new TooLarge(this.bytes))
      return true
    }
    if (lines.buffer !== this.#run || lines.byteOffset !== this.#runEnd) {
      this.#endRun()
      this.#run = lines.buffer
      this.#runStart = lines.byteOffset
      this.#runEnd = lines.byteOffset
    }
    this.#runEnd += lines.length
    this.#fillChunks()
    return !this.#isFull
  }

  end(): void {
    if (this.#stopped) return
    this.#endRun()
    if (this.#chunk.bytes > 0) this.#endChunk()
    if (this.#isFramed) put(this.#parcel, endOfChunks)
    this.#hasEnded = true
    this.#isFull = false
    turn.pass(this)
    this.#ship()
    this.emit('finish')
  }

  /** Takes and sends nothing more, and forgets the socket. */
  stop(): void {
    this.#stopped = true
    turn.pass(this)
    for (const { bytes } of this.#outbox.splice(0)) held -= bytes
    this.socket.off('drain', this.#onDrain)
    if (this.#turn) clearImmediate(this.#turn)
  }

  #endRun(): void {
    if (this.#runEnd > this.#runStart) this.#cut(this.#runEnd - this.#runStart)
  }

  #fillChunks(): void {
    for (;;) {
      const room = this.how.bufferBytes - this.#chunk.bytes
      if (this.#runEnd - this.#runStart < room) return
      this.#cut(room)
      this.#endChunk()
      if (this.#parcel.bytes >= parcelBytes) this.#ship()
    }
  }

  /** Moves the first bytes of the run to the chunk. */
  #cut(bytes: number): void {
    put(this.#chunk, Buffer.from(this.#run, this.#runStart, bytes))
    this.#runStart += bytes
  }

  #endChunk(): void {
    if (this.#isFramed) put(this.#parcel, chunkHeader(this.#chunk.bytes))
    for (const piece of this.#chunk.pieces) put(this.#parcel, piece)
    this.#chunk = { pieces: [], bytes: 0 }
  }

  /**
   * Each parcel but the first goes right after the event loop has looked at the socket. For a clamd that has had
   * enough replies and closes at once; a write that fails then takes the socket with it, the unread reply included.
   */
  #ship(): void {
    this.#outbox.push(this.#parcel)
    held += this.#parcel.bytes
    this.#parcel = { pieces: [], bytes: 0 }
    if (!this.#hasWritten) {
      this.#hasWritten = true
      this.#post()
    } else if (!this.#isBusy) {
      this.#awaitTurn()
    }
    if (!this.#hasEnded) this.#isFull ||= !this.#mayReadOn()
  }

  /** Who is blocked asks for no turn: others, to other addresses, may have a use for it. */
  #mayReadOn(): boolean {
    const isEnough = this.#outbox.length > 0 && held >= mostHeldBytes
    return !isEnough && !this.#isBlocked && turn.take(this)
  }

  onTurn(): void {
    if (this.#outbox.length === 0 && !this.#isBusy) this.#readOn()
  }

  #readOn(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.emit('drain')
  }

  #awaitTurn(): void {
    this.#isBusy = true
    this.#turn = setImmediate(this.#post)
  }

  readonly #post = (): void => {
    this.#turn = null
    const parcel = this.#outbox.shift()
    if (!parcel) return
    held -= parcel.bytes
    const isLast = this.#hasEnded && this.#outbox.length === 0
    this.#isBusy = !this.#write(parcel, isLast)
    this.#isBlocked = this.socket.writableLength > 0
    if (this.#isBlocked) turn.pass(this)
    if (!this.#isBusy) this.#onDrain()
  }

  readonly #onDrain = (): void => {
    if (this.#turn) return
    this.#isBusy = false
    this.#isBlocked = false
    if (this.#outbox.length > 0) {
      this.#awaitTurn()
    } else if (this.#isFull && turn.take(this)) {
      this.#readOn()
    }
  }

  /** @returns false if the socket wants to be left alone until it drains */
  #write({ pieces, bytes }: Parcel, isLast: boolean): boolean {
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

const emptyRun = new ArrayBuffer(0)

function put(to: Parcel, piece: Buffer): void {
  to.pieces.push(piece)
  to.bytes += piece.length
}
