// clamd's grammar: which reply is which, and that nothing but one exact line is clean.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { printable } from '../../../lib/base/text'
import {
  isLimitName,
  parseCapabilities,
  parsePort,
  parseReply,
  receivedLine,
  type Reply,
} from '../../../lib/clamd/protocol'

const replies: [line: string, expected: Reply][] = [
  ['PONG', { kind: 'pong' }],
  ['stream: OK', { kind: 'clean' }],
  ['stream: Eicar-Test-Signature FOUND', { kind: 'found', name: 'Eicar-Test-Signature' }],
  ['stream: Odd name (a b) FOUND FOUND', { kind: 'found', name: 'Odd name (a b) FOUND' }],
  ['stream: (null) FOUND', { kind: 'found', name: '(null)' }],
  ['stream: \x1b[31mRed\r\n FOUND', { kind: 'found', name: '?[31mRed?' }],
  ['stream: \xff\x00 FOUND', { kind: 'found', name: '?' }],
  ['stream: X(44d88612fea8a8f36de82e1278abb02f:68) FOUND', { kind: 'found', name: 'X' }],
  ['stream: X(not a hash:68) FOUND', { kind: 'found', name: 'X(not a hash:68)' }],
  ['UNKNOWN COMMAND', { kind: 'unknown_command', text: 'UNKNOWN COMMAND' }],
  ['COMMAND UNAVAILABLE', { kind: 'unknown_command', text: 'COMMAND UNAVAILABLE' }],
  ['INSTREAM size limit exceeded. ERROR', { kind: 'limit', text: 'INSTREAM size limit exceeded. ERROR' }],
  ['COMMAND READ TIMED OUT', { kind: 'error', text: 'COMMAND READ TIMED OUT' }],
  ['Accept timeout. ERROR', { kind: 'error', text: 'Accept timeout. ERROR' }],
  ['stream: Exceeded time limit ERROR', { kind: 'error', text: 'stream: Exceeded time limit ERROR' }],
  ["stream: Can't allocate memory ERROR", { kind: 'error', text: "stream: Can't allocate memory ERROR" }],
  ['', { kind: 'error', text: 'an empty reply' }],
]

for (const [line, expected] of replies) {
  test(`reply ${JSON.stringify(line)} is ${expected.kind}`, () =>
    assert.deepEqual(parseReply(line), expected))
}

test('whatever differs from the one clean reply is not clean', () => {
  const near = [
    'stream: OK ',
    ' stream: OK',
    'stream: ok',
    'STREAM: OK',
    'stream:OK',
    'stream: OK\r',
    'stream: OKAY',
    'stream: OK stream: OK',
    '1: stream: OK',
    'instream: OK',
    'OK',
    'stream: OK\0',
    'xstream: OK',
    'stream:  OK',
  ]
  for (const line of near) assert.equal(parseReply(line).kind, 'error', JSON.stringify(line))
})

test('a name is at most 128 printable characters and never empty', () => {
  const reply = parseReply(`stream: ${'N'.repeat(4000)} FOUND`)
  assert.ok(reply.kind === 'found')
  assert.equal(reply.name.length, 128)
  assert.match(printable('\u0000\u202e\n'), /^[\x20-\x7e]*$/)
  const blank = parseReply('stream:   FOUND')
  assert.ok(blank.kind === 'found' && blank.name.length > 0)
})

test('names for reached limits are told from viruses', () => {
  const limits = [
    ...['Heuristics.Limits.Exceeded.MaxFileSize', 'heuristics.limits.exceeded', '(null)'],
    ...['Heuristics.Email.ExceedsMaxHeaderBytes', 'heuristics.email.exceedsmaxheaders'],
  ]
  for (const name of limits) {
    assert.ok(isLimitName(name), name)
  }
  for (const name of [
    'Heuristics.Limits.ExceededNot',
    'Win.Heuristics.Limits.Exceeded',
    'Heuristics.Email.Spoofed',
    'null',
  ]) {
    assert.ok(!isLimitName(name), name)
  }
})

test('only PORT and a port is a port', () => {
  assert.equal(parsePort('PORT 1'), 1)
  assert.equal(parsePort('PORT 65535'), 65535)
  const wrong = [
    'PORT 0',
    'PORT 65536',
    'PORT -1',
    'PORT x',
    'PORT',
    'PORT 12 ',
    'port 12',
    'PORT 1e3',
    'PORT 999999',
  ]
  for (const line of wrong) assert.equal(parsePort(line), null, line)
})

test('version and commands are read from VERSIONCOMMANDS, from VERSION, and from neither', () => {
  assert.deepEqual(parseCapabilities('ClamAV 1.4.6/27500/Sun Nov 22 2026| COMMANDS: SCAN INSTREAM'), {
    version: 'ClamAV 1.4.6/27500/Sun Nov 22 2026',
    commands: ['SCAN', 'INSTREAM'],
  })
  assert.deepEqual(parseCapabilities('ClamAV 0.94.2/9999/Mon Jan 1 2009'), {
    version: 'ClamAV 0.94.2/9999/Mon Jan 1 2009',
    commands: null,
  })
  assert.equal(parseCapabilities('clamd / ClamAV version 0.60').version, 'ClamAV 0.60')
  assert.deepEqual(parseCapabilities('UNKNOWN COMMAND'), { version: null, commands: null })
})

test('our head line is one Received line that ends in CRLF', () => {
  assert.match(receivedLine.toString('latin1'), /^Received: [\x21-\x7e][\x20-\x7e]*\r\n$/)
})
