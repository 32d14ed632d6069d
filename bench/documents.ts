// What of a run is written down, and where: docs/benchmarks.md and its plot as a whole, and in README.md and
// docs/operations.md what is between two marks. Nothing here reads a clock or the machine, so the same figures always
// make the same documents.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { format, resolveConfig } from 'prettier'
import { repository } from '../test/support/haraka/haraka-install'
import { costPlot } from './cost-plot'
import { added, primaryTable, ratio } from './figures'
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
    'docs/benchmarks.md': await pretty('docs/benchmarks.md', benchmarksPage(results)),
    ...(plot && { 'docs/benchmarks.svg': drawPlot(plot) }),
    'README.md': await withFigures('README.md', summary(results)),
    ...(plan && { 'docs/operations.md': await withFigures('docs/operations.md', asMarkdown(plan)) }),
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
    'This page is written by `npm run bench`. Compare the ratios, not the milliseconds: those are of one machine.',
    ...(costPlot(results) ? ['![What scanning adds, against the size of the message](benchmarks.svg)'] : []),
    ...machineText(results),
    method(results),
    ...body,
  ].join('\n\n')
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

\`\`\`sh
npm run bench
npm run bench -- --only cpu --sizes 1M --contenders none,clamd,instream --rounds 30
npm run bench -- --help
\`\`\`

It needs Linux, for CPU time is read from \`/proc\`, and some twenty-five minutes on a machine with nothing else to do. Postfix and
clamav-milter take part if they are installed and the user is root.

- One clamd for all, and one server of each kind, all running from the beginning. Contenders take turns, ${rounds} rounds
  that count and one before, after 3000 messages of 5 kB to warm up; two rounds have one order, there and back, and the
  next two another one. Figures are medians (least to most).
- Every message has its own Received line, Message-ID and random attachment, because clamd remembers clean content, whole
  messages and parts. In one round: ${counts ?? ''}, half as many with one session.
- The client is a process of its own with several SMTP sessions at the same time; messages are made before the clock
  starts. _Time_ is that of a round divided by its messages.
- _CPU_ is that of all threads of all processes, in nanoseconds from the kernel: for Postfix every daemon of it, and
  clamav-milter too. Nothing is delivered: Haraka's queue hook says OK, Postfix hands over to \`discard\`.
- _Added_ is what scanning adds to the same server without it, round by round.
- The _null sink_ reads the message from Haraka's \`message_stream\` and forgets it: what reading alone costs.
- The _bare client_ holds the message already and sends it to clamd on a new connection: INSTREAM with one frame, or
  STREAM.
- STREAM goes through the tests' front for it, a process of its own, since today's clamd has none. Its CPU is not counted.
  What it takes from a bare client's time is taken off the time that the plugin adds, but not off the time as it is.
- With several sessions, clamd scans on several processors at once, and each scan takes longer than one alone. With one
  session, its CPU time is what a message really needs.
- Memory is the peak of the process since its start, of a fresh Haraka each time. While clamd stalls, the Haraka without
  scanning keeps the messages just as long, with a hook that does not answer. With a clamd at work it is done with some
  before the last has come; the floor there is what it takes to keep them all. What is kept of messages that are done is
  taken after a full collection, between 3000 and 9000 messages of 5 kB.
`.trim()
}

function roundsOf(rounds: Partial<Record<string, readonly unknown[]>>): number {
  return Math.max(...Object.values(rounds).map((each) => each?.length ?? 0))
}

/** For the README: the plot, what it comes to in a table, and how that is read. */
function summary(results: Results): string {
  const sizes = primaryTable(results)?.sizes ?? []
  const shareOf = (size: SizeCosts, kind: 'wall' | 'server') =>
    ratio(added(size, 'instream', kind), added(size, 'clamd', kind))
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
    '![What scanning adds, against the size of the message](docs/benchmarks.svg)',
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
