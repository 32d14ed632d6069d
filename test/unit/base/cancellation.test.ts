import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancellation, type CancelSignal, Deadline, untilAborted } from '../../../lib/base/cancellation'

const reason = new Error('enough')

/** What is there to be obeyed may be either; both must do the same. */
const kinds: [string, () => { signal: CancelSignal; abort: (reason: Error) => void }][] = [
  [
    'Cancellation',
    () => {
      const signal = new Cancellation()
      return { signal, abort: (reason) => signal.abort(reason) }
    },
  ],
  [
    'AbortController',
    () => {
      const controller = new AbortController()
      return { signal: controller.signal, abort: (reason) => controller.abort(reason) }
    },
  ],
]

for (const [kind, make] of kinds) {
  test(`${kind}: listeners are told once and in order, with the first reason`, () => {
    const { signal, abort } = make()
    const told: string[] = []
    signal.addEventListener('abort', () => told.push('first'))
    signal.addEventListener('abort', () => told.push('second'))
    assert.equal(signal.aborted, false)
    signal.throwIfAborted()
    abort(reason)
    abort(new Error('again'))
    assert.deepEqual(told, ['first', 'second'])
    assert.equal(signal.aborted, true)
    assert.equal(signal.reason, reason)
    assert.throws(() => signal.throwIfAborted(), reason)
  })

  test(`${kind}: who is removed, also by a listener before, is not told`, () => {
    const { signal, abort } = make()
    const told: string[] = []
    const early = () => told.push('early')
    const late = () => told.push('late')
    signal.addEventListener('abort', early)
    signal.addEventListener('abort', () => signal.removeEventListener('abort', late))
    signal.addEventListener('abort', late)
    signal.removeEventListener('abort', early)
    abort(reason)
    assert.deepEqual(told, [])
  })

  test(`${kind}: who comes too late is not told`, () => {
    const { signal, abort } = make()
    const told: string[] = []
    signal.addEventListener('abort', () => signal.addEventListener('abort', () => told.push('meanwhile')))
    abort(reason)
    signal.addEventListener('abort', () => told.push('afterwards'))
    assert.deepEqual(told, [])
  })
}

test('a deadline is called off with what it hangs on', () => {
  const outer = new Cancellation()
  const deadline = new Deadline(outer, 60_000, () => new Error('too late'))
  outer.abort(reason)
  assert.equal(deadline.reason, reason)
  deadline.end()
})

test('a deadline that hangs on what is called off already', () => {
  const outer = new Cancellation()
  outer.abort(reason)
  const deadline = new Deadline(
    outer,
    60_000,
    () => new Error('too late'),
    () => new Error('dropped'),
  )
  assert.equal(deadline.reason.message, 'dropped')
  deadline.end()
})

test('a deadline passes', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const deadline = new Deadline(new Cancellation(), 1000, () => new Error('too late'))
  t.mock.timers.tick(999)
  assert.equal(deadline.aborted, false)
  t.mock.timers.tick(1)
  assert.equal(deadline.reason.message, 'too late')
  deadline.end()
})

test('a deadline that has ended does nothing any more', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const outer = new Cancellation()
  const deadline = new Deadline(outer, 1000, () => new Error('too late'))
  deadline.end()
  t.mock.timers.tick(1000)
  outer.abort(reason)
  assert.equal(deadline.aborted, false)
})

test('work is waited for until the signal aborts, and no listener stays', async () => {
  for (const [, make] of kinds) {
    const never = new Promise<string>(() => undefined)
    const { signal, abort } = make()
    assert.equal(await untilAborted(Promise.resolve('done'), signal), 'done')
    await assert.rejects(untilAborted(Promise.reject(new Error('failed')), signal), /failed/)
    const waiting = untilAborted(never, signal)
    abort(reason)
    await assert.rejects(waiting, reason)
    await assert.rejects(untilAborted(never, signal), reason)
  }
  const counted = new Cancellation()
  let listeners = 0
  const add = counted.addEventListener.bind(counted)
  const remove = counted.removeEventListener.bind(counted)
  counted.addEventListener = (type, listener) => {
    listeners++
    add(type, listener)
  }
  counted.removeEventListener = (type, listener) => {
    listeners--
    remove(type, listener)
  }
  await untilAborted(Promise.resolve(), counted)
  assert.equal(listeners, 0)
})
