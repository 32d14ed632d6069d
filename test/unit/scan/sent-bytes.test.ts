// What is kept of a message while it is sent: all of one that needs readings, the beginning of every other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { receivedLine } from '../../../lib/clamd/protocol'
import { keptMemory } from '../../../lib/scan/readings/memory'
import { SentBytes } from '../../../lib/scan/readings/sent-bytes'

const large = Buffer.from(Array.from({ length: 200_000 }, (_, at) => at % 251))

interface Sending {
  readonly piece: number
  /** Bytes of the message after which it is known to need readings. Left out: it never is. */
  readonly neededAt?: number
  readonly maxBytes?: number
}

function sent(
  message: Buffer,
  { piece, neededAt = Infinity, maxBytes = message.length }: Sending,
): SentBytes {
  const kept = new SentBytes(maxBytes)
  const all = Buffer.concat([receivedLine, message])
  for (let at = 0; at < all.length; at += piece) {
    const bytes = Buffer.from(all.subarray(at, at + piece))
    kept.write(bytes, at + bytes.length - receivedLine.length >= neededAt)
    // The sender of it may use it again.
    bytes.fill(0)
  }
  return kept
}

for (const piece of [1, 7, receivedLine.length, receivedLine.length + 1, 64 * 1024, 1_000_000]) {
  const bytes = piece < 10 ? large.subarray(0, 70_000) : large
  test(`the message without our Received line, sent in pieces of ${piece}`, () => {
    const kept = sent(bytes, { piece, neededAt: 100 })
    assert.ok(kept.whole?.equals(bytes))
    kept.drop()
    assert.equal(kept.whole, null)
  })
}

test('a small one is kept although nothing shows yet', () => {
  const small = large.subarray(0, 50_000)
  assert.ok(sent(small, { piece: 1000 }).whole?.equals(small))
  assert.equal(sent(Buffer.alloc(0), { piece: 1000 }).whole?.length, 0)
})

test('of a large one that shows nothing in its beginning, nothing is', () => {
  assert.equal(sent(large, { piece: 1000 }).whole, null)
  assert.equal(sent(large, { piece: 1000, neededAt: 70_000 }).whole, null)
})

test('nor of one that is larger than it said, or was sent in part', () => {
  assert.equal(sent(large, { piece: 1000, neededAt: 0, maxBytes: 199_999 }).whole, null)
  const kept = new SentBytes(100)
  kept.write(receivedLine.subarray(1), true)
  assert.equal(kept.whole, null)
})

test('nor where all memory for it is taken; what is dropped gives it back', () => {
  const others = keptMemory.tryTake(32 * 1024 * 1024 - 250_000)
  assert.ok(others)
  const first = sent(large, { piece: 1000, neededAt: 0 })
  assert.ok(first.whole)
  assert.equal(sent(large, { piece: 1000, neededAt: 0 }).whole, null)
  first.drop()
  first.drop()
  const second = sent(large, { piece: 1000, neededAt: 0 })
  assert.ok(second.whole)
  second.drop()
  others()
  keptMemory.tryTake(32 * 1024 * 1024)?.()
})
