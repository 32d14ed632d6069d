// docs/reference/rules.md lists every SMTP answer of the plugin, word for word, and README.md shows no other.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { schema } from '../../lib/config/schema'
import { answerTo, notKept, replyLine } from '../../lib/policy/smtp-reply'
import { type AttachmentFinding, noReadings, type Reason, type Verdict } from '../../lib/policy/verdict'
import { repository } from '../support/haraka/haraka-install'

const read = (name: string) => readFileSync(path.join(repository, name), 'utf8')
const scan = { clamd: null, engine: null, protocol: null, bytes: 1, ms: 1, ...noReadings }
const clean: Verdict = { outcome: 'clean', ...scan }
const infected = (virus: string): Verdict => ({ outcome: 'infected', virus, ...scan })
const unscanned = (reason: Reason): Verdict => ({
  outcome: 'unscanned',
  reason,
  text: 'clamd at 192.0.2.10:3310',
  ...scan,
})

interface Shown {
  /** As in `550 5.7.1`. */
  readonly code: string
  readonly text: string
}

function split(line: string): Shown {
  const [code = '', status = '', ...words] = line.split(' ')
  return { code: `${code} ${status}`, text: words.join(' ') }
}

/** @returns the answers to `reject` and `defer` */
function answers(verdict: Verdict, finding: AttachmentFinding = null, text = '{virus}'): [Shown, Shown] {
  const answer = (ending: 'reject' | 'defer') => split(replyLine(answerTo(verdict, finding, ending, text)))
  return [answer('reject'), answer('defer')]
}

/** A line for both answers, which have one text. */
function both(name: string, [reject, defer]: [Shown, Shown], text = ` \`${reject.text}\``): string {
  assert.equal(reject.text, defer.text, name)
  return `- ${name}: ${reject.code} or ${defer.code}${text}`
}

const denied = answers(clean, { denied: 'MASK', name: 'secret.exe' })
const unread = answers(clean, { unreadable: 'secret.zip' })
const [tooLarge, tooLargeLater] = answers(unscanned('too_large'))
const [unscannedNow, later] = answers(unscanned('error'))
const copy = split(replyLine(notKept))

test('docs/reference/rules.md lists every answer', () => {
  const [, list = ''] = /The text of the answer:\n\n((?:- .*\n)+)/.exec(read('docs/reference/rules.md')) ?? []
  assert.deepEqual(list.trim().split('\n'), [
    both('`infected`', answers(infected('X')), ', and `[infected] message`'),
    both('denied name', denied),
    both('unread names', unread),
    `- \`too_large\`: ${tooLarge.code} \`${tooLarge.text}\`; ${tooLargeLater.code}, text as for all others`,
    both('`limits`', answers(unscanned('limits'))),
    both('`encrypted`', answers(unscanned('encrypted'))),
    `- all others: ${unscannedNow.code} \`${unscannedNow.text}\`; ${later.code}, the same and \`, try again later\``,
    both('`clean`, overruled', answers(clean)),
    // At the gate alone, where Haraka writes 450.
    `- copy cannot be kept: ${copy.code.replace(/^451/, '450')} \`${copy.text}\``,
  ])
  assert.equal(later.text, `${unscannedNow.text}, try again later`)
  assert.equal(tooLargeLater.text, later.text)
  for (const reason of ['exempt', 'timeout', 'unscannable', 'in_progress'] as const)
    assert.deepEqual(answers(unscanned(reason)), [unscannedNow, later], reason)
})

test('the text for an infected message is the one of the ini, whatever the name is made of', () => {
  assert.equal(answers(infected('A$&B'), null, 'No {virus}, {virus}')[0].text, 'No A$&B, A$&B')
})

test('README.md shows answers of the plugin', () => {
  const known = [
    answers(infected('Eicar-Test-Signature'), null, schema.infected.message.initial),
    answers(clean, { denied: '*.exe', name: '' }),
    answers(unscanned('limits')),
    [tooLarge, later],
  ]
  const shown = [...read('README.md').matchAll(/`([45]\d\d \d\.\d\.\d [^`]+)`/g)].map(
    ([, answer = '']) => answer,
  )
  assert.ok(shown.length > 4)
  for (const answer of shown)
    assert.ok(
      known.flat().some(({ code, text }) => `${code} ${text}` === answer),
      answer,
    )
})

test('an answer is one printable line, and names neither a file nor an address', () => {
  for (const { text } of [...denied, ...unread, tooLarge, tooLargeLater, unscannedNow, later, copy]) {
    assert.match(text, /^[\x20-\x7e]+$/)
    assert.doesNotMatch(text, /secret|192\.0\.2/)
  }
})
