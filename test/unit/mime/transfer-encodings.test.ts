// What each encoding comes to, as leniently as mail programs undo it, in pieces of any size.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decoderOf, type Encoding, encodingsOf } from '../../../lib/mime/transfer-encodings'

function decoded(encoding: Encoding, text: string, pieceBytes: number): string {
  const bytes = Buffer.from(text, 'latin1')
  const decoder = decoderOf(encoding)
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes)
    pieces.push(Buffer.from(decoder.write(bytes.subarray(at, at + pieceBytes))))
  pieces.push(Buffer.from(decoder.end()))
  return Buffer.concat(pieces).toString('latin1')
}

const blanks = ' '.repeat(996)

const rows: readonly (readonly [encoding: Encoding, text: string, content: string])[] = [
  ['identity', 'a=3D\r\n', 'a=3D\r\n'],
  ['base64', 'QUJD', 'ABC'],
  ['base64', 'QUI=', 'AB'],
  ['base64', 'QQ==', 'A'],
  // The last of six bits alone is no byte.
  ['base64', 'QUJDQ', 'ABC'],
  ['base64', 'QUJDQUI', 'ABCAB'],
  ['base64', '--QUJD\r\nQU JD', 'ABCABC'],
  ['base64', '+/+/-_\xff\x80AAAA', '\xfb\xff\xbf\0\0\0'],
  ['base64', 'QQ==QUI=QUJD', 'AABABC'],
  ['base64', '', ''],
  ['quoted-printable', 'a=3D=3db', 'a==b'],
  ['quoted-printable', '=e4=E4=0a', '\xe4\xe4\n'],
  ['quoted-printable', 'a=\r\nb=\nc=\r\r\nd', 'abcd'],
  ['quoted-printable', 'a=\t\r\nb= \t\nc', 'abc'],
  ['quoted-printable', 'a \t\r\nb', 'a \t\r\nb'],
  ['quoted-printable', '=ZZ=4', '=ZZ=4'],
  ['quoted-printable', '=4G=G4==41', '=4G=G4=A'],
  ['quoted-printable', 'a= b=\r', 'a= b=\r'],
  ['quoted-printable', '=', '='],
  ['quoted-printable', `a=${blanks}\r\nb`, 'ab'],
  ['quoted-printable', `a=${blanks}   \r\nb`, 'ab'],
]

for (const [encoding, text, content] of rows) {
  test(`${encoding}: ${JSON.stringify(text.replace(/ {9,}/, ' … '))}`, () => {
    for (const pieceBytes of [4096, 1, 2, 3, 5, 7])
      assert.equal(decoded(encoding, text, pieceBytes), content, `${pieceBytes} bytes a piece`)
  })
}

test('the encodings that the headers name: all of them, each once, and identity for want of one', () => {
  const named = (...values: string[]) => encodingsOf(values.map((value) => ({ field: 'encoding', value })))
  assert.deepEqual(encodingsOf([]), ['identity'])
  assert.deepEqual(encodingsOf([{ field: 'type', value: 'base64' }]), ['identity'])
  assert.deepEqual(named(' BASE64'), ['base64'])
  assert.deepEqual(named(' Quoted-Printable '), ['quoted-printable'])
  assert.deepEqual(named('7bit', 'x-none'), ['identity'])
  assert.deepEqual(named('base64', 'quoted-printable', 'base64'), ['base64', 'quoted-printable'])
  assert.deepEqual(named('base(64)64'), ['identity', 'base64'])
  assert.deepEqual(named('=?utf-8?Q?base=364?='), ['identity', 'base64'])
})
