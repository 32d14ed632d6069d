// What the last full run of the fault tests saw, as data: test/faults/results.json. The page is made of it
// (fault-page.ts), and test/docs/fault-results.test.ts compares it with the table of faults.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import path from 'node:path'
import type { FloodMemory } from '../../../bench/flood'
import type { Flood } from '../../faults/overload.test'
import { repository } from '../haraka/haraka-install'
import type { Cell } from './fault-record'
import type { Content } from './fault-table'

export interface FaultResults {
  machine: string
  /** How long after the end of its budget the latest answer came, in milliseconds. */
  longestOverBudgetMs: number
  /** The rows of fault-table.ts, by name. */
  faults: FaultResult[]
  /** The rows of part-table.ts. */
  parts: FaultResult[]
  /** What happened to a real clamd. */
  daemon: FaultResult[]
  floods: Flood[]
  memory: FloodMemory[]
}

export interface FaultResult {
  name: string
  /** SMTP codes by protocol and number of addresses, as in `stream 3`: one code for each message. */
  answers: Record<string, Record<Content, number[]>>
  /** The longest answer. Missing where only the sum over all rows was kept. */
  longest?: { ms: number; budgetMs: number }
}

const file = path.join(repository, 'test', 'faults', 'results.json')
const columns = ['stream 1', 'stream 3', 'instream 1', 'instream 3', 'auto 1', 'auto 3']

export function readFaultResults(): FaultResults {
  return JSON.parse(readFileSync(file, 'utf8')) as FaultResults
}

/** One row a line, so that a diff shows which fault ended differently. */
export function writeFaultResults(results: FaultResults): void {
  const entries = Object.entries(results).map(([key, value]: [string, unknown]) => {
    const lines = Array.isArray(value) ? value.map((row) => `\n    ${JSON.stringify(row)}`) : null
    return `  ${JSON.stringify(key)}: ${lines ? `[${lines.join(',')}\n  ]` : JSON.stringify(value)}`
  })
  writeFileSync(file, `{\n${entries.join(',\n')}\n}\n`)
}

/** @param record the directory in which keepRecord() left what each test file saw */
export function collectFaultResults(record: string): FaultResults {
  const read = (name: string): unknown => JSON.parse(readFileSync(path.join(record, `${name}.json`), 'utf8'))
  const cells = (name: string) => read(name) as Cell[]
  const [dialogue, parts, daemon] = [cells('dialogue'), cells('parts'), cells('daemon')]
  const over = [...dialogue, ...parts, ...daemon].map(({ ms, budgetMs }) => ms - budgetMs)
  const floods = (read('overload') as Flood[]).map((flood) => ({
    ...flood,
    longestMs: Math.round(flood.longestMs),
    nextMs: Math.round(flood.nextMs),
  }))
  return {
    machine: `${cpus().length} × ${cpus()[0]?.model ?? ''}, ${Math.round(totalmem() / 2 ** 30)} GB, node ${process.version}`,
    longestOverBudgetMs: Math.max(0, Math.round(Math.max(...over))),
    faults: rowsOf(dialogue),
    parts: rowsOf(parts),
    daemon: rowsOf(daemon),
    floods,
    memory: read('flood') as FloodMemory[],
  }
}

/** By name, so that the order in which several Harakas met the faults does not show. */
function rowsOf(cells: readonly Cell[]): FaultResult[] {
  const names = [...new Set(cells.map(({ row }) => row))].sort()
  return names.map((name) => {
    const here = cells.filter(({ row }) => row === name)
    const { ms, budgetMs } = here.reduce((longest, cell) => (cell.ms > longest.ms ? cell : longest))
    return { name, answers: answersOf(here), longest: { ms: Math.round(ms), budgetMs } }
  })
}

function answersOf(cells: readonly Cell[]): FaultResult['answers'] {
  const answers: FaultResult['answers'] = {}
  for (const column of columns) {
    const here = cells.filter(({ protocol, addresses }) => `${protocol} ${addresses}` === column)
    const codes = (content: Content) =>
      here
        .filter((cell) => cell.content === content)
        .map(({ code }) => code)
        .sort()
    if (here.length > 0) answers[column] = { clean: codes('clean'), infected: codes('infected') }
  }
  return answers
}
