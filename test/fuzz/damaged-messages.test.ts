// Damaged messages: nothing throws, no limit is passed, and how the bytes were cut into chunks makes no difference.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Inspected } from '../../lib/attachments/findings'
import { defaultLimits } from '../../lib/mime/budget'
import { damaged, seeded } from '../support/random'
import { attached, inspected, lines, mixed, raw, withHeaders } from '../support/smtp/attachment-mails'
import { flag, zip } from '../support/zip-builder'
import { runs, seed } from './chance'

const rounds = Math.ceil(runs / 2)
const limits = { ...defaultLimits, depth: 3, entries: 50, inflatedBytes: 100_000, heldBytes: 5000, parts: 50 }

const small = zip(['a.txt', { name: 'é.exe', flags: flag.utf8 }])

const disposition = 'Content-Disposition: attachment'
const messages = [
  withHeaders(
    `${disposition}; filename*0*=utf-8''ev%69l; filename*1=".exe"`,
    'Content-Type: x/y; name="a.txt"',
  ),
  withHeaders(`${disposition}; filename="=?utf-8?B?ZXZpbC5leGU=?= =?utf-8?Q?=2Etxt?="; (comment) size=3`),
  mixed(attached('a.zip', small), [
    ['Content-Transfer-Encoding: quoted-printable'],
    '=50=4B=03=04=\r\n=\r\n',
  ]),
  mixed([['Content-Type: text/plain'], lines('begin 644 evil.exe', '#86)C', '`', 'end')]),
  mixed([['Content-Type: message/rfc822'], withHeaders(`${disposition}; filename="evil.exe"`)]),
  raw(
    lines(
      'Content-Type: multipart/digest; boundary=a',
      '',
      '--a',
      '',
      `${disposition};`,
      ' filename=b.exe',
      '',
    ),
    lines(
      '--a',
      'Content-Type: multipart/mixed',
      '',
      '--x',
      'Content-Type: x/y; name=a',
      '',
      '--x--',
      '--a--',
    ),
  ),
]
const mimeSnippets = [
  ...[
    '--=_b\r\n',
    '--=_b--\r\n',
    '\r\n\r\n',
    '\n',
    '\r',
    '\0',
    '"',
    "''",
    '%',
    '=?',
    '?=',
    ';',
    '(',
    '\\',
    '--',
  ],
  ...[
    'Content-Type: multipart/mixed; boundary=z\r\n\r\n--z\r\n',
    'filename*1*=',
    'begin 644 a\r\n',
    'PK\x03\x04',
  ],
].map((text) => raw(text))

/** What must not depend on chunks. Where reading stopped, and which of several troubles came first, does. */
function gist({ denied, unreadable, names }: Inspected) {
  return denied ? { denied: true } : { unreadable: unreadable !== null, names: [...names].sort() }
}

function pick<T>(from: readonly T[], index: number): T {
  const picked = from[index]
  if (picked === undefined) throw new Error(`nothing at ${index}`)
  return picked
}

test(`${rounds} damaged messages`, async (t) => {
  t.diagnostic(`FUZZ_SEED=${seed}`)
  const random = seeded(seed)
  const outcomes = { denied: 0, unreadable: 0, neither: 0 }
  for (let round = 0; round < rounds; round++) {
    const message = damaged(pick(messages, random(messages.length)), random, mimeSnippets)
    const whole = await inspected(message, { limits: { ...limits, ms: Infinity } })
    const cut = await inspected(message, { limits: { ...limits, ms: Infinity }, chunkBytes: 1 + random(40) })
    assert.deepEqual(gist(cut), gist(whole), `round ${round}: ${JSON.stringify(message.toString('latin1'))}`)
    outcomes[whole.denied ? 'denied' : whole.unreadable ? 'unreadable' : 'neither']++
  }
  assert.ok(outcomes.denied > rounds / 4, JSON.stringify(outcomes))
  assert.ok(outcomes.unreadable > rounds / 200, JSON.stringify(outcomes))
  assert.ok(outcomes.neither > rounds / 20, JSON.stringify(outcomes))
})
