// The processes of a cluster asking each other: everything is answered, or given up, and nothing goes backwards.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Master, Worker, type TakeSnapshot, type Channel } from '../../lib/http/crew'

const sum = (answers: readonly unknown[]) => answers.reduce<number>((total, one) => total + Number(one), 0)

/** A master and workers whose messages go over as JSON, later, as cluster's do. */
class TestCrew {
  readonly workers = new Map<number, Worker>()
  readonly #channels = new Map<number, Channel>()
  readonly master: Master
  /** Workers whose answers are lost on the way. */
  readonly silent = new Set<number>()

  constructor(limitMs = 5000) {
    this.master = new Master(
      () => this.#channels,
      () => Promise.resolve(sum),
      limitMs,
    )
  }

  add(id: number, answer: TakeSnapshot, limitMs = 5000): Worker {
    const later = (message: object, hear: (message: unknown) => void) => {
      const text = JSON.stringify(message)
      setImmediate(() => hear(JSON.parse(text)))
    }
    const toMaster: Channel = {
      isConnected: () => this.#channels.has(id),
      send: (message) => {
        if (!this.silent.has(id)) later(message, (words) => this.master.hear(id, words))
      },
    }
    const worker = new Worker(toMaster, answer, limitMs)
    this.#channels.set(id, {
      isConnected: () => true,
      send: (message) => later(message, (words) => worker.hear(words)),
    })
    this.workers.set(id, worker)
    return worker
  }

  kill(id: number): void {
    this.#channels.delete(id)
    this.workers.delete(id)
    this.master.lost(id)
  }
}

test('whoever asks gets the answers of all', async () => {
  const crew = new TestCrew()
  const first = crew.add(1, () => Promise.resolve(10))
  const second = crew.add(2, () => Promise.resolve(5))
  for (const worker of [first, second]) assert.equal(sum(await worker.gather('metrics')), 15)
  const both = await Promise.all([first.gather('metrics'), second.gather('page'), first.gather('page')])
  assert.deepEqual(both.map(sum), [15, 15, 15])
})

test('what a worker has counted outlives it, however many die', async () => {
  const crew = new TestCrew()
  const asker = crew.add(1, () => Promise.resolve(1))
  for (let id = 2; id < 20; id++) {
    crew.add(id, () => Promise.resolve(10))
    assert.equal(sum(await asker.gather('metrics')), 1 + 10 * (id - 1))
    crew.kill(id)
    assert.equal(sum(await asker.gather('metrics')), 1 + 10 * (id - 1))
  }
})

test('a worker that dies while it is asked holds nobody up', async () => {
  const crew = new TestCrew(60_000)
  const asker = crew.add(1, () => Promise.resolve(1), 60_000)
  crew.add(2, () => new Promise(() => setImmediate(() => crew.kill(2))))
  assert.equal(sum(await asker.gather('metrics')), 1)
})

test('of a worker that does not answer in time, what it said before counts', async () => {
  const crew = new TestCrew(50)
  const asker = crew.add(1, () => Promise.resolve(1))
  let isStuck = false
  crew.add(2, () => (isStuck ? new Promise(() => undefined) : Promise.resolve(10)))
  assert.equal(sum(await asker.gather('metrics')), 11)
  isStuck = true
  assert.equal(sum(await asker.gather('metrics')), 11)
  crew.add(3, () => Promise.reject(new Error('cannot')))
  assert.equal(sum(await asker.gather('metrics')), 11)
})

test('a master that does not answer is given up', async () => {
  const crew = new TestCrew()
  const worker = crew.add(1, () => Promise.resolve(1), 50)
  crew.silent.add(1)
  await assert.rejects(worker.gather('metrics'), /the master has not answered within 50 ms/)
})

test('what others say on the same channel is left alone', () => {
  const crew = new TestCrew()
  const worker = crew.add(1, () => assert.fail('asked'))
  for (const message of [
    null,
    undefined,
    'x',
    1,
    {},
    { event: 'plugins.shutdown' },
    { cmd: 'x', params: [] },
  ]) {
    worker.hear(message)
    crew.master.hear(1, message)
  }
})
