// Other plugins that steer messages past the scan, overrule rejections or sit on the message: none of them gets an
// unscanned or infected message delivered, and none of them costs a clean one.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, StartError, startHaraka } from '../support/haraka/haraka'
import { deliver } from '../support/haraka/haraka-plugins'
import * as mails from '../support/smtp/mails'
import {
  bounded,
  messagePlugins,
  messageSources,
  otherPlugin,
  ourHeaders,
  post,
  type Role,
  users,
} from './messages'

interface Neighbour {
  name: string
  hook: string
  priority: number
  body: string
  /** Where it stands in config/plugins; default: before us. */
  isListedAfter?: true
}

const reader = (write: string, next: string) => `
  const { Writable } = require('node:stream')
  txn.message_stream.pipe(new Writable({ highWaterMark: 1, write: ${write} }))
  ${next}`
const slow = '(chunk, encoding, done) => setTimeout(done, 10)'
const stuck = '() => undefined'

const harmless: Neighbour[] = [
  { name: 'ok_at_once', hook: 'data_post', priority: -100, body: 'next(OK)' },
  { name: 'ok_at_zero', hook: 'data_post', priority: 0, body: 'next(OK)' },
  { name: 'ok_after_scan', hook: 'data_post', priority: 25, body: 'next(OK)' },
  { name: 'ok_after_rules', hook: 'data_post', priority: 100, body: 'next(OK)' },
  { name: 'deny_ok', hook: 'deny', priority: 0, body: 'next(OK)' },
  { name: 'deny_ok_late', hook: 'deny', priority: 100, body: 'next(OK)' },
  { name: 'deny_ok_early', hook: 'deny', priority: -99, body: 'next(OK)' },
  { name: 'deny_ok_at_once', hook: 'deny', priority: -100, body: 'next(OK)', isListedAfter: true },
  { name: 'reads_slowly', hook: 'data_post', priority: 0, body: reader(slow, 'next()') },
  { name: 'reads_slowly_at_once', hook: 'data_post', priority: -100, body: reader(slow, 'next()') },
  { name: 'reads_slowly_ok', hook: 'data_post', priority: 0, body: reader(slow, 'next(OK)') },
]
/** They never let go of the message, which then cannot be scanned. */
const harmful: Neighbour[] = [
  { name: 'never_reads', hook: 'data_post', priority: 0, body: reader(stuck, 'next()') },
  { name: 'never_reads_at_once', hook: 'data_post', priority: -100, body: reader(stuck, 'next()') },
  { name: 'never_reads_ok', hook: 'data_post', priority: 0, body: reader(stuck, 'next(OK)') },
]
const directions: Role[] = ['inbound', 'relaying']

const all = [...harmless, ...harmful]
const sources = Object.fromEntries(
  all.map(({ name, hook, priority, body }) => [name, otherPlugin(name, hook, priority, body)]),
)
const listed = (after: boolean) =>
  all.filter(({ isListedAfter = false }) => isListedAfter === after).map(({ name }) => name)

/** A site with all of them, and with a queue plugin before us that does not ask what other plugins want. */
async function startCrowded(ini: string): Promise<Haraka> {
  return startHaraka({
    ini: `${ini}\nconnect_timeout=2s\n`,
    plugins: [...messagePlugins, 'deliver', ...listed(false), 'clamav-stream', ...listed(true)],
    sources: { ...messageSources, ...sources, deliver },
    users,
    deliver: false,
  })
}

async function meetHarmless(t: TestContext, haraka: Haraka): Promise<void> {
  for (const { name, hook, priority } of harmless) {
    for (const role of directions) {
      await t.test(`${name} (${hook}, ${priority}), ${role}`, async () => {
        const infected = await post(haraka, mails.eicarBody(), { kind: name, role })
        const clean = await post(haraka, mails.forged(), { kind: name, role })

        assert.equal(infected.delivered.length, 0, 'an infected message was delivered')
        assert.match(`${infected.reply.code} ${infected.reply.text}`, /^550 5\.7\.1 Message is infected with/)
        assert.equal(infected.reply.lines.length, 1)
        assert.equal(infected.told.note?.infected, true)

        assert.equal(clean.reply.code, 250, clean.reply.text)
        assert.equal(clean.delivered.length, 1, 'a clean message was lost')
        assert.deepEqual(ourHeaders(clean.delivered[0]?.message), ['X-MessageIsInfected: false'])
      })
    }
  }
}

test('other plugins of every kind, with the verdicts of the real clamd', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const haraka = await startCrowded(`host=${clamd.host}\nport=${clamd.port}`)
  t.after(() => haraka.stop())
  await meetHarmless(t, haraka)
})

for (const protocol of ['STREAM', 'INSTREAM'] as const) {
  test(`other plugins of every kind leave clamd no open connection, ${protocol}`, bounded, async (t) => {
    const clamd = await startFakeClamd({ protocols: [protocol] })
    t.after(() => clamd.stop())
    const haraka = await startCrowded(`host=${addressText(clamd.address)}\nself_test=off`)
    t.after(() => haraka.stop())
    await meetHarmless(t, haraka)
    await clamd.idle()
    assert.deepEqual(clamd.violations, [])
  })
}

test(
  'a message that another plugin never releases is deferred, the next one is delivered',
  bounded,
  async (t) => {
    const clamd = await startFakeClamd()
    t.after(() => clamd.stop())
    const haraka = await startCrowded(`host=${addressText(clamd.address)}\nself_test=off`)
    t.after(() => haraka.stop())

    const cases = harmful.flatMap(({ name: kind }) => directions.map((role) => ({ kind, role })))
    const fates = await Promise.all(
      cases.flatMap((options) => [
        post(haraka, mails.eicarBody(), options),
        post(haraka, mails.forged(), options),
      ]),
    )
    for (const { reply, delivered, told } of fates) {
      assert.match(`${reply.code} ${reply.text}`, /^45[01] 4\.3\.0 /)
      assert.equal(delivered.length, 0, 'an unscanned message was delivered')
      assert.deepEqual([told.note?.outcome, told.note?.reason], ['unscanned', 'error'])
      assert.deepEqual(told.headers, [])
      assert.match(
        String(told.result?.err),
        /another plugin keeps the message open; on data_post before this one: .*\bnever_reads_at_once\b.*\bnever_reads\b/,
      )
    }
    const next = await post(haraka, mails.clean())
    assert.equal(next.reply.code, 250, next.reply.text)
    assert.equal(next.delivered.length, 1)
    await clamd.idle()
  },
)

for (const hook of ['queue', 'queue_outbound', 'deny']) {
  test(`a plugin with priority -100 on ${hook} listed before us stops the start`, bounded, async () => {
    const source = otherPlugin('too_early', hook, -100, 'next()')
    const site = { plugins: ['too_early', 'clamav-stream'], sources: { too_early: source } }
    const error = await startHaraka(site).then(
      (haraka) => haraka.stop().then(() => assert.fail('Haraka started')),
      (error: unknown) => error,
    )
    assert.ok(error instanceof StartError)
    assert.match(error.log, new RegExp(`move the line clamav-stream above too_early, .*hook ${hook} `))
  })
}
