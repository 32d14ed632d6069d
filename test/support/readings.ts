// A message in memory as the product reads it, and what is found in it.
import type { MessageSource } from '../../lib/base/message-source'
import { PlainCheck, type PlainResult } from '../../lib/mime/plain/plain-check'
import { type Content, type ReadingOptions, Readings, type Summary } from '../../lib/scan/readings/readings'

export function sourceOf(bytes: Buffer, chunkBytes = 8192): MessageSource {
  return {
    minBytes: bytes.length,
    maxBytes: bytes.length,
    open(sink) {
      for (let at = 0; at < bytes.length; at += chunkBytes) sink.write(bytes.subarray(at, at + chunkBytes))
      sink.end()
      return Promise.resolve()
    },
    close: () => undefined,
  }
}

export async function contentsOf(
  mail: Buffer,
  options: Partial<ReadingOptions> = {},
): Promise<{ readonly contents: readonly Content[]; readonly summary: Summary }> {
  const readings = new Readings(sourceOf(mail), { signal: new AbortController().signal, ...options })
  const contents: Content[] = []
  for await (const content of readings.contents()) contents.push(content)
  return { contents, summary: readings.summary }
}

export function plainCheck(mail: Buffer): PlainResult {
  const check = new PlainCheck()
  check.write(mail)
  return check.end()
}
