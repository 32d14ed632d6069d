// Names of hosts as addresses: when they are looked up, who waits for that and for how long, and what a failure leaves.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Cancellation } from '../../../lib/base/cancellation'
import { addressText, type Host } from '../../../lib/clamd/address'
import { HostResolver, unresolved } from '../../../lib/hosts/resolver'

const named = (name: string): Host => ({ name, port: 3310 })
const fixed: Host = { host: '192.0.2.9', port: 3310 }

/** Look-ups that the test answers, a clock that it sets, and a resolver for them. */
function setUp(t: TestContext, hosts: readonly Host[], backups: readonly Host[] = []) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const asked: { name: string; answer: (addresses: readonly string[] | Error) => void }[] = []
  const warnings: string[] = []
  const clock = { ms: 0 }
  let changes = 0
  const lookup = (name: string) =>
    new Promise<readonly string[]>((resolve, reject) => {
      const answer = (found: readonly string[] | Error) =>
        found instanceof Error ? reject(found) : resolve(found)
      asked.push({ name, answer })
    })
  const resolver = new HostResolver(
    { hosts, backups, resolveMs: 60_000, connectMs: 5000 },
    { lookup, now: () => clock.ms, warn: (text) => warnings.push(text) },
    () => changes++,
  )
  const answer = (name: string, found: readonly string[] | Error) => {
    const at = asked.findIndex((one) => one.name === name)
    const [one = assert.fail(`${name} was not asked for`)] = asked.splice(at, 1)
    one.answer(found)
  }
  const known = () => resolver.addresses.map(({ address, role }) => `${addressText(address)} ${role}`)
  return { resolver, asked, answer, known, warnings, clock, changes: () => changes }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const never = new Cancellation()

/** What has become of a promise so far. */
function watched(promise: Promise<unknown>): { state: string } {
  const seen = { state: 'waits' }
  promise.then(
    () => (seen.state = 'done'),
    (error: unknown) => (seen.state = String(error)),
  )
  return seen
}

test('an address without a name is known at once, and nobody waits', async (t) => {
  const { resolver, known } = setUp(t, [fixed])
  assert.equal(resolver.areAllKnown, true)
  assert.deepEqual(known(), [])
  await resolver.ready(never)
  assert.deepEqual(known(), ['192.0.2.9:3310 host'])
})

test('the first message waits for the first host with an address, and not for the others', async (t) => {
  const { resolver, answer, known } = setUp(t, [named('a'), named('b')], [fixed])
  const ready = watched(resolver.ready(never))
  await turn()
  // A backup alone is not waited with.
  assert.deepEqual([ready.state, known()], ['waits', ['192.0.2.9:3310 backup']])
  answer('b', ['192.0.2.1', '192.0.2.2'])
  await turn()
  assert.equal(ready.state, 'done')
  assert.deepEqual(known(), ['192.0.2.1:3310 host', '192.0.2.2:3310 host', '192.0.2.9:3310 backup'])
  assert.deepEqual([resolver.areAllKnown, resolver.isResolving], [false, true])
  answer('a', ['192.0.2.2', '192.0.2.9'])
  await turn()
  assert.deepEqual(known(), ['192.0.2.2:3310 host', '192.0.2.9:3310 host', '192.0.2.1:3310 host'])
  assert.deepEqual([resolver.areAllKnown, resolver.isResolving], [true, false])
})

test('a silent name server costs a message the connect timeout, and the signal ends it', async (t) => {
  const { resolver } = setUp(t, [named('a')])
  const cancelled = new Cancellation()
  const [slow, gone] = [watched(resolver.ready(never)), watched(resolver.ready(cancelled))]
  await turn()
  cancelled.abort(new Error('gone'))
  t.mock.timers.tick(4999)
  await turn()
  assert.deepEqual([slow.state, gone.state], ['waits', 'Error: gone'])
  t.mock.timers.tick(1)
  await turn()
  assert.equal(slow.state, 'done')
})

test('names are looked up again when that is due, without waiting; a failure keeps the addresses', async (t) => {
  const { resolver, asked, answer, known, warnings, clock, changes } = setUp(t, [named('a')])
  const first = resolver.ready(never)
  answer('a', ['192.0.2.1'])
  await first
  await turn()
  clock.ms = 59_999
  await resolver.ready(never)
  assert.equal(asked.length, 0)
  clock.ms = 60_000
  await resolver.ready(never)
  assert.equal(asked.length, 1)
  const before = changes()
  answer('a', new Error('no answer'))
  await turn()
  assert.deepEqual(warnings, ['cannot look up a: no answer'])
  assert.deepEqual(known(), ['192.0.2.1:3310 host'])
  assert.ok(changes() > before)
})

test('after failures of an address, its name is looked up once a second at most', async (t) => {
  const { resolver, asked, answer, clock } = setUp(t, [named('a')])
  const first = resolver.resolve()
  assert.equal(resolver.resolve(), first)
  answer('a', ['192.0.2.1'])
  await first
  clock.ms = 999
  resolver.resolveAfterFailure()
  assert.equal(asked.length, 0)
  clock.ms = 1000
  resolver.resolveAfterFailure()
  resolver.resolveAfterFailure()
  assert.equal(asked.length, 1)
})

test('a look-up that runs can be waited for', async (t) => {
  const { resolver, answer } = setUp(t, [named('a')])
  await resolver.settled(never)
  void resolver.resolve()
  const settled = watched(resolver.settled(never))
  await turn()
  assert.equal(settled.state, 'waits')
  answer('a', ['192.0.2.1'])
  await turn()
  assert.equal(settled.state, 'done')
})

test('only names that are new must have an address', async () => {
  const asked: string[] = []
  const lookup = (name: string) => {
    asked.push(name)
    return name === 'good' ? Promise.resolve(['192.0.2.1']) : Promise.reject(new Error('unknown'))
  }
  const now = { hosts: [named('old'), named('good'), fixed], backups: [named('bad')] }
  assert.deepEqual(await unresolved(now, { hosts: [named('old')] }, lookup), ['cannot look up bad: unknown'])
  assert.deepEqual(asked, ['good', 'bad'])
})
