// What is remembered of messages that clamd failed on: bounded, forgotten in time, and the same in all workers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultFailureTimes, type FailedMessage, FailureMemory } from '../../../lib/scan/failure-memory'
import { followFailures, keepFailures } from '../../../lib/scan/failure-sync'

const failed = (digest: string, more: Partial<FailedMessage> = {}): FailedMessage => ({
  digest,
  bodyBytes: digest.length,
  failures: 1,
  addresses: ['127.0.0.1:3310'],
  busyUntil: 0,
  failedAt: Date.now(),
  ...more,
})

test('of a thousand and one messages, the one that was seen first is forgotten', () => {
  const memory = new FailureMemory(3)
  for (let i = 0; i < 1000; i++) memory.remember(failed(`m${i}`))
  memory.remember(failed('m0'))
  memory.remember(failed('one more'))
  assert.equal(memory.all().length, 1000)
  assert.equal(memory.find('m1'), null)
  assert.ok(memory.find('m0') && memory.find('one more'))
})

test('a message is forgotten after a day, and when it has a verdict', () => {
  const memory = new FailureMemory(3)
  memory.remember(failed('old', { failedAt: Date.now() - defaultFailureTimes.forgetMs }))
  memory.remember(failed('new'))
  assert.equal(memory.find('old'), null)
  assert.ok(memory.find('new'))
  memory.forget('new')
  assert.equal(memory.find('new'), null)
})

test('only a message of a known length is worth a digest', () => {
  const memory = new FailureMemory(3)
  assert.ok(!memory.mayKnow(3))
  memory.remember(failed('abc'))
  assert.ok(memory.mayKnow(3))
  assert.ok(!memory.mayKnow(4))
})

test('0 counts no message as unscannable', () => {
  const memory = new FailureMemory(0)
  assert.ok(!memory.isUnscannable(failed('x', { failures: 1000 })))
  memory.unscannableAfter = 2
  assert.ok(!memory.isUnscannable(failed('x', { failures: 1 })))
  assert.ok(memory.isUnscannable(failed('x', { failures: 2 })))
})

/** A cluster in one process: each message is copied, as over the channel. */
class Cluster {
  readonly #workers = new Map<number, (payload: object) => void>()
  #heard: (payload: object, from: number) => void = () => undefined

  readonly master = {
    listen: (receive: (payload: object, from: number) => void) => {
      this.#heard = receive
      return () => undefined
    },
    send: (to: number, payload: object) => this.#workers.get(to)?.(structuredClone(payload)),
    sendToAll: (payload: object, but?: number) => {
      for (const [id, receive] of this.#workers) if (id !== but) receive(structuredClone(payload))
    },
  }

  worker(id: number) {
    return {
      listen: (receive: (payload: object) => void) => {
        this.#workers.set(id, receive)
        return () => undefined
      },
      send: (payload: object) => this.#heard(structuredClone(payload), id),
    }
  }
}

test('workers know what one of them remembers, those included that start later', () => {
  const cluster = new Cluster()
  const [master, first, second, late] = [0, 1, 2, 3].map(() => new FailureMemory(3))
  assert.ok(master && first && second && late)
  keepFailures(master, cluster.master)
  followFailures(first, cluster.worker(1))
  followFailures(second, cluster.worker(2))
  const message = failed('x')
  first.remember(message)
  followFailures(late, cluster.worker(3))
  for (const memory of [master, second, late]) assert.deepEqual(memory.find('x'), message)
  late.forget('x')
  for (const memory of [master, first, second]) assert.equal(memory.find('x'), null)
})
