// Who may read on: one at a time, the others in the order of asking, and nobody for ever.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turn, type Waiter } from '../../../lib/clamd/read-queue'

function waiters(...names: string[]): { told: string[]; each: Waiter[] } {
  const told: string[] = []
  return { told, each: names.map((name) => ({ onTurn: () => told.push(name) })) }
}

test('one has the turn, and it stays theirs', () => {
  const turn = new Turn()
  const { told, each } = waiters('a', 'b')
  const [a, b] = each as [Waiter, Waiter]
  assert.deepEqual([turn.take(a), turn.take(b)], [true, false])
  assert.deepEqual([turn.take(a), turn.take(b)], [true, false])
  assert.deepEqual(told, [])
  turn.pass(b)
})

test('a turn that is passed on goes to whoever has waited longest', () => {
  const turn = new Turn()
  const { told, each } = waiters('a', 'b', 'c', 'd')
  const [a, b, c, d] = each as [Waiter, Waiter, Waiter, Waiter]
  turn.take(a)
  for (const one of [b, c, d, b]) turn.take(one)
  turn.pass(c)
  turn.pass(a)
  turn.pass(a)
  assert.deepEqual(told, ['b'])
  assert.equal(turn.take(b), true)
  turn.pass(b)
  assert.deepEqual(told, ['b', 'd'])
  turn.pass(d)
  assert.equal(turn.take(a), true)
})

test('nobody waits longer than a second, and who goes on without the turn has none to pass on', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const turn = new Turn()
  const { told, each } = waiters('a', 'b', 'c')
  const [a, b, c] = each as [Waiter, Waiter, Waiter]
  turn.take(a)
  turn.take(b)
  t.mock.timers.tick(999)
  assert.deepEqual(told, [])
  t.mock.timers.tick(1)
  assert.deepEqual(told, ['b'])
  assert.equal(turn.take(b), true, 'it has waited once and for all')
  turn.take(c)
  turn.pass(b)
  assert.deepEqual(told, ['b'], 'it had none')
  turn.pass(a)
  assert.deepEqual(told, ['b', 'c'])
})

test('who waits no more is not told later', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const turn = new Turn()
  const { told, each } = waiters('a', 'b')
  const [a, b] = each as [Waiter, Waiter]
  turn.take(a)
  turn.take(b)
  turn.pass(b)
  t.mock.timers.tick(5000)
  turn.pass(a)
  assert.deepEqual(told, [])
})
