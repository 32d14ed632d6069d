// What is remembered of a message is read from it; that reading has ended before the next plugin has its turn.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancellation, type CancelSignal } from '../../../lib/base/cancellation'
import { defaultFailureTimes, FailureMemory } from '../../../lib/scan/failure-memory'
import { MessageHistory } from '../../../lib/scan/message-history'

test('a digest that is still read ends with the scan, and is waited for', async () => {
  let isOpen = false
  const began = new Cancellation()
  const identity = {
    bodyBytes: 100,
    digest: (signal: CancelSignal) => {
      isOpen = true
      began.abort(new Error('it has begun'))
      return new Promise<string>((_, reject) => {
        // Closed a moment later, as a stream may be.
        signal.addEventListener('abort', () =>
          setImmediate(() => {
            isOpen = false
            reject(signal.reason)
          }),
        )
      })
    },
  }
  const history = new MessageHistory(
    new FailureMemory(3, { ...defaultFailureTimes, slowMs: 0 }),
    identity,
    1000,
  )
  const scan = new Cancellation()
  const begun = new Promise<void>((resolve) => began.addEventListener('abort', resolve))
  history.awaitReply(scan)
  await begun
  assert.equal(isOpen, true)
  await history.stopReading(scan)
  assert.equal(isOpen, false)
})

test('a reply that takes a second is late: then the message is read for its digest', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let digests = 0
  const identity = { bodyBytes: 100, digest: () => Promise.resolve(String(++digests)) }
  const history = new MessageHistory(new FailureMemory(3), identity, 1000)
  history.awaitReply(new Cancellation())
  t.mock.timers.tick(999)
  assert.equal(digests, 0)
  t.mock.timers.tick(1)
  assert.equal(digests, 1)
})
