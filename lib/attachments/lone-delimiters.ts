/*
 * Delimiters behind a carriage return by itself. For most programs that is no end of a line and they see no delimiter;
 * for some it is, and they show the part that follows.
 */

const mark = Buffer.from('\r--')
const [carriageReturn, newline] = [0x0d, 0x0a]
/** Bytes of a delimiter and the headers behind it that are looked at together. */
const lookahead = 4096
/** Bytes of a delimiter. */
const longestDelimiter = 1024
/** After so many it has been said that there are some. */
const mostFound = 100

export class LoneDelimiters {
  /** The last bytes seen, in which one may begin. */
  #tail = Buffer.alloc(0)
  #found = 0

  /**
   * @param boundaries all that were announced so far
   * @param onSection takes the headers of the part that some programs would see, their lines as they stand there
   */
  constructor(
    private readonly boundaries: ReadonlySet<string>,
    private readonly onSection: (section: string) => void,
  ) {}

  write(chunk: Buffer): void {
    if (this.#found < mostFound) this.#look(Buffer.concat([this.#tail, chunk]), false)
  }

  end(): void {
    this.#look(this.#tail, true)
  }

  #look(bytes: Buffer, isLast: boolean): void {
    this.#tail = Buffer.alloc(0)
    for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
      if (at + lookahead > bytes.length && !isLast) {
        this.#tail = Buffer.from(bytes.subarray(at))
        return
      }
      const from = at + mark.length
      const lineEnd = endOfLine(bytes, from)
      if (!this.boundaries.has(bytes.toString('latin1', from, lineEnd).trimEnd())) continue
      const [, ...section] = bytes.toString('latin1', lineEnd, at + lookahead).split(/\r\n|\r|\n/)
      const end = section.findIndex((line) => line.trim() === '')
      this.onSection(section.slice(0, end < 0 ? undefined : end).join('\r\n'))
      if (++this.#found >= mostFound) return
    }
    if (bytes.length > 0) this.#tail = Buffer.from(bytes.subarray(1 - mark.length))
  }
}

function endOfLine(bytes: Buffer, from: number): number {
  const most = Math.min(bytes.length, from + longestDelimiter)
  let at = from
  while (at < most && bytes[at] !== carriageReturn && bytes[at] !== newline) at++
  return at
}
