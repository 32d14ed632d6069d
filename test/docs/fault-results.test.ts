// What is recorded of the last full run of the fault tests: all of the table of faults, with no answer that the table does
// not allow, and the page is made of it.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { kindOf, pageFile, reliabilityPage } from '../support/faults/fault-page'
import type { Cell } from '../support/faults/fault-record'
import { collectFaultResults, type FaultResult, readFaultResults } from '../support/faults/fault-results'
import { type Content, labelOf, type Row, rows, type Setting } from '../support/faults/fault-table'
import { partRows } from '../support/faults/part-table'
import { TemporaryDirectory } from '../support/process'

const results = readFaultResults()
const tables: readonly (readonly [rows: readonly Row[], results: readonly FaultResult[]])[] = [
  [rows, results.faults],
  [partRows, results.parts],
]
const byName = (one: { name: string }, other: { name: string }) => (one.name < other.name ? -1 : 1)

/** SMTP codes with which a message of this content may end. */
function allowed(row: Row, protocol: Setting, hasOthers: boolean, content: Content): number[] {
  const labels = [row.ends[protocol] ?? []].flat().map((end) => labelOf(end, content, hasOthers))
  if (row.lies || (row.talksOn && content === 'clean')) labels.push('clean')
  return labels.map((label) => {
    if (label.startsWith('clean')) return 250
    if (label === 'too_large') return 552
    return label === 'error' || label === 'timeout' ? 451 : 550
  })
}

test('every fault was met by each protocol, alone and with other addresses, by a clean and an infected message', () => {
  for (const [table, recorded] of tables) {
    const expected = table.map(({ name, ends }) => ({
      name,
      columns: Object.keys(ends).flatMap((protocol) => [`${protocol} 1 1 1`, `${protocol} 3 1 1`]),
    }))
    const found = recorded.map(({ name, answers }) => ({
      name,
      columns: Object.entries(answers).map(
        ([column, { clean, infected }]) => `${column} ${clean.length} ${infected.length}`,
      ),
    }))
    const sorted = (all: typeof found) =>
      [...all].sort(byName).map(({ name, columns }) => ({ name, columns: [...columns].sort() }))
    assert.deepEqual(sorted(found), sorted(expected))
  }
})

test('no answer is one that the table of faults does not allow', () => {
  const all = tables.flatMap(([table, recorded]) => recorded.map((result) => ({ table, ...result })))
  for (const { table, name, answers } of all) {
    const row = table.find((one) => one.name === name) ?? assert.fail(name)
    for (const [column, codes] of Object.entries(answers)) {
      const [protocol, addresses] = column.split(' ') as [Setting, string]
      for (const content of ['clean', 'infected'] as const) {
        const possible = allowed(row, protocol, addresses === '3', content)
        for (const code of codes[content])
          assert.ok(possible.includes(code), `${name}, ${column}, ${content}: ${code}`)
      }
    }
  }
})

test('an infected message was delivered only where the daemon lies', () => {
  const delivered = ({ answers }: FaultResult) =>
    Object.values(answers).some(({ infected }) => infected.includes(250))
  const lying = rows.filter(({ lies }) => lies).map(({ name }) => name)
  for (const row of [...results.faults, ...results.parts, ...results.daemon].filter(delivered))
    assert.ok(lying.includes(row.name), row.name)
})

test('every fault is of a kind', () => {
  for (const row of rows) assert.ok(kindOf(row))
})

test('docs/reports/reliability.md is made of the results (npm run test:faults -- --render)', async () => {
  assert.equal(readFileSync(pageFile, 'utf8'), await reliabilityPage(results))
})

test('what the test files saw is collected by fault, with the longest answer of each', (t) => {
  const directory = new TemporaryDirectory('fault-results')
  t.after(() => directory.remove())
  const cell = (row: string, addresses: 1 | 3, content: Content, code: number, ms: number): Cell => {
    return { row, protocol: 'stream', addresses, content, code, ms, budgetMs: 100 }
  }
  const flood = { name: 'f', messages: 2, scanned: 1, deferred: 1, longestMs: 1.6, budgetMs: 9, nextMs: 2.4 }
  const seen = {
    dialogue: [
      cell('b', 1, 'infected', 451, 20.4),
      cell('b', 1, 'clean', 451, 103.3),
      cell('a', 3, 'clean', 250, 1),
    ],
    parts: [cell('d', 1, 'infected', 550, 2)],
    daemon: [cell('c', 1, 'clean', 451, 5), cell('c', 1, 'clean', 250, 4)],
    overload: [flood],
    flood: [],
  }
  for (const [name, value] of Object.entries(seen))
    writeFileSync(path.join(directory.path, `${name}.json`), JSON.stringify(value))
  const { machine, ...collected } = collectFaultResults(directory.path)
  assert.match(machine, /node v\d+/)
  assert.deepEqual(collected, {
    longestOverBudgetMs: 3,
    faults: [
      {
        name: 'a',
        answers: { 'stream 3': { clean: [250], infected: [] } },
        longest: { ms: 1, budgetMs: 100 },
      },
      {
        name: 'b',
        answers: { 'stream 1': { clean: [451], infected: [451] } },
        longest: { ms: 103, budgetMs: 100 },
      },
    ],
    parts: [
      {
        name: 'd',
        answers: { 'stream 1': { clean: [], infected: [550] } },
        longest: { ms: 2, budgetMs: 100 },
      },
    ],
    daemon: [
      {
        name: 'c',
        answers: { 'stream 1': { clean: [250, 451], infected: [] } },
        longest: { ms: 5, budgetMs: 100 },
      },
    ],
    floods: [{ ...flood, longestMs: 2, nextMs: 2 }],
    memory: [],
  })
})
