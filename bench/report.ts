// The report of a run as text and tables. The terminal shows everything, including the targets;
// docs/reports/benchmarks.md shows the ratios and their denominators.
import { type ContenderName, contenderNames, titles } from './contenders'
import { added, addedLatency, costSpread, middle, primaryTable } from './figures'
import {
  type Cost,
  type CostTable,
  type ExtraName,
  extraNames,
  memoryNames,
  type Results,
  type SizeCosts,
} from './results'
import { type Spread, spread } from './statistics'
import type { Table } from './table'
import { costTargets, paidPerRest, retainedPerMessage, type Target, targets } from './targets'

export interface Section {
  title: string
  /** Paragraphs in front of the table. */
  text: string[]
  table?: Table
}

export function terminalSections(results: Results): Section[] {
  return [...targetSection(results), ...measuredSections(results)]
}

export function pageSections(results: Results): Section[] {
  return [...ratioSections(results), ...addedSections(results), ...extrasSection(results)]
}

function measuredSections(results: Results): Section[] {
  return [
    ...results.costs.flatMap(costSection),
    ...oneSessionSection(results),
    ...latencySection(results),
    ...memorySection(results),
    ...throughputSection(results),
    ...failOverSection(results),
    ...extrasSection(results),
  ]
}

const plainPage = '../guide/what-is-scanned.md#what-is-plain'

const onlySendsText =
  'A plugin that only sends has 35 lines: any reply is a yes; no limits, second address, header, note or gate.'
const floorText =
  '_Floor_ does even less. For CPU it is the null sink, which reads the message and sends nothing; for time the bare ' +
  'client, which already has the message and sends it. Memory is compared with a Haraka without scanning that keeps ' +
  'every message as long.'

function targetSection(results: Results): Section[] {
  const all = targets(results)
  if (all.length === 0) return []
  const measured = all.filter(({ reached }) => reached !== undefined)
  const reached = measured.filter((each) => each.reached)
  return [
    {
      title: 'Targets',
      text: [
        `${reached.length} of ${measured.length} reached, with this plugin by INSTREAM. ${onlySendsText} ${floorText}`,
      ],
      table: { head: ['', '', 'Target', 'Measured', '', 'Only sends', 'Floor'], rows: targetRows(all) },
    },
  ]
}

function targetRows(all: readonly Target[]): string[][] {
  return all.map(({ what, is, limit, value, reached, onlySends, floor }, index) => [
    groupOf(all, index),
    what,
    `${is} ${short(limit)}`,
    value === undefined ? 'not measured' : short(value),
    reached === undefined ? '' : reached ? 'reached' : 'not reached',
    figure(onlySends),
    figure(floor),
  ])
}

/** Floors are for those who change the code; the terminal has them. */
const floors = /null sink|bare client/

/** The ratios to what an administrator may install: those of every size in one table, all others in a second one. */
function ratioSections(results: Results): Section[] {
  const all = targets(results).filter(
    ({ group, what, value }) => value !== undefined && !floors.test(`${group} ${what}`),
  )
  const table = primaryTable(results)
  const isOfSize = ({ what }: Target) => table?.sizes.some(({ label }) => label === what) ?? false
  const [perSize, others] = [all.filter(isOfSize), all.filter((each) => !isOfSize(each))]
  return [
    ...(table && perSize.length > 0
      ? [
          {
            title: 'Ratios',
            text: [ratioText(perSize)],
            table: {
              head: ['This plugin by INSTREAM', ...table.sizes.map(({ label }) => label)],
              rows: byGroup(perSize, table),
            },
          },
        ]
      : []),
    ...(others.length > 0
      ? [
          {
            title: 'Further ratios',
            text: [],
            table: {
              head: ['', 'This plugin by INSTREAM'],
              rows: others.map(({ group, what, value }) => [`${group}: ${what}`, figure(value)]),
            },
          },
        ]
      : []),
  ]
}

function ratioText(all: readonly Target[]): string {
  const isMeasured = (pattern: RegExp) => all.some(({ group }) => pattern.test(group))
  return [
    'Less is better.',
    ...(isMeasured(/only sends/) ? [onlySendsText] : []),
    ...(isMeasured(/^Odd mail/) ? [`_Odd_ is mail that is not [plain](${plainPage}).`] : []),
  ].join(' ')
}

/** Named in the first of the rows that belong together. */
function groupOf(all: readonly Target[], index: number): string {
  const group = all[index]?.group ?? ''
  return all[index - 1]?.group === group ? '' : group
}

function figure(value: number | undefined): string {
  return value === undefined ? '' : short(value)
}

function costSection({ sessions, sizes }: CostTable): Section[] {
  const few = sessions === 1 ? 'one session' : `${sessions} sessions at a time`
  return sizes.map((size) => ({
    title: `${size.label}, ${few}`,
    text: [],
    table: {
      head: ['ms per message', 'time', 'added', 'CPU of the server', 'added', 'CPU of clamd'],
      rows: contenderNames
        .filter((name) => size.rounds[name])
        .map((name) => [
          titles[name],
          range(costSpread(size, name, 'wall')),
          range(added(size, name, 'wall')),
          cpu(size, name, 'server'),
          name.startsWith('bare') ? '' : range(added(size, name, 'server')),
          cpu(size, name, 'clamd'),
        ]),
    },
  }))
}

function cpu(size: SizeCosts, name: (typeof contenderNames)[number], kind: keyof Cost): string {
  const found = costSpread(size, name, kind)
  return found && found.max > 0 ? range(found) : ''
}

/** On the page, with shorter names than the terminal has. */
const onPage: readonly (readonly [ContenderName, string])[] = [
  ['instream', 'this plugin'],
  ['odd', 'this plugin, odd mail'],
  ['all', 'this plugin, `scan=all`'],
  ['parts', 'this plugin, `scan=parts`'],
  ['clamd', 'haraka-plugin-clamd'],
  ['least', 'a plugin that only sends'],
  ['milter', 'Postfix, clamav-milter, TCP'],
  ['milter-unix', 'Postfix, clamav-milter, socket'],
  ['rspamd', 'Postfix, rspamd'],
]

/** What the ratios are made of, for the page. */
function addedSections(results: Results): Section[] {
  const table = primaryTable(results)
  if (!table) return []
  const section = (
    title: string,
    spreadOf: (size: SizeCosts, name: ContenderName) => Spread | undefined,
  ) => ({
    title: `${title}, ms`,
    text: [],
    table: {
      head: ['', ...table.sizes.map(({ label }) => label)],
      rows: onPage
        .filter(([name]) => table.sizes.some((size) => size.rounds[name]))
        .map(([name, title]) => [title, ...table.sizes.map((size) => figure(spreadOf(size, name)?.median))]),
    },
  })
  return [
    section('Time added to a message', (size, name) => added(size, name, 'wall')),
    section("The mail server's CPU added", (size, name) => added(size, name, 'server')),
    section("clamd's CPU", (size, name) => costSpread(size, name, 'clamd')),
  ]
}

/** The ratios of the further tables; the targets are about the first. */
function oneSessionSection({ costs }: Results): Section[] {
  return costs.slice(1).map((table) => ({
    title: table.sessions === 1 ? 'Ratios with one session' : `Ratios with ${table.sessions} sessions`,
    text: [],
    table: {
      head: ['', ...table.sizes.map(({ label }) => label)],
      rows: byGroup(costTargets(table), table),
    },
  }))
}

function byGroup(all: readonly Target[], table: CostTable): string[][] {
  return [...new Set(all.map(({ group }) => group))].map((group) => [
    group,
    ...table.sizes.map(({ label }) => {
      const found = all.find((each) => each.group === group && each.what === label)
      return figure(found?.value)
    }),
  ])
}

function latencySection({ latency }: Results): Section[] {
  if (!latency) return []
  return [
    {
      title: 'Latency of a 5 kB message, one session',
      text: [],
      table: {
        head: ['ms', 'p50', 'p50 of each round', 'p99', 'added p50', 'added p99'],
        rows: contenderNames.flatMap((name) => {
          const own = latency[name]
          if (!own) return []
          const extra = name.startsWith('bare') ? undefined : addedLatency(latency, name)
          return [
            [
              titles[name],
              short(own.p50Ms),
              range(spread(own.p50sMs)),
              short(own.p99Ms),
              extra && extra.p50Ms !== 0 ? short(extra.p50Ms) : '',
              extra && extra.p50Ms !== 0 ? short(extra.p99Ms) : '',
            ],
          ]
        }),
      },
    },
  ]
}

function memorySection({ memory }: Results): Section[] {
  if (!memory) return []
  const { busy, stalled, growth } = memory
  return [
    {
      title: 'Memory of the Haraka process',
      text: [],
      table: {
        head: [
          'peak, MiB',
          `${busy.sessions} at a time`,
          `${stalled.sessions} at a time, clamd stalled`,
          'bytes kept per message that is done',
          'open files after the first and the last',
        ],
        rows: memoryNames.map((name) => {
          const looks = growth[name]
          return [
            titles[name],
            whole(busy.peakMiB[name]),
            whole(stalled.peakMiB[name]),
            short(retainedPerMessage(looks) ?? NaN),
            `${looks?.[0]?.files ?? ''}, ${looks?.at(-1)?.files ?? ''}`,
          ]
        }),
      },
    },
  ]
}

function throughputSection({ throughput }: Results): Section[] {
  if (!throughput) return []
  const { scanMs, perSecond } = throughput
  return [
    {
      title: `Throughput with clamds that take ${scanMs} ms for a scan`,
      text: [],
      table: {
        head: ['messages a second', ...perSecond.instream.map(({ clamds }) => `${clamds}`)],
        rows: (['clamd', 'instream'] as const).map((name) => [
          titles[name],
          ...perSecond[name].map(({ rounds }) => range(spread(rounds))),
        ]),
      },
    },
  ]
}

function failOverSection({ failOver }: Results): Section[] {
  if (!failOver) return []
  const { messages, sessions, wallMs, hostRestMs, connectMs, paid } = failOver
  const times = `host_rest=${hostRestMs}ms and connect_timeout=${connectMs}ms`
  return [
    {
      title: 'One of three addresses swallows connections',
      text: [
        `${messages} messages of 5 kB over ${sessions} sessions in ${short(wallMs / 1000)} s, with ${times}: ` +
          `${paid} of them paid the connect limit, ${short(paidPerRest(failOver))} per host_rest. All were scanned.`,
      ],
    },
  ]
}

function extrasSection({ extras }: Results): Section[] {
  if (!extras || extras.length === 0) return []
  const labels = [...new Set(extras.map(({ label }) => label))]
  const more = (name: ExtraName, label: string, kind: keyof Cost) => {
    const found = extras.find((extra) => extra.name === name && extra.label === label)
    const added = found?.with.map((cost, round) => cost[kind] - (found.without[round]?.[kind] ?? NaN))
    return figure(middle(added))
  }
  const row = (name: ExtraName, what: string, kind: keyof Cost) => [
    `${name}: ${what}`,
    ...labels.map((label) => more(name, label, kind)),
  ]
  return [
    {
      title: 'What optional features add, ms',
      text: ['With one session at a time.'],
      table: {
        head: ['', ...labels],
        rows: extraNames
          .filter((name) => extras.some((extra) => extra.name === name))
          .flatMap((name) => [row(name, 'time', 'wall'), row(name, 'CPU', 'server')]),
      },
    },
  ]
}

/** Three digits that count, at most two behind the point. */
export function short(value: number): string {
  if (Number.isNaN(value)) return ''
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toFixed(digits).replace(/^-(0(?:\.0+)?)$/, '$1')
}

function range(found: Spread | undefined): string {
  return found ? `${short(found.median)} (${short(found.min)} to ${short(found.max)})` : ''
}

function whole(values: readonly number[] | undefined): string {
  if (!values) return ''
  const { min, max } = spread(values)
  return `${Math.round(middle(values) ?? NaN)} (${Math.round(min)} to ${Math.round(max)})`
}
