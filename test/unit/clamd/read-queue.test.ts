// Which upload may read: one at a time, the others in the order of asking, none for ever.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReadQueue, type Waiter } from '../../../lib/clamd/read-queue'

function waiters(...names: string[]): { told: string[]; each: Waiter[] } {
  const told: string[] = []
  return { told, each: names.map((name) => ({ onReadable: () => told.push(name) })) }
}

test('one has the turn, and it stays theirs', () => {
  const readQueue = new ReadQueue()
  const { told, each } = waiters('a', 'b')
  const [a, b] = each as [Waiter, Waiter]
  assert.deepEqual([readQueue.take(a), readQueue.take(b)], [true, false])
  assert.deepEqual([readQueue.take(a), readQueue.take(b)], [true, false])
  assert.deepEqual(told, [])
  readQueue.pass(b)
})

test('a turn that is passed on goes to the one that has waited longest', () => {
  const readQueue = new ReadQueue()
  const { told, each } = waiters('a', 'b', 'c', 'd')
  const [a, b, c, d] = each as [Waiter, Waiter, Waiter, Waiter]
  readQueue.take(a)
  for (const one of [b, c, d, b]) readQueue.take(one)
  readQueue.pass(c)
  readQueue.pass(a)
  readQueue.pass(a)
  assert.deepEqual(told, ['b'])
  assert.equal(readQueue.take(b), true)
  readQueue.pass(b)
  assert.deepEqual(told, ['b', 'd'])
  readQueue.pass(d)
  assert.equal(readQueue.take(a), true)
})

test('none waits longer than a second, and one that goes on without the turn has none to pass on', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const readQueue = new ReadQueue()
  const { told, each } = waiters('a', 'b', 'c')
  const [a, b, c] = each as [Waiter, Waiter, Waiter]
  readQueue.take(a)
  readQueue.take(b)
  t.mock.timers.tick(999)
  assert.deepEqual(told, [])
  t.mock.timers.tick(1)
  assert.deepEqual(told, ['b'])
  assert.equal(readQueue.take(b), true, 'it has waited once and for all')
  readQueue.take(c)
  readQueue.pass(b)
  assert.deepEqual(told, ['b'], 'it had none')
  readQueue.pass(a)
  assert.deepEqual(told, ['b', 'c'])
})

test('who waits no more is not told later', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const readQueue = new ReadQueue()
  const { told, each } = waiters('a', 'b')
  const [a, b] = each as [Waiter, Waiter]
  readQueue.take(a)
  readQueue.take(b)
  readQueue.pass(b)
  t.mock.timers.tick(5000)
  readQueue.pass(a)
  assert.deepEqual(told, [])
})
