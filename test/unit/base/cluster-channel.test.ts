// Master and workers of a real cluster: what goes over the channel gets there, and nothing on it ends a process.
import assert from 'node:assert/strict'
import cluster, { type Worker } from 'node:cluster'
import { on, once } from 'node:events'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { ToWorkers } from '../../../lib/base/cluster-channel'

const unexpected = (error: unknown) => assert.fail(String(error))
const limited = { timeout: 60_000 }

cluster.setupPrimary({
  exec: path.join(__dirname, '..', '..', 'support', 'haraka', 'cluster-channel-worker.ts'),
  execArgv: ['--import', 'tsx'],
})

/** A worker that does as it is told; `next` is what comes of it. */
async function startWorker(t: TestContext) {
  const worker = cluster.fork()
  t.after(() => worker.process.kill('SIGKILL'))
  const messages = on(worker, 'message')
  const next = async () => ((await messages.next()).value as [unknown])[0]
  const order = (what: string, words: object = {}) => void worker.send({ order: what, words })
  assert.deepEqual(await next(), { up: true })
  return { worker, next, order }
}

/** As the plugin's older releases and others have it on the same channel. */
const foreign = [
  null,
  5,
  'x',
  [],
  { event: 'plugins.shutdown' },
  { cmd: 'flushQueue', params: [] },
  { event: 'clamav_stream', topic: 'topic', told: [] },
  { clamav_stream: null },
  { clamav_stream: 'topic' },
  { clamav_stream: { topic: 'topic' } },
  { clamav_stream: { topic: 'topic', payload: null } },
  { clamav_stream: { topic: 'topic', payload: 'words' } },
  { clamav_stream: { topic: 'another', payload: { other: true } } },
]

test('payloads get from the master to one worker and to all but one, and back', limited, async (t) => {
  const [one, two] = await Promise.all([startWorker(t), startWorker(t)])
  for (const { order } of [one, two]) order('listen')
  const workers = new ToWorkers('topic', unexpected)
  assert.deepEqual(workers.ids().sort(), [one.worker.id, two.worker.id].sort())
  workers.send(one.worker.id, { to: 'one' })
  workers.sendToAll({ to: 'two' }, one.worker.id)
  workers.sendToAll({ to: 'all' })
  for (const [{ next }, first] of [
    [one, 'one'],
    [two, 'two'],
  ] as const) {
    assert.deepEqual(await next(), { heard: { to: first } })
    assert.deepEqual(await next(), { heard: { to: 'all' } })
  }
  const heard = new Promise((resolve) => {
    const stop = workers.listen((payload, from) => {
      stop()
      resolve([payload, from])
    })
  })
  two.order('say', { from: 'two' })
  assert.deepEqual(await heard, [{ from: 'two' }, two.worker.id])
})

test('what others say there is left alone, on both sides', limited, async (t) => {
  const { worker, next, order } = await startWorker(t)
  order('listen')
  for (const message of foreign) worker.send(message as object)
  const workers = new ToWorkers('topic', unexpected)
  const heard = new Promise((resolve) => {
    t.after(workers.listen(resolve))
  })
  for (const message of foreign) order('send', message as object)
  workers.send(worker.id, { last: true })
  order('say', { last: true })
  assert.deepEqual(await heard, { last: true })
  let message: unknown
  // Before it come those that it was ordered to send.
  do message = await next()
  while (!(message !== null && typeof message === 'object' && 'heard' in message))
  assert.deepEqual(message, { heard: { last: true } })
})

test(
  'a fault of a listener is reported, and ends neither the process nor the listening',
  limited,
  async (t) => {
    const { worker, next, order } = await startWorker(t)
    order('listen')
    const failures: unknown[] = []
    const workers = new ToWorkers('topic', (error) => failures.push(error))
    workers.send(worker.id, { fault: true })
    assert.deepEqual(await next(), { failed: 'Error: fault' })
    workers.send(worker.id, { again: true })
    assert.deepEqual(await next(), { heard: { again: true } })

    const fault = new Error('fault')
    const heard: object[] = []
    const onExit: number[] = []
    const stop = workers.listen(
      (words) => {
        heard.push(words)
        throw fault
      },
      (id) => {
        onExit.push(id)
        throw fault
      },
    )
    t.after(stop)
    for (const words of [{ first: true }, { second: true }]) {
      order('say', words)
      await next()
    }
    assert.deepEqual(heard, [{ first: true }, { second: true }])
    worker.process.kill('SIGKILL')
    await once(cluster, 'disconnect')
    assert.deepEqual(onExit, [worker.id])
    assert.deepEqual(failures, [fault, fault, fault])
  },
)

test('a listener that has stopped gets nothing more', limited, async (t) => {
  const { worker, next, order } = await startWorker(t)
  order('listen')
  const workers = new ToWorkers('topic', unexpected)
  const counts = () => ['message', 'disconnect'].map((event) => cluster.listenerCount(event))
  const before = counts()
  const stop = workers.listen(
    () => assert.fail('heard'),
    () => assert.fail('lost'),
  )
  stop()
  assert.deepEqual(counts(), before)
  workers.send(worker.id, { stop: true })
  assert.deepEqual(await next(), { heard: { stop: true } })
  workers.send(worker.id, { unheard: true })
  order('send', { pong: true })
  assert.deepEqual(await next(), { pong: true })
  order('say')
  assert.ok(isOurs(await next()))
  worker.disconnect()
  await once(worker, 'exit')
})

const isOurs = (message: unknown) => typeof message === 'object' && 'clamav_stream' in (message ?? {})

test(
  'messages for a worker that has ended, is ending or is stopped are dropped or kept, without harm',
  limited,
  async (t) => {
    const failures: unknown[] = []
    const workers = new ToWorkers('topic', (error) => failures.push(error))
    workers.send(999_999, { to: 'nobody' })

    const dying = await startWorker(t)
    dying.worker.process.kill('SIGKILL')
    // The master does not know of it yet.
    for (let i = 0; i < 100; i++) workers.send(dying.worker.id, { text: 'x'.repeat(10_000) })
    await once(dying.worker, 'exit')
    assert.ok(!workers.ids().includes(dying.worker.id))
    workers.send(dying.worker.id, { to: 'nobody' })

    const stopped = await startWorker(t)
    stopped.order('listen')
    stopped.worker.process.kill('SIGSTOP')
    // More than any pipe holds.
    for (let i = 0; i < 100; i++) workers.send(stopped.worker.id, { i, text: 'x'.repeat(10_000) })
    stopped.worker.process.kill('SIGCONT')
    assert.equal(((await stopped.next()) as { heard: { i: number } }).heard.i, 0)

    const loop: { self?: object } = {}
    loop.self = loop
    workers.send(stopped.worker.id, loop)
    assert.match(String(failures), /circular/i)
    assert.equal(failures.length, 1)
  },
)

test('a worker whose master has gone says nothing, and lives on', limited, async (t) => {
  const { worker, order } = await startWorker(t)
  order('disconnect', { to: 'nobody' })
  assert.equal(await exitOf(worker), 7)
})

async function exitOf(worker: Worker): Promise<unknown> {
  const [code] = (await once(worker, 'exit')) as unknown[]
  return code
}
