/*
 * Reads a message only for its size.
 */

import { EventEmitter } from 'node:events'
import type { CancelSignal } from './cancellation'
import type { MessageSource, Sink } from './message-source'

class Counter extends EventEmitter implements Sink {
  bytes = 0

  write(chunk: Buffer): boolean {
    this.bytes += chunk.length
    return true
  }

  end(): void {
    this.emit('finish')
  }
}

/** Resolves with the size of one reading in bytes. Rejects as `open` does, or with the signal's reason. */
export async function measure(message: Pick<MessageSource, 'open'>, signal: CancelSignal): Promise<number> {
  signal.throwIfAborted()
  const counter = new Counter()
  let onAbort: () => void = () => undefined
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(signal.reason)
      signal.addEventListener('abort', onAbort)
      counter.once('finish', resolve)
      message.open(counter).catch(reject)
    })
    return counter.bytes
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
