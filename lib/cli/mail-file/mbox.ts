/*
 * Where the messages of an mbox lie. A message begins behind a line `From …` that follows an empty line or
 * the beginning of the file, and that looks like one which a mail program wrote: with a time in it, or
 * with a header below it. Of the packages there are, none gives positions, so that a message could be read
 * again for the next address, and all hold a message in memory.
 */

import type { FileHandle } from 'node:fs/promises'

export interface Range {
  /** Bytes from the beginning of the file, `end` not included. */
  readonly start: number
  readonly end: number
}

const lf = 0x0a
const longestStart = 1024

/** True for the first bytes of an mbox. */
export function isMbox(head: Buffer): boolean {
  return head.subarray(0, 5).toString('latin1') === 'From '
}

/** The messages one after the other, without their `From ` line and the empty line behind them. */
export async function* messagesOf(file: FileHandle): AsyncGenerator<Range> {
  let start: number | null = null
  /** A `From ` line with no time in it, and what to do if a header follows: end there, begin behind it. */
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
  /** Its first bytes, one character each. */
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
      if (text.length < longestStart)
        text += chunk.toString('latin1', from, Math.min(until, from + longestStart))
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
