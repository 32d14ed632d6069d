/*
 * Puts one reading of a message on a socket: our Received line and what follows, framed for INSTREAM or bare
 * for STREAM (framing.ts), no faster than the socket takes it, and never more than maxBytes.
 */

import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Sink } from '../source'
import type { Exchange } from './exchange'
import { TooLarge } from './failure'
import { Framing, type Parcel } from './framing'
import { headLine } from './protocol'
import { Turn, type Waiter } from './turn'

/**
 * What the uploads of this process hold together before they stop their sources, save one parcel each. Every stop makes
 * the message stream keep hundreds of lines as objects, which the collector then has to carry along; but twenty large
 * messages at once must not hold as much as one may.
 */
const mostHeldBytes = 2 * 1024 * 1024

/** Lines taken before others have their turn of the event loop: as many as fill mostHeldBytes as mail has them. */
const mostLinesAtOnce = 32 * 1024

/** Pieces shorter than this on average are cheaper copied into one than handed to the system one by one. */
const pieceBytes = 1024

/** Bytes in the outboxes of all uploads. */
let held = 0

/** Whose source may be read on. Messages of one parcel need no turn; the others wait a second for theirs at most. */
const reading = new Turn()

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
  readonly #framing: Framing
  readonly #outbox: Parcel[] = []
  /** A parcel is under way, or waits for the next turn of the event loop. */
  #isBusy = false
  #posting: NodeJS.Immediate | null = null
  #resting: NodeJS.Immediate | null = null
  #linesAtOnce = 0
  #hasWritten = false
  /** The system has not taken everything of what was written last. */
  #isBlocked = false
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
    private readonly how: Pick<Exchange, 'bufferBytes' | 'maxBytes'>,
    prologue: Buffer | null,
    private readonly onTooLarge: (reason: TooLarge) => void,
  ) {
    super()
    this.#isFramed = prologue !== null
    this.#framing = new Framing(how.bufferBytes, prologue, (parcel) => this.#ship(parcel))
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
    this.#framing.add(lines)
    if (++this.#linesAtOnce >= mostLinesAtOnce) this.#rest()
    return !this.#isFull
  }

  end(): void {
    if (this.#stopped) return
    this.#hasEnded = true
    this.#isFull = false
    reading.pass(this)
    this.#framing.end()
    this.emit('finish')
  }

  /** Takes and sends nothing more, and forgets the socket. */
  stop(): void {
    this.#stopped = true
    reading.pass(this)
    for (const { bytes } of this.#outbox.splice(0)) held -= bytes
    this.socket.off('drain', this.#onDrain)
    if (this.#posting) clearImmediate(this.#posting)
    if (this.#resting) clearImmediate(this.#resting)
  }

  /**
   * Each parcel but the first goes right after the event loop has looked at the socket. For a clamd that has had
   * enough replies and closes at once; a write that fails then takes the socket with it, the unread reply included.
   */
  #ship(parcel: Parcel): void {
    this.#outbox.push(parcel)
    held += parcel.bytes
    if (!this.#hasWritten) {
      this.#hasWritten = true
      this.#post()
    } else if (!this.#isBusy) {
      this.#postSoon()
    }
    if (!this.#hasEnded) this.#isFull ||= !this.#mayReadOn()
  }

  /** Who is blocked asks for no turn: others, to other addresses, may have a use for it. */
  #mayReadOn(): boolean {
    const isEnough = this.#outbox.length > 0 && held >= mostHeldBytes
    return !isEnough && !this.#isBlocked && reading.take(this)
  }

  onTurn(): void {
    if (this.#outbox.length === 0 && !this.#isBusy) this.#readOn()
  }

  /** Very short lines cost time out of proportion to their bytes, and other connections wait meanwhile. */
  #rest(): void {
    this.#isFull = true
    this.#resting ??= setImmediate(() => {
      this.#resting = null
      if (this.#isFull && this.#mayReadOn()) this.#readOn()
    })
  }

  #readOn(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#linesAtOnce = 0
    this.emit('drain')
  }

  #postSoon(): void {
    this.#isBusy = true
    this.#posting = setImmediate(this.#post)
  }

  readonly #post = (): void => {
    this.#posting = null
    const parcel = this.#outbox.shift()
    if (!parcel) return
    held -= parcel.bytes
    const isLast = this.#hasEnded && this.#outbox.length === 0
    this.#isBusy = !this.#write(parcel, isLast)
    this.#isBlocked = this.socket.writableLength > 0
    if (this.#isBlocked) reading.pass(this)
    if (!this.#isBusy) this.#onDrain()
  }

  readonly #onDrain = (): void => {
    if (this.#posting) return
    this.#isBusy = false
    this.#isBlocked = false
    if (this.#outbox.length > 0) {
      this.#postSoon()
    } else if (this.#isFull && reading.take(this)) {
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
