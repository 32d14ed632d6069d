// The command line: which parts run, and of what.
import { parseArgs } from 'node:util'
import { type ContenderName, contenderNames } from './contenders'

export const partNames = ['cpu', 'latency', 'memory', 'throughput', 'fail-over', 'extras'] as const
export type PartName = (typeof partNames)[number]

export interface Size {
  label: string
  bytes: number
  /** Messages per contender and round; with one session at a time, half as many. */
  count: number
}

const sizes: Record<string, Size> = {
  '5k': { label: '5 kB', bytes: 5_000, count: 900 },
  '100k': { label: '100 kB', bytes: 100_000, count: 90 },
  '1M': { label: '1 MB', bytes: 1_000_000, count: 14 },
  '10M': { label: '10 MB', bytes: 10_000_000, count: 4 },
}
const sizeNames = Object.keys(sizes)

/** What is measured with `--only readings`: what a second look costs, and parts in place of the whole. */
const ofReadings: ContenderName[] = ['none', 'instream', 'message', 'odd', 'all', 'parts']
/** Of a part of the bench, so that it takes about five minutes. */
const fewRounds = { readings: '8', other: '4' }

export const usage = `Usage: npm run bench -- [options]

Measures what scanning costs, prints it, and writes docs/reports/benchmarks.md, its plot and the figures in README.md
and docs/guide/install.md. With a choice of parts, sizes or contenders it only prints.

  --only PARTS        of ${partNames.join(', ')}; or readings: cpu with what the second look is compared with
  --sizes SIZES       of ${sizeNames.join(', ')} (part cpu)
  --contenders NAMES  of ${contenderNames.join(', ')} (parts cpu and latency)
  --sessions N,M      sessions at the same time, one table each (part cpu; default 4,1; with --only 4)
  --rounds N          rounds that count (default 15; with --only 4, readings 8)
  --scale X           times as many messages in each round (part cpu; default 1)
  --database DIR      signatures for clamd instead of the small test set, such as /var/lib/clamav
  --render            no measuring: writes the files again from the figures of the last run (bench/results.json)
  --help              this text`

export interface Options {
  help: boolean
  render: boolean
  parts: PartName[]
  sizes: Size[]
  contenders: ContenderName[]
  rounds: number
  /** The first is the one that targets are about. */
  sessions: number[]
  database: string | undefined
  /** Nothing was left out by choice, so what is found belongs into the documents. */
  complete: boolean
}

/** Throws an Error in words for a person. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      sizes: { type: 'string' },
      contenders: { type: 'string' },
      rounds: { type: 'string' },
      sessions: { type: 'string' },
      scale: { type: 'string', default: '1' },
      database: { type: 'string' },
      render: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const isReadings = values.only === 'readings'
  const usual =
    values.only === undefined
      ? { rounds: '15', sessions: '4,1' }
      : { rounds: isReadings ? fewRounds.readings : fewRounds.other, sessions: '4' }
  const scale = positive('scale', values.scale)
  return {
    help: values.help,
    render: values.render,
    parts: isReadings ? ['cpu'] : chosen('only', values.only, partNames),
    sizes: chosen('sizes', values.sizes, sizeNames)
      .flatMap((name) => sizes[name] ?? [])
      .map((size) => ({ ...size, count: Math.ceil(size.count * scale) })),
    contenders: chosen('contenders', values.contenders, isReadings ? ofReadings : contenderNames),
    rounds: whole('rounds', values.rounds ?? usual.rounds),
    sessions: (values.sessions ?? usual.sessions).split(',').map((text) => whole('sessions', text)),
    database: values.database,
    complete: [values.only, values.sizes, values.contenders].every((value) => value === undefined),
  }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0 && value < Infinity)) throw new Error(`--${name} ${text}: a number above 0 is needed`)
  return value
}

function whole(name: string, text: string): number {
  const value = positive(name, text)
  if (!Number.isInteger(value)) throw new Error(`--${name} ${text}: a whole number is needed`)
  return value
}

/** In the order of `allowed`, whatever the order asked for; all of them if nothing was asked for. */
function chosen<T extends string>(name: string, text: string | undefined, allowed: readonly T[]): T[] {
  if (text === undefined) return [...allowed]
  const words = text.split(',').map((word) => word.trim())
  const unknown = words.find((word) => !allowed.some((each) => each === word))
  if (unknown !== undefined) throw new Error(`--${name} ${unknown}: allowed are ${allowed.join(', ')}`)
  return allowed.filter((each) => words.includes(each))
}
