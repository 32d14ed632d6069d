// `clamav-stream quarantine`: releases to some or other recipients, what today's signatures still find, the list on a
// terminal, and the oldest messages that go.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { expired } from '../../lib/cli/quarantine/expire'
import type { KeptMessage } from '../../lib/cli/quarantine/store'
import { fitted, table } from '../../lib/cli/terminal'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { clamavStream, jsonLines } from '../support/command'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { startSink } from '../support/smtp/sink'

const dayMs = 86_400_000

const uuidOf = (name: string) => `${name}-0000-0000-0000-000000000000.1`

/**
 * A site with messages for ann and bob that were kept some days ago.
 * @param onSent called when the next hop has a message, and before it says so
 */
async function siteWith(
  t: TestContext,
  kept: Record<string, { data: Buffer; daysAgo: number }>,
  onSent?: (folder: string) => void,
) {
  const place = new TemporaryDirectory('quarantine')
  const clamd = await startFakeClamd({ protocols: ['INSTREAM'] })
  const sink = await startSink(onSent ? { keep: () => onSent(path.join(place.path, 'kept/infected')) } : {})
  t.after(async () => {
    await Promise.all([clamd.stop(), sink.stop()])
    place.remove()
  })
  const files: Record<string, string> = {
    plugins: 'clamav-stream\nqueue/quarantine\nqueue/smtp_forward\n',
    'clamav-stream.ini': `host=${addressText(clamd.address)}\n[infected]\naction=quarantine reject\n`,
    'smtp.ini': 'listen=127.0.0.1:1\n',
    'smtp_forward.ini': `host=127.0.0.1\nport=${sink.port}\n`,
    'quarantine.ini': `quarantine_path=${place.path}/kept\n`,
  }
  mkdirSync(path.join(place.path, 'config'))
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(place.path, 'config', name), text)
  const day = path.join(place.path, 'kept', 'infected', '20260115')
  mkdirSync(day, { recursive: true, mode: 0o700 })
  for (const [name, { data, daysAgo }] of Object.entries(kept)) {
    const record = {
      uuid: uuidOf(name),
      time: new Date(Date.now() - daysAgo * dayMs).toISOString(),
      envelope: { mail_from: 'eve@example.net', rcpt_to: ['ann@example.com', 'bob@example.com'] },
      client: { ip: '192.0.2.1', host: null, helo: null },
      user: null,
      message_id: null,
      verdict: { outcome: 'infected', virus: 'Eicar', reason: null, action: 'quarantine reject' },
      attachment: null,
    }
    writeFileSync(path.join(day, record.uuid), data)
    writeFileSync(path.join(day, `${record.uuid}.json`), JSON.stringify(record))
  }
  const run = (...args: string[]) => clamavStream(['quarantine', ...args], { cwd: place.path })
  const has = (name: string) => existsSync(path.join(day, uuidOf(name)))
  return { run, sink, has }
}

test('a release to one recipient, to another address, and what is still found', async (t) => {
  const { run, sink } = await siteWith(t, {
    AAAAAAAA: { data: mails.eicarBody(), daysAgo: 1 },
    BBBBBBBB: { data: mails.clean(), daysAgo: 2 },
  })
  const one = await run('release', 'AAAAAAAA.1', '--yes', '--to-recipient', 'ANN@example.com')
  assert.equal(one.code, 0, one.error)
  assert.match(
    one.error,
    /^WARNING: AAAAAAAA\.1: Eicar-Test-Signature is still found by today's signatures$/m,
  )
  assert.deepEqual(sink.messages.map(({ to }) => to).flat(), ['ann@example.com'])

  const listed = await run('list', '--json')
  assert.deepEqual(
    jsonLines(listed.text).map(({ id, released }) => [id, Object.keys(released as object)]),
    [
      ['BBBBBBBB.1', []],
      ['AAAAAAAA.1', ['ann@example.com']],
    ],
  )
  const wrong = await run('release', 'BBBBBBBB.1', '--yes', '--to-recipient', 'carol@example.com')
  assert.match(
    wrong.error,
    /BBBBBBBB\.1: carol@example\.com is no recipient of it; to another .* --to-address/,
  )
  assert.equal(wrong.code, 2)

  const other = await run('release', 'BBBBBBBB.1', '--yes', '--to-address', 'carol@example.com')
  assert.equal(other.code, 0, other.error)
  assert.doesNotMatch(other.error, /still found/)
  assert.deepEqual(sink.messages.at(-1)?.to, ['carol@example.com'])
  assert.match((await run('list')).text, /BBBBBBBB\.1 .* kept .* +\S.*$/m)
})

test('a message that another command locks meanwhile holds up no other', async (t) => {
  const messages = Object.fromEntries(
    ['AAAAAAAA', 'BBBBBBBB', 'CCCCCCCC'].map((name, age) => [
      name,
      { data: mails.clean(), daysAgo: 9 - age },
    ]),
  )
  let sent = 0
  const { run } = await siteWith(t, messages, (folder) => {
    if (sent++ > 0) return
    const begin = {
      time: new Date().toISOString(),
      uuid: uuidOf('BBBBBBBB'),
      attempt: 'another',
      by: { user: 'eve', uid: 1, sudo_user: null },
      event: 'begin',
      action: 'delete',
      process: { host: 'another.example.com', pid: 1, start: null },
    }
    appendFileSync(path.join(folder, 'releases.log'), `${JSON.stringify(begin)}\n`)
  })
  const ran = await run('release', '--all', '--yes')
  assert.match(ran.error, /^BBBBBBBB\.1 not released: .*locked by a delete that eve started/m)
  assert.equal(ran.code, 1)
  assert.equal(sent, 2)
  const alone = await run('release', 'BBBBBBBB.1', '--yes')
  assert.match(alone.error, /locked by a delete/)
  assert.equal(alone.code, 2)
})

test('expire: too old, then too much; it asks nothing, and the log has it', async (t) => {
  const data = mails.clean()
  const { run, has } = await siteWith(t, {
    AAAAAAAA: { data, daysAgo: 40 },
    BBBBBBBB: { data, daysAgo: 20 },
    CCCCCCCC: { data, daysAgo: 1 },
  })
  assert.equal((await run('expire')).code, 2)
  const old = await run('expire', '--older', '30d')
  assert.match(old.text, /^AAAAAAAA\.1 deleted\n1 message deleted, 2 messages kept, /)
  assert.deepEqual(['AAAAAAAA', 'BBBBBBBB', 'CCCCCCCC'].map(has), [false, true, true])
  const much = await run('expire', '--max', String(data.length))
  assert.match(much.text, /^BBBBBBBB\.1 deleted\n1 message deleted, 1 message kept, /)
  assert.deepEqual(['BBBBBBBB', 'CCCCCCCC'].map(has), [false, true])
  assert.equal(much.code, 0)
})

test('what expires: the oldest first, until the rest is small enough', () => {
  const kept = [3, 2, 1].map((days) => ({ keptMs: -days * dayMs, bytes: 100 }) as KeptMessage)
  const days = (limits: { older?: number; max?: number }) =>
    expired(kept, limits, 0).map(({ keptMs }) => -keptMs / dayMs)
  assert.deepEqual(days({ max: 300 }), [])
  assert.deepEqual(days({ max: 299 }), [3])
  assert.deepEqual(days({ max: 0 }), [3, 2, 1])
  assert.deepEqual(days({ older: 2 * dayMs }), [3, 2])
  assert.deepEqual(days({ older: 3 * dayMs, max: 100 }), [3, 2])
})

test('a table fits the terminal: the widest cells are cut', () => {
  const rows = [
    [
      'A.1',
      'a-very-long-sender-address@a-very-long-domain.example',
      'ann@example.com',
      'Your invoice of today',
    ],
  ]
  const line = table(fitted(rows, 60, 1), 60).trimEnd()
  assert.ok(line.length <= 60, line)
  assert.match(line, /^A\.1 {2}a-very-\S+… {2}ann@example\.com {2}Your i/)
  assert.deepEqual(fitted(rows, Infinity, 1), rows)
})

test('systemd takes the timer of examples/', (t) => {
  const files = ['service', 'timer'].map((kind) =>
    path.resolve(__dirname, `../../examples/systemd/clamav-stream-expire.${kind}`),
  )
  const { error, stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...files], { encoding: 'utf8' })
  if (error) {
    t.skip('there is no systemd-analyze')
    return
  }
  // What else is installed on this machine says nothing about the example.
  assert.deepEqual(
    `${stdout}${stderr}`.split('\n').filter((line) => line.includes('clamav-stream-expire')),
    [],
  )
})
