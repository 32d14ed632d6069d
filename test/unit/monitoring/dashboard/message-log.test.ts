// The list of messages: what is on it, bounded for any input, and one list for all workers of a cluster.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kindOf, listedMessage } from '../../../../lib/monitoring/dashboard/listed-message'
import {
  logForWorkers,
  maxMessages,
  MessageLog,
  RelayedLog,
} from '../../../../lib/monitoring/dashboard/message-log'
import { exemptVerdict, type Verdict } from '../../../../lib/policy/verdict'
import { clean, infected, sampleMail, unscanned } from '../../../support/monitoring-site'

const message = (virus: string) =>
  listedMessage('infected', { verdict: infected(virus), finding: null, action: 'reject' }, sampleMail, 1)

const denied = { denied: '*.exe', name: 'a.exe' }
const unreadable = { unreadable: 'too many entries' }

test('listed is what was not simply clean, each as what it was kept out for', () => {
  const cases: [Verdict, typeof denied | typeof unreadable | null, string, string | null][] = [
    [clean, null, 'accept', null],
    [clean, denied, 'reject', 'denied'],
    [clean, denied, 'tag', 'denied'],
    [clean, unreadable, 'accept', null],
    [clean, unreadable, 'reject', 'unreadable'],
    [infected('A'), denied, 'reject', 'infected'],
    [unscanned('x'), null, 'defer', 'unscanned'],
    [unscanned('x'), denied, 'reject', 'denied'],
    [exemptVerdict('x'), null, 'accept', null],
  ]
  for (const [verdict, finding, action, expected] of cases)
    assert.equal(kindOf(verdict, finding, action), expected)
})

test('a listed message has everything that is known, each string bounded and on one line', () => {
  const text = `\u202e${'x'.repeat(100_000)}\r\n`
  const summary = {
    uuid: text,
    from: text,
    to: Array<string>(100).fill(text),
    recipients: 100,
    ip: text,
    host: text,
    user: text,
    subject: text,
    messageId: text,
  }
  const verdict = { ...unscanned(text), readings: 3, parts: 2, part: text, oddity: text }
  const listed = listedMessage(
    'copy failed',
    { verdict, finding: { denied: text, name: text }, action: 'defer' },
    summary,
    1,
    text,
  )
  assert.ok(JSON.stringify(listed).length < 4000)
  assert.doesNotMatch(JSON.stringify(Object.values(listed)), /\u202e|\\r|\\n/)
  assert.equal(listed.to.length, 5)
  assert.deepEqual([listed.readings, listed.parts, listed.recipients], [3, 2, 100])
  const { what, why } = listedMessage(
    'denied',
    { verdict: clean, finding: denied, action: 'reject' },
    sampleMail,
    1,
  )
  assert.deepEqual([what, why], ['*.exe', 'a.exe'])
})

test('readers get what is new; all, where a log began anew; and no more than there is room for', async () => {
  const log = new MessageLog(() => 1000)
  const end = await log.after(null)
  assert.deepEqual(end, { epoch: 1000, seq: 0, total: 0, messages: [] })
  log.add(message('A'))
  log.add(message('B'))
  const names = async (cursor: { epoch: number; seq: number } | null) =>
    (await log.after(cursor)).messages.map(({ what }) => what)
  assert.deepEqual(await names(end), ['A', 'B'])
  assert.deepEqual(await names({ epoch: 1000, seq: 1 }), ['B'])
  assert.deepEqual(await names({ epoch: 1000, seq: 2 }), [])
  assert.deepEqual(await names(null), [])
  for (const odd of [
    { epoch: 7, seq: 2 },
    { epoch: 1000, seq: 99 },
  ])
    assert.deepEqual(await names(odd), ['A', 'B'])
  for (let i = 0; i < 3 * maxMessages; i++) log.add(message(String(i)))
  const all = await names({ epoch: 1000, seq: 1 })
  assert.equal(all.length, maxMessages)
  assert.equal(all.at(-1), String(3 * maxMessages - 1))
  log.forget()
  const { epoch, seq, messages } = await log.after({ epoch: 1000, seq: 3 })
  assert.ok(epoch > 1000)
  assert.deepEqual([seq, messages], [0, []])
})

/** A master and its workers, with JSON between them. */
function cluster(count: number) {
  const log = new MessageLog(() => 1000)
  const sent: object[] = []
  const asJson = (payload: object) => JSON.parse(JSON.stringify(payload)) as object
  const receive = logForWorkers(log, { send: (to, payload) => workers[to]?.receive(asJson(payload)) })
  const workers = Array.from(
    { length: count },
    (_, id) =>
      new RelayedLog({
        send: (payload) => {
          sent.push(payload)
          receive(asJson(payload), id)
        },
      }),
  )
  return { log, workers, sent }
}

test('in a cluster, every worker shows the messages of all, also of those that are gone', async () => {
  const { workers, sent } = cluster(3)
  const [first, second, third] = workers
  first?.add(message('A'))
  second?.add(message('B'))
  second?.add(message('C'))
  assert.equal(sent.length, 0, 'nothing is sent while a message waits')
  await first?.after(null)
  await second?.after(null)
  const { messages, ...cursor } = (await third?.after({ epoch: 0, seq: 0 })) ?? assert.fail()
  assert.deepEqual(messages.map(({ what }) => what).sort(), ['A', 'B', 'C'])
  assert.deepEqual((await first?.after(cursor))?.messages, [])
  third?.forget()
  assert.deepEqual((await first?.after(cursor))?.messages, [])
})

test('a flood waits in bounded room, and a master that does not answer is given up', async () => {
  const sent: { messages?: unknown[] }[] = []
  const worker = new RelayedLog({ send: (payload) => sent.push(payload) }, 60_000, 5)
  for (let i = 0; i < 10_000; i++) worker.add(message(String(i)))
  await assert.rejects(worker.after(null), /did not answer within 5 ms/)
  assert.equal(sent[0]?.messages?.length, maxMessages)
})
