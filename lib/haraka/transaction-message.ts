/*
 * A transaction's message for the scanner: exactly the bytes that would be delivered at this moment, readable several times.
 * Later plugins pipe the same stream, so every reading must be closed.
 */

import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { CancelSignal } from '../base/cancellation'
import { readThrough } from '../base/measure'
import type { MessageIdentity, MessageSource, Sink } from '../base/message-source'
import { retryAfter } from '../base/retry'
import { ClamdError } from '../clamd/errors'
import type { Transaction } from './types'

/** Milliseconds between two tries while another plugin reads; there is no event for its end. */
const pollMs = 20

/**
 * Haraka stores lines as received. `unstuffed`: the message after the next SMTP server, which removes the leading dot of
 * every line (RFC 5321, 4.5.2). `raw`: the message as Haraka pipes it to a program on this machine, with one of two leading
 * dots removed. They differ only if the client did not double its dots.
 */
export type Reading = 'unstuffed' | 'raw'

export class TransactionMessage implements MessageSource, MessageIdentity {
  readonly minBytes: number
  readonly maxBytes: number
  readonly bodyBytes: number
  /** Destination of the open reading. */
  #destination: Sink | null = null
  /** Counts open() and close(), so that a wait for another plugin's reading notices that it is outdated. */
  #generation = 0
  #hasLoneDots = false

  /**
   * @param maxWaitMs for another plugin's reading to end
   * @param readers the plugins that may be reading it, for the error
   */
  constructor(
    private readonly transaction: Transaction,
    private readonly maxWaitMs: number,
    private readonly reading: Reading = 'unstuffed',
    private readonly readers: () => readonly string[] = () => [],
  ) {
    const { headers, bytes_read: received, idx } = transaction.message_stream
    const head =
      headers.length === 0 ? 0 : headers.reduce((sum, line) => sum + bytesOnWire(line), '\r\n'.length)
    const body = head === 0 ? received : received - (idx.body?.start ?? 0)
    this.bodyBytes = body
    // Every line may be ".\n" and lose its dot.
    this.minBytes = head + Math.ceil(body * 0.5)
    this.maxBytes = head + body
  }

  /** @param lineEnds of the reading */
  async open(sink: Sink, lineEnds: '\r\n' | '\n' = '\r\n'): Promise<void> {
    const generation = ++this.#generation
    const isUnstuffed = this.reading === 'unstuffed'
    const onLoneDot = isUnstuffed ? () => (this.#hasLoneDots = true) : null
    const destination = new DotUnstuffer(sink, onLoneDot)
    const onFinish = () => {
      this.#destination = null
    }
    const begin = () => {
      // Closed or reopened while waiting for another plugin.
      if (generation !== this.#generation) return
      const { message_stream: stream } = this.transaction
      stream.pipe(destination, { line_endings: lineEnds, dot_stuffed: !isUnstuffed })
      this.#destination = destination
      destination.once('finish', onFinish)
    }
    try {
      begin()
    } catch (error) {
      const pace = { minTimeout: pollMs, factor: 1, maxRetryTime: this.maxWaitMs }
      await retryAfter(error, begin, { ...pace, isPassing: isBusy }).catch((cause: unknown) => {
        const text = isBusy(cause) ? keptOpen(this.readers()) : 'the message cannot be read'
        throw new ClamdError('read message', text, { cause })
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

  get identity(): MessageIdentity {
    return this
  }

  /** Of the body and of the headers that the client sent: what Haraka and its plugins add differs with each delivery. */
  async digest(signal: CancelSignal): Promise<string> {
    const hash = createHash('sha256')
    for (const line of lastingHeaders(this.transaction.header_lines)) hash.update(line)
    const reading = new TransactionMessage(this.transaction, this.maxWaitMs, 'raw')
    let headBytes = reading.maxBytes - reading.bodyBytes
    try {
      await readThrough(reading, signal, (piece) => {
        if (headBytes < piece.length) hash.update(headBytes > 0 ? piece.subarray(headBytes) : piece)
        headBytes -= Math.min(headBytes, piece.length)
      })
    } finally {
      reading.close()
    }
    return hash.digest('base64')
  }

  nextReading(): MessageSource | null {
    return this.#hasLoneDots
      ? new TransactionMessage(this.transaction, this.maxWaitMs, 'raw', this.readers)
      : null
  }
}

function keptOpen(readers: readonly string[]): string {
  const text = 'another plugin keeps the message open'
  return readers.length === 0 ? text : `${text}; on data_post before this one: ${readers.join(', ')}`
}

const traceName = /^(received|return-path)[ \t]*:/i

/** Lines of the headers that a message has on every way to us. */
function* lastingHeaders(lines: readonly string[]): Generator<string, void> {
  let isLasting = true
  for (const line of lines) {
    if (!/^[ \t]/.test(line)) isLasting = !traceName.test(line)
    if (isLasting) yield line
  }
}

/** True for the message stream's error about a second reader. */
function isBusy(error: unknown): boolean {
  return String(error).includes('currently piping')
}

const dot = 0x2e

/** The part of a Writable that delays writes. */
interface Corkable {
  cork(): void
  uncork(): void
}

/**
 * Passes lines on and removes one leading dot. Each write must be one line, as from the message stream.
 *
 * After the sink returned false it still gets the rest of the stream's current chunk, at most 64 KiB: the stream splits a
 * chunk into lines at once and would otherwise buffer hundreds of line objects. Corking the source delays the next chunk.
 */
class DotUnstuffer extends EventEmitter implements Sink {
  #source: Corkable | null = null
  #isCorked = false

  /** @param onLoneDot called for each line with a single leading dot; null: dots are not removed */
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

/** The stream sends header lines with CRLF, whatever line ends they are stored with. */
function bytesOnWire(line: string): number {
  let bytes = Buffer.byteLength(line)
  for (let at = line.indexOf('\n'); at !== -1; at = line.indexOf('\n', at + 1)) {
    if (line[at - 1] !== '\r') bytes++
  }
  return bytes
}
