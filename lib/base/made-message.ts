/*
 * A message that this plugin generates, for the scanner to read piece by piece, as often as needed.
 */

import type { MessageSource, Sink } from './message-source'

/** Maximum bytes of one write. */
export const pieceBytes = 64 * 1024

export class MadeMessage implements MessageSource {
  readonly minBytes: number
  readonly maxBytes: number
  #close: (() => void) | null = null

  /**
   * @param pieces yields one reading: pieces of at most `pieceBytes`, `bytes` in total
   * @param whole all of it, if it is in memory
   */
  constructor(
    bytes: number,
    private readonly pieces: () => Iterator<Buffer, undefined>,
    readonly whole?: Buffer,
  ) {
    this.minBytes = bytes
    this.maxBytes = bytes
  }

  open(sink: Sink): Promise<void> {
    const pieces = this.pieces()
    const pump = () => {
      if (this.#close !== close) return
      // for…of would close the iterator when the loop is left.
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

/** A message whose bytes are in memory, in one stretch or in several in a row. */
export function bytesMessage(...stretches: readonly Buffer[]): MadeMessage {
  const bytes = stretches.reduce((sum, { length }) => sum + length, 0)
  return new MadeMessage(bytes, () => piecesOf(stretches), stretches.length === 1 ? stretches[0] : undefined)
}

export function textMessage(text: string): MadeMessage {
  return bytesMessage(Buffer.from(text))
}

function* piecesOf(stretches: readonly Buffer[]): Generator<Buffer, undefined> {
  for (const bytes of stretches) {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
  }
  return undefined
}
