// What one message that no clamd can finish does to the others: three clamds for each trouble, that message again and again,
// and ten others a second. Exit 1 if fewer than 99 % of the others pass at once.
//   node --import tsx test/soak/unscannable.ts --time 3m --every 30s --rate 10
import { parseArgs } from 'node:util'
import ms from 'ms'
import type { Verdict } from '../../lib/policy/verdict'
import { FailureMemory } from '../../lib/scan/failure-memory'
import { mark, startMarked, type Trouble, visitsOf } from '../support/clamd/marked'
import { Scanning } from '../support/clamd/scanning'
import { clean } from '../support/smtp/mails'

/** A message that takes longer has waited for something. */
const atOnceMs = 1000
/** For which a crashed clamd is away. */
const awayMs = 20_000

interface Figures {
  others: number
  passedAtOnce: number
  slowestMs: number
  /** Looks at the addresses, and how many of these found one that rests. */
  looks: number
  resting: number
  /** What the marked message came to, in order. */
  readonly marked: string[]
  visits: number
}

const reasonOf = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome)

async function run(trouble: Trouble, forMs: number, everyMs: number, rate: number): Promise<Figures> {
  const clamds = await Promise.all(
    [1, 2, 3].map((n) => startMarked(trouble, { awayMs, host: `127.0.90.${n}` })),
  )
  const hosts = clamds.map(({ daemon }) => daemon.address)
  const scanning = new Scanning(hosts, {
    scanMs: 60_000,
    connectMs: 5000,
    selfTest: true,
    memory: new FailureMemory(3),
  })
  const message = Buffer.concat([clean(), Buffer.from(mark)])
  const figures: Figures = {
    others: 0,
    passedAtOnce: 0,
    slowestMs: 0,
    looks: 0,
    resting: 0,
    marked: [],
    visits: 0,
  }
  const scans: Promise<void>[] = []
  const other = async () => {
    const begun = performance.now()
    const verdict = await scanning.scan(clean())
    const tookMs = performance.now() - begun
    figures.others++
    figures.slowestMs = Math.max(figures.slowestMs, tookMs)
    if (verdict.outcome === 'clean' && tookMs < atOnceMs) figures.passedAtOnce++
    figures.looks++
    if (scanning.hosts.states().some(({ state }) => state === 'resting')) figures.resting++
  }
  const marked = async () => void figures.marked.push(reasonOf(await scanning.scan(message)))
  for (let i = 0; i < 3; i++) await scanning.scan(clean())
  const timers = [
    setInterval(() => scans.push(other()), 1000 / rate),
    setInterval(() => scans.push(marked()), everyMs),
  ]
  scans.push(marked())
  await new Promise((resolve) => setTimeout(resolve, forMs))
  for (const timer of timers) clearInterval(timer)
  await Promise.all(scans)
  figures.visits = visitsOf(clamds)
  scanning.destroy()
  await Promise.all(clamds.map(({ daemon }) => daemon.stop()))
  return figures
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      time: { type: 'string', default: '3m' },
      every: { type: 'string', default: '30s' },
      rate: { type: 'string', default: '10' },
    },
  })
  const [forMs, everyMs] = [ms(values.time as ms.StringValue), ms(values.every as ms.StringValue)]
  for (const trouble of ['error', 'silence', 'crash'] as const) {
    const { others, passedAtOnce, slowestMs, looks, resting, marked, visits } = await run(
      trouble,
      forMs,
      everyMs,
      Number(values.rate),
    )
    const percent = (100 * passedAtOnce) / others
    console.log(
      `${trouble}: ${others} others, ${percent.toFixed(2)} % at once, slowest ${Math.round(slowestMs)} ms; ` +
        `an address rests in ${((100 * resting) / looks).toFixed(0)} % of the time; ` +
        `the message: ${marked.join(' ')}, sent to a clamd ${visits} times`,
    )
    if (percent < 99) process.exitCode = 1
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
