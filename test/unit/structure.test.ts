// The house's rule that imports point one way, and that sockets and Haraka stay in their rooms.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

const root = path.resolve(__dirname, '..', '..')
const files = readdirSync(path.join(root, 'lib'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => path.join('lib', name))

interface Import {
  readonly from: string
  readonly to: string
  readonly isType: boolean
}

const imports: Import[] = [...files, 'index.ts'].flatMap((from) => {
  const source = readFileSync(path.join(root, from), 'utf8')
  return [...source.matchAll(/^import (type )?[^'"]*?from '([^']+)'/gms)].map(([, type, to = '']) => ({
    from,
    to: to.startsWith('.') ? `${path.join(path.dirname(from), to)}.ts` : to,
    isType: type !== undefined,
  }))
})

test('the imports were seen', () => {
  assert.ok(imports.length > 40)
  assert.ok(imports.some(({ from, to }) => from === 'lib/scan/attempt.ts' && to === 'lib/clamd/dialogue.ts'))
})

/** Import nothing themselves, and may be imported by whoever wants them. */
const leaves = ['lib/base/cancellation.ts', 'lib/base/text.ts']

test('nothing imports the adapter, and lib/clamd knows nothing above it', () => {
  for (const { from, to, isType } of imports) {
    assert.notEqual(to, 'index.ts', from)
    if (from.startsWith('lib/clamd/') && !isType && to.startsWith('lib')) {
      assert.ok(to.startsWith('lib/clamd/') || leaves.includes(to), `${from} imports ${to}`)
    }
  }
})

test('prom-client is loaded by whoever wants metrics, and not with the plugin', () => {
  for (const { from, isType } of imports.filter(({ to }) => to === 'prom-client')) assert.ok(isType, from)
})

test('the message path tells lib/http what it found, and knows nothing else of it', () => {
  const below = imports.filter(({ from, to }) => !from.startsWith('lib/http/') && to.startsWith('lib/http/'))
  const values = below.filter(({ isType }) => !isType).map(({ from, to }) => `${from} ${to}`)
  assert.deepEqual(values.sort(), [
    'index.ts lib/monitoring/serve.ts',
    'lib/plugin/pipeline.ts lib/monitoring/recorder.ts',
  ])
})

test('the types of the package lean on nothing, so that they hold in any project', () => {
  assert.ok(files.includes('lib/policy/note.ts'))
  assert.deepEqual(
    imports.filter(({ from }) => from === 'lib/policy/note.ts'),
    [],
  )
})

test('no file imports itself by way of others', () => {
  const values = imports.filter(({ isType }) => !isType)
  const reach = (from: string, seen: Set<string>): Set<string> => {
    for (const { to } of values.filter((one) => one.from === from && !seen.has(one.to))) {
      seen.add(to)
      reach(to, seen)
    }
    return seen
  }
  for (const file of files) assert.ok(!reach(file, new Set()).has(file), file)
})

test('sockets and Haraka stay in their rooms', () => {
  const allowed: Record<string, readonly string[]> = {
    'node:net': [
      'lib/clamd/address.ts',
      'lib/plugin/runtime.ts',
      'lib/clamd/connection.ts',
      'lib/clamd/exchange.ts',
      'lib/clamd/upload.ts',
      'lib/clamd/stream.ts',
    ],
    'node:tls': [],
    'node:child_process': [],
    'node:worker_threads': [],
    'node:fs': [
      'lib/plugin/runtime.ts',
      'lib/config/files.ts',
      'lib/actions/quarantine.ts',
      'lib/monitoring/http-handler.ts',
      'lib/monitoring/dashboard/quarantine-summary.ts',
      'lib/monitoring/serve.ts',
    ],
    'node:dns/promises': ['lib/hosts/system.ts'],
    'node:cluster': ['lib/base/cluster-channel.ts'],
    'haraka-constants': ['index.ts', 'lib/plugin/hook.ts', 'lib/actions/bounce.ts'],
    'haraka-dsn': ['index.ts'],
    'node:http': [
      'lib/haraka/types.ts',
      'lib/monitoring/dashboard/event-stream.ts',
      'lib/monitoring/http-handler.ts',
    ],
    'prom-client': ['lib/monitoring/metrics.ts'],
    'lib/haraka/types.ts': [
      'index.ts',
      'lib/plugin/runtime.ts',
      'lib/haraka/transaction-message.ts',
      'lib/haraka/environment.ts',
      'lib/plugin/hook.ts',
      'lib/plugin/message-facts.ts',
      'lib/config/files.ts',
      'lib/plugin/pipeline.ts',
      'lib/monitoring/serve.ts',
      'lib/actions/bounce.ts',
      'lib/actions/quarantine.ts',
    ],
  }
  for (const { from, to } of imports) {
    const rooms = allowed[to] ?? allowed[to.replace(/\/promises$/, '')]
    if (rooms) assert.ok(rooms.includes(from), `${from} imports ${to}`)
  }
  const pure = [
    'lib/policy/action.ts',
    'lib/policy/rules.ts',
    'lib/policy/verdict.ts',
    'lib/clamd/protocol.ts',
    'lib/monitoring/cluster-collect.ts',
    'lib/monitoring/dashboard/time-window.ts',
    'lib/monitoring/dashboard/stats.ts',
    'lib/http/text.ts',
    'lib/monitoring/dashboard/view.ts',
  ]
  for (const { from, to, isType } of imports) {
    if (pure.includes(from) && !isType) assert.ok(to.startsWith('lib/'), `${from} imports ${to}`)
  }
})

test('attachments know a source of bytes, and neither settings nor Haraka', () => {
  const around = imports.filter(
    ({ from, to }) => from.startsWith('lib/attachments/') && /^lib\/(?!attachments\/)/.test(to),
  )
  const known = ['lib/base/cancellation.ts', 'lib/base/message-source.ts', 'lib/base/wildcards.ts']
  for (const { from, to } of around) assert.ok(known.includes(to), `${from} imports ${to}`)
})

test('the plugin loads nothing of the command line, and the command line nothing of the tests', () => {
  const forPeople = [
    'commander',
    'haraka-config',
    'haraka-config/lib/reader',
    'nodemailer/lib/smtp-connection',
  ]
  for (const { from, to } of imports) {
    assert.ok(!to.startsWith('bin/') && !forPeople.includes(to), `${from} imports ${to}`)
  }
  const commands = readdirSync(path.join(root, 'bin'), { recursive: true, encoding: 'utf8' })
  for (const name of commands.filter((one) => one.endsWith('.ts'))) {
    const source = readFileSync(path.join(root, 'bin', name), 'utf8')
    assert.doesNotMatch(source, /from '[./]+\/(test|bench|scripts|index)\b/, name)
  }
})
