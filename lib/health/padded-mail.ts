/*
 * A mail that a clamd is tried with, of any size, each unlike all others. What is in it is mails.ts' business, what
 * becomes of it prove.ts'.
 */

import type { MessageSource, Sink } from '../base/message-source'
import { receivedLine } from '../clamd/protocol'

/** Bytes of padding that go out in one write. */
const blockBytes = 64 * 1024

/** Text, or padding of so many bytes that begins with a tag of its own. */
export type Stretch = Buffer | { readonly tag: Buffer; readonly bytes: number }

/** Can be read once. */
export class Probe implements MessageSource {
  readonly minBytes: number
  readonly maxBytes: number
  #close: (() => void) | null = null

  constructor(private readonly stretches: readonly Stretch[]) {
    this.minBytes = stretches.reduce((sum, one) => sum + (Buffer.isBuffer(one) ? one.length : one.bytes), 0)
    this.maxBytes = this.minBytes
  }

  /** As it is sent, our Received line included. */
  get bytes(): number {
    return receivedLine.length + this.minBytes
  }

  open(sink: Sink): Promise<void> {
    const pieces = this.#pieces()
    const pump = () => {
      if (this.#close !== close) return
      // Not for…of, which would end the pieces where the loop is left.
      for (let next = pieces.next(); !next.done; next = pieces.next()) {
        if (!sink.write(next.value)) {
          sink.once('drain', pump)
          return
        }
      }
      sink.end()
    }
    const first = setImmediate(pump)
    const close = () => {
      clearImmediate(first)
      sink.off('drain', pump)
    }
    this.#close = close
    return Promise.resolve()
  }

  close(): void {
    this.#close?.()
    this.#close = null
  }

  *#pieces(): Generator<Buffer, undefined> {
    const line = `${'padding '.repeat(9)}..\r\n`
    const block = Buffer.alloc(blockBytes - (blockBytes % line.length), line)
    for (const stretch of this.stretches) {
      if (Buffer.isBuffer(stretch)) {
        yield stretch
        continue
      }
      yield stretch.tag
      for (let left = stretch.bytes - stretch.tag.length; left > 0; left -= block.length) {
        yield block.subarray(0, left)
      }
    }
    return undefined
  }
}
