// Waits end with the change, with the time or with the signal, and leave nothing behind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancellation } from '../../../lib/base/cancellation'
import { WaitQueue, within } from '../../../lib/base/wait-queue'

/** A signal that counts who listens. */
class Counted extends Cancellation {
  listeners = 0
  override addEventListener(type: 'abort', listener: () => void): void {
    this.listeners++
    super.addEventListener(type, listener)
  }
  override removeEventListener(type: 'abort', listener: () => void): void {
    this.listeners--
    super.removeEventListener(type, listener)
  }
}

test('all are woken, in the order in which they came; who waits again is behind them', async () => {
  const queue = new WaitQueue()
  const signal = new Counted()
  const order: string[] = []
  const waiting = ['a', 'b'].map(async (name) => {
    assert.equal(await queue.wait(signal), true)
    order.push(name)
    if (name === 'a') {
      await queue.wait(signal)
      order.push('a again')
    }
  })
  queue.wakeAll()
  await waiting[1]
  assert.deepEqual(order, ['a', 'b'])
  queue.wakeAll()
  await waiting[0]
  assert.deepEqual([order.at(-1), signal.listeners], ['a again', 0])
})

test('the time is up, or the signal aborts', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const queue = new WaitQueue()
  const signal = new Counted()
  const short = queue.wait(signal, 10)
  const long = queue.wait(signal, 20)
  const endless = queue.wait(signal)
  t.mock.timers.tick(10)
  assert.equal(await short, false)
  signal.abort(new Error('gone'))
  assert.deepEqual([await long, await endless, await queue.wait(signal)], [true, true, true])
  assert.equal(signal.listeners, 0)
})

test('work with a limit', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const signal = new Counted()
  const never = new Promise<void>(() => undefined)
  await within(Promise.resolve(), 10, signal)
  await assert.rejects(within(Promise.reject(new Error('failed')), 10, signal), /failed/)
  const slow = within(never, 10, signal)
  t.mock.timers.tick(10)
  await slow
  const gone = within(never, 10, signal)
  signal.abort(new Error('gone'))
  await assert.rejects(gone, /gone/)
  await assert.rejects(within(Promise.resolve(), 10, signal), /gone/)
  assert.equal(signal.listeners, 0)
})
