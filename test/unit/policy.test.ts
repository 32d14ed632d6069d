// Rules, verdict and sender make an action.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerTo } from '../../lib/answer'
import { decide, isExempt, parseAction, type Check, type Rules, type SenderFacts } from '../../lib/policy'
import type { Reason, Verdict } from '../../lib/verdict'

const scan = { clamd: '127.0.0.1:3310', protocol: 'instream', bytes: 1, ms: 1 } as const
const clean: Verdict = { outcome: 'clean', ...scan }
const infected = (virus: string): Verdict => ({ outcome: 'infected', virus, ...scan })
const unscanned = (reason: Reason): Verdict => ({ outcome: 'unscanned', reason, text: 'because', ...scan })
const stranger: SenderFacts = { isAuthenticated: false, isRelaying: false, isPrivate: false, isLocal: false }
const rules: Rules = {
  infected: 'reject',
  authenticated: 'discard',
  signatures: [
    { pattern: /^PUA\./i, action: 'tag' },
    { pattern: /^PUA\.Bad/i, action: 'reject' },
  ],
  unscanned: { error: 'defer', timeout: 'accept', too_large: 'reject', limits: 'defer' },
}

test('clean is accepted, infected goes by the sender, unscanned by its reason', () => {
  assert.equal(decide(rules, clean, stranger), 'accept')
  assert.equal(decide(rules, infected('X'), stranger), 'reject')
  assert.equal(decide(rules, infected('X'), { ...stranger, isAuthenticated: true }), 'discard')
  assert.equal(decide(rules, unscanned('error'), stranger), 'defer')
  assert.equal(decide(rules, unscanned('timeout'), stranger), 'accept')
  assert.equal(decide(rules, unscanned('too_large'), stranger), 'reject')
  assert.equal(decide(rules, unscanned('limits'), stranger), 'defer')
  assert.equal(decide(rules, unscanned('exempt'), stranger), 'accept')
})

test('the first signature rule that matches wins over both kinds of sender', () => {
  assert.equal(decide(rules, infected('pua.Win.X'), stranger), 'tag')
  assert.equal(decide(rules, infected('PUA.Bad'), { ...stranger, isAuthenticated: true }), 'tag')
  assert.equal(decide(rules, infected('Win.PUA.X'), stranger), 'reject')
})

test('each [check] key exempts its senders and nobody else', () => {
  const all: Check = { authenticated: true, relay: true, privateIp: true, localIp: null }
  const lan = { ...stranger, isPrivate: true }
  const loopback = { ...lan, isLocal: true }
  assert.ok(!isExempt(all, { isAuthenticated: true, isRelaying: true, isPrivate: true, isLocal: true }))
  assert.ok(isExempt({ ...all, authenticated: false }, { ...stranger, isAuthenticated: true }))
  assert.ok(isExempt({ ...all, relay: false }, { ...stranger, isRelaying: true }))
  assert.ok(isExempt({ ...all, privateIp: false }, lan))
  assert.ok(isExempt({ ...all, privateIp: false }, loopback), 'a local address is private, too')
  assert.ok(!isExempt({ ...all, privateIp: false, localIp: true }, loopback), 'unless local_ip is set itself')
  assert.ok(isExempt({ ...all, localIp: false }, loopback))
  assert.ok(!isExempt({ ...all, localIp: false }, lan))
  const none: Check = { authenticated: false, relay: false, privateIp: false, localIp: false }
  assert.ok(!isExempt(none, stranger))
})

test('a word in the note is an action in any case of letters, and nothing else is', () => {
  assert.equal(parseAction(' Discard '), 'discard')
  assert.equal(parseAction('accept'), 'accept')
  for (const word of ['', 'rejects', 'reject discard', null, undefined, 1, {}, []]) {
    assert.equal(parseAction(word), null)
  }
})

test('answers have the code of the contract and one printable line', () => {
  const answer = (verdict: Verdict, action: 'reject' | 'defer') => {
    const { code, subject, detail, text } = answerTo(verdict, action, 'Infected: {virus}, {virus}')
    assert.match(text, /^[\x20-\x7e]+$/)
    return `${code} ${String(code)[0] ?? ''}.${subject}.${detail} ${text}`
  }
  assert.equal(answer(infected('A$&B'), 'reject'), '550 5.7.1 Infected: A$&B, A$&B')
  assert.match(answer(infected('A'), 'defer'), /^451 4\.7\.1 /)
  assert.match(answer(unscanned('error'), 'defer'), /^451 4\.3\.\d /)
  assert.match(answer(unscanned('timeout'), 'defer'), /^451 4\.3\.\d /)
  assert.match(answer(unscanned('too_large'), 'reject'), /^552 5\.3\.4 /)
  assert.match(answer(unscanned('too_large'), 'defer'), /^451 4\.3\.4 /)
  assert.match(answer(unscanned('limits'), 'reject'), /^550 5\.3\.0 /)
  assert.match(answer(clean, 'reject'), /^550 5\.7\.1 /)
})
