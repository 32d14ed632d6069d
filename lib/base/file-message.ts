/*
 * A file, or a range of one, as a message for the scanner, which may read it several times.
 */

import { pipeline, type Readable } from 'node:stream'
import type { MessageSource, Sink } from './message-source'

export class FileMessage implements MessageSource {
  #reading: Readable | null = null

  /**
   * @param from opens a reading
   * @param onError called if a reading fails, which the scan itself does not notice
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

/** Pipes a reading through a transform: errors are passed on, and destroying the result closes the file. */
export function through(reading: Readable, transformation: NodeJS.ReadWriteStream & Readable): Readable {
  pipeline(reading, transformation, () => undefined)
  return transformation
}
