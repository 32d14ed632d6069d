// What a verdict says in its five places: note, result, two headers and the line of the log.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClamdVersion } from '../../../lib/clamd/version'
import {
  type AttachmentFinding,
  type Clean,
  exemptVerdict,
  failedVerdict,
  type Infected,
  infectedHeader,
  isExempt,
  logLine,
  noReadings,
  noteOf,
  type Reason,
  resultOf,
  statusHeader,
  type Unscanned,
} from '../../../lib/policy/verdict'

const engine: ClamdVersion = {
  release: 'ClamAV 1.4.6',
  signatures: { number: 27500, builtMs: 0 },
  line: 'ClamAV 1.4.6/27500/…',
}
const scan = {
  clamd: '127.0.0.1:3310',
  engine,
  protocol: 'instream',
  bytes: 1234,
  ms: 56,
  ...noReadings,
} as const
const clean: Clean = { outcome: 'clean', ...scan }
const infected: Infected = { outcome: 'infected', virus: 'Eicar', ...scan }
const unscanned = (reason: Reason, text = 'connect: refused'): Unscanned => ({
  outcome: 'unscanned',
  reason,
  text,
  ...scan,
})
const denied: AttachmentFinding = { denied: '*.exe', name: 'a "b".exe' }
const unreadable: AttachmentFinding = { unreadable: 'part 1: damaged' }
const second = { oddity: 'a NUL', parts: 3, readings: 7, part: 'part 2 (base64)' }

test('the whole message alone', () => {
  assert.deepEqual(noReadings, { oddity: null, parts: 0, readings: 0, part: null, ignored: [] })
})

const note = {
  clamd: '127.0.0.1:3310',
  engine: 'ClamAV 1.4.6/27500',
  protocol: 'instream',
  bytes: 1234,
  ms: 56,
  readings: 0,
  parts: 0,
  part: null,
}

test('the note', () => {
  assert.deepEqual(noteOf(clean, 'accept'), {
    outcome: 'clean',
    infected: false,
    virus: null,
    reason: null,
    ...note,
    action: 'accept',
  })
  assert.deepEqual(noteOf({ ...infected, ...second }, 'quarantine reject'), {
    outcome: 'infected',
    infected: true,
    virus: 'Eicar',
    reason: null,
    ...note,
    readings: 7,
    parts: 3,
    part: 'part 2 (base64)',
    action: 'quarantine reject',
  })
  assert.deepEqual(noteOf(unscanned('limits'), 'reject'), {
    outcome: 'unscanned',
    infected: null,
    virus: null,
    reason: 'limits',
    ...note,
    action: 'reject',
  })
})

test('verdicts without a scan', () => {
  const without = { clamd: null, engine: null, protocol: null, bytes: 0, ms: 0, ...noReadings }
  const unscanned = { outcome: 'unscanned', ...without }
  assert.deepEqual(exemptVerdict('ip:192.0.2.1'), { ...unscanned, reason: 'exempt', text: 'ip:192.0.2.1' })
  assert.deepEqual(failedVerdict('a bug'), { ...unscanned, reason: 'error', text: 'a bug' })
  assert.ok(isExempt(exemptVerdict('')))
  for (const verdict of [failedVerdict(''), clean, infected]) assert.ok(!isExempt(verdict))
})

test('the headers', () => {
  assert.deepEqual([infectedHeader(clean), statusHeader(clean)], ['false', 'clean'])
  assert.deepEqual([infectedHeader(infected), statusHeader(infected)], ['true', 'infected (Eicar)'])
  const limits = unscanned('limits')
  assert.deepEqual([infectedHeader(limits), statusHeader(limits)], [null, 'unscanned (limits)'])
})

const empty = { pass: undefined, fail: undefined, skip: undefined, err: undefined, msg: undefined }

test('the result: what has failed is an error, what cannot be scanned is not', () => {
  assert.deepEqual(resultOf(clean, null), { ...empty, pass: 'clean' })
  assert.deepEqual(resultOf(infected, null), { ...empty, fail: ['Eicar'] })
  for (const reason of ['error', 'timeout', 'unscannable', 'in_progress'] as const)
    assert.deepEqual(resultOf(unscanned(reason), null), { ...empty, skip: reason, err: 'connect: refused' })
  for (const reason of ['exempt', 'too_large', 'limits', 'encrypted'] as const)
    assert.deepEqual(resultOf(unscanned(reason, ''), null), { ...empty, skip: reason })
  assert.equal(resultOf(exemptVerdict('ip:192.0.2.1'), null).skip, 'exempt: ip:192.0.2.1')
  assert.equal(resultOf(unscanned('limits', 'MaxFiles'), null).skip, 'limits')
})

test('the result: attachments, ignored names and a warning', () => {
  assert.deepEqual(resultOf(infected, denied).fail, ['Eicar', 'attachment *.exe'])
  assert.deepEqual(resultOf(clean, denied), { ...empty, pass: 'clean', fail: ['attachment *.exe'] })
  assert.deepEqual(resultOf(clean, unreadable).msg, ['unreadable: part 1: damaged'])
  const ignoring = { ...clean, ignored: ['A', 'B'] }
  assert.deepEqual(resultOf(ignoring, unreadable, 'signatures are old').msg, [
    'unreadable: part 1: damaged',
    'ignored: A',
    'ignored: B',
    'signatures are old',
  ])
})

test('the line of the log', () => {
  const where = 'clamd=127.0.0.1:3310 protocol=instream bytes=1234 ms=56'
  assert.equal(logLine(clean, null, 'accept'), `clean ${where} action=accept`)
  assert.equal(logLine(infected, null, 'reject'), `infected (Eicar) ${where} action=reject`)
  assert.equal(
    logLine(unscanned('error'), null, 'defer'),
    `unscanned (error) ${where} action=defer: connect: refused`,
  )
  assert.equal(logLine(unscanned('error', ''), null, 'defer'), `unscanned (error) ${where} action=defer`)
  assert.equal(logLine(exemptVerdict(''), null, 'accept'), 'unscanned (exempt) bytes=0 ms=0 action=accept')
  assert.equal(
    logLine({ ...clean, protocol: null }, null, 'accept'),
    'clean clamd=127.0.0.1:3310 protocol=- bytes=1234 ms=56 action=accept',
  )
  assert.equal(
    logLine({ ...infected, ...second, ignored: ['A', 'B'] }, denied, 'reject'),
    `infected (Eicar) ${where} action=reject odd="a NUL" parts=3 readings=7 part="part 2 (base64)" ignored="A, B" ` +
      'denied=*.exe name="a \\"b\\".exe"',
  )
  assert.equal(
    logLine({ ...clean, ...second, oddity: null, part: null }, unreadable, 'accept'),
    `clean ${where} action=accept parts=3 readings=7 unreadable="part 1: damaged"`,
  )
})
