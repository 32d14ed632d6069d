/*
 * The mail that a clamd is tried with: EICAR's test file as the last attachment, behind padding of any size.
 * What becomes of it is prove.ts' business.
 */

import { randomBytes } from 'node:crypto'
import type { MessageSource, Sink } from '../clamd/exchange'
import { headLine } from '../clamd/protocol'

/** The 68 bytes of the EICAR test file, put together here so that no scanner takes this file for one. */
function testFile(): Buffer {
  const words = ['EICAR', 'STANDARD', 'ANTIVIRUS', 'TEST', 'FILE!']
  return Buffer.from(['X5O!P%@AP[4\\PZX54(P^)7CC)7}', words.join('-'), 'H+H*'].join('$'))
}

/** Bytes of padding that go out in one write. */
const blockBytes = 64 * 1024

/** The last part of the padding has at most so many bytes, fewer than the test file. */
const lastPartBytes = 64

const idBytes = 12

/** What stands around the padding. */
function framework(id: string): Readonly<Record<'top' | 'between' | 'last', Buffer>> {
  const lines = (...all: string[]) => Buffer.from(all.join('\r\n'))
  return {
    top: lines(
      'From: <clamav-stream@localhost>',
      'To: <clamav-stream@localhost>',
      `Subject: self test ${id}`,
      `Message-ID: <${id}@localhost>`,
      'MIME-Version: 1.0',
      `Content-Type: multipart/mixed; boundary="${id}"`,
      '',
    ),
    between: lines('', `--${id}`, 'Content-Type: application/octet-stream', '', ''),
    last: lines(
      '',
      `--${id}`,
      'Content-Type: application/octet-stream; name="eicar.com"',
      'Content-Transfer-Encoding: base64',
      'Content-Disposition: attachment; filename="eicar.com"',
      '',
      testFile().toString('base64'),
      `--${id}--`,
      '',
    ),
  }
}

/** Bytes of a probe without padding, our Received line included. */
export const leastProbeBytes = Object.values(framework('0'.repeat(2 * idBytes))).reduce(
  (sum, { length }, index) => (index === 1 ? sum : sum + length),
  headLine.length,
)

/** A stretch of the mail: text, or padding of so many bytes that begins with a tag of its own. */
type Stretch = Buffer | { readonly tag: Buffer; readonly bytes: number }

/** Sizes of parts that fill so many bytes, each half of what is left; the last two are equal. */
function halves(bytes: number, headerBytes: number): number[] {
  const count = 1 + Math.ceil(Math.log2(Math.max(1, bytes / lastPartBytes)))
  let left = bytes - count * headerBytes
  const sizes = []
  for (let part = 1; part <= count && left > 0; part++) {
    const size = part === count ? left : Math.ceil(left / 2)
    sizes.push(size)
    left -= size
  }
  return sizes
}

/**
 * One such mail. Each is unlike all others, in every part, since clamd scans nothing twice that it has found clean.
 *
 * clamd counts the mail and each decoded part against MaxScanSize, skips a part that does not fit, and goes on with
 * the next one. So the padding is not one part but many, each half of what is left: together as large as the mail,
 * and if they do not all fit, what remains is too little for the test file, too. A mail that is found scanned is
 * then one whose attachments are scanned whatever their number and encoding.
 */
export class Probe implements MessageSource {
  readonly least: number
  readonly most: number
  readonly #stretches: Stretch[]
  #close: (() => void) | null = null

  /**
   * @param bytes of the whole as it is sent, our Received line included
   * @throws RangeError below `leastProbeBytes`
   */
  constructor(bytes: number) {
    const id = randomBytes(idBytes).toString('hex')
    const { top, between, last } = framework(id)
    let left = bytes - headLine.length - top.length - last.length
    if (left < 0) throw new RangeError(`no probe has ${bytes} bytes`)
    this.#stretches = [top]
    for (const [part, size] of halves(left, between.length).entries()) {
      const tag = Buffer.from(`${part} ${id}`).subarray(0, size)
      this.#stretches.push(between, { tag, bytes: size })
      left -= between.length + size
    }
    // What is too little for a part stands behind the end.
    this.#stretches.push(last, Buffer.alloc(left, '\r\n'))
    this.least = bytes - headLine.length
    this.most = this.least
  }

  open(sink: Sink): Promise<void> {
    const pieces = this.#pieces()
    const pump = () => {
      if (this.#close !== close) return
      // Not for…of, which would end the pieces where the loop is left.
      for (let next = pieces.next(); !next.done; next = pieces.next()) {
        if (!sink.write(next.value)) {
          sink.once('drain', pump)
          return
        }
      }
      sink.end()
    }
    const first = setImmediate(pump)
    const close = () => {
      clearImmediate(first)
      sink.off('drain', pump)
    }
    this.#close = close
    return Promise.resolve()
  }

  close(): void {
    this.#close?.()
    this.#close = null
  }

  *#pieces(): Generator<Buffer, undefined> {
    const line = `${'padding '.repeat(9)}..\r\n`
    const block = Buffer.alloc(blockBytes - (blockBytes % line.length), line)
    for (const stretch of this.#stretches) {
      if (Buffer.isBuffer(stretch)) {
        yield stretch
        continue
      }
      yield stretch.tag
      for (let left = stretch.bytes - stretch.tag.length; left > 0; left -= block.length) {
        yield block.subarray(0, left)
      }
    }
    return undefined
  }
}
