/*
 * Byte ranges of the messages in an mbox. A message begins after a line `From …` that follows an empty line or starts the
 * file, and that has a time in it or a header below it. No npm package gives positions, which are needed to read a
 * message again for the next address, and all of them hold a message in memory.
 */

import type { FileHandle } from 'node:fs/promises'

export interface Range {
  /** Byte offsets in the file; `end` is exclusive. */
  readonly start: number
  readonly end: number
}

const lf = 0x0a
/** Bytes of each line that are examined. */
const maxTextBytes = 1024

/** True for the first bytes of an mbox. */
export function isMbox(head: Buffer): boolean {
  return head.subarray(0, 5).toString('latin1') === 'From '
}

/** The messages in order, without their `From ` line and the empty line after them. */
export async function* messagesOf(file: FileHandle): AsyncGenerator<Range> {
  let start: number | null = null
  /** A `From ` line without a time: if a header follows, the message ends at `end` and the next begins at `start`. */
  let candidate: { end: number; start: number } | null = null
  let before: Line | null = null
  for await (const line of linesOf(file)) {
    const isHeader = /^(?:[!-9;-~]+:|>From )/.test(line.text)
    if (candidate && isHeader) {
      if (start !== null) yield { start, end: candidate.end }
      start = candidate.start
    }
    candidate = null
    if (line.text.startsWith('From ') && (before === null || before.isEmpty)) {
      const next = { end: before?.start ?? 0, start: line.end }
      if (before === null || /\d\d:\d\d/.test(line.text)) {
        if (start !== null) yield { start, end: Math.max(start, next.end) }
        start = next.start
      } else {
        candidate = next
      }
    }
    before = line
  }
  if (start !== null && before)
    yield { start, end: before.isEmpty ? Math.max(start, before.start) : before.end }
}

interface Line {
  /** Its first bytes, as latin1. */
  readonly text: string
  readonly isEmpty: boolean
  readonly start: number
  readonly end: number
}

async function* linesOf(file: FileHandle): AsyncGenerator<Line> {
  const chunk = Buffer.alloc(64 * 1024)
  let position = 0
  let start = 0
  let text = ''
  const line = (end: number): Line => ({ text, isEmpty: text === '' || text === '\r', start, end })
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position)
    if (bytesRead === 0) break
    let from = 0
    while (from < bytesRead) {
      const end = chunk.indexOf(lf, from)
      const isWhole = end !== -1 && end < bytesRead
      const until = isWhole ? end : bytesRead
      if (text.length < maxTextBytes)
        text += chunk.toString('latin1', from, Math.min(until, from + maxTextBytes))
      from = isWhole ? end + 1 : bytesRead
      if (isWhole) {
        yield line(position + from)
        start = position + from
        text = ''
      }
    }
    position += bytesRead
  }
  if (position > start) yield line(position)
}
