/*
 * A file, or a part of one, as a message for the scanner: readable from its first byte as often as needed.
 * Which file, and what is in it, is content.ts' business.
 */

import { pipeline, type Readable } from 'node:stream'
import type { MessageSource, Sink } from '../../base/message-source'

export class FileMessage implements MessageSource {
  #reading: Readable | null = null

  /**
   * @param from begins a reading
   * @param onError told when a reading breaks off; the scan has no other way to learn of it
   */
  constructor(
    private readonly from: () => Readable,
    readonly minBytes: number,
    readonly maxBytes: number,
    private readonly onError: (error: Error) => void,
  ) {}

  open(sink: Sink): Promise<void> {
    this.close()
    const reading = this.from()
    this.#reading = reading
    reading.on('error', (error) => {
      if (this.#reading === reading) this.onError(error)
    })
    reading.on('data', (chunk: Buffer) => {
      if (this.#reading !== reading || sink.write(chunk)) return
      reading.pause()
      sink.once('drain', () => reading.resume())
    })
    reading.on('end', () => {
      if (this.#reading === reading) sink.end()
    })
    return Promise.resolve()
  }

  close(): void {
    this.#reading?.destroy()
    this.#reading = null
  }
}

/** A reading through a transformation, whose errors arrive at its end and whose end closes the file. */
export function through(reading: Readable, transformation: NodeJS.ReadWriteStream & Readable): Readable {
  pipeline(reading, transformation, () => undefined)
  return transformation
}
