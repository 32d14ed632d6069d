// Each type of value: what it takes, what it refuses, and what it then says is allowed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Invalid } from '../../../lib/base/invalid'
import * as types from '../../../lib/config/value-types'

const actions =
  'reject, defer, discard or tag, or quarantine and bounce, which combine with each other and with reject, defer or discard'

interface Row {
  readonly type: types.ValueType<unknown>
  readonly allowed: string
  readonly takes: Readonly<Record<string, unknown>>
  readonly refuses: readonly string[]
}

const rows: Readonly<Record<string, Row>> = {
  yesNo: {
    type: types.yesNo,
    allowed: 'true or false',
    takes: { true: true, YES: true, 1: true, on: true, False: false, off: false, 0: false, disabled: false },
    refuses: ['', 'truer', 'untrue', 'nono', '2'],
  },
  whole: {
    type: types.whole(2, 10),
    allowed: 'a whole number from 2 to 10',
    takes: { 2: 2, 10: 10 },
    refuses: ['1', '11', '2.5', '-3', '', 'x3'],
  },
  duration: {
    type: types.duration(500, 120_000),
    allowed: 'a time such as 500ms, 30s or 2m, from 500ms to 2m',
    takes: { '500ms': 500, 30: 30_000, '1.5 S': 1500, '2m': 120_000 },
    refuses: ['499ms', '121', '1h', 's', '1x', '1s1', '-1'],
  },
  size: {
    type: types.size(1024, 1024 ** 2),
    allowed: 'a size such as 8192, 64K or 25M, from 1KB to 1MB',
    takes: { 1024: 1024, '1k': 1024, '1.5 KB': 1536, '1M': 1024 ** 2 },
    refuses: ['1023', '2M', '1G', '', 'k', '1T'],
  },
  oneOf: {
    type: types.oneOf(['stream', 'instream', 'auto']),
    allowed: 'stream, instream or auto',
    takes: { STREAM: 'stream', auto: 'auto' },
    refuses: ['', 'aut', 'stream instream'],
  },
  someOf: {
    type: types.someOf(['a', 'b', 'c']),
    allowed: 'one or more of a, b and c, separated by spaces',
    takes: { 'C A': ['a', 'c'], b: ['b'] },
    refuses: ['', 'a d'],
  },
  actionWords: {
    type: types.actionWords,
    allowed: actions,
    takes: {},
    refuses: ['accept', '', 'tag reject', 'nothing'],
  },
  fallback: {
    type: types.fallback,
    allowed: 'defer, reject, accept or quarantine',
    takes: {},
    refuses: ['tag', 'quarantine reject', '', 'rejected', 'I accept'],
  },
  folder: {
    type: types.folder,
    allowed: 'a relative path of letters, digits, dots, dashes and underscores that stays where it is',
    takes: { infected: 'infected', 'a/b-c/d_e.f': 'a/b-c/d_e.f', '..a': '..a' },
    refuses: ['', '/a', 'a/', 'a/../b', '.', '..', 'a b', 'a//b'],
  },
  mailbox: {
    type: types.mailbox,
    allowed: 'an address such as postmaster@example.com or Mail <postmaster@(me)>',
    takes: {
      'a@b': { name: '', address: 'a@b' },
      'Mail <a.b@(me)>': { name: 'Mail', address: 'a.b@(me)' },
      '"A \\"B\\"" <a@b.de>': { name: 'A "B"', address: 'a@b.de' },
    },
    refuses: ['', 'a', 'a@', '@b', 'a@-b', 'a@b-', 'a@b c', 'x a@b', 'M <a@b> x'],
  },
  rate: {
    type: types.rate,
    allowed: 'a number from 0 to 100000 per minute, hour or day: 1/m, 10/h, 50/d',
    takes: {
      '0/m': { count: 0, perMs: 60_000 },
      '10 / H': { count: 10, perMs: 3_600_000 },
      '100000/d': { count: 100_000, perMs: 86_400_000 },
    },
    refuses: ['10', '100001/h', '1/s', '/h', '1/hh', 'x1/h'],
  },
  prose: {
    type: types.prose(5),
    allowed: 'one line of 1 to 5 characters',
    takes: { Grüße: 'Grüße' },
    refuses: ['', '123456', 'a\tb'],
  },
  text: {
    type: types.text(12, ['virus', 'id']),
    allowed: 'one line of 1 to 12 printable ASCII characters, with {virus} or {id} at most once',
    takes: { 'a {virus}': 'a {virus}', '{id}{virus}': '{id}{virus}' },
    refuses: ['', 'a {name}', '{id} {id}', 'é', '1234567890123'],
  },
  token: {
    type: types.token,
    allowed: 'nothing, or 16 to 256 of the characters A-Z a-z 0-9 - . _ ~ + /, with a letter, _, ~ or /',
    takes: { '': '', 'abcdefghijklmno.': 'abcdefghijklmno.', ['x'.repeat(256)]: 'x'.repeat(256) },
    refuses: ['abcdefghijklmno', '1234567890.123456', 'abcdefgh ijklmnop', 'x'.repeat(257)],
  },
  secretPath: {
    type: types.secretPath,
    allowed: 'the absolute path of a file, or the name of a systemd credential',
    takes: { '/a b': '/a b', 'to.ken-1': 'to.ken-1' },
    refuses: ['', '/', '.a', 'a/b', '-a', 'a b'],
  },
  programPath: {
    type: types.programPath,
    allowed: 'the absolute path of a program, without arguments',
    takes: { '/usr/bin/x': '/usr/bin/x' },
    refuses: ['', '/', 'x', '/a b', 'a/b'],
  },
  pemFile: {
    type: types.pemFile('a key'),
    allowed: "the path of a PEM file, absolute or below Haraka's config folder, with a key",
    takes: { x: 'x' },
    refuses: [],
  },
  hostName: {
    type: types.hostName,
    allowed: 'a host name or an address',
    takes: { 'clamd.example.com': 'clamd.example.com' },
    refuses: ['', 'a b', 'a:b:c:1'],
  },
  hosts: {
    type: types.hosts(3310),
    allowed:
      'names, IPv4 or IPv6 addresses, each with an optional :port, and with tls:// in front for TLS, or /path/to/a.sock, separated by space, comma or semicolon',
    takes: {},
    refuses: ['', ' ,', 'a b:0'],
  },
  masks: {
    type: types.masks,
    allowed:
      'masks such as *.exe or *.scr without quotes or slashes, regular expressions between slashes, type:NAME and content-type:TYPE/SUBTYPE, each perhaps behind in:KIND, separated by space, comma or semicolon',
    takes: { '': [] },
    refuses: ['"*.exe"', 'a/b'],
  },
  orEmpty: {
    type: types.orEmpty(types.whole(1, 2)),
    allowed: 'a whole number from 1 to 2',
    takes: { '': null, 1: 1 },
    refuses: ['3'],
  },
}

for (const [name, { type, allowed, takes, refuses }] of Object.entries(rows)) {
  test(`a value: ${name}`, () => {
    assert.equal(type.allowed, allowed)
    for (const [text, value] of Object.entries(takes)) assert.deepEqual(type.parse(text), value, text)
    for (const text of refuses) assert.ok(type.parse(text) instanceof Invalid, text)
  })
}

test('actions come back as their words', () => {
  for (const text of ['reject', 'quarantine bounce defer', 'tag', 'discard'])
    assert.equal((types.actionWords.parse(text) as { text: string }).text, text)
  for (const text of ['defer', 'reject', 'accept', 'quarantine'])
    assert.equal((types.fallback.parse(text.toUpperCase()) as { text: string }).text, text)
})

test('only a token is a secret', () => {
  const secrets = Object.entries(rows).filter(([, { type }]) => type.isSecret)
  assert.deepEqual(
    secrets.map(([name]) => name),
    ['token'],
  )
})

test('a refusal has the setting, the reason and what is allowed', () => {
  const { yesNo } = types
  assert.equal(types.refusal('[a] b = c', new Invalid(), yesNo), '[a] b = c: allowed is true or false')
  assert.equal(
    types.refusal('[a] b = c', new Invalid('it is odd'), yesNo),
    '[a] b = c (it is odd): allowed is true or false',
  )
  const text = types.text(99, ['virus'])
  const whyOf = (value: string) => (text.parse(value) as Invalid).why
  assert.deepEqual(['{x}', '{virus}{virus}', ''].map(whyOf), [
    '{x} is unknown',
    '{virus} is there more than once',
    '',
  ])
  assert.match((types.hosts(1).parse('ok b:0') as Invalid).why, /^b:0 ./)
})

test('a list of words', () => {
  assert.deepEqual(
    [[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map((words) => types.listed(words)),
    ['', 'a', 'a or b', 'a, b or c'],
  )
})
