/*
 * A transaction's message as the scanner reads it: exactly what would be delivered at this moment, from its
 * first byte, any number of times. The next plugin pipes the same stream, so every reading is closed again.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { MessageSource, Sink } from './clamd/exchange'
import { Failure } from './clamd/failure'
import type { Transaction } from './haraka'

/** Milliseconds between two looks at whether another plugin has finished reading; there is no event for it. */
const pollMs = 20

export class TransactionMessage implements MessageSource {
  readonly least: number
  readonly most: number
  #reading: Sink | null = null
  /** Counts openings and closings, so that a wait for a neighbour knows when it has been overtaken. */
  #turn = 0

  /** @param patienceMs how long another plugin's reading is waited for */
  constructor(
    private readonly transaction: Transaction,
    private readonly patienceMs: number,
  ) {
    const { headers, bytes_read: received, idx } = transaction.message_stream
    const head =
      headers.length === 0 ? 0 : headers.reduce((sum, line) => sum + bytesOnWire(line), '\r\n'.length)
    const body = head === 0 ? received : received - (idx.body?.start ?? 0)
    // Un-stuffing takes at most one byte of every line of "..\r\n".
    this.least = head + Math.ceil(body * 0.75)
    this.most = head + body
  }

  /** @param lineEnds as the reading has them */
  async open(sink: Sink, lineEnds: '\r\n' | '\n' = '\r\n'): Promise<void> {
    const turn = ++this.#turn
    const onFinish = () => {
      this.#reading = null
    }
    const until = performance.now() + this.patienceMs
    while (turn === this.#turn) {
      try {
        this.transaction.message_stream.pipe(sink, { line_endings: lineEnds })
        this.#reading = sink
        sink.once('finish', onFinish)
        return
      } catch (cause) {
        if (!String(cause).includes('currently piping')) {
          throw new Failure('read message', 'the message cannot be read', cause)
        }
        if (performance.now() > until) {
          throw new Failure('read message', 'another plugin keeps the message open', cause)
        }
        await delay(pollMs)
      }
    }
  }

  close(): void {
    this.#turn++
    const sink = this.#reading
    this.#reading = null
    if (!sink) return
    const { message_stream: stream } = this.transaction
    // Without unpipe() the stream ends its reading when the destination says it has closed.
    if (stream.unpipe) stream.unpipe()
    else sink.emit('close')
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
