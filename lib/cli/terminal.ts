/*
 * Terminal output: escaped text, tables, a progress bar, a confirmation. No colours.
 */

import { createInterface } from 'node:readline/promises'
import type { Writable } from 'node:stream'
import { unseen } from '../base/text'

/** Writes to standard output, which is for results alone. */
export function write(text: string): void {
  process.stdout.write(text)
}

/** Writes one object on one line. */
export function writeJson(value: object): void {
  write(`${JSON.stringify(value)}\n`)
}

/** Text from a message on one line: control, invisible and bidirectional characters become `\x1b` or `\u202e`. */
export function escaped(text: string): string {
  return text.replaceAll('\ufffd', '?').replace(unseen, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : code < 0x10000
        ? `\\u${code.toString(16).padStart(4, '0')}`
        : `\\u{${code.toString(16)}}`
  })
}

/** Aligns columns, two spaces apart; the last column is cut at `width`. */
export function table(rows: readonly (readonly string[])[], width = Infinity): string {
  const widths: number[] = []
  for (const row of rows)
    row.slice(0, -1).forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, length(cell))
    })
  return rows
    .map((row) => {
      const cells = row.map((cell, column) =>
        column < row.length - 1 ? cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - length(cell))) : cell,
      )
      return `${cut(cells.join('  ').trimEnd(), width)}\n`
    })
    .join('')
}

/** Cells that are not cut further, in characters. */
const minCell = 10

/** Cuts the widest cells from column `from` on, until a line fits, or none is wider than minCell. */
export function fitted(rows: readonly (readonly string[])[], width: number, from: number): string[][] {
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, length(cell))
  const total = () => widths.reduce((sum, one) => sum + one + 2, -2)
  while (total() > width) {
    const widest = widths.slice(from).reduce((max, one) => Math.max(max, one), 0)
    if (widest <= minCell) break
    widths[widths.lastIndexOf(widest)] = Math.max(minCell, widest - 1)
  }
  return rows.map((row) => row.map((cell, column) => (column < from ? cell : cut(cell, widths[column] ?? 0))))
}

const segmenter = new Intl.Segmenter()

/** Grapheme clusters: close enough to terminal columns for addresses and names. */
function charactersOf(text: string): string[] {
  return Array.from(segmenter.segment(text), ({ segment }) => segment)
}

function length(text: string): number {
  return charactersOf(text).length
}

export function cut(text: string, width: number): string {
  const characters = charactersOf(text)
  return characters.length > width ? `${characters.slice(0, width - 1).join('')}…` : text
}

/** Columns of the terminal; Infinity for a file or pipe. Some terminals report 0 columns: 80 is used then. */
export function widthOf(output: { isTTY?: boolean; columns?: number }): number {
  const columns = output.columns ?? 0
  return !output.isTTY ? Infinity : columns > 0 ? columns : 80
}

/** `1 minute`, `3 days`: the largest unit that fits. */
export function ago(ms: number): string {
  const units: [string, number][] = [
    ['day', 86_400_000],
    ['hour', 3_600_000],
    ['minute', 60_000],
  ]
  for (const [name, unit] of units) {
    const count = Math.floor(ms / unit)
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'}`
  }
  return 'less than a minute'
}

/** `2026-01-31 09:05` in the local time zone. */
export function localTime(ms: number): string {
  const time = new Date(ms)
  const two = (n: number) => String(n).padStart(2, '0')
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`
}

/** Milliseconds between two redraws of the bar. */
const drawMs = 100

/** A progress bar on a terminal's last line; without a terminal it draws nothing. */
export class Progress {
  #drawnAt = -Infinity
  #isDrawn = false

  /** @param total in the unit of `done` */
  constructor(
    private readonly output: Writable & { isTTY?: boolean; columns?: number },
    private readonly total: number,
  ) {}

  get isVisible(): boolean {
    return this.output.isTTY === true && this.total > 0
  }

  draw(done: number, text: string): void {
    const now = performance.now()
    if (!this.isVisible || now - this.#drawnAt < drawMs) return
    this.#drawnAt = now
    const share = Math.min(1, done / this.total)
    const cells = 24
    const full = Math.round(share * cells)
    const bar = `[${'#'.repeat(full)}${'.'.repeat(cells - full)}] ${Math.floor(share * 100)} % ${text}`
    this.output.write(`\r\x1b[K${cut(bar, widthOf(this.output) - 1)}`)
    this.#isDrawn = true
  }

  /** Removes the bar, so that a line can be written in its place. */
  clear(): void {
    if (!this.#isDrawn) return
    this.output.write('\r\x1b[K')
    this.#isDrawn = false
    this.#drawnAt = -Infinity
  }
}

/** Asks a yes-or-no question. Needs a terminal: without one the caller must not ask. */
export async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const closed = new AbortController()
  terminal.once('SIGINT', () => closed.abort())
  terminal.once('close', () => closed.abort())
  try {
    return /^(y|yes)$/i.test(
      (await terminal.question(`${question} [y/N] `, { signal: closed.signal })).trim(),
    )
  } catch {
    return false
  } finally {
    terminal.close()
  }
}
