// The processes of a cluster asking each other: everything is answered, or given up, and nothing goes backwards.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Master, type TakeSnapshot, Worker } from '../../../lib/monitoring/cluster-collect'

const sum = (answers: readonly unknown[]) => answers.reduce<number>((total, one) => total + Number(one), 0)

/** A master and workers whose words go over as JSON, later, as cluster's do. */
class TestCluster {
  readonly workers = new Map<number, Worker>()
  readonly master: Master
  /** Workers whose answers are lost on the way. */
  readonly silent = new Set<number>()

  constructor(limitMs = 5000) {
    this.master = new Master(
      {
        ids: () => [...this.workers.keys()],
        send: (to, payload) => later(payload, (heard) => this.workers.get(to)?.receive(heard)),
      },
      () => Promise.resolve(sum),
      limitMs,
    )
  }

  add(id: number, answer: TakeSnapshot, limitMs = 5000): Worker {
    const send = (payload: object) => {
      const isHeard = this.workers.has(id) && !this.silent.has(id)
      if (isHeard) later(payload, (heard) => this.master.receive(heard, id))
    }
    const worker = new Worker({ send }, answer, limitMs)
    this.workers.set(id, worker)
    return worker
  }

  kill(id: number): void {
    this.workers.delete(id)
    this.master.onExit(id)
  }
}

function later(payload: object, receive: (payload: object) => void): void {
  const text = JSON.stringify(payload)
  setImmediate(() => receive(JSON.parse(text) as object))
}

test('a worker that asks gets the snapshots of all processes', async () => {
  const cluster = new TestCluster()
  const first = cluster.add(1, () => Promise.resolve(10))
  const second = cluster.add(2, () => Promise.resolve(5))
  for (const worker of [first, second]) assert.equal(sum(await worker.collect('metrics')), 15)
  const both = await Promise.all([first.collect('metrics'), second.collect('page'), first.collect('page')])
  assert.deepEqual(both.map(sum), [15, 15, 15])
})

test('counts of dead workers are kept, however many die', async () => {
  const cluster = new TestCluster()
  const asker = cluster.add(1, () => Promise.resolve(1))
  for (let id = 2; id < 20; id++) {
    cluster.add(id, () => Promise.resolve(10))
    assert.equal(sum(await asker.collect('metrics')), 1 + 10 * (id - 1))
    cluster.kill(id)
    assert.equal(sum(await asker.collect('metrics')), 1 + 10 * (id - 1))
  }
})

test('a worker that dies during a collection does not delay it', async () => {
  const cluster = new TestCluster(60_000)
  const asker = cluster.add(1, () => Promise.resolve(1), 60_000)
  cluster.add(2, () => new Promise(() => setImmediate(() => cluster.kill(2))))
  assert.equal(sum(await asker.collect('metrics')), 1)
})

test(
  'a dead worker is removed, also if its last snapshot cannot be merged',
  { timeout: 10_000 },
  async () => {
    const workers = new Set([1, 2])
    let isStuck = false
    const master: Master = new Master(
      {
        ids: () => [...workers],
        send: (to, payload) => {
          const { kind, id } = payload as { kind: string; id: number }
          if (kind === 'all') answered?.((payload as { answers: unknown[] }).answers)
          else if (to === 1 || !isStuck)
            setImmediate(() => master.receive({ kind: 'told', id, answer: to }, to))
        },
      },
      () =>
        Promise.resolve(() => {
          throw new Error('what is this?')
        }),
      60_000,
    )
    let answered: ((answers: unknown[]) => void) | undefined
    const collect = (part: string) =>
      new Promise((resolve) => {
        answered = resolve
        master.receive({ kind: 'ask', id: 1, part }, 1)
      })
    for (const part of ['metrics', 'page']) assert.deepEqual(await collect(part), [1, 2])
    isStuck = true
    const waiting = collect('metrics')
    await new Promise((resolve) => setImmediate(resolve))
    workers.delete(2)
    assert.throws(() => master.onExit(2), /what is this/)
    assert.deepEqual(await waiting, [1])
    assert.deepEqual(await collect('page'), [1])
  },
)

test('for a worker that does not answer in time, its previous snapshot counts', async () => {
  const cluster = new TestCluster(50)
  const asker = cluster.add(1, () => Promise.resolve(1))
  let isStuck = false
  cluster.add(2, () => (isStuck ? new Promise(() => undefined) : Promise.resolve(10)))
  assert.equal(sum(await asker.collect('metrics')), 11)
  isStuck = true
  assert.equal(sum(await asker.collect('metrics')), 11)
  cluster.add(3, () => Promise.reject(new Error('cannot')))
  assert.equal(sum(await asker.collect('metrics')), 11)
})

test('a collection fails if the master does not answer', async () => {
  const cluster = new TestCluster()
  const worker = cluster.add(1, () => Promise.resolve(1), 50)
  cluster.silent.add(1)
  await assert.rejects(worker.collect('metrics'), /the master did not answer within 50 ms/)
})

test('a kind of snapshot that only another release knows is ignored', async () => {
  const cluster = new TestCluster()
  const worker = cluster.add(1, (part) => {
    assert.equal(part, 'page', 'asked for what is not there')
    return Promise.resolve(1)
  })
  for (const payload of [{}, [], { kind: 'x' }, { kind: 'told', id: 1 }, { kind: 'all', id: 1 }]) {
    worker.receive(payload)
    cluster.master.receive(payload, 1)
  }
  worker.receive({ kind: 'tell', id: 1, part: 'weather' })
  cluster.master.receive({ kind: 'ask', id: 1, part: 'weather' }, 1)
  assert.equal(sum(await worker.collect('page')), 1)
})
