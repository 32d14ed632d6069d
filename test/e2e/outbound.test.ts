// Mail that no queue plugin takes and that Haraka's own outbound queue hands on: the verdict counts for it, too.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { clamdOrSkip, freePort, startClamd } from '../support/clamd/clamd'
import { startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { startSink } from '../support/smtp/sink'
import { messagePlugins, messageSources, otherPlugin, ourHeaders, post, type Role, users } from './messages'

const senders: Role[] = ['relaying', 'authenticated']
const kinds = ['plain', 'ok_early', 'deny_ok']
const plugins = [...messagePlugins, 'ok_early', 'deny_ok', 'clamav-stream']
const sources = {
  ...messageSources,
  ok_early: otherPlugin('ok_early', 'data_post', 0, 'next(OK)'),
  deny_ok: otherPlugin('deny_ok', 'deny', 0, 'next(OK)'),
}

test('the outbound queue sends each clean message once and never an infected one', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const sink = await startSink()
  t.after(() => sink.stop())
  const haraka = await startHaraka({
    ini: `host=${clamd.host}:${clamd.port}\n`,
    plugins,
    sources,
    users,
    deliver: false,
    nextHop: sink.port,
  })
  t.after(() => haraka.stop())

  const clean: string[] = []
  for (const role of senders) {
    for (const kind of kinds) {
      const infected = await post(haraka, mails.eicarAttachment(), { kind, role })
      assert.equal(infected.reply.code, 550, infected.reply.text)
      assert.match(infected.reply.text, /^5\.7\.1 /)
      const passed = await post(haraka, mails.forged(), { kind, role })
      assert.equal(passed.reply.code, 250, passed.reply.text)
      clean.push(passed.told.from)
    }
  }

  const sent = await sink.waitFor(clean.length)
  assert.deepEqual(sent.map(({ from }) => from).sort(), clean.sort())
  for (const { data } of sent) {
    assert.deepEqual(ourHeaders(data), ['X-MessageIsInfected: false'])
  }
  await haraka.stop()
  assert.equal(sink.messages.length, clean.length, 'something came twice, or ought not to have come')
})

test('with no clamd to ask, nothing gets into the outbound queue', async (t) => {
  const sink = await startSink()
  t.after(() => sink.stop())
  const haraka = await startHaraka({
    ini: `host=127.0.0.1:${await freePort()}\nmax_pings=0\n`,
    plugins,
    sources,
    users,
    deliver: false,
    nextHop: sink.port,
  })
  t.after(() => haraka.stop())

  for (const role of senders) {
    for (const kind of kinds) {
      const { reply, told } = await post(haraka, mails.forged(), { kind, role })
      assert.match(`${reply.code} ${reply.text}`, /^45[01] 4\.3\.0 /)
      assert.equal(told.note?.action, 'defer')
    }
  }
  assert.deepEqual(readdirSync(path.join(haraka.site, 'queue')), [])
  assert.deepEqual(sink.messages, [])
})
