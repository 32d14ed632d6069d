/*
 * A transaction's message as the scanner reads it: exactly what would be delivered at this moment, from its
 * first byte, any number of times. The next plugin pipes the same stream, so every reading is closed again.
 */

import { EventEmitter } from 'node:events'
import type { MessageSource, Sink } from '../base/message-source'
import { retryAfter } from '../base/retry'
import { ClamdError } from '../clamd/errors'
import type { Transaction } from './types'

/** Milliseconds between two looks at whether another plugin has finished reading; there is no event for it. */
const pollMs = 20

/**
 * Haraka keeps lines as they came. `relayed`: as they arrive by way of another server, which takes one dot off every line
 * that begins with one (RFC 5321, 4.5.2). `piped`: as a program on this machine gets them, with dots taken off where
 * there are two. Only what a client has sent without doubling its dots differs.
 */
export type Reading = 'relayed' | 'piped'

export class TransactionMessage implements MessageSource {
  readonly minBytes: number
  readonly maxBytes: number
  /** Of the reading that is open. */
  #destination: Sink | null = null
  /** Counts openings and closings, so that a wait for a neighbour knows when it has been overtaken. */
  #generation = 0
  #hasLoneDots = false

  /** @param patienceMs how long another plugin's reading is waited for */
  constructor(
    private readonly transaction: Transaction,
    private readonly patienceMs: number,
    private readonly reading: Reading = 'relayed',
  ) {
    const { headers, bytes_read: received, idx } = transaction.message_stream
    const head =
      headers.length === 0 ? 0 : headers.reduce((sum, line) => sum + bytesOnWire(line), '\r\n'.length)
    const body = head === 0 ? received : received - (idx.body?.start ?? 0)
    // One dot less in each line of ".\n".
    this.minBytes = head + Math.ceil(body * 0.5)
    this.maxBytes = head + body
  }

  /** @param lineEnds as the reading has them */
  async open(sink: Sink, lineEnds: '\r\n' | '\n' = '\r\n'): Promise<void> {
    const generation = ++this.#generation
    const isRelayed = this.reading === 'relayed'
    const onLoneDot = isRelayed ? () => (this.#hasLoneDots = true) : null
    const destination = new DotUnstuffer(sink, onLoneDot)
    const onFinish = () => {
      this.#destination = null
    }
    const begin = () => {
      // Closed, or begun anew, while another plugin was waited for.
      if (generation !== this.#generation) return
      const { message_stream: stream } = this.transaction
      stream.pipe(destination, { line_endings: lineEnds, dot_stuffed: !isRelayed })
      this.#destination = destination
      destination.once('finish', onFinish)
    }
    try {
      begin()
    } catch (error) {
      const pace = { minTimeout: pollMs, factor: 1, maxRetryTime: this.patienceMs }
      await retryAfter(error, begin, { ...pace, isPassing: isBusy }).catch((cause: unknown) => {
        const text = isBusy(cause) ? 'another plugin keeps the message open' : 'the message cannot be read'
        throw new ClamdError('read message', text, cause)
      })
    }
  }

  close(): void {
    this.#generation++
    const destination = this.#destination
    this.#destination = null
    if (!destination) return
    const { message_stream: stream } = this.transaction
    // Without unpipe() the stream ends its reading when the destination says it has closed.
    if (stream.unpipe) stream.unpipe()
    else destination.emit('close')
  }

  alternative(): MessageSource | null {
    return this.#hasLoneDots ? new TransactionMessage(this.transaction, this.patienceMs, 'piped') : null
  }
}

/** Of the message stream, which has one reader at a time. */
function isBusy(error: unknown): boolean {
  return String(error).includes('currently piping')
}

const dot = 0x2e

/** The part of a Writable that holds back what is written to it. */
interface Corkable {
  cork(): void
  uncork(): void
}

/**
 * Passes lines on, and takes one dot off those that begin with one. To be given line by line, as the message stream does.
 *
 * A sink that wants to be left alone still gets what the stream has taken in hand, some 64 KiB at most: the stream cuts
 * all of that into lines at once, and would keep hundreds of them as objects that the collector carries along. What
 * comes next is held back in front of that.
 */
class DotUnstuffer extends EventEmitter implements Sink {
  #source: Corkable | null = null
  #isCorked = false

  /** @param onLoneDot called for each line in which the dot was not a doubled one; null: dots stay as they are */
  constructor(
    private readonly sink: Sink,
    private readonly onLoneDot: (() => void) | null,
  ) {
    super()
    this.once('pipe', (source: Corkable) => {
      if (typeof source.cork === 'function') this.#source = source
    })
    sink.on('drain', () => this.#readOn())
  }

  write(line: Buffer): boolean {
    const goesOn = this.sink.write(this.#unstuffed(line))
    if (goesOn || !this.#source) return goesOn
    if (!this.#isCorked) this.#source.cork()
    this.#isCorked = true
    return true
  }

  end(): void {
    this.sink.end()
    this.emit('finish')
  }

  #unstuffed(line: Buffer): Buffer {
    if (line[0] !== dot || !this.onLoneDot) return line
    if (line[1] !== dot) this.onLoneDot()
    return line.subarray(1)
  }

  #readOn(): void {
    if (!this.#isCorked || !this.#source) {
      this.emit('drain')
      return
    }
    this.#isCorked = false
    this.#source.uncork()
  }
}

/** The stream sends header lines with CRLF, however they are kept. */
function bytesOnWire(line: string): number {
  let bytes = Buffer.byteLength(line)
  for (let at = line.indexOf('\n'); at !== -1; at = line.indexOf('\n', at + 1)) {
    if (line[at - 1] !== '\r') bytes++
  }
  return bytes
}
