// The plugin's targets as ratios within one run, and whether it reaches them.
import type { ContenderName } from './contenders'
import { added, addedLatency, costSpread, middle, primaryTable, ratio } from './figures'
import type { Cost, CostTable, Results, SizeCosts } from './results'

export interface Target {
  /** A heading, the same for targets that belong together. */
  group: string
  what: string
  limit: number
  is: 'at most' | 'at least'
  /** Undefined if it was not measured. */
  value: number | undefined
  /** What it is for a plugin that only sends; undefined where that was not measured. */
  onlySends?: number | undefined
  /** What it is for who does even less: only reads the message, or already has it; undefined where there is no such thing. */
  floor?: number | undefined
  reached: boolean | undefined
}

type Limits = Record<string, number>

const ofServerCpu: Limits = { '5 kB': 0.65, '100 kB': 0.4, '1 MB': 0.25, '10 MB': 0.25 }
const ofNullSink: Limits = { '1 MB': 1.6, '10 MB': 1.6 }
const ofWall: Limits = { '5 kB': 0.7, '100 kB': 0.55, '1 MB': 0.55, '10 MB': 0.55 }
const ofMilter: Limits = { '5 kB': 1, '100 kB': 1, '1 MB': 1, '10 MB': 1 }
/** Of a plugin that only sends. Two runs of the same code are as much as this apart. */
const ofLeast: Limits = { '5 kB': 1.1, '100 kB': 1.1, '1 MB': 1.1, '10 MB': 1.1 }
const ofBareClamd: Limits = { '5 kB': 1.05, '100 kB': 1.05, '1 MB': 1.05, '10 MB': 1.05 }

/** `scan=auto` of plain mail, which it sends as `scan=message` does. */
const ofPlain: Record<'server' | 'clamd', Limits> = {
  server: { '5 kB': 1.03, '100 kB': 1.03, '1 MB': 1.03, '10 MB': 1.03 },
  clamd: { '5 kB': 1, '100 kB': 1, '1 MB': 1, '10 MB': 1 },
}
const ofOdd: Record<'clamd' | 'wall', Limits> = {
  clamd: { '100 kB': 1.25, '1 MB': 1.25, '10 MB': 1.25 },
  wall: { '100 kB': 1.35, '1 MB': 1.35, '10 MB': 1.35 },
}
const ofParts: Record<'clamd' | 'wall' | 'server', Limits> = {
  clamd: { '100 kB': 0.7, '1 MB': 0.5, '10 MB': 0.5 },
  wall: { '100 kB': 0.95, '1 MB': 0.6, '10 MB': 0.6 },
  server: { '100 kB': 1.5, '1 MB': 1.25, '10 MB': 1.25 },
}

const latencyLimits = { p50: 1.15, p99: 2 }
const memoryLimit = 1.07
/** Of what each clamd more should add. */
const throughputShare = 0.95
/** Bytes that stay of a message that is done, more than Haraka itself keeps; a collector's noise is below it. */
const retainedLimit = 100

/** Of this plugin by INSTREAM, in the order of the document. */
export function targets(results: Results): Target[] {
  const table = primaryTable(results)
  return [
    ...(table ? costTargets(table) : []),
    ...(table ? readingTargets(table) : []),
    ...latencyTargets(results),
    ...memoryTargets(results),
    ...throughputTargets(results),
    ...failOverTargets(results),
  ]
}

export function costTargets({ sizes }: CostTable): Target[] {
  type Figure = (size: SizeCosts, of: ContenderName) => number | undefined
  const perSize = (group: string, limits: Limits, figure: Figure, floor?: ContenderName) =>
    sizes.flatMap((size) => {
      const limit = limits[size.label]
      if (limit === undefined) return []
      return [
        {
          ...target(group, size.label, 'at most', limit, figure(size, 'instream')),
          onlySends: figure(size, 'least'),
          floor: floor && figure(size, floor),
        },
      ]
    })
  const against =
    (other: ContenderName, kind: 'wall' | 'server'): Figure =>
    (size, of) =>
      ratio(added(size, of, kind), added(size, other, kind))
  return [
    ...perSize(
      'CPU added to the server / haraka-plugin-clamd',
      ofServerCpu,
      against('clamd', 'server'),
      'null',
    ),
    ...perSize('CPU added to the server / null sink', ofNullSink, against('null', 'server')),
    ...perSize('Time added / haraka-plugin-clamd', ofWall, against('clamd', 'wall'), 'bare'),
    ...perSize(
      'Time added / what clamav-milter adds to Postfix',
      ofMilter,
      against('milter', 'wall'),
      'bare',
    ),
    ...perSize('CPU added to the server / a plugin that only sends', ofLeast, against('least', 'server')),
    ...perSize('Time added / a plugin that only sends', ofLeast, against('least', 'wall')),
    ...perSize("clamd's CPU / bare client", ofBareClamd, (size, of) =>
      ratio(costSpread(size, of, 'clamd'), costSpread(size, 'bare', 'clamd')),
    ),
  ]
}

/** What a second look costs, and sending parts in place of the whole message; against `scan=message`. */
function readingTargets({ sizes }: CostTable): Target[] {
  const whole = (kind: keyof Cost) => (size: SizeCosts, of: ContenderName) =>
    ratio(costSpread(size, of, kind), costSpread(size, 'message', kind))
  const addedTime = (size: SizeCosts, of: ContenderName) =>
    ratio(added(size, of, 'wall'), added(size, 'message', 'wall'))
  const rows = (
    group: string,
    of: ContenderName,
    figure: (size: SizeCosts, of: ContenderName) => number | undefined,
    limits: Limits,
  ) =>
    sizes.flatMap((size) => {
      const limit = limits[size.label]
      const value = figure(size, of)
      if (limit === undefined || value === undefined) return []
      return [target(`${group} / scan=message`, size.label, 'at most', limit, value)]
    })
  return [
    ...rows("Plain mail, scan=auto: Haraka's CPU", 'instream', whole('server'), ofPlain.server),
    ...rows("Plain mail, scan=auto: clamd's CPU", 'instream', whole('clamd'), ofPlain.clamd),
    ...rows("Odd mail, scan=auto: clamd's CPU", 'odd', whole('clamd'), ofOdd.clamd),
    ...rows('Odd mail, scan=auto: time', 'odd', whole('wall'), ofOdd.wall),
    ...rows("Plain mail, scan=parts: clamd's CPU", 'parts', whole('clamd'), ofParts.clamd),
    ...rows('Plain mail, scan=parts: time added', 'parts', addedTime, ofParts.wall),
    ...rows("Plain mail, scan=parts: Haraka's CPU", 'parts', whole('server'), ofParts.server),
  ]
}

function latencyTargets({ latency }: Results): Target[] {
  if (!latency) return []
  const bare = addedLatency(latency, 'bare')
  const group = 'Added latency, one session, 5 kB'
  const p50 = (of: ContenderName) => {
    const own = addedLatency(latency, of)
    return own && bare && own.p50Ms / bare.p50Ms
  }
  const p99 = (of: ContenderName) => {
    const own = addedLatency(latency, of)
    return own && own.p99Ms / own.p50Ms
  }
  return [
    {
      ...target(group, 'p50 / p50 of the bare client', 'at most', latencyLimits.p50, p50('instream')),
      onlySends: p50('least'),
    },
    {
      ...target(group, 'p99 / p50', 'at most', latencyLimits.p99, p99('instream')),
      onlySends: p99('least'),
      floor: p99('bare'),
    },
  ]
}

function memoryTargets({ memory }: Results): Target[] {
  if (!memory) return []
  const { busy, stalled } = memory
  const group = 'Peak memory, 10 MB messages / without scanning, kept as long'
  const peak = (
    what: string,
    ours: readonly number[] | undefined,
    without: readonly number[] | undefined,
  ) => {
    const [above, below] = [middle(ours), middle(without)]
    return target(group, what, 'at most', memoryLimit, above && below && above / below)
  }
  const peaks = [
    peak(`${busy.sessions} at a time`, busy.peakMiB.instream, busy.heldMiB),
    peak(`${stalled.sessions} at a time, clamd stalled`, stalled.peakMiB.instream, stalled.peakMiB.none),
  ]
  const [kept, keptWithout] = [memory.growth.instream, memory.growth.none].map(retainedPerMessage)
  return [
    ...peaks,
    target(
      'Memory kept of messages that are done',
      'bytes per message, more than without scanning',
      'at most',
      retainedLimit,
      kept === undefined || keptWithout === undefined ? undefined : kept - keptWithout,
    ),
  ]
}

/** Bytes per message between the first and the last look. */
export function retainedPerMessage(
  looks: readonly { messages: number; retainedBytes: number }[] | undefined,
): number | undefined {
  const [first, last] = [looks?.[0], looks?.at(-1)]
  if (!first || !last || first === last) return undefined
  return (last.retainedBytes - first.retainedBytes) / (last.messages - first.messages)
}

function throughputTargets({ throughput }: Results): Target[] {
  const ours = throughput?.perSecond.instream ?? []
  const one = middle(ours.find(({ clamds }) => clamds === 1)?.rounds)
  return ours
    .filter(({ clamds }) => clamds > 1)
    .map(({ clamds, rounds }) => {
      const rate = middle(rounds)
      return target(
        'Throughput / one slowed clamd',
        `${clamds} clamds`,
        'at least',
        throughputShare * clamds,
        rate !== undefined && one !== undefined ? rate / one : undefined,
      )
    })
}

function failOverTargets({ failOver }: Results): Target[] {
  if (!failOver) return []
  return [
    target(
      'One of three addresses black-holed',
      'messages that pay, per host_rest',
      'at most',
      1,
      paidPerRest(failOver),
    ),
  ]
}

/** An address that has rested is due again, so a run that takes two rests may see three such messages. */
export function paidPerRest({
  paid,
  wallMs,
  hostRestMs,
  connectMs,
}: NonNullable<Results['failOver']>): number {
  return paid / (Math.floor(wallMs / (hostRestMs + connectMs)) + 1)
}

function target(
  group: string,
  what: string,
  is: Target['is'],
  limit: number,
  value: number | undefined,
): Target {
  const reached = value === undefined ? undefined : is === 'at most' ? value <= limit : value >= limit
  return { group, what, is, limit, value, reached }
}
