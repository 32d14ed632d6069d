// A soak under chaos: four senders and two workers of a real Haraka, three real clamds that keep failing one at a
// time, a next hop that takes what is delivered. Ends in a report; ledger.ts judges the
// messages, `growth` below what the workers hold before and after, and growth.ts what they hold meanwhile.
import { setTimeout as delay } from 'node:timers/promises'
import { startHaraka } from '../support/haraka/haraka'
import { seeded } from '../support/random'
import { startSink } from '../support/smtp/sink'
import { Daemons, type Misfortune } from './chaos'
import { growthOf, type Sample } from './growth'
import { Ledger } from './ledger'
import { anyKind, arrivedOf, kinds, letterOf, maxSize, type OutgoingMail } from './messages'
import { resourcePlugin, ResourceReader, type ResourceUsage } from './resource-usage'
import { login, send } from './senders'

export interface SoakOptions {
  /** Letters and milliseconds after which no more are sent; what comes first. */
  readonly count: number
  readonly forMs: number
  readonly seed: number
}

export interface SoakReport {
  readonly options: SoakOptions
  readonly ms: number
  readonly ledger: Ledger
  readonly befell: Readonly<Record<Misfortune, number>>
  /** Of each worker: before, after, and what is too much of it. */
  readonly gauges: readonly { readonly before: ResourceUsage; readonly after: ResourceUsage }[]
  /** Longest time for which this process got no turn: on a busy machine the servers get none either, and timers run out. */
  readonly pausedMs: number
  /** What the workers hold while mail comes. */
  readonly samples: readonly Sample[]
  /** What is wrong, in words; nothing, if all is well. */
  readonly wrong: readonly string[]
}

const workers = 2
const senders = 4
/** Everything that is only done at the first time is done by then: the heap is measured from here. */
const warmUpRounds = 6
/** Milliseconds between misfortunes. */
const chaosMs = 3000
/** Rows of the table of what the workers hold meanwhile. */
const samplesWanted = 25
const minSampleMs = 5000

/**
 * What a worker may hold more at the end than after warming up. Code is compiled, strings are interned and maps grow
 * all along, which is some megabytes and stays there; one message kept, of those of 10 MB, is more than that.
 */
const heapSlackBytes = 8 * 1024 * 1024
const externalSlackBytes = 4 * 1024 * 1024

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const stack: (() => Promise<unknown>)[] = []
  try {
    const daemons = await Daemons.start()
    stack.push(() => daemons.stop())
    const ledger = new Ledger()
    const sink = await startSink({ keep: ({ data }) => ledger.arrived(arrivedOf(data)) })
    stack.push(() => sink.stop())
    const haraka = await startHaraka({
      nodes: workers,
      ini: ini(daemons.hosts),
      plugins: ['resource_usage', 'clamav-stream', 'queue/smtp_forward'],
      sources: { resource_usage: resourcePlugin },
      files: { 'smtp_forward.ini': `host=127.0.0.1\nport=${sink.port}\n` },
      users: { [login.user]: login.password },
      deliver: false,
      nextHop: sink.port,
      loglevel: 'NOTICE',
    })
    stack.push(() => haraka.stop())
    const gauges = await ResourceReader.of(haraka, workers)
    const random = seeded(options.seed)

    const post = (next: () => OutgoingMail | null) =>
      Promise.all(
        Array.from({ length: senders }, (_, i) =>
          send({ port: haraka.port, isAuthenticated: i % 2 === 1, random, ledger, next }),
        ),
      )
    const warmUp = Array.from({ length: warmUpRounds }, () => kinds)
      .flat()
      .map(letterOf)
    await post(() => warmUp.pop() ?? null)
    await ledger.settled(10_000)
    const before = await atRest(gauges)

    const started = performance.now()
    const warm = ledger.size
    const isOver = () =>
      ledger.size - warm >= options.count - senders || performance.now() - started >= options.forMs
    const chaos = new AbortController()
    const trouble = daemons.trouble(seeded(options.seed + 1), chaosMs, chaos.signal)
    const pause = longestPause(chaos.signal)
    const sampling = sample(gauges, options.forMs / samplesWanted, started, chaos.signal)
    // Trouble that ends for a reason of its own ends the soak, too.
    await Promise.race([
      post(() => (isOver() ? null : letterOf(anyKind(random)))),
      trouble.then(() => Promise.reject(new Error('the chaos came to an end before the messages did'))),
      sampling.then(() => Promise.reject(new Error('the samples came to an end before the messages did'))),
    ]).finally(() => chaos.abort())
    await trouble
    const samples = await sampling
    const ms = performance.now() - started
    await ledger.settled(60_000)

    const after = await atRest(gauges, before)
    const pairs = before.map((usage, i) => ({ before: usage, after: after[i] ?? usage }))
    const wrong = [
      ...ledger.discrepancies(),
      ...pairs.flatMap(growth),
      ...growthOf(samples),
      // Haraka says so of an exception that was not caught, and of a worker that it has to start again.
      ...haraka.log.filter((line) =>
        /\[CRIT\]|worker \d+ (died|exited)|worker \d+ killed|message deferred for a fault/i.test(line),
      ),
    ]
    return { options, ms, ledger, befell: daemons.befell, gauges: pairs, pausedMs: pause(), samples, wrong }
  } finally {
    for (const stop of stack.reverse()) await stop()
  }
}

/** @returns tells the longest delay of a timer until the signal, in ms */
function longestPause(signal: AbortSignal): () => number {
  const everyMs = 100
  let longestMs = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - last - everyMs)
    last = performance.now()
  }, everyMs)
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  return () => longestMs
}

/** One after the other until the signal. */
async function sample(
  gauges: ResourceReader,
  everyMs: number,
  started: number,
  signal: AbortSignal,
): Promise<Sample[]> {
  const samples: Sample[] = []
  for (;;) {
    await delay(Math.max(minSampleMs, everyMs), undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return samples
    samples.push({ atMs: performance.now() - started, usages: await gauges.take() })
  }
}

function ini(hosts: string): string {
  return [
    `host=${hosts}`,
    `max_size=${maxSize}`,
    'connect_timeout=1s',
    'scan_timeout=3s',
    'host_rest=2s',
    '[attachments]',
    'deny=*.exe',
    '',
  ].join('\n')
}

/** When two in a row hold the same, and no more sockets and timers than before, if that comes to pass. */
async function atRest(gauges: ResourceReader, wanted?: readonly ResourceUsage[]): Promise<ResourceUsage[]> {
  const deadline = performance.now() + 60_000
  for (let last = await gauges.take(); ;) {
    await delay(1000)
    const now = await gauges.take()
    const isSteady = now.every((usage, i) => isSame(usage, last[i]))
    const isBack = now.every((usage, i) => !wanted?.[i] || heldMore(wanted[i], usage).length === 0)
    if ((isSteady && isBack) || performance.now() > deadline) return now
    last = now
  }
}

const counted = ['sockets', 'descriptors', 'timers'] as const

function isSame(one: ResourceUsage, other: ResourceUsage | undefined): boolean {
  return counted.every((what) => one[what] === other?.[what])
}

function heldMore(before: ResourceUsage, after: ResourceUsage): string[] {
  return counted
    .filter((what) => after[what] > before[what])
    .map((what) => `worker ${after.pid}: ${after[what]} ${what}, ${before[what]} at the beginning`)
}

function growth({ before, after }: { before: ResourceUsage; after: ResourceUsage }): string[] {
  const mib = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`
  const slack = { heapBytes: heapSlackBytes, externalBytes: externalSlackBytes } as const
  const memory = (['heapBytes', 'externalBytes'] as const)
    .filter((what) => after[what] - before[what] > slack[what])
    .map((what) => `worker ${after.pid}: ${what} from ${mib(before[what])} to ${mib(after[what])}`)
  return [...heldMore(before, after), ...memory]
}
