// Wildcards fit the whole text, by any of their readings.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitsWildcards, matcherOf } from '../../../lib/base/wildcards'

const rows: readonly (readonly [pattern: string, fits: readonly string[], others: readonly string[]])[] = [
  ['a.exe', ['a.exe'], ['ba.exe', 'a.exe ', 'a.ex', '']],
  ['*.exe', ['.exe', 'a.exe', 'a.exe.exe'], ['a.exe.txt', 'aexe', 'exe']],
  ['a*', ['a', 'ab'], ['ba', '']],
  ['*', ['', 'a', '*'], []],
  ['?', ['a', '?'], ['', 'ab']],
  ['a*b*c', ['abc', 'axbxbxc', 'abcc'], ['abcb', 'acb', 'ab']],
  ['*a?c', ['abc', 'aacabc'], ['ac', 'abcd']],
  ['a**', ['a', 'ab'], ['b']],
  ['?*', ['a', 'ab'], ['']],
  ['', [''], ['a']],
]

for (const [pattern, fits, others] of rows) {
  test(`wildcards: ${JSON.stringify(pattern)}`, () => {
    for (const match of [(text: string) => fitsWildcards(text, pattern), matcherOf(pattern)]) {
      for (const text of fits) assert.ok(match(text), text)
      for (const text of others) assert.ok(!match(text), text)
    }
  })
}
