// Scans that are interrupted or answered late: by a client that hangs up, by Haraka's hook timer, by a client that
// does not wait for the answer. No late verdict reaches another message, and no connection to clamd stays open.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type FakeClamd, type Moment, type Protocol, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { connect, dotStuffed } from '../support/smtp/smtp'
import {
  bounded,
  deliveredFrom,
  messagePlugins,
  messageSources,
  post,
  roles,
  senderFor,
  told,
  users,
} from './messages'

/** Sets Haraka's hook timer of our plugin: for messages of `timer` and `ok_timer` so short that it fires. */
const timer = `
exports.register = function () {
  this.register_hook('data_post', 'set', -100)
}
exports.set = function (next, connection) {
  const [, isOk, isShort] = /^(ok_)?(timer)?/.exec(connection.transaction.mail_from.address)
  const { registered_plugins } = this.haraka_require('plugins')
  registered_plugins['clamav-stream'].timeout = isShort ? 1 : 70
  next(isOk ? OK : undefined)
}
`
/** Lets through after all whatever is denied, but for those whose rejection is final. */
const denyOk = `
exports.hook_deny = function (next) {
  next(OK)
}
`

async function start(
  t: TestContext,
  protocol: Protocol,
  spoolAfter?: number,
): Promise<{ clamd: FakeClamd; haraka: Haraka }> {
  const clamd = await startFakeClamd({ protocols: [protocol] })
  t.after(() => clamd.stop())
  const haraka = await startHaraka({
    ini: `host=${addressText(clamd.address)}\nprotocol=${protocol.toLowerCase()}\nmax_pings=0\n`,
    plugins: [...messagePlugins, 'timer', 'deny_ok', 'clamav-stream'],
    sources: { ...messageSources, timer, deny_ok: denyOk },
    users,
    ...(spoolAfter !== undefined && { connection: { spool_after: spoolAfter } }),
  })
  t.after(() => haraka.stop())
  return { clamd, haraka }
}

/** What the next messages get, whatever happened before. */
async function assertAlive(haraka: Haraka, clamd: FakeClamd): Promise<void> {
  await clamd.play([])
  const infected = await post(haraka, mails.eicarBody())
  assert.equal(infected.reply.code, 550, infected.reply.text)
  assert.deepEqual(infected.delivered, [])
  const clean = await post(haraka, mails.clean())
  assert.equal(clean.reply.code, 250, clean.reply.text)
  assert.equal(clean.delivered.length, 1)
  await clamd.idle()
  assert.deepEqual(clamd.violations, [])
}

const moments: Record<Protocol, Exclude<Moment, 'middle'>[]> = {
  STREAM: ['accept', 'command', 'port', 'dataConnect', 'first', 'last', 'terminator', 'reply'],
  INSTREAM: ['accept', 'command', 'first', 'last', 'terminator', 'reply'],
}

for (const protocol of ['STREAM', 'INSTREAM'] as const) {
  test(`a client that hangs up in mid-scan, ${protocol}`, bounded, async (t) => {
    const { clamd, haraka } = await start(t, protocol, 0)
    for (const at of moments[protocol]) {
      for (const kind of ['plain', 'ok_early']) {
        for (const leave of ['destroy', 'reset'] as const) {
          await t.test(`${kind === 'plain' ? 'scan' : 'gate'}, ${leave} at ${at}`, async () => {
            clamd.forget()
            await clamd.play([{ at, do: 'stall' }])
            const from = senderFor(kind)
            const client = await connect(haraka.port)
            await client.envelope({ from })
            client.write(dotStuffed(mails.big(100_000)))
            await clamd.seen(at)
            client[leave]()
            await told(haraka, from)
            await clamd.idle()
            assert.deepEqual(deliveredFrom(haraka, from), [])
          })
        }
      }
    }
    await assertAlive(haraka, clamd)
  })
}

test(
  'a verdict that comes after its client has gone is not taken for the next message',
  bounded,
  async (t) => {
    const { clamd, haraka } = await start(t, 'INSTREAM')
    await clamd.play([{ at: 'reply', do: 'say', text: 'stream: OK' }])
    for (let round = 0; round < 10; round++) {
      clamd.forget()
      const from = senderFor('plain')
      const client = await connect(haraka.port)
      await client.envelope({ from })
      client.write(dotStuffed(mails.clean()))
      // The verdict and the end of the client cross each other.
      await clamd.seen('last')
      client.destroy()
      clamd.queue([{ at: 'reply', do: 'say', text: 'stream: Late-Test FOUND' }])
      const next = await post(haraka, mails.clean())
      assert.equal(next.reply.code, 550, next.reply.text)
      assert.deepEqual(next.delivered, [])
      await told(haraka, from)
      assert.ok(deliveredFrom(haraka, from).length <= 1)
    }
    await assertAlive(haraka, clamd)
  },
)

test('commands sent before the answer to a message get no message past the scan', bounded, async (t) => {
  const { clamd, haraka } = await start(t, 'INSTREAM')
  await clamd.play([{ at: 'reply', do: 'wait', ms: 300 }])
  for (const first of [mails.clean(), mails.eicarBody()]) {
    const from = [senderFor('plain'), senderFor('plain')] as const
    const client = await connect(haraka.port)
    await client.envelope({ from: from[0] })
    const second = Buffer.concat([
      Buffer.from(`MAIL FROM:<${from[1]}>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\n`),
      dotStuffed(mails.eicarBody()),
    ])
    client.write(Buffer.concat([dotStuffed(first), second]))

    const answer = await client.reply()
    const isInfected = first.includes('EICAR')
    assert.equal(answer.code, isInfected ? 550 : 250, answer.text)
    // Haraka 3.3.4 refuses each of the early lines. Before that it carries them out, and the second message is one
    // like any other.
    const early = [(await client.reply()).code]
    const expected = early[0] === 503 ? lineCodes(second, 503) : [250, 250, 354, 550]
    while (early.length < expected.length) early.push((await client.reply()).code)
    assert.deepEqual(early, expected)
    assert.equal(deliveredFrom(haraka, from[0]).length, isInfected ? 0 : 1)
    assert.deepEqual(deliveredFrom(haraka, from[1]), [])

    const third = senderFor('plain')
    assert.equal((await client.transaction(third)).code, 354)
    assert.equal((await client.message(mails.eicarBody())).code, 550)
    assert.deepEqual(deliveredFrom(haraka, third), [])
    await client.quit()
  }
  await assertAlive(haraka, clamd)
})

function lineCodes(text: Buffer, code: number): number[] {
  return text
    .toString('latin1')
    .split('\r\n')
    .slice(1)
    .map(() => code)
}

for (const protocol of ['STREAM', 'INSTREAM'] as const) {
  test(`the hook timer fires while clamd is silent, ${protocol}`, bounded, async (t) => {
    const { clamd, haraka } = await start(t, protocol, 0)
    await clamd.play([{ at: 'reply', do: 'stall' }])

    await t.test('every message is deferred, whatever a deny hook says to that', async () => {
      const cases = ['timer', 'ok_timer'].flatMap((kind) => roles.map((role) => ({ kind, role })))
      const fates = await Promise.all(cases.map((options) => post(haraka, mails.big(300_000), options)))
      for (const { reply, delivered, told } of fates) {
        assert.equal(reply.code, 450, reply.text)
        assert.deepEqual(delivered, [])
        assert.deepEqual(told.headers, [])
      }
      await clamd.idle()
    })

    await t.test('the next message of the same connection has a verdict of its own', async () => {
      // Stuck in the middle of a message that is read from disk.
      await clamd.play([{ at: 'first', do: 'freeze' }])
      const client = await connect(haraka.port)
      await client.envelope({ from: senderFor('timer') })
      assert.equal((await client.message(mails.big(5_000_000))).code, 450)
      await clamd.play([])
      assert.equal((await client.transaction(senderFor('plain'))).code, 354)
      assert.equal((await client.message(mails.eicarBody())).code, 550)
      assert.equal((await client.transaction(senderFor('plain'))).code, 354)
      assert.equal((await client.message(mails.clean())).code, 250)
      await client.quit()
    })
    await assertAlive(haraka, clamd)
  })
}
