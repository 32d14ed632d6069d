/*
 * What people see: text that no stranger can make a terminal obey, columns, a bar, a question.
 * Colours are left to whoever wants them.
 */

import { createInterface } from 'node:readline/promises'
import type { Writable } from 'node:stream'
import { unseen } from '../base/text'

/** What a command is asked for, which goes to standard output. */
export function write(text: string): void {
  process.stdout.write(text)
}

/** One object on one line of it. */
export function writeJson(value: object): void {
  write(`${JSON.stringify(value)}\n`)
}

/** Text of a stranger on one line: what could move a cursor, hide or turn round is written as `\x1b` or `\u202e`. */
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

/** Rows in columns, two spaces between them; the last column is as wide as it likes, up to `width`. */
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

const segmenter = new Intl.Segmenter()

/** What a reader counts as one. As good as a terminal's columns for what is padded here, addresses and names. */
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

/** Columns of the terminal behind `output`; Infinity: it is none, and nothing is cut. Some say that they have none. */
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

/** Milliseconds between two looks of the bar; more often nobody sees. */
const drawMs = 100

/** A bar on a terminal's last line. Where there is no terminal, nothing at all. */
export class Progress {
  #drawnAt = -Infinity
  #isDrawn = false

  /** @param total of whatever is counted */
  constructor(
    private readonly output: Writable & { isTTY?: boolean; columns?: number },
    private readonly total: number,
  ) {}

  get isVisible(): boolean {
    return this.output.isTTY === true && this.total > 0
  }

  draw(done: number, words: string): void {
    const now = performance.now()
    if (!this.isVisible || now - this.#drawnAt < drawMs) return
    this.#drawnAt = now
    const share = Math.min(1, done / this.total)
    const cells = 24
    const full = Math.round(share * cells)
    const bar = `[${'#'.repeat(full)}${'.'.repeat(cells - full)}] ${Math.floor(share * 100)} % ${words}`
    this.output.write(`\r\x1b[K${cut(bar, widthOf(this.output) - 1)}`)
    this.#isDrawn = true
  }

  /** Takes the bar away, so that a line can be written in its place. */
  clear(): void {
    if (!this.#isDrawn) return
    this.output.write('\r\x1b[K')
    this.#isDrawn = false
    this.#drawnAt = -Infinity
  }
}

/** Asks for a word of consent. Only for a terminal: without one the caller has to refuse. */
export async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const gone = new AbortController()
  terminal.once('SIGINT', () => gone.abort())
  terminal.once('close', () => gone.abort())
  try {
    return /^(y|yes)$/i.test((await terminal.question(`${question} [y/N] `, { signal: gone.signal })).trim())
  } catch {
    return false
  } finally {
    terminal.close()
  }
}
