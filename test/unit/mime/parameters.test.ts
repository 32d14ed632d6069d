// Parameters of a header in all their readings, pieces of RFC 2231 put together, and encoded words.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parameters, withoutComments } from '../../../lib/mime/parameters'
import { hasFewWords, hasWords, wordReadings } from '../../../lib/mime/rfc2047'
import { continuedValues, extendedValues, percentDecoded } from '../../../lib/mime/rfc2231'

const found = (value: string) => parameters(value, 'name|filename').found

const readings: readonly (readonly [value: string, ...readings: string[]])[] = [
  ['; name=a.b', 'a.b'],
  ['; name=a b; c', 'a b', 'a'],
  ['; name=a,b', 'a,b', 'a'],
  ['; name="a b"', 'a b'],
  ['; name="a\\b"', 'ab', 'a\\b'],
  ['; name="a;b"', 'a;b', 'a'],
  ['; name="a"b; c', 'a', 'ab', 'a"b', 'a'],
  ['; name="a"b"; c', 'a', 'ab"', 'a"b"', 'a"b'],
  ['; name="a; b', 'a; b', 'a'],
  ["; name='a b'", "'a b'", "'a", 'a b'],
  ['; name=a\\;b', 'a\\', 'a', 'a;b'],
  ['; name=', ''],
]

for (const [value, ...all] of readings) {
  test(`readings of ${value}`, () => assert.deepEqual(found(value)[0]?.readings, all))
}

test('number, stars and place of a parameter', () => {
  const of = (value: string) => {
    const [{ name, spelled, index, odd, extended } = assert.fail(value)] = found(value)
    return [name, spelled, index, odd, extended]
  }
  assert.deepEqual(of('x; name=a'), ['name', 'name', null, false, false])
  assert.deepEqual(of('x;\tNAME = a'), ['name', 'NAME', null, false, false])
  assert.deepEqual(of('x name=a'), ['name', 'name', null, true, false])
  assert.deepEqual(of('; filename*=a'), ['filename', 'filename', null, false, true])
  assert.deepEqual(of('; filename*10=a'), ['filename', 'filename', 10, false, false])
  assert.deepEqual(of('; filename*2*=a'), ['filename', 'filename', 2, false, true])
  assert.deepEqual(of('; filename*02=a'), ['filename', 'filename', 2, true, false])
  assert.deepEqual(of('; filename**=a'), ['filename', 'filename', null, true, true])
  assert.deepEqual(
    found('; surname=a; x-name=b; x.name=c; "name"=d').map(({ readings: [one] }) => one),
    ['d'],
  )
})

test('there is a limit, and it is told', () => {
  assert.equal(parameters('; name=a'.repeat(256), 'name').complete, true)
  const many = parameters('; name=a'.repeat(257), 'name')
  assert.deepEqual([many.found.length, many.complete], [256, false])
  assert.equal(parameters(`; name=${'a'.repeat(4095)}`, 'name').complete, true)
  assert.equal(parameters(`; name=${'a'.repeat(4096)}`, 'name').complete, false)
  assert.equal(parameters(`; name=${'a'.repeat(4000)};${'b'.repeat(99)}`, 'name').complete, true)
  const long = parameters(`; name=${'a'.repeat(4000)}`.repeat(9), 'name')
  assert.deepEqual([long.found.length, long.complete], [5, false])
})

test('comments are dropped, outside of quotes', () => {
  for (const [value, without] of [
    ['a (b) c', 'a  c'],
    ['a (b (c) d) e', 'a  e'],
    ['"a (b)" (c)', '"a (b)" '],
    ['a (b \\) c) d', 'a  d'],
    ['a \\(b) c', 'a \\(b) c'],
    ['"\\"(a)" (b)', '"\\"(a)" '],
    ['a) b', 'a) b'],
    ['a (b', 'a '],
    ['(") "a', ' "a'],
  ] as const)
    assert.equal(withoutComments(value), without)
})

const continued = (value: string) => continuedValues(found(value))

test('pieces are put together as any program may', () => {
  const rows: readonly (readonly [value: string, ...values: string[]])[] = [
    ['; name*0=a; name*1=b', 'ab'],
    ["; name*0*=utf-8''%41; name*1=%42", 'A%42', 'AB'],
    ["; name*0*=iso-8859-1''%e4; name*1*=%e4", 'ää', '\ufffd\ufffd'],
    ['; name*1=b; name*0=a', 'ab', 'ba'],
    ['; name*0=a; name*2=c', 'ac', 'a'],
    ['; name*0=a; name*0=b', 'a', 'b', 'ab'],
    ['; name*0=a; name*1*=%42', 'aB', 'a'],
    ['; name*0="a\\b"; name*1=c', 'abc', 'a\\bc'],
  ]
  for (const [value, ...values] of rows) assert.deepEqual(new Set(continued(value)), new Set(values), value)
})

test('a value with a charset', () => {
  const extended = (value: string) => found(value).flatMap(extendedValues)
  assert.deepEqual(extended("; name*=utf-8'en'%C3%A4"), ['ä', 'ä'])
  assert.deepEqual(extended("; name*=iso-8859-1''%E4"), ['ä', '\ufffd'])
  assert.deepEqual(extended('; name*=%41'), ['A', '%41'])
  assert.equal(percentDecoded('%41%zz%4', 'utf-8'), 'A%zz%4')
  assert.equal(percentDecoded('\u4e00%41', 'utf-8'), '\u4e00A')
})

test('encoded words, in every way in which they are read', () => {
  const rows: readonly (readonly [text: string, ...readings: string[]])[] = [
    ['plain', 'plain'],
    ['=?utf-8?Q?a=C3=A4_b?=', 'aä b'],
    ['x =?utf-8?B?YQ==?= =?utf-8?B?Yg==?= y', 'x ab y'],
    ['=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=', 'ä', '\ufffd\ufffd'],
    ['=?utf-8?B?YQ==Yg==?=', 'a', 'ab'],
    ['=?utf-8?Q?a?= b =?utf-8?Q?c?=', 'a b c'],
    ['=?utf-8?q?a', 'a', '=?utf-8?q?a'],
    ['=?utf-8*en?Q?a?=', 'a'],
    ['=?iso-8859-1?Q?=E4?= =?utf-8?Q?=C3=A4?=', 'ää'],
  ]
  for (const [text, ...all] of rows) assert.deepEqual(new Set(wordReadings(text)), new Set(all), text)
})

test('very many words are too many', () => {
  assert.ok(hasFewWords('=?'.repeat(500)))
  assert.ok(!hasFewWords('=?'.repeat(501)))
  assert.ok(hasWords('a =?') && !hasWords('a = ?'))
})
