/*
 * A test mail of any size, different from all others. test-mails.ts has the contents, self-test.ts sends it.
 */

import { MadeMessage, pieceBytes } from '../base/made-message'
import { receivedLine } from '../clamd/protocol'

/** Text, or padding of `bytes` that starts with a unique tag. */
export type Stretch = Buffer | { readonly tag: Buffer; readonly bytes: number }

export class Probe extends MadeMessage {
  constructor(stretches: readonly Stretch[]) {
    super(
      stretches.reduce((sum, one) => sum + (Buffer.isBuffer(one) ? one.length : one.bytes), 0),
      () => piecesOf(stretches),
    )
  }

  /** Size as sent, with our Received line. */
  get bytes(): number {
    return receivedLine.length + this.minBytes
  }
}

function* piecesOf(stretches: readonly Stretch[]): Generator<Buffer, undefined> {
  const line = `${'padding '.repeat(9)}..\r\n`
  const block = Buffer.alloc(pieceBytes - (pieceBytes % line.length), line)
  for (const stretch of stretches) {
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
