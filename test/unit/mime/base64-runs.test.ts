// Lines of base64 that native code decodes: the same comes out as from the decoder that takes them byte by byte.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { decodeDigits, endOfRun, takeRun } from '../../../lib/mime/base64-runs'
import { decoderOf } from '../../../lib/mime/transfer-encodings'

const content = randomBytes(57 * 40)
const wrapped = (length: number, lineEnd: string) =>
  content.toString('base64').replace(new RegExp(`.{${length}}`, 'g'), (line) => line + lineEnd)

for (const lineEnd of ['\r\n', '\n']) {
  for (const length of [4, 60, 76, 1000]) {
    test(`lines of ${length} that end with ${JSON.stringify(lineEnd)}`, () => {
      const text = Buffer.from(wrapped(length, lineEnd))
      const run = takeRun(text, 0)
      const lines = Math.floor((content.length * 4) / 3 / length)
      assert.equal(run?.end, lines * (length + lineEnd.length))
      assert.equal(run.decoded, (lines * length * 3) / 4)
    })
  }
}

describe('no run', () => {
  const cases = {
    'no line end': 'QUJD'.repeat(10),
    'an empty line': '\r\nQUJD\r\n',
    'a length that is no multiple of four': 'QUJDR\r\nQUJDR\r\n',
    'a dash': 'QUJD\r\nQU-D\r\n',
    'an underscore': 'QUJD\r\nQU_D\r\n',
    'padding within': 'QUI=\r\nQUJD\r\n',
    'a blank': 'QUJD\r\nQU D\r\n',
    'a letter that is not of ASCII': 'QUJD\r\nQU\xe4D\r\n',
    'a NUL': 'QUJD\r\nQU\0D\r\n',
    'a line of nothing but CR': '\r\r\r\r\r\nQUJD\r\n',
  }
  for (const [name, text] of Object.entries(cases))
    test(name, () => assert.equal(takeRun(Buffer.from(text, 'latin1'), 0), null))
})

test('a run ends before a line of another length, another line end, and padding', () => {
  for (const next of ['QUI=\r\n', 'QUJDQUJD\r\n', 'QUJD\n', 'QUJD\r', 'QU\r\n', '--b\r\n', ''])
    assert.equal(takeRun(Buffer.from(`QUJD\r\nQUJD\r\n${next}`), 0)?.end, 12, JSON.stringify(next))
})

test('one call takes 64 KiB at most', () => {
  const text = Buffer.from(`${'QUJD'.repeat(19)}\r\n`.repeat(2000))
  const end = endOfRun(text, 0, 76)
  assert.ok(end <= 64 * 1024 && end > 64 * 1024 - 78)
  assert.equal(takeRun(text, end)?.end, 2 * end)
})

test('digits are told by their number', () => {
  const out = Buffer.alloc(100)
  const decoded = (text: string, digits: number) =>
    decodeDigits(Buffer.from(text), 0, text.length, digits, out)
  assert.equal(decoded('QUJD', 4), 3)
  assert.equal(decoded('QUI', 3), 2)
  assert.equal(decoded('QU!D', 4), -1)
  assert.equal(decoded('QUJDQUJD', 4), -1)
})

test('the decoder makes the same of it, wherever it is cut', () => {
  const text = Buffer.from(
    `${wrapped(76, '\r\n')}\r\nQUI=\r\n${wrapped(60, '\n')}x-_y\r\n${wrapped(8, '\r\n')}`,
  )
  const byteByByte = decodedIn(text, 1)
  for (const piece of [3, 77, 78, 79, 780, 4096, text.length])
    assert.ok(decodedIn(text, piece).equals(byteByByte), `in pieces of ${piece}`)
})

function decodedIn(text: Buffer, piece: number): Buffer {
  const decoder = decoderOf('base64')
  const decoded: Buffer[] = []
  for (let at = 0; at < text.length; at += piece) decoded.push(decoder.write(text.subarray(at, at + piece)))
  return Buffer.concat([...decoded, decoder.end()])
}
