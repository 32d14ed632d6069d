// A message that no clamd can finish, in a Haraka with several processes: what one of them has learnt holds for all.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { mark, markedClamds, type Trouble, visitsOf } from '../support/clamd/marked'
import { startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { sendMessage } from '../support/smtp/smtp'

const bounded = { timeout: 240_000 }

async function site(t: TestContext, trouble: Trouble, ini: string) {
  const clamds = await markedClamds(t, trouble)
  const hosts = clamds.map(({ daemon }) => addressText(daemon.address)).join(' ')
  const haraka = await startHaraka({ ini: `host=${hosts}\nself_test=eicar\n${ini}`, nodes: 2 })
  t.after(() => haraka.stop())
  const send = async (data: Buffer) => (await sendMessage(haraka.port, { data })).code
  return { clamds, haraka, send }
}

function marked(): Buffer {
  return Buffer.concat([mails.clean(), Buffer.from(`${mark}\r\n`)])
}

test('a retry starts no other scan while clamd is at the first, in no process', bounded, async (t) => {
  const { clamds, haraka, send } = await site(t, 'silence', 'scan_timeout=3s\n[unscanned]\ntimeout=accept\n')
  const message = marked()
  assert.equal(await send(message), 250, 'accepted, for that is what the administrator wants of a time-out')
  for (let i = 0; i < 6; i++) assert.equal(await send(message), 451)
  assert.equal(visitsOf(clamds), 1)
  assert.match(
    haraka.log.join('\n'),
    /unscanned \(in_progress\).* action=defer: 127\.0\.0\.1:\d+ may still be scanning it/,
  )
  assert.equal(await send(mails.clean()), 250)
})

test('a message that clamd fails on has an action of its own', bounded, async (t) => {
  const ini = 'unscannable_after=2\n[unscanned]\nunscannable=reject\n'
  const { clamds, haraka, send } = await site(t, 'error', ini)
  const message = marked()
  assert.deepEqual([await send(message), await send(message), await send(message)], [451, 550, 550])
  assert.equal(visitsOf(clamds), 4, 'three addresses, then one, then none')
  assert.match(
    haraka.log.join('\n'),
    /unscanned \(unscannable\).* action=reject: clamd has failed on this message in 2 scans/,
  )
  assert.equal(await send(mails.clean()), 250)
  assert.equal(await send(mails.eicarBody()), 550)
})
