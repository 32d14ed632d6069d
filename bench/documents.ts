// The documents of a run: docs/reports/benchmarks.md with its plot, and the parts between two marks in README.md and
// docs/guide/install.md. Pure: the same figures always make the same documents.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { format, resolveConfig } from 'prettier'
import { repository } from '../test/support/haraka/haraka-install'
import { costPlot } from './cost-plot'
import { added, addedLatency, costSpread, primaryTable, ratio } from './figures'
import { planningTable } from './planning'
import { drawPlot } from './plot'
import { pageSections, short } from './report'
import type { Results, SizeCosts } from './results'
import { asMarkdown } from './table'

const marks = {
  begin: '<!-- written by npm run bench: begin -->',
  end: '<!-- written by npm run bench: end -->',
}

export const resultsFile = 'bench/results.json'

/** By file name, relative to the repository: what it would contain. */
export async function documents(measured: Results): Promise<Record<string, string>> {
  const results = rounded(measured)
  const plot = costPlot(results)
  const plan = planningTable(results)
  return {
    [resultsFile]: await pretty(resultsFile, JSON.stringify(results)),
    'docs/reports/benchmarks.md': await pretty('docs/reports/benchmarks.md', benchmarksPage(results)),
    ...(plot && { 'docs/reports/benchmarks.svg': drawPlot(plot) }),
    'README.md': await withFigures('README.md', summary(results)),
    ...(plan && { 'docs/guide/install.md': await withFigures('docs/guide/install.md', asMarkdown(plan)) }),
  }
}

export async function writeDocuments(results: Results): Promise<string[]> {
  const files = Object.entries(await documents(results))
  for (const [name, text] of files) writeFileSync(path.join(repository, name), text)
  return files.map(([name]) => name)
}

export function readResults(): Results {
  return JSON.parse(readFileSync(path.join(repository, resultsFile), 'utf8')) as Results
}

/** Thousandths are enough for every figure there is. */
function rounded(results: Results): Results {
  const text = JSON.stringify(results, (_key, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  )
  return JSON.parse(text) as Results
}

function benchmarksPage(results: Results): string {
  const body = pageSections(results).flatMap(({ title, text, table }) => [
    `## ${title}`,
    ...text,
    ...(table ? [asMarkdown(table)] : []),
  ])
  return [
    '# What scanning costs',
    ...gist(results),
    ...(costPlot(results) ? ['![What scanning adds, against the size of the message](benchmarks.svg)'] : []),
    ...body,
    method(results),
    ...machineText(results),
  ].join('\n\n')
}

/** What an administrator gets, in one paragraph. */
function gist(results: Results): string[] {
  const sizes = primaryTable(results)?.sizes ?? []
  const [smallest, next] = sizes
  const shares = (of: readonly SizeCosts[], kind: 'wall' | 'server') =>
    percentages(of.flatMap((size) => shareOf(size, kind) ?? []))
  const pair = (of: readonly SizeCosts[]) => {
    const [cpu, time] = [shares(of, 'server'), shares(of, 'wall')]
    return cpu && time && `${cpu} of the CPU and ${time} of the time`
  }
  const [small, large] = [pair(sizes.slice(0, 1)), pair(sizes.slice(1))]
  const clamdOf = (name: 'odd' | 'parts') => {
    const found = sizes
      .filter(({ bytes }) => bytes >= 1_000_000)
      .flatMap((size) => ratio(costSpread(size, name, 'clamd'), costSpread(size, 'message', 'clamd')) ?? [])
    return found.length > 0 && `${Math.round(Math.max(...found) * 100)} %`
  }
  const [odd, parts] = [clamdOf('odd'), clamdOf('parts')]
  const wait = results.latency && addedLatency(results.latency, 'instream')
  return [
    [
      ...(wait ? [`Scanning a message of 5 kB takes ${short(wait.p50Ms)} ms (median, one session).`] : []),
      ...(small && smallest
        ? [
            `At ${smallest.label}, this plugin adds ${small} that haraka-plugin-clamd adds to the same Haraka.`,
          ]
        : []),
      ...(large && next ? [`From ${next.label} on, it adds ${large}.`] : []),
      ...(odd && parts
        ? [
            `From 1 MB on, mail that is not plain costs clamd up to ${odd} of the CPU of \`scan=message\`, ` +
              `and \`scan=parts\` up to ${parts}.`,
          ]
        : []),
      'Several clamds share the work. What a core can do: [sizing](../guide/install.md#sizing).',
    ].join(' '),
    'Compare the ratios: milliseconds are those of one machine. `npm run bench` writes this page.',
  ]
}

/** From the least to the most, in percent. */
function percentages(shares: readonly number[]): string | undefined {
  if (shares.length === 0) return undefined
  const [min, max] = [Math.min(...shares), Math.max(...shares)].map((share) => Math.round(share * 100))
  return min === max ? `${max} %` : `${min} to ${max} %`
}

function shareOf(size: SizeCosts, kind: 'wall' | 'server'): number | undefined {
  return ratio(added(size, 'instream', kind), added(size, 'clamd', kind))
}

function machineText({ date, machine, leftOut }: Results): string[] {
  const { processor, processors, memoryGiB, system, versions, signatures } = machine
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `Measured on ${date}: ${processor}, ${processors} processors, ${memoryGiB} GiB, ${system}; ` +
      `${named.join(', ')}; clamd with ${signatures}.`,
    ...(leftOut.length > 0 ? [`Left out: ${leftOut.join(', ')}.`] : []),
  ]
}

function method({ costs }: Results): string {
  const rounds = Math.max(...costs.flatMap(({ sizes }) => sizes.map((size) => roundsOf(size.rounds))))
  const counts = costs[0]?.sizes.map(({ label, count }) => `${count} of ${label}`).join(', ')
  return `
## How it is measured

- One clamd serves all. Contenders take turns for ${rounds} rounds in a changing order, after 8000 messages of 5 kB to warm
  up. Figures are medians.
- A round has ${counts ?? ''}, with four sessions at a time; with one, half as many (optional features: 200, 60, 10, 3). No two messages are alike, because clamd caches clean content.
- The client is another process, with its messages ready. _Time_ is that of a round divided by its messages.
- _CPU_ is that of all threads of the mail server's processes. Nothing is delivered: Haraka's queue hook says OK, Postfix
  uses \`discard\`.
- _Added_ is the difference to the same server without scanning, round by round.
- Memory is the peak of a fresh Haraka process, against one that keeps every message as long without scanning.
- clamav-milter sends the message over TCP (INSTREAM), or hands over a file through a socket (FILDES). rspamd scans the
  parts, but no text and no images.

\`bench/results.json\` has every figure. To repeat it, on an idle Linux machine (45 minutes; Postfix,
clamav-milter and rspamd take part if installed, for root):

\`\`\`sh
npm run bench -- --rounds 5
npm run bench -- --only cpu --sizes 1M --contenders none,clamd,instream --rounds 30
\`\`\`
`.trim()
}

function roundsOf(rounds: Partial<Record<string, readonly unknown[]>>): number {
  return Math.max(...Object.values(rounds).map((each) => each?.length ?? 0))
}

/** For the README: the plot, what it comes to in a table, and how that is read. */
function summary(results: Results): string {
  const sizes = primaryTable(results)?.sizes ?? []
  const row = (title: string, kind: 'wall' | 'server') => [
    title,
    ...sizes.map((size) => {
      const share = shareOf(size, kind)
      return share === undefined ? 'not measured' : short(share)
    }),
  ]
  const table = {
    head: ['added by this plugin / by haraka-plugin-clamd', ...sizes.map(({ label }) => label)],
    rows: [row("Haraka's CPU", 'server'), row('time', 'wall')],
  }
  const example = sizes.map((size) => shareOf(size, 'server')).findLast((share) => share !== undefined)
  return [
    '![What scanning adds, against the size of the message](docs/reports/benchmarks.svg)',
    asMarkdown(table),
    ...(example === undefined
      ? []
      : [
          `Less is better: ${short(example)} means ${Math.round(example * 100)} % of what haraka-plugin-clamd adds.`,
        ]),
  ].join('\n\n')
}

async function withFigures(name: string, figures: string): Promise<string> {
  const text = readFileSync(path.join(repository, name), 'utf8')
  return pretty(name, between(text, figures))
}

/** The text with `figures` in place of what is between the marks. Throws if they are not there. */
export function between(text: string, figures: string): string {
  const [from, to] = [text.indexOf(marks.begin), text.indexOf(marks.end)]
  if (from < 0 || to < from) throw new Error(`the marks are missing: ${marks.begin} and ${marks.end}`)
  return `${text.slice(0, from + marks.begin.length)}\n\n${figures}\n\n${text.slice(to)}`
}

async function pretty(name: string, text: string): Promise<string> {
  const file = path.join(repository, name)
  return format(text, { ...(await resolveConfig(file)), filepath: file })
}
