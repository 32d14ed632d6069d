// Untrusted strings that are shown: bounded, on one line, and nothing hidden in them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asciiLower, displayText, printable, sizeText } from '../../../lib/base/text'

test('letters of ASCII become small, and no others', () => {
  assert.equal(asciiLower('AZaz\u212a\u00c4'), 'azaz\u212a\u00c4')
})

test('text to show', () => {
  for (const [text, shown] of [
    ['  Hello\r\n\tyou  ', 'Hello you'],
    ['a\u202eb\0c\u200bd', 'a\ufffdb\ufffdc\ufffdd'],
    [`a${'\u0301'.repeat(9)}`, `a${'\u0301'.repeat(3)}`],
    ['1234567890', '1234567890'],
    ['12345678901', '123456789…'],
    ['😀'.repeat(10), '😀'.repeat(10)],
    ['😀'.repeat(11), `${'😀'.repeat(9)}…`],
    [' '.repeat(41), '…'],
    [`${' '.repeat(39)}x`, 'x'],
    ['', ''],
  ] as const)
    assert.equal(displayText(text, 10), shown)
})

test('text for a header or a reply', () => {
  assert.equal(printable(' a\r\nb\u00e9\u00e9 c~ '), 'a?b? c~')
  assert.equal(printable('x'.repeat(200)), 'x'.repeat(128))
})

test('sizes', () => {
  assert.deepEqual([0, 1024, 26_214_400, NaN].map(sizeText), ['0B', '1KB', '25MB', ''])
})
