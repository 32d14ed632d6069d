// The answer of every outcome and ending, word by word: what a client sees, and nothing of hosts or software.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Ending } from '../../../lib/policy/action'
import { answerTo, notKept, outcomeOf, replyLine, statusOf } from '../../../lib/policy/smtp-reply'
import { type AttachmentFinding, noReadings, type Reason, type Verdict } from '../../../lib/policy/verdict'

const scan = { clamd: '127.0.0.1:3310', engine: null, protocol: 'stream', bytes: 1, ms: 1 } as const
const clean: Verdict = { outcome: 'clean', ...scan, ...noReadings }
const infected = (virus: string): Verdict => ({ outcome: 'infected', virus, ...scan, ...noReadings })
const unscanned = (reason: Reason): Verdict => ({
  outcome: 'unscanned',
  reason,
  text: 'clamd1 is down',
  ...scan,
  ...noReadings,
})

const message = 'Infected: {virus}, {virus}'
const reply = (verdict: Verdict, ending: 'reject' | 'defer', finding: AttachmentFinding = null) =>
  replyLine(answerTo(verdict, finding, ending, message))

const failed = 'Message could not be scanned for viruses'
const partly = 'Message could not be scanned completely for viruses'
const encrypted = 'Message has encrypted parts, which cannot be scanned for viruses'
const again = `451 4.3.0 ${failed}, try again later`

const replies: Record<Reason, readonly [rejected: string, deferred: string]> = {
  exempt: [`550 5.3.0 ${failed}`, again],
  error: [`550 5.3.0 ${failed}`, again],
  timeout: [`550 5.3.0 ${failed}`, again],
  unscannable: [`550 5.3.0 ${failed}`, again],
  in_progress: [`550 5.3.0 ${failed}`, again],
  limits: [`550 5.3.0 ${partly}`, `451 4.3.0 ${partly}`],
  encrypted: [`550 5.3.0 ${encrypted}`, `451 4.3.0 ${encrypted}`],
  too_large: [
    '552 5.3.4 Message is too large to be scanned for viruses',
    `451 4.3.4 ${failed}, try again later`,
  ],
}

for (const [reason, [rejected, deferred]] of Object.entries(replies)) {
  test(`not scanned: ${reason}`, () => {
    assert.equal(reply(unscanned(reason as Reason), 'reject'), rejected)
    assert.equal(reply(unscanned(reason as Reason), 'defer'), deferred)
  })
}

test('infected: the text of the settings, with the name as often as it stands there', () => {
  assert.equal(reply(infected('A$&B'), 'reject'), '550 5.7.1 Infected: A$&B, A$&B')
  assert.equal(reply(infected('A'), 'defer'), '451 4.7.1 Infected: A, A')
})

test('clean, and refused by another plugin', () => {
  assert.equal(reply(clean, 'reject'), '550 5.7.1 Message refused')
  assert.equal(reply(clean, 'defer'), '451 4.7.1 Message refused')
})

test('attachments come before the verdict: the mask, and no name of the sender', () => {
  const denied = { denied: '*.exe\r\n', name: 'secret.exe' }
  const unreadable = { unreadable: 'secret.zip: it is damaged' }
  const named = 'Attachments named *.exe? are not accepted here'
  for (const verdict of [clean, infected('A'), unscanned('too_large')]) {
    assert.equal(reply(verdict, 'reject', denied), `550 5.7.1 ${named}`)
    assert.equal(reply(verdict, 'defer', denied), `451 4.7.1 ${named}`)
    assert.equal(
      reply(verdict, 'reject', unreadable),
      '550 5.7.1 Message has attachments that cannot be checked',
    )
    assert.equal(
      reply(verdict, 'defer', unreadable),
      '451 4.7.1 Message has attachments that cannot be checked',
    )
  }
})

test('every answer is one printable line, and says nothing of hosts or software', () => {
  const denied = { denied: '\u202e*.exe\r\n', name: 'secret.exe' }
  const reasons = Object.keys(replies) as Reason[]
  for (const verdict of [clean, infected('Eicar'), ...reasons.map(unscanned)])
    for (const ending of ['reject', 'defer'] as const)
      for (const finding of [null, denied]) {
        const line = reply(verdict, ending, finding)
        assert.match(line, /^[\x20-\x7e]+$/)
        assert.doesNotMatch(line, /127\.0\.0\.1|clam|haraka|secret/i)
      }
})

test('only a message that is rejected or deferred has an answer', () => {
  const outcome = (ending: Ending) => outcomeOf(infected('A'), null, ending, message)
  for (const ending of ['accept', 'tag', 'discard'] as const) assert.deepEqual(outcome(ending), { ending })
  for (const ending of ['reject', 'defer'] as const)
    assert.deepEqual(outcome(ending), { ending, answer: answerTo(infected('A'), null, ending, message) })
})

test('without the copy that is to be kept, the client tries again', () => {
  assert.equal(replyLine(notKept), '451 4.3.0 Message could not be processed, try again later')
})

test('the class of a status follows from the code', () => {
  assert.equal(statusOf({ code: 552, subject: 3, detail: 4, text: '' }), '5.3.4')
  assert.equal(statusOf({ code: 451, subject: 7, detail: 1, text: '' }), '4.7.1')
})
