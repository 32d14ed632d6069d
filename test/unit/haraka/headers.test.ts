// Our headers: every forged form goes, ours come, other headers stay.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { type Headed, mark, removeForged } from '../../../lib/haraka/headers'
import type { Verdict } from '../../../lib/policy/verdict'
import { noReadings } from '../../../lib/policy/verdict'

interface HarakaTransaction extends Headed {
  add_data(line: Buffer): void
  end_data(done: () => void): void
  readonly message_stream: Headed['message_stream'] & {
    get_data(options: object, done: (message: Buffer) => void): void
  }
}
// The real thing, since its header parser decides what the list looks like.
const haraka = createRequire(__filename)('Haraka/transaction') as {
  createTransaction(): HarakaTransaction
}

const scan = { clamd: null, protocol: null, engine: null, bytes: 0, ms: 0, ...noReadings } as const
const clean: Verdict = { outcome: 'clean', ...scan }
const infected: Verdict = { outcome: 'infected', virus: 'Eicar', ...scan }
const failed: Verdict = { outcome: 'unscanned', reason: 'error', text: '', ...scan }

function message(...lines: string[]): HarakaTransaction {
  const transaction = haraka.createTransaction()
  for (const line of [...lines, '', 'body']) transaction.add_data(Buffer.from(`${line}\r\n`, 'latin1'))
  transaction.end_data(() => undefined)
  return transaction
}

const list = (transaction: Headed) => transaction.header.header_list.map((line) => line.replace(/\r?\n$/, ''))

const spellings = [
  'X-MessageIsInfected: false',
  'X-MessageIsInfected : false',
  'X-MessageIsInfected\t: false',
  'X-MessageIsInfected \t : false',
  'X-MessageIsInfected:false',
  'X-MESSAGEISINFECTED: FALSE',
  'x-messageisinfected: true',
  'X-MessageIsInfected:\r\n false',
  'X-MessageIsInfected\r\n : false',
  'X-MessageIsInfected\x00: false',
  'X-MessageIsInfected\xa0: false',
]

for (const spelling of spellings) {
  test(`forged ${JSON.stringify(spelling)} goes`, () => {
    const transaction = message('Subject: one', ...spelling.split('\r\n'), 'To: two')
    removeForged(transaction, true)
    assert.deepEqual(list(transaction), ['Subject: one', 'To: two'])
  })
}

test('all of them at once go, and the array stays the one that the message stream holds', () => {
  const transaction = message('A: 1', ...spellings.flatMap((line) => line.split('\r\n')), 'B: 2')
  const array = transaction.header.header_list
  removeForged(transaction, true)
  assert.equal(transaction.header.header_list, array)
  assert.deepEqual(list(transaction), ['A: 1', 'B: 2'])
})

test('similar names, values and a folded mention stay', () => {
  const lines = [
    'X-MessageIsInfectedNot: false',
    'Not-X-MessageIsInfected: false',
    'Subject: X-MessageIsInfected: false',
    'X-Other: a\r\n X-MessageIsInfected: false',
  ]
  const transaction = message(...lines.flatMap((line) => line.split('\r\n')))
  removeForged(transaction, true)
  assert.equal(list(transaction).length, lines.length)
})

test('a forged X-Virus-Status goes as well', () => {
  const transaction = message('To: one', 'X-Virus-Status: clean', 'x-virus-status : clean')
  removeForged(transaction, true)
  assert.deepEqual(list(transaction), ['To: one'])
})

test('an X-Virus-Status of another program stays, in its place, where we write none', () => {
  const lines = ['X-Virus-Status: clean', 'To: one', 'x-virus-status : infected (A)']
  const transaction = message(...lines, 'X-MessageIsInfected: false')
  removeForged(transaction, false)
  mark(transaction, clean, false)
  assert.deepEqual(list(transaction), [...lines, 'X-MessageIsInfected: false'])
})

test('a header line that begins with a dot goes: it may be another one to the next server', () => {
  const transaction = message(
    '..X-MessageIsInfected: false',
    'Subject: x',
    '...Content-Type: text/plain',
    '..: a',
  )
  removeForged(transaction, true)
  assert.deepEqual(list(transaction), ['Subject: x'])
})

test('a header section of nothing but forged ones does not come back as it was received', () => {
  const transaction = message('X-MessageIsInfected: false')
  removeForged(transaction, true)
  assert.deepEqual(list(transaction), ['Comments: no other header fields'])
})

for (const first of [
  ' X-MessageIsInfected: false',
  '\tX-Virus-Status: clean',
  '__proto__: x\r\n X-Virus-Status: clean',
]) {
  test(`${JSON.stringify(first)}, which Haraka takes for no header, does not come back either`, async () => {
    const transaction = message(...first.split('\r\n'))
    removeForged(transaction, true)
    const sent = await new Promise<Buffer>((resolve) => transaction.message_stream.get_data({}, resolve))
    assert.equal(sent.toString(), 'Comments: no other header fields\r\n\r\nbody\r\n')
  })
}

test('a message that has no header section is left without one', () => {
  const transaction = message()
  removeForged(transaction, true)
  assert.deepEqual(list(transaction), [])
})

test('the verdict is written once, whatever stood there, and not at all for an unscanned message', () => {
  const transaction = message('Subject: one', 'X-MessageIsInfected : false')
  mark(transaction, infected, true)
  mark(transaction, infected, true)
  const expected = ['Subject: one', 'X-MessageIsInfected: true', 'X-Virus-Status: infected (Eicar)']
  assert.deepEqual(list(transaction), expected)
  transaction.add_header('X-MessageIsInfected', 'false')
  mark(transaction, infected, true)
  assert.deepEqual(list(transaction), expected)
  mark(transaction, clean, true)
  assert.deepEqual(list(transaction), ['Subject: one', 'X-MessageIsInfected: false', 'X-Virus-Status: clean'])
  mark(transaction, failed, true)
  assert.deepEqual(list(transaction), ['Subject: one', 'X-Virus-Status: unscanned (error)'])
  mark(transaction, failed, false)
  assert.deepEqual(list(transaction).slice(0, 1), ['Subject: one'])
})

test('a message that is marked already keeps the order of its headers', () => {
  const transaction = message('Subject: one')
  mark(transaction, clean, false)
  transaction.add_header('X-Later', 'yes')
  mark(transaction, clean, false)
  assert.deepEqual(list(transaction), ['Subject: one', 'X-MessageIsInfected: false', 'X-Later: yes'])
})

for (const line of ['\r', '\r\r', '\rX: y', '\r\rX: y', 'X: y\r\r z', 'X: y\r\n\r z']) {
  test(`${JSON.stringify(line)}, which may go out with an empty line, does not make a body of our header`, async () => {
    const transaction = message('Subject: t', ...line.split('\r\n'), 'From: a@example.com')
    mark(transaction, infected, true)
    const sent = await new Promise<Buffer>((resolve) => transaction.message_stream.get_data({}, resolve))
    // Some take a line of blanks for an empty one, and a carriage return by itself for the end of a line.
    const [section = ''] = sent.toString('latin1').split(/(?:\r\n|\r(?!\n)|\n)[ \t]*(?:\r\n|\r(?!\n)|\n)/)
    assert.match(section, /^X-MessageIsInfected: true$/m)
    assert.match(section, /^X-Virus-Status: infected \(Eicar\)$/m)
  })
}

test('our headers stand behind the others where none ends the section', () => {
  const transaction = message('Subject: t', 'X: a', ' b')
  mark(transaction, infected, false)
  assert.equal(list(transaction).at(-1), 'X-MessageIsInfected: true')
})
