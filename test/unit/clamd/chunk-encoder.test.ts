// What is sent, and what is told of it: the same bytes, in their order.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { ChunkEncoder } from '../../../lib/clamd/chunk-encoder'

/** Lines of these buffers, as a message stream cuts them. */
function encoded(buffers: readonly Buffer[], lineBytes: number, chunkBytes = 8192) {
  const sent: Buffer[] = []
  const told: Buffer[] = []
  const encoder = new ChunkEncoder(
    chunkBytes,
    null,
    ({ pieces }) => sent.push(...pieces),
    (piece) => told.push(piece),
  )
  for (const bytes of buffers)
    for (let at = 0; at < bytes.length; at += lineBytes) encoder.add(bytes.subarray(at, at + lineBytes))
  encoder.end()
  return { sent: Buffer.concat(sent), told }
}

for (const sizes of [
  [],
  [1],
  [60, 5000],
  [70, 65_536, 65_536, 3],
  [60, 1_000_000],
  [10, 8192, 10, 300_000],
]) {
  for (const lineBytes of [1000, 78, 10_007]) {
    test(`${sizes.join('+')} bytes in lines of ${lineBytes}`, () => {
      const buffers = sizes.map((bytes) => randomBytes(bytes))
      const { sent, told } = encoded(buffers, lineBytes)
      assert.ok(sent.equals(Buffer.concat(buffers)))
      assert.ok(Buffer.concat(told).equals(sent))
    })
  }
}

test('what lies in one buffer is told in few pieces, whatever the chunks', () => {
  const { told } = encoded([randomBytes(1_000_000)], 78)
  assert.equal(told.length, Math.ceil(1_000_000 / (64 * 1024)))
})
