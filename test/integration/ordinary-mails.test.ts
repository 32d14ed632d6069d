// What a real clamd reads of ordinary mails: everything but the places that are marked.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { receivedLine } from '../../lib/clamd/protocol'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { phishingMarker } from '../support/eicar'
import { ordinaryMails } from '../support/smtp/ordinary-mails'

test('clamd reads every place of ordinary mails but those that are marked', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const reply = (mail: Buffer) => clamd.scan(Buffer.concat([receivedLine, mail]))
  // EICAR would not do: clamd sees the text of HTML in lower case only.
  const payload = Buffer.from(phishingMarker.text)
  for (const mail of ordinaryMails) {
    assert.equal(await reply(await mail.bytes()), 'stream: OK', mail.name)
    const unread: string[] = []
    for (const place of await mail.places()) {
      const answer = await reply(await mail.carrying(payload, place))
      if (answer === 'stream: OK') unread.push(place)
      else assert.equal(answer, `stream: ${phishingMarker.name} FOUND`, `${mail.name}: ${place}`)
    }
    assert.deepEqual(unread, mail.unread, mail.name)
  }
})
