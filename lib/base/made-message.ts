/*
 * A message that this plugin has made itself, as the scanner reads it: piece by piece, as often as needed.
 */

import type { MessageSource, Sink } from './message-source'

/** Bytes that go out in one write. */
export const pieceBytes = 64 * 1024

export class MadeMessage implements MessageSource {
  readonly minBytes: number
  readonly maxBytes: number
  #close: (() => void) | null = null

  /** @param pieces of one reading, of at most `pieceBytes` each and `bytes` together */
  constructor(
    bytes: number,
    private readonly pieces: () => Iterator<Buffer, undefined>,
  ) {
    this.minBytes = bytes
    this.maxBytes = bytes
  }

  open(sink: Sink): Promise<void> {
    const pieces = this.pieces()
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
}

/** One that is there already, in one stretch or in several, one behind the other. */
export function bytesMessage(...stretches: readonly Buffer[]): MadeMessage {
  const bytes = stretches.reduce((sum, { length }) => sum + length, 0)
  return new MadeMessage(bytes, () => piecesOf(stretches))
}

/** One that is a text. */
export function textMessage(text: string): MadeMessage {
  return bytesMessage(Buffer.from(text))
}

function* piecesOf(stretches: readonly Buffer[]): Generator<Buffer, undefined> {
  for (const bytes of stretches) {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
  }
  return undefined
}
