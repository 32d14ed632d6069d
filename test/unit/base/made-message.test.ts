// A message that the plugin has made itself, read as a scan reads it: again from its first byte, and no faster than asked.
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { test } from 'node:test'
import { pieceBytes, textMessage } from '../../../lib/base/made-message'
import type { Sink } from '../../../lib/base/message-source'

class Slow extends EventEmitter implements Sink {
  readonly pieces: Buffer[] = []
  isOver = false

  write(piece: Buffer): boolean {
    this.pieces.push(piece)
    setImmediate(() => this.emit('drain'))
    return false
  }

  end(): void {
    this.isOver = true
    this.emit('finish')
  }
}

test('each reading is whole, in pieces that a sink may be given', async () => {
  const text = 'ü'.repeat(pieceBytes)
  const message = textMessage(text)
  assert.deepEqual([message.minBytes, message.maxBytes], [2 * pieceBytes, 2 * pieceBytes])
  for (let reading = 0; reading < 2; reading++) {
    const sink = new Slow()
    const finished = once(sink, 'finish')
    await message.open(sink)
    await finished
    assert.equal(Buffer.concat(sink.pieces).toString(), text)
    assert.ok(sink.pieces.every(({ length }) => length <= pieceBytes))
    message.close()
  }
})

test('a reading that is closed goes no further', async () => {
  const message = textMessage('x'.repeat(3 * pieceBytes))
  const sink = new Slow()
  await message.open(sink)
  await once(sink, 'drain')
  message.close()
  const { length } = sink.pieces
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual([sink.pieces.length, sink.isOver], [length, false])
})
