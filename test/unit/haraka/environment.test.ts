// What this plugin asks of the other plugins, and what it takes from Haraka.
import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { test } from 'node:test'
import {
  hasPackage,
  httpServerOf,
  isListed,
  limitsOf,
  onListening,
  quarantinePlugin,
  readersBeforeScan,
  requireFirstInLine,
  serverName,
} from '../../../lib/haraka/environment'
import type { Plugin } from '../../../lib/haraka/types'

const pluginWith = (modules: Record<string, object>) =>
  ({
    name: 'clamav-stream',
    haraka_require: (name: string) => modules[name] ?? assert.fail(`no ${name}`),
  }) as unknown as Plugin
const withHooks = (registered_hooks: object) => pluginWith({ plugins: { registered_hooks } })
const other = (plugin: string, priority: number) => ({ plugin, priority })

test('nobody stands before the gate, nor beside it and above us', () => {
  requireFirstInLine(pluginWith({ plugins: {} }))
  requireFirstInLine(withHooks({ queue: [other('a', -99)], data_post: [other('a', -100)] }))
  for (const hook of ['queue', 'queue_outbound', 'deny'])
    for (const priority of [-100, -101])
      assert.throws(
        () => requireFirstInLine(withHooks({ [hook]: [other('b', 0), other('a', priority)] })),
        new RegExp(
          `config/plugins: move the line clamav-stream above a, which has priority -100 on the hook ${hook} `,
        ),
      )
  for (const name of ['clamav-stream', 'haraka-plugin-clamav-stream'])
    assert.throws(() => requireFirstInLine(withHooks({ deny: [other(name, -100)] })), /is listed twice/)
})

test('who may read a message before the scan, each once', () => {
  const data_post = [
    other('a', -100),
    other('clamav-stream', -100),
    other('b', -50),
    other('a', 0),
    other('clamav-stream', 0),
    other('c', 0),
    other('clamav-stream', 50),
  ]
  assert.deepEqual(readersBeforeScan(withHooks({ data_post })), ['a', 'b'])
  assert.deepEqual(readersBeforeScan(withHooks({})), [])
})

test('what is listed, and what is loaded', () => {
  const quarantine = { quarantine: () => undefined }
  const plugins = {
    config: { get: () => ['queue/quarantine', 'a'] },
    registered_plugins: { 'queue/quarantine': quarantine },
  }
  const plugin = pluginWith({ plugins })
  assert.deepEqual([isListed(plugin, 'a'), isListed(plugin, 'b')], [true, false])
  assert.equal(quarantinePlugin(plugin), quarantine)
  const none = pluginWith({ plugins: {} })
  assert.deepEqual([isListed(none, 'a'), quarantinePlugin(none)], [false, undefined])
})

test('when Haraka listens, that is told once', (t) => {
  // Timers of our own: a mocked one that is cleared in its own turn comes back on Node 20.
  const timers = new Set<() => void>()
  t.mock.method(globalThis, 'setInterval', (check: () => void) => {
    timers.add(check)
    return Object.assign(check, { unref: () => check })
  })
  t.mock.method(globalThis, 'clearInterval', (check: () => void) => timers.delete(check))
  const tick = () => timers.forEach((check) => check())
  const server = { ready: 0 }
  const told: unknown[] = []
  onListening(pluginWith({ plugins: {} }), () => assert.fail('there is no server'))
  onListening(pluginWith({ plugins: { server } }), (one) => told.push(one))
  tick()
  assert.deepEqual(told, [])
  server.ready = 1
  tick()
  tick()
  assert.deepEqual(told, [server])
})

test("Haraka's name, limits and HTTP server; without its modules nothing is known", () => {
  assert.deepEqual(
    [serverName('mx.example.com'), serverName(''), serverName(null)],
    ['mx.example.com', hostname(), hostname()],
  )
  const full = pluginWith({
    connection: { cfg: { max: { bytes: 500 } } },
    server: { cfg: { main: { inactivity_timeout: 45 } }, http: { cfg: { listen: '[::]:80' } } },
  })
  assert.deepEqual(limitsOf(full), { bytes: 500, inactivityMs: 45_000 })
  assert.equal(httpServerOf(full).listens, true)
  const empty = pluginWith({ connection: {}, server: {} })
  assert.deepEqual(limitsOf(empty), { bytes: null, inactivityMs: null })
  assert.equal(httpServerOf(empty).listens, false)
  assert.deepEqual(limitsOf(pluginWith({})), { bytes: null, inactivityMs: null })
  assert.equal(httpServerOf(pluginWith({})).listens, false)
})

test('a package is looked for from a file', () => {
  assert.deepEqual(
    [hasPackage(__filename, 'ms'), hasPackage(__filename, 'no-such-package'), hasPackage(undefined, 'ms')],
    [true, false, null],
  )
})
