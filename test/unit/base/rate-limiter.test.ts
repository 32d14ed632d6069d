import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateLimiter } from '../../../lib/base/rate-limiter'

const two = { count: 2, perMs: 1000 }

test('at most n for each key in any span, and none for 0', () => {
  const limiter = new RateLimiter()
  const allow = (key: string, now: number, limit = two) => limiter.allow(key, limit, now)
  assert.deepEqual([allow('bob', 0), allow('ann', 5), allow('bob', 10)], [true, true, true])
  assert.equal(limiter.isReached('bob', two, 20), true)
  assert.equal(limiter.isReached('ann', two, 20), false)
  assert.deepEqual([allow('bob', 20), allow('bob', 999), allow('bob', 1000)], [false, false, true])
  assert.equal(limiter.isReached('bob', two, 1001), true)
  assert.equal(limiter.isReached('bob', two, 2000), false)
  assert.equal(allow('eve', 0, { count: 0, perMs: 1000 }), false)
})
