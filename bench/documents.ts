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
  const share = (kind: 'wall' | 'server') => {
    const shares = sizes.flatMap((size) => shareOf(size, kind) ?? []).map((value) => Math.round(value * 100))
    return shares.length > 0 && `${Math.min(...shares)} to ${Math.max(...shares)} %`
  }
  const [cpu, time] = [share('server'), share('wall')]
  const clamdOf = (name: 'odd' | 'parts') => {
    const shares = sizes
      .filter(({ bytes }) => bytes >= 1_000_000)
      .flatMap((size) => ratio(costSpread(size, name, 'clamd'), costSpread(size, 'message', 'clamd')) ?? [])
    return shares.length > 0 && `${Math.round(Math.max(...shares) * 100)} %`
  }
  const [odd, parts] = [clamdOf('odd'), clamdOf('parts')]
  const wait = results.latency && addedLatency(results.latency, 'instream')
  return [
    [
      ...(cpu && time
        ? [
            `To the same Haraka, this plugin adds ${cpu} of the CPU and ${time} of the time that haraka-plugin-clamd adds.`,
          ]
        : []),
      ...(wait
        ? [`With one session, a message of 5 kB takes ${short(wait.p50Ms)} ms longer with it (median).`]
        : []),
      ...(odd && parts
        ? [
            `From 1 MB on, \`scan=parts\` costs clamd at most ${parts} of the CPU of \`scan=message\`, and mail that is ` +
              `not plain at most ${odd}.`,
          ]
        : []),
      'Compare the ratios, not the milliseconds: those are of one machine. This page is written by `npm run bench`.',
    ].join(' '),
  ]
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

- One clamd serves all contenders, and one server of each kind runs from the beginning. Contenders take turns for
  ${rounds} rounds, in an order that changes, after 3000 messages of 5 kB to warm up. Figures are medians.
- A round has ${counts ?? ''}; with one session half as many. Every message has its own \`Received:\` line, Message-ID and
  random attachment, because clamd caches clean content.
- The client is a process of its own and makes the messages before the clock starts. _Time_ is that of a round divided
  by its messages.
- _CPU_ is that of all threads of all processes of the mail server, in nanoseconds from the kernel. Nothing is
  delivered: Haraka's queue hook says OK, Postfix uses \`discard\`.
- _Added_ is the difference to the same server without scanning, round by round.
- STREAM goes through a front of the tests, because today's clamd has none. Its CPU is not counted, and the time it takes
  from a bare client is subtracted.
- Memory is the peak of a fresh Haraka process. While clamd stalls, the Haraka without scanning keeps the messages just
  as long.

Every figure of every round and contender is in \`bench/results.json\` in the repository.

## How to repeat it

\`\`\`sh
npm run bench
npm run bench -- --only cpu --sizes 1M --contenders none,clamd,instream --rounds 30
npm run bench -- --render     # writes this page again, without measuring
\`\`\`

It needs Linux and about forty minutes on an idle machine. Postfix, clamav-milter and rspamd take part if they are
installed and the user is root. clamav-milter over TCP sends the message (INSTREAM); over a unix socket it hands clamd a file
(FILDES). rspamd has its antivirus module alone, with its defaults: it scans the parts, but no text and no images.
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
