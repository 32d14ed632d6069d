// Takes INSTREAM apart: chunks of a 4-byte big-endian length and that many bytes, ended by a length of zero.
// Counts against a limit as clamd does: the announced length, before its bytes have come.

const headerBytes = 4

export class FrameReader {
  /** The announced length of each chunk, without the zero at the end. */
  readonly lengths: number[] = []
  state: 'open' | 'done' | 'tooLong' = 'open'
  /** What came after the terminator: nothing, from a client that keeps to the protocol. */
  rest = Buffer.alloc(0)
  #header = Buffer.alloc(0)
  #left = 0
  #quota: number

  /** @param maxBytes like StreamMaxLength: the most content, 0 for no limit */
  constructor(maxBytes = 0) {
    this.#quota = maxBytes === 0 ? Infinity : maxBytes
  }

  /** The content in these bytes, which may begin and end anywhere. */
  push(bytes: Buffer): Buffer[] {
    const content: Buffer[] = []
    let rest = bytes
    while (rest.length > 0 && this.state === 'open') {
      if (this.#left === 0) {
        rest = this.#takeHeader(rest)
        continue
      }
      const piece = rest.subarray(0, this.#left)
      rest = rest.subarray(piece.length)
      this.#left -= piece.length
      content.push(piece)
    }
    this.rest = Buffer.concat([this.rest, rest])
    return content
  }

  #takeHeader(bytes: Buffer): Buffer {
    const missing = headerBytes - this.#header.length
    this.#header = Buffer.concat([this.#header, bytes.subarray(0, missing)])
    if (this.#header.length === headerBytes) {
      const length = this.#header.readUInt32BE()
      this.#header = Buffer.alloc(0)
      if (length === 0) this.state = 'done'
      // No message is 2 GB: a length like that is a client that lost its place.
      else if (length > this.#quota || length > 0x7fffffff) this.state = 'tooLong'
      else this.lengths.push(length)
      this.#quota -= length
      this.#left = length
    }
    return bytes.subarray(missing)
  }
}
