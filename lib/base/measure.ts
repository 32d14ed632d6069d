/*
 * Reads a message for itself: for its size, or for what the caller makes of its bytes.
 */

import { EventEmitter } from 'node:events'
import type { CancelSignal } from './cancellation'
import type { MessageSource, Sink } from './message-source'

class Reader extends EventEmitter implements Sink {
  constructor(private readonly onPiece: (piece: Buffer) => void) {
    super()
  }

  write(piece: Buffer): boolean {
    this.onPiece(piece)
    return true
  }

  end(): void {
    this.emit('finish')
  }
}

/** Resolves at the end of one reading. Rejects as `open` does, or with the signal's reason. */
export async function readThrough(
  message: Pick<MessageSource, 'open'>,
  signal: CancelSignal,
  onPiece: (piece: Buffer) => void,
): Promise<void> {
  signal.throwIfAborted()
  const reader = new Reader(onPiece)
  let onAbort: () => void = () => undefined
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(signal.reason)
      signal.addEventListener('abort', onAbort)
      reader.once('finish', resolve)
      message.open(reader).catch(reject)
    })
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Resolves with the size of one reading in bytes. Rejects as `readThrough` does. */
export async function measure(message: Pick<MessageSource, 'open'>, signal: CancelSignal): Promise<number> {
  let bytes = 0
  await readThrough(message, signal, (piece) => (bytes += piece.length))
  return bytes
}
