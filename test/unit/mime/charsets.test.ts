// Bytes by the charset that a name or a body claims, known or not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { charsetsFor, decodeCharset, rawReadings } from '../../../lib/mime/charsets'

const latin1 = (text: string) => Buffer.from(text, 'latin1')

const rows: readonly (readonly [charset: string, bytes: string, text: string])[] = [
  ['utf-8', 'Gr\xc3\xbc', 'Grü'],
  ['iso-8859-1', 'Gr\xfc', 'Grü'],
  ['windows-1251', '\xcf\xf0', 'Пр'],
  ['KOI8-R', '\xf0\xd2', 'Пр'],
  ['utf-7', 'a+AOk-', 'aé'],
  ['UNICODE-1-1-UTF7', 'a+AOk-', 'aé'],
  ['iso-2022-jp', '\x1b$B$"\x1b(B', 'あ'],
  ['iso-2022-kr', '\x1b$)C\x0e0!\x0fa', '가a'],
  ['iso-2022-kr', '\x0e0!', '가'],
  ['ISO-2022-CN', '\x1b$)A\x0e0!\x0fa', '啊a'],
  ['ebcdic', '\x85\xa7\x85\x4b\xc5\xf0\x40\x05\x70', 'exe.E0 \x7f_'],
  ['x-none', 'Gr\xc3\xbc', 'Grü'],
  ['', 'Gr\xc3\xbc', 'Grü'],
]

for (const [charset, bytes, text] of rows) {
  test(`charset ${charset || '(none)'}: ${JSON.stringify(bytes)}`, () => {
    for (const time of ['first', 'again']) assert.equal(decodeCharset(latin1(bytes), charset), text, time)
  })
}

test('a shifting charset is UTF-8 for programs without it', () => {
  assert.deepEqual(charsetsFor('iso-2022-kr'), ['iso-2022-kr', 'utf-8'])
  assert.deepEqual(charsetsFor('iso2022cn'), ['iso2022cn', 'utf-8'])
  assert.deepEqual(charsetsFor('iso-2022-jp'), ['iso-2022-jp'])
})

test('raw header text is UTF-8 or Latin-1, the likelier first', () => {
  assert.deepEqual(rawReadings('plain'), ['plain'])
  assert.deepEqual(rawReadings('Gr\xc3\xbc'), ['Grü', 'Gr\xc3\xbc'])
  assert.deepEqual(rawReadings('Gr\xfc'), ['Gr\xfc', 'Gr\ufffd'])
  assert.deepEqual(rawReadings('\u4e00\xfc'), ['\u4e00\xfc'])
})
