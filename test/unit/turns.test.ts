// Who may read on: few at a time, the others in the order of asking, and nobody for ever.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns, type Waiter } from '../../lib/clamd/turns'

function waiters(...names: string[]): { told: string[]; each: Waiter[] } {
  const told: string[] = []
  return { told, each: names.map((name) => ({ onTurn: () => told.push(name) })) }
}

test('as many as may have a turn at once, and it stays theirs', () => {
  const turns = new Turns(2)
  const { told, each } = waiters('a', 'b', 'c')
  const [a, b, c] = each as [Waiter, Waiter, Waiter]
  assert.deepEqual([turns.take(a), turns.take(b), turns.take(c)], [true, true, false])
  assert.deepEqual([turns.take(a), turns.take(c)], [true, false])
  assert.deepEqual(told, [])
  turns.pass(c)
})

test('a turn that is passed on goes to whoever has waited longest', () => {
  const turns = new Turns(1)
  const { told, each } = waiters('a', 'b', 'c', 'd')
  const [a, b, c, d] = each as [Waiter, Waiter, Waiter, Waiter]
  turns.take(a)
  for (const one of [b, c, d, b]) turns.take(one)
  turns.pass(c)
  turns.pass(a)
  turns.pass(a)
  assert.deepEqual(told, ['b'])
  assert.equal(turns.take(b), true)
  turns.pass(b)
  assert.deepEqual(told, ['b', 'd'])
  turns.pass(d)
  assert.equal(turns.take(a), true)
})

test('nobody waits longer than a second, and a turn too many is not passed on', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const turns = new Turns(1)
  const { told, each } = waiters('a', 'b', 'c')
  const [a, b, c] = each as [Waiter, Waiter, Waiter]
  turns.take(a)
  turns.take(b)
  t.mock.timers.tick(999)
  assert.deepEqual(told, [])
  t.mock.timers.tick(1)
  assert.deepEqual(told, ['b'])
  assert.equal(turns.take(b), true, 'it has waited once and for all')
  turns.take(c)
  turns.pass(b)
  assert.deepEqual(told, ['b'], 'there are as many as may be without it')
  turns.pass(a)
  assert.deepEqual(told, ['b', 'c'])
})

test('who waits no more is not told later', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const turns = new Turns(1)
  const { told, each } = waiters('a', 'b')
  const [a, b] = each as [Waiter, Waiter]
  turns.take(a)
  turns.take(b)
  turns.pass(b)
  t.mock.timers.tick(5000)
  turns.pass(a)
  assert.deepEqual(told, [])
})
