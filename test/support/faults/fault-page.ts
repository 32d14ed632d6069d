// The generated parts of docs/reports/reliability.md, made of test/faults/results.json: the sums, also by kind of fault,
// overload and memory. The words around them are written by hand.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { format, resolveConfig } from 'prettier'
import { asMarkdown } from '../../../bench/table'
import { repository } from '../haraka/haraka-install'
import type { FaultResult, FaultResults } from './fault-results'
import type { Content } from './fault-table'

export const pageFile = path.join(repository, 'docs', 'reports', 'reliability.md')

export async function writeReliability(results: FaultResults): Promise<void> {
  writeFileSync(pageFile, await reliabilityPage(results))
}

/** The page as it is, with the figures of these results between its marks. */
export async function reliabilityPage(results: FaultResults): Promise<string> {
  const blocks = {
    sum: sum(results),
    kinds: kindsTable(results),
    overload: overload(results),
    memory: memory(results),
  }
  let text = readFileSync(pageFile, 'utf8')
  for (const [name, block] of Object.entries(blocks)) {
    const marks = new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- end -->)`)
    if (!marks.test(text)) throw new Error(`docs/reports/reliability.md has no place for ${name}`)
    text = text.replace(marks, (_, begin: string, end: string) => `${begin}\n${block}\n${end}`)
  }
  return format(text, { ...(await resolveConfig(pageFile)), filepath: pageFile })
}

/** The codes of all messages of one content, of columns that end so. */
function codes(rows: readonly FaultResult[], content?: Content, column = ''): number[] {
  return rows.flatMap(({ answers }) =>
    Object.entries(answers)
      .filter(([name]) => name.endsWith(column))
      .flatMap(([, { clean, infected }]) => [
        ...(content === 'infected' ? [] : clean),
        ...(content === 'clean' ? [] : infected),
      ]),
  )
}

function sum({ faults, parts, daemon, floods, longestOverBudgetMs, machine }: FaultResults): string {
  const all = [...faults, ...parts, ...daemon]
  const count = (content: Content, isSo: (code: number) => boolean) =>
    `${codes(all, content).filter(isSo).length}`
  const rows = [
    ['messages that met a fault', `${codes(all).length}`],
    ['further messages in floods', `${floods.reduce((total, { messages }) => total + messages, 0)}`],
    ['clean, scanned and delivered', count('clean', (code) => code === 250)],
    ['clean, deferred or rejected', count('clean', (code) => code !== 250)],
    ['infected, rejected for the infection', count('infected', (code) => code === 550)],
    [
      'infected, deferred or rejected for another reason',
      count('infected', (code) => code > 250 && code !== 550),
    ],
    [
      'infected, delivered because the daemon called it clean without reading it',
      count('infected', (code) => code === 250),
    ],
    // The tests fail on the first message for which one of these does not hold.
    ['delivered without a verdict of a clamd', '0'],
    ['answered 250 and not delivered', '0'],
    ['answered twice, or a hook that called next twice or never', '0'],
    ['faults that left a socket, a timer or a connection to clamd behind', '0'],
    ['longest answer after the end of the budget', `${longestOverBudgetMs} ms`],
  ]
  return `${asMarkdown({ head: ['', ''], rows })}\n\nMeasured on ${machine}.`
}

/** The first that matches a row's name is its kind. */
const kinds: readonly (readonly [title: string, name: RegExp])[] = [
  ['no connection', /^(refuse|blackHole) /],
  ['reset, closed or half-closed', /^(reset|close|halfClose) |EOF$|without an end, and a /],
  ['silence, or too slow', /^(stall|freeze|dribble) |slower than the budget|and silence$/],
  ['a verdict before the whole message', / before the data/],
  ['the data port of another program', /another program/],
  ['a wrong line instead of PORT', / instead of PORT$/],
  ['limits of clamd', /size limit|limits that were reached|a virus without a name/],
  ['valid replies, whole or in pieces', / in two, | byte by byte$|^a virus$/],
  [
    'errors, garbage, unknown replies',
    /garbage|an empty line|as the reply$|'read timeout ERROR'|COMMAND READ TIMED OUT|in one write|in two writes|no scan command/,
  ],
]

export function kindOf({ name }: Pick<FaultResult, 'name'>): string {
  const found = kinds.find(([, pattern]) => pattern.test(name))
  if (!found) throw new Error(`"${name}" is of no kind`)
  return found[0]
}

function kindsTable({ faults, parts, daemon }: FaultResults): string {
  const row = (title: string, of: readonly FaultResult[]) => {
    const ended = (column: string) => {
      const here = codes(of, undefined, column)
      const counts = [[250], [550, 552], [451]].map(
        (those) => here.filter((code) => those.includes(code)).length,
      )
      return counts.join(' / ')
    }
    return [title, `${codes(of).length}`, ended(' 1'), ended(' 3')]
  }
  return asMarkdown({
    head: ['kind of fault', 'messages', 'one address', 'three addresses'],
    rows: [
      ...kinds.map(([title]) =>
        row(
          title,
          faults.filter((fault) => kindOf(fault) === title),
        ),
      ),
      row('any of these, over a part of the message', parts),
      row('a real clamd in trouble', daemon),
    ],
  })
}

function overload({ floods }: FaultResults): string {
  return asMarkdown({
    head: [
      'flood',
      'messages',
      'scanned',
      'deferred',
      'longest answer, ms of the budget',
      'next message, ms',
    ],
    rows: floods.map((flood) => [
      flood.name,
      `${flood.messages}`,
      `${flood.scanned}`,
      `${flood.deferred}`,
      `${flood.longestMs} of ${flood.budgetMs}`,
      `${flood.nextMs}`,
    ]),
  })
}

function memory({ memory: floods }: FaultResults): string {
  return asMarkdown({
    head: ['messages at once', 'size', 'peak without scanning', 'peak with', 'ratio'],
    rows: floods.map(({ messages, megabytes, withoutMiB, withMiB }) => [
      `${messages}`,
      `${megabytes} MB`,
      `${withoutMiB} MiB`,
      `${withMiB} MiB`,
      (withMiB / withoutMiB).toFixed(2),
    ]),
  })
}
