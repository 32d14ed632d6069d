/*
 * Finds delimiters after a bare carriage return. Most programs see no delimiter there; some do, and show the part that
 * follows.
 */

const mark = Buffer.from('\r--')
const [carriageReturn, newline] = [0x0d, 0x0a]
/** Bytes of a delimiter and the headers behind it that are looked at together. */
const lookahead = 16 * 1024
/** Bytes of a delimiter. */
const maxDelimiterBytes = 1024

export class BareCrDelimiters {
  /** The last bytes, in which a delimiter may start. */
  #tail = Buffer.alloc(0)
  #isDone = false

  /**
   * @param boundaries all that were announced so far
   * @param onSection takes the headers of the part that some programs would see, their lines as they stand there; false:
   * it has seen enough of them
   */
  constructor(
    private readonly boundaries: ReadonlySet<string>,
    private readonly onSection: (section: string) => boolean,
  ) {}

  write(chunk: Buffer): void {
    if (!this.#isDone) this.#look(Buffer.concat([this.#tail, chunk]), false)
  }

  end(): void {
    if (!this.#isDone) this.#look(this.#tail, true)
  }

  #look(bytes: Buffer, isLast: boolean): void {
    this.#tail = Buffer.alloc(0)
    for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
      if (at + lookahead > bytes.length && !isLast) {
        this.#tail = Buffer.from(bytes.subarray(at))
        return
      }
      const from = at + mark.length
      const lineEnd = endOfLine(bytes, from, from + maxDelimiterBytes)
      if (!this.boundaries.has(bytes.toString('latin1', from, lineEnd).trimEnd())) continue
      this.#isDone = !this.onSection(sectionAt(bytes, lineEnd, at + lookahead))
      if (this.#isDone) return
    }
    if (bytes.length > 0) this.#tail = Buffer.from(bytes.subarray(1 - mark.length))
  }
}

/** Lines up to an empty one, or to one that may be the next delimiter. */
function sectionAt(bytes: Buffer, start: number, most: number): string {
  const lines: string[] = []
  for (let at = nextLine(bytes, start); at < Math.min(bytes.length, most);) {
    const end = endOfLine(bytes, at, most)
    const line = bytes.toString('latin1', at, end)
    if (line.trim() === '' || line.startsWith('--')) break
    lines.push(line)
    at = nextLine(bytes, end)
  }
  return lines.join('\r\n')
}

function nextLine(bytes: Buffer, end: number): number {
  return bytes[end] === carriageReturn && bytes[end + 1] === newline ? end + 2 : end + 1
}

function endOfLine(bytes: Buffer, from: number, limit: number): number {
  const most = Math.min(bytes.length, limit)
  let at = from
  while (at < most && bytes[at] !== carriageReturn && bytes[at] !== newline) at++
  return at
}
