// What happens to mail while clamd loads signatures: a real clamd with a set of the size of ClamAV's own (signatures.ts), a
// real Haraka, mail at a steady rate, and a reload of the first clamd. Compare ratios and answers, not seconds.
//   npm run build && node --import tsx bench/reload.ts --scale 0.5 --conf IdleTimeout=2
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type RealClamd, startClamd } from '../test/support/clamd/clamd'
import { checkoutHaraka, type Haraka, startHaraka } from '../test/support/haraka/haraka'
import { TemporaryDirectory } from '../test/support/process'
import { type Answer, SteadyMail } from './reload-mail'
import { signatureCounts, writeSignatures, writeVersion } from './signatures'
import { percentile } from './statistics'
import { asText } from './table'

interface Case {
  /** ConcurrentDatabaseReload of clamd.conf. */
  readonly concurrent: 'yes' | 'no'
  readonly clamds: number
}

interface Options {
  readonly rate: number
  /** Connections to Haraka; 0: as many as it takes. */
  readonly sessions: number
  /** Further lines of [main], and sections. */
  readonly ini: string
  /** Further settings of clamd.conf. */
  readonly conf: Readonly<Record<string, string>>
  readonly workers: number
  /** All clamds at the same moment; else only the first. */
  readonly together: boolean
  /** Has the plugin look at the clamds again after the reload, as it does every hour. */
  readonly check: boolean
}

/** Seconds before and after the reload. */
const aroundSeconds = 10
const reloaded = /Activating the newly loaded database|Database reload failed/g
const startMs = 300_000

/** Takes every message, and says so if it has no verdict. */
const judge = `
exports.register = function () {
  this.register_hook('queue', 'take')
}
exports.take = function (next, connection) {
  const values = connection.transaction.header.get_all('X-MessageIsInfected').map((value) => value.trim())
  if (values.join() !== 'false') this.logcrit('BENCH: delivered with ' + JSON.stringify(values))
  next(OK)
}
`

async function run(what: Case, folder: string, options: Options): Promise<string[]> {
  const clamds: RealClamd[] = []
  const started = performance.now()
  let loadSeconds = 0
  for (let i = 0; i < what.clamds; i++) {
    clamds.push(
      await startClamd({
        databaseDirectory: folder,
        startMs,
        config: { ConcurrentDatabaseReload: what.concurrent, SelfCheck: 86_400, ...options.conf },
      }),
    )
    if (i === 0) loadSeconds = (performance.now() - started) / 1000
  }
  let haraka: Haraka | undefined
  try {
    const ini = `[main]\nhost=${clamds.map(({ host, port }) => `${host}:${port}`).join(' ')}\n${options.ini}\n`
    haraka = await startHaraka({
      plugins: ['clamav-stream', 'judge'],
      sources: { judge },
      ini,
      nodes: options.workers,
      deliver: false,
      haraka: checkoutHaraka(),
      loglevel: 'NOTICE',
    })
    return await measure(what, folder, options, clamds, haraka, ini, loadSeconds)
  } finally {
    await haraka?.stop()
    for (const clamd of clamds) await clamd.stop()
  }
}

async function measure(
  what: Case,
  folder: string,
  options: Options,
  clamds: readonly RealClamd[],
  haraka: Haraka,
  ini: string,
  loadSeconds: number,
): Promise<string[]> {
  const loading = options.together ? clamds : clamds.slice(0, 1)
  const memory = loading.map(rssMiB)
  let peak = memory
  const watching = setInterval(
    () => (peak = loading.map((clamd, i) => Math.max(peak[i] ?? 0, rssMiB(clamd)))),
    200,
  )
  const lines: { atMs: number; text: string }[] = []
  // The self test of the start comes first.
  await delay(15_000)
  const mail = new SteadyMail(haraka.port, options)
  haraka.onLog((text) => lines.push({ atMs: performance.now(), text }))
  mail.begin()
  await delay(aroundSeconds * 1000)

  const beganMs = performance.now()
  writeVersion(folder, ++version)
  const counts = loading.map(reloadsOf)
  await Promise.all(loading.map((clamd) => clamd.ask('zRELOAD\0')))
  while (!loading.every((clamd, i) => reloadsOf(clamd) > (counts[i] ?? 0))) await delay(50)
  const endedMs = performance.now()
  if (options.check) haraka.writeConfig('clamav-stream.ini', `${ini}; again\n`)
  await delay((options.check ? 30 : aroundSeconds) * 1000)
  const answers = await mail.end()
  clearInterval(watching)

  const phase = (name: string, isIn: (answer: Answer) => boolean) => rowOf(name, answers.filter(isIn))
  const seconds = (endedMs - beganMs) / 1000
  const wrong = [
    ...answers
      .filter(({ isInfected, code }) => isInfected && code === 250)
      .map(() => 'an infected mail was answered 250'),
    ...answers.filter(({ code }) => code === null).map(({ text }) => `no answer: ${text}`),
    ...lines.filter(({ text }) => text.includes('BENCH')).map(({ text }) => text),
  ]
  return [
    `\nConcurrentDatabaseReload ${what.concurrent}, ${what.clamds} clamd${what.clamds > 1 ? 's' : ''}: the reload took ` +
      `${seconds.toFixed(1)} s (the start ${loadSeconds.toFixed(1)} s); memory of clamd ${memory.join(', ')} MiB before, at most ` +
      `${peak.join(', ')} MiB, ${loading.map((_, i) => ((peak[i] ?? 0) / (memory[i] ?? 1)).toFixed(2)).join(', ')} times as much`,
    asText({
      head: [
        'mail that came',
        'number',
        '250',
        '550',
        '451',
        'other',
        'p50 s',
        'p95 s',
        'longest s',
        'longest/reload',
      ],
      rows: [
        phase('before', ({ dueMs }) => dueMs < beganMs),
        phase('during', ({ dueMs }) => dueMs >= beganMs && dueMs < endedMs),
        phase('after', ({ dueMs }) => dueMs >= endedMs),
      ].map((row, i) => [...row, i === 1 ? (Number(row.at(-1)) / seconds).toFixed(2) : '']),
    }),
    ...grouped(lines, beganMs),
    wrong.length === 0
      ? 'Nothing was delivered without a verdict, and every mail was answered.'
      : `WRONG:\n${wrong.join('\n')}`,
  ]
}

function rowOf(name: string, answers: readonly Answer[]): string[] {
  const withCode = (...codes: number[]) =>
    answers.filter(({ code }) => code !== null && codes.includes(code)).length
  const seconds = answers.map(({ dueMs, answeredMs }) => (answeredMs - dueMs) / 1000)
  const [clean, infected, deferred] = [withCode(250), withCode(550), withCode(451)]
  return [
    name,
    String(answers.length),
    String(clean),
    String(infected),
    String(deferred),
    String(answers.length - clean - infected - deferred),
    ...[percentile(seconds, 50), percentile(seconds, 95), Math.max(...seconds)].map((value) =>
      value.toFixed(2),
    ),
  ]
}

/** The plugin's log lines without what differs from mail to mail, each once, with its number and when it came first. */
function grouped(lines: readonly { atMs: number; text: string }[], fromMs: number): string[] {
  const groups = new Map<string, { count: number; atMs: number }>()
  for (const { atMs, text } of lines) {
    if (!/\[(NOTICE|WARN|ERROR|CRIT|ALERT|EMERG)\].*clam/.test(text) || text.includes(' infected')) continue
    const what = text
      .replace(/^.*?\[(?=NOTICE|WARN|ERROR|CRIT|ALERT|EMERG)/, '[')
      .replace(/\[[0-9A-F]{8}-[^\]]*\]/, '[mail]')
      .replaceAll(/\b(ms|bytes)=\d+/g, '$1=…')
      .replaceAll(/within \d+ ms/g, 'within … ms')
      .slice(0, 260)
    const group = groups.get(what)
    if (group) group.count++
    else groups.set(what, { count: 1, atMs: atMs - fromMs })
  }
  return [...groups].map(
    ([what, { count, atMs }]) => `${count} x, first at ${(atMs / 1000).toFixed(1)} s: ${what}`,
  )
}

function reloadsOf(clamd: RealClamd): number {
  return clamd.log().match(reloaded)?.length ?? 0
}

function rssMiB({ pid }: RealClamd): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1]) / 1024)
}

let version = 27_500

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      scale: { type: 'string', default: '0.5' },
      concurrent: { type: 'string', default: 'no,yes' },
      clamds: { type: 'string', default: '1,2' },
      rate: { type: 'string', default: '5' },
      sessions: { type: 'string', default: '0' },
      workers: { type: 'string', default: '0' },
      ini: { type: 'string', default: '' },
      conf: { type: 'string', multiple: true, default: [] },
      together: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
    },
  })
  const directory = new TemporaryDirectory('signatures')
  const counts = signatureCounts(Number(values.scale))
  writeSignatures(directory.path, counts)
  const total = counts.hdb + counts.hsb + counts.mdb + counts.ndb + counts.ldb
  console.log(`${(total / 1e6).toFixed(1)} million signatures, ${values.rate} mails a second`)
  const options: Options = {
    rate: Number(values.rate),
    sessions: Number(values.sessions),
    ini: values.ini.replaceAll('\\n', '\n'),
    conf: Object.fromEntries(values.conf.map((line) => line.split('=') as [string, string])),
    workers: Number(values.workers),
    together: values.together,
    check: values.check,
  }
  for (const clamds of values.clamds.split(',').map(Number))
    for (const concurrent of values.concurrent.split(',') as Case['concurrent'][])
      for (const line of await run({ concurrent, clamds }, directory.path, options)) console.log(line)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
