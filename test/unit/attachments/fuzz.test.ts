// Damaged archives and damaged messages: nothing throws, no limit is passed, and how the bytes were cut into
// chunks makes no difference. The seed is fixed, so that a failure can be had again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zipNames } from '../../../lib/attachments/archives/zip'
import type { Inspected } from '../../../lib/attachments/findings'
import { Budget, defaultLimits } from '../../../lib/mime/budget'
import { damaged, seeded } from '../../support/random'
import { attached, inspected, lines, mixed, raw, withHeaders } from '../../support/smtp/attachment-mails'
import { flag, record, unicodePath, zip } from '../../support/zip-builder'
import { zipQuine } from '../../support/zip-quine'

const rounds = 5000
const limits = { ...defaultLimits, depth: 3, entries: 50, inflatedBytes: 100_000, heldBytes: 5000, parts: 50 }

const small = zip(['a.txt', { name: 'é.exe', flags: flag.utf8 }])
const archives = [
  small,
  zip([]),
  zip([
    { name: 'in.zip', content: small },
    { name: 'stored.zip', content: small, method: 0 },
  ]),
  zip([{ name: 'a.txt', descriptor: true, localExtra: unicodePath('evil.exe') }], { zip64: true }),
  zip(['a.txt'], { prefix: Buffer.from('MZ'), comment: Buffer.from('c'), trailing: Buffer.from('PK') }),
  zip([{ name: 'bomb.zip', content: Buffer.concat([small, Buffer.alloc(200_000)]) }]),
  zipQuine(),
]
const zipSnippets = [0x04034b50, 0x02014b50, 0x06054b50, 0x08074b50, 0xffffffff, 0x7075].map((word) =>
  record([4, word]),
)

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

test(`${rounds} damaged archives`, async () => {
  const random = seeded(20_250_101)
  let withNames = 0
  let unreadable = 0
  for (let round = 0; round < rounds; round++) {
    const archive = damaged(pick(archives, random(archives.length)), random, zipSnippets)
    const budget = new Budget(limits, new AbortController().signal, () => 0)
    budget.enter()
    let names = 0
    for await (const finding of zipNames(archive, budget)) {
      if ('name' in finding) names++
      if ('unreadable' in finding) unreadable++
    }
    assert.ok(budget.inflatable >= 0, `round ${round}`)
    assert.ok(names <= 2 * limits.entries, `round ${round}`)
    if (names > 0) withNames++
  }
  // The damage is neither so small nor so great that nothing is tested.
  assert.ok(withNames > rounds / 3 && withNames < rounds, `${withNames} with names`)
  assert.ok(unreadable > rounds / 50, `${unreadable} unreadable`)
})

test(`${rounds} damaged messages`, async () => {
  const random = seeded(20_250_102)
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
