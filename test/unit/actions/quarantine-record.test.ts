// The record beside a copy: what is one, and the reason that it gives.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRecord, whyKept } from '../../../lib/actions/quarantine-record'

const record = {
  uuid: 'ONE.1',
  time: '2026-01-02T03:04:05.678Z',
  envelope: { mail_from: 'a@example.com', rcpt_to: ['b@example.com'] },
  client: { ip: '192.0.2.1', host: null, helo: null },
  user: null,
  message_id: null,
  verdict: { outcome: 'infected', virus: 'Eicar', reason: null },
  attachment: null,
}

const parsed = (more: object) => parseRecord(JSON.stringify({ ...record, ...more }))

test('a record comes back as it is', () => {
  assert.deepEqual(parsed({}), record)
  assert.ok(parsed({ attachment: { denied: '*.exe', name: 'a.exe' } }))
  assert.ok(parsed({ attachment: undefined }))
})

test('what is no record', () => {
  const { verdict, envelope } = record
  const others: object[] = [
    { uuid: 1 },
    { uuid: undefined },
    { time: 'yesterday' },
    { time: undefined },
    { envelope: undefined },
    { envelope: { ...envelope, mail_from: null } },
    { envelope: { ...envelope, rcpt_to: 'b@example.com' } },
    { envelope: { ...envelope, rcpt_to: ['b@example.com', 1] } },
    { client: null },
    { client: 'x' },
    { verdict: null },
    { verdict: { ...verdict, outcome: 1 } },
    { verdict: { ...verdict, virus: 1 } },
    { verdict: { ...verdict, reason: undefined } },
    { attachment: 'x' },
  ]
  for (const more of others) assert.equal(parsed(more), null, JSON.stringify(more))
  for (const text of ['', '{', 'null', '[]', '1']) assert.equal(parseRecord(text), null, text)
})

test('why a message was kept', () => {
  const why = (more: object) => whyKept(parsed(more) ?? assert.fail())
  const unscanned = { outcome: 'unscanned', virus: null, reason: 'limits' }
  const clean = { outcome: 'clean', virus: null, reason: null }
  const denied = { denied: '*.exe', name: 'a.exe' }
  assert.equal(why({ attachment: denied }), 'Eicar')
  assert.equal(why({ verdict: unscanned, attachment: denied }), 'attachment *.exe')
  assert.equal(why({ verdict: unscanned, attachment: { unreadable: 'x' } }), 'unreadable attachment')
  assert.equal(why({ verdict: unscanned }), 'unscanned: limits')
  assert.equal(why({ verdict: clean }), 'clean')
})
