// What the fault tests saw, as the tables of docs/reliability.md. The words around them are written by hand.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import path from 'node:path'
import type { FloodMemory } from '../../../bench/flood'
import type { Flood } from '../../faults/overload.test'
import { repository } from '../haraka/haraka-install'
import type { Cell } from './fault-record'
import { moments, rows as faultRows } from './fault-table'

const page = path.join(repository, 'docs', 'reliability.md')

/** Reads what keepRecord() left in the directory, and puts it between the page's marks. */
export function writeReliability(record: string): void {
  const read = (name: string): unknown => JSON.parse(readFileSync(path.join(record, `${name}.json`), 'utf8'))
  const dialogue = inOrder(read('dialogue') as Cell[])
  const daemon = read('daemon') as Cell[]
  const blocks: Record<string, string> = {
    sum: sum([...dialogue, ...daemon], read('overload') as Flood[]),
    steps: steps(dialogue),
    others: lines(dialogue.filter(({ place }) => !place)),
    daemon: lines(daemon),
    overload: overload(read('overload') as Flood[]),
    memory: memory(read('flood') as FloodMemory[]),
  }
  let text = readFileSync(page, 'utf8')
  for (const [name, block] of Object.entries(blocks)) {
    const marks = new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- end -->)`)
    if (!marks.test(text)) throw new Error(`docs/reliability.md has no place for ${name}`)
    text = text.replace(marks, (_, begin: string, end: string) => `${begin}\n${block}\n${end}`)
  }
  writeFileSync(page, text)
  spawnSync('npx', ['prettier', '--write', page], { cwd: repository })
}

function sum(cells: readonly Cell[], floods: readonly Flood[]): string {
  const count = (content: string, isSo: (cell: Cell) => boolean) =>
    cells.filter((cell) => cell.content === content && isSo(cell)).length
  const late = Math.max(...cells.map(({ ms, budgetMs }) => ms - budgetMs))
  const rows = [
    ['messages that met a fault', `${cells.length}`],
    ['in floods besides', `${floods.reduce((all, { messages }) => all + messages, 0)}`],
    ['clean ones delivered, scanned', `${count('clean', ({ code }) => code === 250)}`],
    ['clean ones deferred or rejected', `${count('clean', ({ code }) => code !== 250)}`],
    ['infected ones rejected for the infection', `${count('infected', ({ code }) => code === 550)}`],
    [
      'infected ones deferred or rejected for another reason',
      `${count('infected', ({ code }) => code > 250 && code !== 550)}`,
    ],
    [
      'infected ones delivered, called clean by a daemon that had not read them',
      `${count('infected', ({ code }) => code === 250)}`,
    ],
    ['delivered without a verdict of a clamd', '0'],
    ['answered 250 and not delivered', '0'],
    ['answered twice, or a hook that called next twice or never', '0'],
    ['faults that left a socket, a timer or a connection to clamd behind', '0'],
    ['longest answer after the budget was over', `${Math.max(0, Math.round(late))} ms`],
  ]
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? ''}, ${Math.round(totalmem() / 2 ** 30)} GB, node ${process.version}`
  return `${table(['', ''], rows)}\n\nSeen on ${machine}.`
}

/** As the table of faults has them: several Harakas meet them side by side. */
function inOrder(cells: readonly Cell[]): Cell[] {
  const columns = ['stream 1', 'stream 3', 'instream 1', 'instream 3', 'auto 1', 'auto 3']
  const columnOf = ({ protocol, addresses }: Cell) => columns.indexOf(`${protocol} ${addresses}`)
  const place = new Map(faultRows.map(({ name }, index) => [name, index]))
  const placeOf = ({ row }: Cell) => place.get(row) ?? 0
  return [...cells].sort((a, b) => columnOf(a) - columnOf(b) || placeOf(a) - placeOf(b))
}

type Column = Pick<Cell, 'protocol' | 'addresses'>

function columnsOf(cells: readonly Cell[]): Column[] {
  const names = new Set(cells.map(({ protocol, addresses }) => `${protocol} ${addresses}`))
  return [...names].map((name) => {
    const [protocol, addresses] = name.split(' ')
    return { protocol: protocol as Cell['protocol'], addresses: Number(addresses) as 1 | 3 }
  })
}

function titleOf({ protocol, addresses }: Column): string {
  return `${protocol}, ${addresses === 1 ? 'one address' : 'three addresses'}`
}

/** Answers to the clean and to the infected message; both where it was a matter of luck. */
function answers(cells: readonly Cell[]): string {
  const of = (content: string) =>
    [...new Set(cells.filter((cell) => cell.content === content).map(({ code }) => code))].sort().join(' or ')
  return cells.length === 0 ? '' : `${of('clean')} / ${of('infected')}`
}

/** One table of faults by moments for each protocol and number of addresses. */
function steps(cells: readonly Cell[]): string {
  const placed = cells.filter(({ place }) => place)
  const whens = ['connect', ...moments, 'close']
  const faults = [...new Set(placed.map(({ place }) => place?.fault ?? ''))]
  const tables = columnsOf(placed).map((column) => {
    const here = placed.filter(
      ({ protocol, addresses }) => protocol === column.protocol && addresses === column.addresses,
    )
    const rows = faults.map((fault) => [
      fault.replaceAll("'", '`'),
      ...whens.map((when) =>
        answers(here.filter(({ place }) => place?.fault === fault && place.when === when)),
      ),
    ])
    const used = rows.filter(([, ...rest]) => rest.some(Boolean))
    return `### ${titleOf(column)}\n\n${table(['fault', ...whens], used)}`
  })
  return tables.join('\n\n')
}

function lines(cells: readonly Cell[]): string {
  const columns = columnsOf(cells)
  const names = [...new Set(cells.map(({ row }) => row))]
  const rows = names.map((name) => {
    const here = cells.filter(({ row }) => row === name)
    const longest = here.reduce((maxBytes, cell) => (cell.ms > maxBytes.ms ? cell : maxBytes))
    return [
      name.replaceAll("'", '`').replace('\r', '\\r'),
      ...columns.map(({ protocol, addresses }) =>
        answers(here.filter((cell) => cell.protocol === protocol && cell.addresses === addresses)),
      ),
      `${Math.round(longest.ms)} of ${longest.budgetMs}`,
    ]
  })
  return table(['', ...columns.map(titleOf), 'longest answer, ms of the budget'], rows)
}

function overload(floods: readonly Flood[]): string {
  const head = [
    'flood',
    'messages at once',
    'scanned',
    'deferred',
    'longest answer, ms of the budget',
    'next message, ms',
  ]
  return table(
    head,
    floods.map((flood) => [
      flood.name,
      `${flood.messages}`,
      `${flood.scanned}`,
      `${flood.deferred}`,
      `${Math.round(flood.longestMs)} of ${flood.budgetMs}`,
      `${Math.round(flood.nextMs)}`,
    ]),
  )
}

function memory(floods: readonly FloodMemory[]): string {
  return table(
    ['messages at once', 'of', 'peak without scanning', 'peak with', 'ratio'],
    floods.map(({ messages, megabytes, withoutMiB, withMiB }) => [
      `${messages}`,
      `${megabytes} MB`,
      `${withoutMiB} MiB`,
      `${withMiB} MiB`,
      (withMiB / withoutMiB).toFixed(2),
    ]),
  )
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
