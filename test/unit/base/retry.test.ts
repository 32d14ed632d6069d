// Trying again what has failed a first time: the caller's own attempt counts, and what will not pass is not tried.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancellation, Deadline } from '../../../lib/base/cancellation'
import { retryAfter } from '../../../lib/base/retry'

const busy = new Error('busy')
const pace = { minTimeout: 1, factor: 1, maxRetryTime: 20_000, isPassing: (error: unknown) => error === busy }

test('until it succeeds', async () => {
  let tries = 0
  const attempt = () => {
    if (++tries < 3) throw busy
    return tries
  }
  assert.equal(await retryAfter(busy, attempt, pace), 3)
})

test('a failure that will not pass is not tried again, neither the first nor a later one', async () => {
  const broken = new TypeError('broken')
  await assert.rejects(
    retryAfter(broken, () => assert.fail('tried'), pace),
    broken,
  )
  let tries = 0
  const attempt = () => {
    tries++
    throw broken
  }
  await assert.rejects(retryAfter(busy, attempt, pace), broken)
  assert.equal(tries, 1)
})

test('rejects with the last failure when the time is up, at once without any', async () => {
  const attempt = () => {
    throw busy
  }
  await assert.rejects(retryAfter(busy, attempt, { ...pace, maxRetryTime: 20 }), busy)
  await assert.rejects(
    retryAfter(busy, () => assert.fail('tried'), { ...pace, maxRetryTime: 0 }),
    busy,
  )
})

test('a signal of ours ends the pause and the attempts', async () => {
  const reason = new Error('dropped')
  const outer = new Cancellation()
  const signal = new Deadline(outer, 60_000, () => new Error('too late'))
  const trying = retryAfter(busy, () => assert.fail('tried'), { ...pace, minTimeout: 60_000, signal })
  setImmediate(() => outer.abort(reason))
  await assert.rejects(trying, reason)
  signal.end()
})
