/*
 * Lines of a file as SMTP carries them: each ends in CRLF, the last one too. In an mbox, `>From ` is unquoted.
 */

import { Transform, type TransformCallback } from 'node:stream'

const lf = 0x0a
const cr = 0x0d
const lineEnd = Buffer.from('\r\n')
/** Bytes of a line that are buffered at most; only its beginning matters. */
const heldBytes = 64 * 1024

export class SmtpLines extends Transform {
  #rest: Buffer = Buffer.alloc(0)
  /** The next chunk continues a line that was too long to buffer. */
  #isInside = false

  /** @param isQuoted remove one `>` from `>From `, `>>From ` and so on */
  constructor(private readonly isQuoted: boolean) {
    super()
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    const out: Buffer[] = []
    let from = 0
    for (let end = bytes.indexOf(lf); end !== -1; end = bytes.indexOf(lf, from)) {
      const hasReturn = end > from && bytes[end - 1] === cr
      out.push(this.#unquoted(bytes.subarray(from, hasReturn ? end - 1 : end)), lineEnd)
      this.#isInside = false
      from = end + 1
    }
    this.#rest = bytes.subarray(from)
    if (this.#rest.length > heldBytes) {
      // A CR at its end may be half of a CRLF.
      const length = this.#rest.length - (this.#rest.at(-1) === cr ? 1 : 0)
      out.push(this.#unquoted(this.#rest.subarray(0, length)))
      this.#rest = this.#rest.subarray(length)
      this.#isInside = true
    }
    done(null, Buffer.concat(out))
  }

  override _flush(done: TransformCallback): void {
    if (this.#rest.length > 0) {
      const hasReturn = this.#rest.at(-1) === cr
      this.push(this.#unquoted(hasReturn ? this.#rest.subarray(0, -1) : this.#rest))
    }
    if (this.#rest.length > 0 || this.#isInside) this.push(lineEnd)
    done()
  }

  #unquoted(line: Buffer): Buffer {
    if (!this.isQuoted || this.#isInside || line[0] !== 0x3e) return line
    return /^>+From /.test(line.toString('latin1', 0, 4096)) ? line.subarray(1) : line
  }
}
