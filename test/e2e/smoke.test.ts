// The shortest way through everything: the packed package in a real Haraka with a real clamd, spoken to over SMTP.
// Every other end-to-end test begins like this one; what goes wrong and what can be configured is theirs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { sendMessage } from '../support/smtp/smtp'

test('a clean message is delivered with its header, an infected one is refused', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const haraka = await startHaraka({ ini: `host=${clamd.host}\nport=${clamd.port}\n` })
  t.after(() => haraka.stop())

  const clean = await sendMessage(haraka.port, { data: mails.clean() })
  const infected = await sendMessage(haraka.port, { data: mails.eicarAttachment() })

  assert.equal(clean.code, 250, clean.text)
  assert.equal(infected.code, 550, infected.text)
  assert.match(infected.text, /^5\.7\.1 /)
  const delivered = haraka.delivered().map(({ message }) => message.toString())
  assert.equal(delivered.length, 1, 'only the clean message')
  assert.deepEqual(delivered[0]?.match(/^X-MessageIsInfected.*$/gim), ['X-MessageIsInfected: false'])
})
