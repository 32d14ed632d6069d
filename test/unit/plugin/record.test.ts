// What metrics, page and [notify] are told of a message, and of what was done with it.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import constants from 'haraka-constants'
import * as hooks from '../../../index'
import { type Recorder, recordWith } from '../../../lib/monitoring/recorder'
import {
  clean,
  type FakeConnection,
  infected,
  registeredSite,
  type SiteOptions,
  unscanned,
} from '../../support/haraka/fake-haraka'

/** A site whose recorder writes down what it is told. */
function setUp(t: TestContext, options: SiteOptions = {}) {
  const site = registeredSite(t, options)
  const told: unknown[] = []
  const recorder = {
    judged: ({ verdict, finding, action }, summary) =>
      told.push(['judged', verdict.outcome, finding, action, summary()]),
    countAction: (deed, result) => told.push([deed, result]),
    copyFailed: ({ verdict, finding, action }, summary, why) =>
      told.push(['copy failed', verdict.outcome, finding, action, summary(), why]),
  } satisfies { [K in 'judged' | 'countAction' | 'copyFailed']: (...args: Parameters<Recorder[K]>) => void }
  recordWith(site.plugin, recorder as unknown as Recorder)
  const gate = async (connection: FakeConnection) => (await site.call(hooks.clamav_gate, connection)).code
  return { site, told, gate }
}

/** What goes on in the background has ended: composing takes no timers. */
const settled = async () => {
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve))
}

const authenticated = { notes: { auth_user: 'Bob' } }
const notify = '[notify]\nto=postmaster@example.com\non=infected unscanned failed_copy\n'

test('a message is told with its facts', async (t) => {
  const { site, told, gate } = setUp(t)
  site.answer(t, infected)
  const connection = site.connection(authenticated, [
    'Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=',
    'Message-ID: <1@example.com>',
    '',
    'x',
  ])
  await gate(connection)
  const summary = {
    uuid: connection.transaction.uuid,
    from: 'bob@example.com',
    to: ['ann@example.org'],
    recipients: 1,
    ip: '192.0.2.1',
    host: 'client.example',
    user: 'Bob',
    subject: 'Grüße',
    messageId: '<1@example.com>',
  }
  assert.deepEqual(told, [['judged', 'infected', null, 'reject', summary]])
})

test('notices are sent of what was found, and of what has failed', async (t) => {
  const rows = [
    [clean, null],
    [infected, 'infected (Eicar)'],
    [unscanned('error'), 'unscanned (error)'],
    [unscanned('encrypted'), null],
  ] as const
  for (const [verdict, subject] of rows) {
    const { site, gate } = setUp(t, { ini: notify })
    site.answer(t, verdict)
    await gate(site.connection())
    await settled()
    assert.deepEqual(
      site.sent.map(({ to, contents }) => [to, /^Subject: (.*)\r$/m.exec(contents)?.[1]]),
      subject === null ? [] : [['<postmaster@example.com>', `clamav-stream: ${subject}`]],
    )
    for (const { contents } of site.sent) {
      assert.match(contents, /^Server: {2}mx\.example\.com\r$/m)
      assert.match(contents, verdict === infected ? /^Action: {2}reject\r$/m : /^Action: {2}defer\r$/m)
    }
    t.mock.restoreAll()
  }
})

test('no notice of an exempt message, nor of what may be a notice itself', async (t) => {
  const exempt = setUp(t, { ini: `[check]\nauthenticated=false\n${notify}` })
  await exempt.gate(exempt.site.connection(authenticated))
  const { site, gate } = setUp(t, { ini: notify })
  site.answer(t, infected)
  const connection = site.connection({}, ['Subject: x', 'Auto-Submitted: auto-generated', '', 'x'])
  connection.transaction.mail_from = { address: '', user: '', host: '' }
  await gate(connection)
  await settled()
  assert.deepEqual([...exempt.site.sent, ...site.sent], [])
})

test('a copy that cannot be kept is told, with the message and the reason', async (t) => {
  const { site, told, gate } = setUp(t, { ini: `[infected]\naction=quarantine\n${notify}` })
  site.answer(t, infected)
  assert.equal(await gate(site.connection()), constants.denysoft)
  await settled()
  const [what, outcome, finding, action, summary, why] = told[1] as unknown[]
  assert.deepEqual(
    [told.length, what, outcome, finding, action],
    [2, 'copy failed', 'infected', null, 'defer'],
  )
  assert.equal((summary as { from: string }).from, 'bob@example.com')
  assert.match(String(why), /not listed/)
  const last = site.sent.at(-1)?.contents ?? ''
  assert.match(last, /^Subject: clamav-stream: no copy could be kept\r$/m)
  assert.match(last, /^Action: {2}defer\r$/m)
})

test('a copy and a report are counted by how they ended', async (t) => {
  const counted = (told: readonly unknown[]) =>
    told.filter((one) => Array.isArray(one) && ['copy', 'report'].includes(String(one[0])))
  const bouncing = '[infected]\naction=bounce reject\n[bounce]\nlimit=1/h\n'
  const { site, told, gate } = setUp(t, { ini: bouncing })
  site.answer(t, infected)
  // The limit is for each user, whatever the letters.
  for (const user of ['anne', 'ANNE', 'joe']) await gate(site.connection({ notes: { auth_user: user } }))
  assert.deepEqual(counted(told), [
    ['report', 'sent'],
    ['report', 'withheld'],
    ['report', 'sent'],
  ])
  assert.equal(site.sent.length, 2)
  const failing = setUp(t, { ini: bouncing, queueCode: constants.deny })
  failing.site.answer(t, infected)
  await failing.gate(failing.site.connection({ notes: { auth_user: 'mia' } }))
  assert.deepEqual(counted(failing.told), [['report', 'failed']])
  assert.match(failing.site.log.join('\n'), /^error no report: the outbound queue did not accept it: .*\S$/m)
  assert.doesNotMatch(failing.site.log.join('\n'), /\n +at /, 'a stack, where nothing is wrong in the plugin')
})
