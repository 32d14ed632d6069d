// Every test, or row of a table of tests, that docs/internals/threat-model.md names is there.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

const root = path.resolve(__dirname, '..', '..')
const file = path.join(root, 'docs', 'internals', 'threat-model.md')
const page = readFileSync(file, 'utf8').replace(/\s+/g, ' ')
// A file, and one or more of its titles.
const named = [...page.matchAll(/`(test\/[\w/.-]+\.ts)` ("[^"]+"(?:, "[^"]+")*)/g)].flatMap(
  ([, file = '', titles = '']) =>
    [...titles.matchAll(/"([^"]+)"/g)].map(([, title = '']) => [file, title] as const),
)

test('the page names tests', () => assert.ok(named.length > 30, String(named.length)))

for (const [file, title] of named) {
  test(`${file} has "${title}"`, () => {
    const source = readFileSync(path.join(root, file), 'utf8')
    assert.ok(source.includes(title), `no "${title}" in ${file}`)
  })
}
