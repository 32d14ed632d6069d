// Rules, verdict and sender make an action.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Action, actionOf, parseAction, withoutReport } from '../../../lib/policy/action'
import { type Check, decide, exemptsSender, type Rules, type SenderFacts } from '../../../lib/policy/rules'
import type { AttachmentFinding, Reason, Verdict } from '../../../lib/policy/verdict'
import { noReadings } from '../../../lib/policy/verdict'

const scan = {
  clamd: '127.0.0.1:3310',
  engine: null,
  protocol: 'instream',
  bytes: 1,
  ms: 1,
  ...noReadings,
} as const
const clean: Verdict = { outcome: 'clean', ...scan }
const infected = (virus: string): Verdict => ({ outcome: 'infected', virus, ...scan })
const unscanned = (reason: Reason): Verdict => ({ outcome: 'unscanned', reason, text: 'because', ...scan })
const stranger: SenderFacts = {
  isAuthenticated: false,
  isRelaying: false,
  isPrivate: false,
  isLocal: false,
  canReceiveBounce: false,
}
const action = (text: string): Action => parseAction(text) ?? assert.fail(text)
const rules: Rules = {
  infected: action('reject'),
  authenticated: action('discard'),
  signatures: [
    { text: 'PUA.*', pattern: /^PUA\./i, action: action('tag') },
    { text: '/^PUA\\.Bad/', pattern: /^PUA\.Bad/i, action: action('reject') },
  ],
  unscanned: {
    error: action('defer'),
    timeout: action('accept'),
    too_large: action('reject'),
    limits: action('defer'),
    encrypted: action('tag'),
    unscannable: action('quarantine'),
  },
  unscannedAuthenticated: {
    error: action('quarantine'),
    timeout: action('reject'),
    too_large: action('defer'),
    limits: action('accept'),
    encrypted: action('tag'),
    unscannable: action('reject'),
  },
  attachments: { denied: action('quarantine'), unreadable: action('accept') },
}
const ruled = (verdict: Verdict, sender: SenderFacts, finding: AttachmentFinding = null, by: Rules = rules) =>
  decide(by, verdict, finding, sender).action.text

test('clean is accepted, infected goes by the sender, unscanned by its reason', () => {
  assert.equal(ruled(clean, stranger), 'accept')
  assert.equal(ruled(infected('X'), stranger), 'reject')
  assert.equal(ruled(infected('X'), { ...stranger, isAuthenticated: true }), 'discard')
  assert.equal(ruled(unscanned('error'), stranger), 'defer')
  assert.equal(ruled(unscanned('timeout'), stranger), 'accept')
  assert.equal(ruled(unscanned('too_large'), stranger), 'reject')
  assert.equal(ruled(unscanned('limits'), stranger), 'defer')
  assert.equal(ruled(unscanned('unscannable'), stranger), 'quarantine')
  assert.equal(ruled(unscanned('exempt'), stranger), 'accept')
})

test('for an authenticated sender, unscanned goes by the actions for such senders', () => {
  const user = { ...stranger, isAuthenticated: true }
  assert.equal(ruled(unscanned('error'), user), 'quarantine')
  assert.equal(ruled(unscanned('timeout'), user), 'reject')
  assert.equal(ruled(unscanned('too_large'), user), 'defer')
  assert.equal(ruled(unscanned('limits'), user), 'accept')
  assert.equal(ruled(unscanned('exempt'), user), 'accept')
})

test('while a scan is in progress the message is deferred, whatever [unscanned] accepts', () => {
  const accept = action('accept')
  const every = { error: accept, timeout: accept, too_large: accept, limits: accept }
  const all = { ...every, encrypted: accept, unscannable: accept }
  const lax = { ...rules, unscanned: all, unscannedAuthenticated: all }
  for (const sender of [stranger, { ...stranger, isAuthenticated: true }])
    assert.equal(ruled(unscanned('in_progress'), sender, null, lax), 'defer')
})

test('the first signature rule that matches wins over both kinds of sender', () => {
  assert.equal(ruled(infected('pua.Win.X'), stranger), 'tag')
  assert.equal(ruled(infected('PUA.Bad'), { ...stranger, isAuthenticated: true }), 'tag')
  assert.equal(ruled(infected('Win.PUA.X'), stranger), 'reject')
})

test('each [check] key exempts its senders and no others', () => {
  const all: Check = { authenticated: true, relay: true, privateIp: true, localIp: true }
  const lan = { ...stranger, isPrivate: true }
  const loopback = { ...lan, isLocal: true }
  assert.ok(
    !exemptsSender(all, {
      isAuthenticated: true,
      isRelaying: true,
      isPrivate: true,
      isLocal: true,
      canReceiveBounce: true,
    }),
  )
  assert.ok(exemptsSender({ ...all, authenticated: false }, { ...stranger, isAuthenticated: true }))
  assert.ok(exemptsSender({ ...all, relay: false }, { ...stranger, isRelaying: true }))
  assert.ok(exemptsSender({ ...all, privateIp: false }, lan))
  assert.ok(exemptsSender({ ...all, privateIp: false }, loopback), 'a local address is private, too')
  assert.ok(exemptsSender({ ...all, localIp: false }, loopback))
  assert.ok(!exemptsSender({ ...all, localIp: false }, lan))
  const none: Check = { authenticated: false, relay: false, privateIp: false, localIp: false }
  assert.ok(!exemptsSender(none, stranger))
})

test('infected wins over a denied attachment, which wins over a message that was not scanned', () => {
  const denied: AttachmentFinding = { denied: '*.exe', name: 'a.exe' }
  assert.equal(ruled(infected('X'), stranger, denied), 'reject')
  assert.equal(ruled(clean, stranger, denied), 'quarantine')
  assert.equal(ruled(unscanned('error'), stranger, denied), 'quarantine')
})

test('an infection that a rule only tags does not let a denied attachment through', () => {
  const denied: AttachmentFinding = { denied: '*.exe', name: 'a.exe' }
  assert.equal(ruled(infected('PUA.X'), stranger), 'tag')
  assert.equal(ruled(infected('PUA.X'), stranger, denied), 'quarantine')
  assert.deepEqual(
    decide(rules, infected('PUA.X'), denied, stranger).finding,
    denied,
    'the answer names the mask',
  )
  assert.equal(decide(rules, infected('X'), denied, stranger).finding, null, 'the answer names the virus')
})

test('what the attachments would deliver is left to the scan', () => {
  const tagging = { ...rules, attachments: { denied: action('tag'), unreadable: action('accept') } }
  const denied: AttachmentFinding = { denied: '*.exe', name: 'a.exe' }
  assert.equal(ruled(unscanned('error'), stranger, denied, tagging), 'defer')
  assert.equal(ruled(clean, stranger, denied, tagging), 'accept')
  assert.equal(ruled(unscanned('error'), stranger, { unreadable: 'zip' }, tagging), 'defer')
})

test('bounce is reject for a sender who cannot be told, a copy is kept all the same', () => {
  const bouncing = { ...rules, infected: action('bounce quarantine') }
  assert.equal(
    ruled(infected('X'), { ...stranger, canReceiveBounce: true }, null, bouncing),
    'quarantine bounce',
  )
  assert.equal(ruled(infected('X'), stranger, null, bouncing), 'quarantine reject')
  assert.equal(withoutReport(action('bounce discard')).text, 'reject')
  assert.equal(withoutReport(action('bounce defer')).text, 'defer')
})

test('action words in any order and case; alone, quarantine and bounce end in discard', () => {
  const readings: [words: string, text: string, ending: string][] = [
    [' Discard ', 'discard', 'discard'],
    ['accept', 'accept', 'accept'],
    ['reject QUARANTINE', 'quarantine reject', 'reject'],
    ['discard, bounce, quarantine', 'quarantine bounce discard', 'discard'],
    ['bounce defer', 'bounce defer', 'defer'],
    ['quarantine', 'quarantine', 'discard'],
    ['bounce', 'bounce', 'discard'],
  ]
  for (const [words, text, ending] of readings) {
    const read = action(words)
    assert.deepEqual([read.text, read.ending], [text, ending])
    assert.deepEqual(parseAction(read.text), read, 'what is written is what was read')
  }
  const wrong = [
    '',
    'rejects',
    'reject discard',
    'tag quarantine',
    'accept bounce',
    'tag accept',
    'bounce bounce',
  ]
  for (const words of [...wrong, null, undefined, 1, {}, []]) assert.equal(parseAction(words), null)
  assert.equal(actionOf(undefined, true).ending, 'discard')
})
