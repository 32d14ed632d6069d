// The hooks: in which order they run, and what each answers Haraka.
import assert from 'node:assert/strict'
import cluster from 'node:cluster'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import constants from 'haraka-constants'
import * as hooks from '../../index'
import { ConfigError } from '../../lib/base/config-error'
import { runtimeOf } from '../../lib/plugin/runtime'
import {
  clean,
  type FakeConnection,
  FakeSite,
  infected,
  registeredSite,
  unscanned,
} from '../support/haraka/fake-haraka'
import { TemporaryDirectory } from '../support/process'

const next = [undefined, undefined]
const answered = async (answer: Promise<{ code: unknown; answer: unknown }>) => Object.values(await answer)

test('every hook, and its priority', (t) => {
  assert.deepEqual(registeredSite(t).hooks, [
    ['init_master', 'clamav_check', -100],
    ['init_child', 'clamav_check', -100],
    ['init_http', 'clamav_serve', -100],
    ['data_post', 'clamav_strip', -100],
    ['data_post', 'clamav_scan', 0],
    ['data_post', 'clamav_rules', 50],
    ['queue', 'clamav_gate', -100],
    ['queue_outbound', 'clamav_gate', -100],
    ['deny', 'clamav_final', -100],
    ['reset_transaction', 'clamav_drop', 0],
    ['disconnect', 'clamav_drop', 0],
  ])
})

test('no other plugin in data_post sees a forged header, however early it runs', async (t) => {
  const site = registeredSite(t)
  site.answer(t, clean)
  const connection = site.connection({}, ['Subject: x', 'X-MessageIsInfected: false', '', 'body'])
  let seen: string[] = []
  const neighbour = (connection: FakeConnection) => {
    seen = [...connection.transaction.header.header_list]
    return Promise.resolve()
  }
  const ours = site.hooks.filter(([hook]) => hook === 'data_post')
  const all = ours.map(([, method, priority]) => ({
    priority,
    run: (connection: FakeConnection) => site.call(hooks[method as 'clamav_scan'], connection),
  }))
  const inOrder = [...all, { priority: -99, run: neighbour }].sort((a, b) => a.priority - b.priority)
  for (const { run } of inOrder) await run(connection)
  assert.deepEqual(seen, ['Subject: x\n'])
})

test('a plugin that would run before the gate keeps Haraka from starting', (t) => {
  const registered_hooks = { queue: [{ plugin: 'fast', priority: -100 }] }
  const site = new FakeSite(t, { plugins: { registered_hooks } })
  assert.throws(() => hooks.register.call(site.plugin), ConfigError)
  assert.throws(() => runtimeOf(site.plugin), /not registered/)
})

test('the scan says continue, whatever it found', async (t) => {
  const site = registeredSite(t)
  for (const verdict of [clean, infected, unscanned('error')]) {
    site.answer(t, verdict)
    const connection = site.connection()
    assert.deepEqual(await answered(site.call(hooks.clamav_strip, connection)), next)
    assert.deepEqual(await answered(site.call(hooks.clamav_scan, connection)), next)
    assert.equal((connection.transaction.notes.clamav_stream as typeof verdict).outcome, verdict.outcome)
    t.mock.restoreAll()
  }
})

/** Answers of the rules and of the gate. */
async function ended(t: TestContext, ini: string, verdict = infected, more: object = {}) {
  const site = registeredSite(t, { ini })
  const sources = site.answer(t, verdict)
  const connection = site.connection(more)
  await site.call(hooks.clamav_scan, connection)
  const rules = await answered(site.call(hooks.clamav_rules, connection))
  const gate = await answered(site.call(hooks.clamav_gate, connection))
  return { site, sources, connection, rules, gate }
}

const authenticated = { notes: { auth_user: 'bob' } }
const rejected = [constants.deny, '550 5.7.1 Message is infected with Eicar']
const deferred = [constants.denysoft, '451 4.7.1 Message is infected with Eicar']

for (const [action, rules, gate, more = {}] of [
  ['reject', rejected, rejected],
  ['defer', deferred, deferred],
  ['tag', next, next],
  ['discard', next, [constants.ok, undefined]],
  ['bounce', next, [constants.ok, undefined], authenticated],
  ['bounce reject', next, rejected, authenticated],
  ['bounce defer', next, deferred, authenticated],
] as const) {
  test(`infected, ${action}: at the rules, and at the gate`, async (t) => {
    const site = registeredSite(t, { ini: `[infected]\naction=${action}` })
    const sources = site.answer(t, infected)
    const connection = site.connection(more)
    await site.call(hooks.clamav_scan, connection)
    assert.deepEqual(await answered(site.call(hooks.clamav_rules, connection)), rules)
    assert.deepEqual(await answered(site.call(hooks.clamav_gate, connection)), gate)
    // A report is scanned too.
    assert.equal(sources.length, action.startsWith('bounce') ? 2 : 1)
  })
}

test('clean mail passes; what was not scanned is deferred', async (t) => {
  const passed = await ended(t, '', clean)
  assert.deepEqual([passed.rules, passed.gate, passed.sources.length], [next, next, 1])
  const failed = await ended(t, '', unscanned('error'))
  const later = [constants.denysoft, '451 4.3.0 Message could not be scanned for viruses, try again later']
  assert.deepEqual([failed.rules, failed.gate, failed.sources.length], [later, later, 1])
})

test('a message that another plugin steered past the scan is scanned at the gate', async (t) => {
  const site = registeredSite(t)
  const sources = site.answer(t, infected)
  const connection = site.connection()
  assert.deepEqual(await answered(site.call(hooks.clamav_rules, connection)), next)
  assert.equal(sources.length, 0)
  assert.deepEqual(await answered(site.call(hooks.clamav_gate, connection)), rejected)
  assert.equal(sources.length, 1)
})

test('a copy is made at the gate, and without one the message is deferred', async (t) => {
  const { site, rules, gate } = await ended(t, '[infected]\naction=quarantine reject\n')
  assert.deepEqual(rules, next)
  assert.deepEqual(gate, [constants.denysoft, '451 4.3.0 Message could not be processed, try again later'])
  assert.match(site.log.join('\n'), /^error message deferred, no copy could be kept: .*not listed/m)
})

test('what other plugins changed since the scan is repaired in what is delivered, and only there', async (t) => {
  for (const [verdict, ini, headers] of [
    [clean, '', ['X-MessageIsInfected: false\r\n']],
    [infected, '[infected]\naction=tag\n', ['X-MessageIsInfected: true\r\n']],
    [infected, '', ['X-MessageIsInfected: false\n']],
  ] as const) {
    const site = registeredSite(t, { ini })
    site.answer(t, verdict)
    const connection = site.connection({}, ['Subject: x', '', 'body'])
    await site.call(hooks.clamav_scan, connection)
    const { transaction } = connection
    transaction.remove_header('X-MessageIsInfected')
    transaction.add_header('X-MessageIsInfected', verdict === clean ? 'true' : 'false')
    await site.call(hooks.clamav_gate, connection)
    const list = transaction.header.header_list.filter((line) => line.startsWith('X-'))
    assert.deepEqual(
      list.map((line) => line.trimEnd()),
      headers.map((line) => line.trimEnd()),
    )
    t.mock.restoreAll()
  }
})

test('a drop ends the scan, answers the hook, and goes on at once; no copy is made', async (t) => {
  let copies = 0
  const registered_plugins = { 'queue/quarantine': { quarantine: () => copies++ } }
  const site = registeredSite(t, { ini: '[unscanned]\nerror=quarantine\n', plugins: { registered_plugins } })
  const connection = site.connection()
  let ended: unknown = null
  site.answer(t, (signal) => {
    return new Promise((resolve) =>
      signal.addEventListener('abort', () => {
        ended = signal.reason
        resolve(unscanned('error'))
      }),
    )
  })
  const scan = answered(site.call(hooks.clamav_gate, connection))
  assert.deepEqual(await answered(site.call(hooks.clamav_drop, connection)), next)
  assert.deepEqual(await scan, [constants.denysoft, undefined])
  assert.match(String(ended), /the message was dropped/)
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(copies, 0)
})

test('a rejection of ours at the gate is final; in data_post, and of others, it is not', async (t) => {
  const site = registeredSite(t)
  const connection = site.connection()
  const final = (plugin: string, hook: string) =>
    answered(site.call(hooks.clamav_final, connection, [constants.deny, '', plugin, '', {}, hook]))
  assert.deepEqual(await final('clamav-stream', 'queue'), [constants.stop, undefined])
  assert.deepEqual(await final('clamav-stream', 'queue_outbound'), [constants.stop, undefined])
  assert.deepEqual(await final('clamav-stream', 'data_post'), next)
  assert.deepEqual(await final('rspamd', 'queue'), next)
  assert.deepEqual(await answered(site.call(hooks.clamav_final, connection)), next)
})

const isChecking = ({ plugin }: FakeSite) => runtimeOf(plugin).healthCheck?.signal.aborted === false

test('the check of clamds begins with Haraka, is waited for by nothing, and ends with the plugin', (t) => {
  for (const server of [{}, { cluster: { isMaster: true } }, { cluster: { isMaster: false } }]) {
    const site = registeredSite(t, { maxPings: 1 })
    assert.ok(!isChecking(site))
    const answers: unknown[] = []
    const begin = () => hooks.clamav_check.call(site.plugin, (...args) => answers.push(args), server)
    begin()
    assert.ok(isChecking(site))
    const { healthCheck: check } = runtimeOf(site.plugin)
    begin()
    assert.equal(runtimeOf(site.plugin).healthCheck, check)
    assert.deepEqual(answers, [[], []])
    hooks.shutdown.call(site.plugin)
    assert.ok(!isChecking(site))
  }
})

test('the check begins when Haraka listens, if no hook has begun it', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const server = { ready: 0 }
  const site = registeredSite(t, { maxPings: 1, plugins: { server } })
  t.mock.timers.tick(1000)
  assert.ok(!isChecking(site))
  server.ready = 1
  t.mock.timers.tick(1000)
  assert.ok(isChecking(site))
})

test('a folder that can keep no copy is told where copies are kept', (t) => {
  const { path: folder } = new TemporaryDirectory('nowhere')
  const registered_plugins = { 'queue/quarantine': { get_base_dir: () => path.join(folder, 'file') } }
  writeFileSync(path.join(folder, 'file'), '')
  for (const [cluster, isTold] of [
    [undefined, true],
    [{ isMaster: false }, true],
    [{ isMaster: true }, false],
  ] as const) {
    const site = registeredSite(t, {
      ini: '[infected]\naction=quarantine\n',
      plugins: { registered_plugins },
    })
    hooks.clamav_check.call(site.plugin, () => undefined, cluster ? { cluster } : {})
    assert.equal(/^error no copy can be kept/m.test(site.log.join('\n')), isTold)
  }
})

test('the master of a cluster connects its workers, and lets them go at the end', (t) => {
  const http = { cfg: { listen: '127.0.0.1:0' } }
  for (const [isMaster, connected] of [
    [true, 2],
    [false, 0],
  ] as const) {
    const site = registeredSite(t)
    hooks.clamav_check.call(site.plugin, () => undefined, { cluster: { isMaster }, http })
    const listeners = cluster.listenerCount('message')
    hooks.shutdown.call(site.plugin)
    assert.equal(listeners - cluster.listenerCount('message'), connected)
  }
})

test("metrics and page are Haraka's to serve; whatever fails there, Haraka goes on", (t) => {
  const site = registeredSite(t)
  const places: string[] = []
  const serve = (use: (at: string) => void) => {
    const answers: unknown[] = []
    hooks.clamav_serve.call(site.plugin, (...args) => answers.push(args), { http: { app: { use } } })
    return answers
  }
  assert.deepEqual(
    serve((at) => places.push(at)),
    [[]],
  )
  assert.deepEqual(places, ['/clamav-stream'])
  const fail = () => {
    throw new Error('no express')
  }
  assert.deepEqual(serve(fail), [[]])
  assert.match(site.log.join('\n'), /^error cannot serve metrics and page: .*no express/m)
})
