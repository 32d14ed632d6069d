// What is done at the gate: copy and report, each before the answer, and what becomes of the message without one.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import constants from 'haraka-constants'
import * as hooks from '../../../index'
import { today } from '../../../lib/actions/quarantine'
import type { Connection, Next } from '../../../lib/haraka/types'
import { clean, type FakeConnection, FakeSite, infected } from '../../support/haraka/fake-haraka'
import { TemporaryDirectory } from '../../support/process'

const body = 'From: a@example.com\nSubject: Hello\nX-MessageIsInfected: true\n\nbody\n'

/**
 * A site with a queue/quarantine that writes `text`.
 * @param onStored called before it answers
 */
function setUp(
  t: TestContext,
  ini: string,
  text = body,
  onStored: (site: FakeSite, connection: Connection) => void = () => undefined,
) {
  const folder = new TemporaryDirectory('kept')
  t.after(() => folder.remove())
  const keeping = {
    quarantine(next: Next, connection: Connection) {
      const { transaction } = connection
      const copy = path.join(
        folder.path,
        String(transaction?.notes.quarantine),
        today(),
        transaction?.uuid ?? '',
      )
      mkdirSync(path.dirname(copy), { recursive: true })
      writeFileSync(copy, text)
      if (transaction) transaction.notes.quarantined = copy
      onStored(site, connection)
      next()
    },
    get_base_dir: () => folder.path,
  }
  const site = new FakeSite(t, { ini, plugins: { registered_plugins: { 'queue/quarantine': keeping } } })
  hooks.register.call(site.plugin)
  t.after(() => hooks.shutdown.call(site.plugin))
  const copyOf = ({ transaction }: FakeConnection) =>
    path.join(folder.path, 'viruses', today(), transaction.uuid)
  const gate = async (connection: FakeConnection) =>
    Object.values(await site.call(hooks.clamav_gate, connection))
  return { site, copyOf, gate }
}

const kept = '[infected]\naction=quarantine reject\n[quarantine]\nfolder=viruses\n'
const rejected = [constants.deny, '550 5.7.1 Message is infected with Eicar']

test('a copy with its record, then the answer', async (t) => {
  const { site, copyOf, gate } = setUp(t, kept)
  site.answer(t, infected)
  const connection = site.connection({ notes: { auth_user: 'bob' } })
  assert.deepEqual(await gate(connection), rejected)
  const copy = copyOf(connection)
  assert.equal(readFileSync(copy, 'utf8'), body)
  const { time, verdict, ...record } = JSON.parse(readFileSync(`${copy}.json`, 'utf8')) as Record<
    string,
    unknown
  >
  assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000)
  assert.deepEqual(verdict, { ...(connection.transaction.notes.clamav_stream as object) })
  assert.deepEqual(record, {
    uuid: connection.transaction.uuid,
    envelope: { mail_from: 'bob@example.com', rcpt_to: ['ann@example.org'] },
    client: { ip: '192.0.2.1', host: 'client.example', helo: 'client' },
    user: 'bob',
    message_id: null,
    attachment: null,
  })
  assert.match(site.log.join('\n'), new RegExp(`^notice copy kept: ${copy}$`, 'm'))
})

test('without a whole copy the message is deferred, and no report is sent', async (t) => {
  const { site, copyOf, gate } = setUp(t, kept.replace('reject', 'bounce reject'), 'From: a')
  site.answer(t, infected)
  const connection = site.connection({ notes: { auth_user: 'bob' } })
  assert.deepEqual(await gate(connection), [
    constants.denysoft,
    '451 4.3.0 Message could not be processed, try again later',
  ])
  assert.ok(!existsSync(copyOf(connection)))
  assert.deepEqual(site.sent, [])
})

test('a client that hangs up meanwhile sends the message again: nothing is left, and nothing has failed', async (t) => {
  const { site, copyOf, gate } = setUp(t, kept, body, ({ plugin }, connection) =>
    hooks.clamav_drop.call(plugin, () => undefined, connection),
  )
  site.answer(t, infected)
  const connection = site.connection()
  assert.deepEqual(await gate(connection), [constants.denysoft, undefined])
  while (existsSync(copyOf(connection))) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.doesNotMatch(site.log.join('\n'), /copy/)
})

/** The gate's answer where a report is wanted, and what is sent. */
async function bounced(
  t: TestContext,
  action: string,
  more: { queueCode?: number; verdict?: typeof clean } = {},
) {
  const { verdict = clean, ...options } = more
  const site = new FakeSite(t, { ini: `[infected]\naction=${action}\n[bounce]\nlimit=100/h\n`, ...options })
  hooks.register.call(site.plugin)
  t.after(() => hooks.shutdown.call(site.plugin))
  let scans = 0
  site.answer(t, () => Promise.resolve(++scans === 1 ? infected : verdict))
  const connection = site.connection({ notes: { auth_user: 'bob' } }, [
    'Subject: a secret',
    'Message-ID: <1@example.com>',
    '',
    'x',
  ])
  const answer = Object.values(await site.call(hooks.clamav_gate, connection))
  return { site, answer, scans, report: site.sent[0]?.contents ?? '', to: site.sent[0]?.to }
}

test('a report goes to the sender, with the answer that the client gets', async (t) => {
  const { answer, scans, report, to } = await bounced(t, 'bounce defer')
  assert.deepEqual(answer, [constants.denysoft, '451 4.7.1 Message is infected with Eicar'])
  assert.deepEqual([scans, to], [2, '<bob@example.com>'])
  assert.match(report, /^Diagnostic-Code: smtp; 451 4\.7\.1 Message is infected with Eicar\r$/m)
  assert.match(report, /^Reporting-MTA: dns; mx\.example\.com\r$/m)
  assert.match(report, /^Final-Recipient: rfc822; ann@example\.org\r$/m)
  assert.match(report, /^Subject: Undelivered: a secret\r$/m)
  assert.match(report, /^In-Reply-To: <1@example\.com>\r$/m)
  const alone = await bounced(t, 'bounce')
  assert.deepEqual(alone.answer, [constants.ok, undefined])
  assert.match(alone.report, /^Status: 5\.7\.1\r$/m)
})

test('a report that does not scan as clean says nothing of what the sender wrote', async (t) => {
  for (const [verdict, why] of [
    [infected, 'infected: Eicar'],
    [{ ...clean, outcome: 'unscanned', reason: 'error', text: 'refused' }, 'unscanned: refused'],
  ] as const) {
    const { site, report, to } = await bounced(t, 'bounce', { verdict })
    assert.equal(to, '<bob@example.com>')
    assert.doesNotMatch(report, /secret|ann@|<1@/)
    assert.match(site.log.join('\n'), new RegExp(`^notice report without .* says ${why}$`, 'm'))
  }
})

test('without a report, the message is rejected, or deferred if it would be', async (t) => {
  for (const [action, answer] of [
    ['bounce', rejected],
    ['bounce discard', rejected],
    ['bounce defer', [constants.denysoft, '451 4.7.1 Message is infected with Eicar']],
  ] as const)
    assert.deepEqual((await bounced(t, action, { queueCode: constants.deny })).answer, answer)
})

test('of a message that is dropped meanwhile, no report is sent', async (t) => {
  const site = new FakeSite(t, { ini: '[infected]\naction=bounce\n' })
  hooks.register.call(site.plugin)
  t.after(() => hooks.shutdown.call(site.plugin))
  const connection = site.connection({ notes: { auth_user: 'joe' } })
  let scans = 0
  site.answer(t, () => {
    if (++scans === 2) hooks.clamav_drop.call(site.plugin, () => undefined, connection)
    return Promise.resolve(scans === 1 ? infected : clean)
  })
  assert.deepEqual(Object.values(await site.call(hooks.clamav_gate, connection)), [
    constants.denysoft,
    undefined,
  ])
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(site.sent, [])
})
