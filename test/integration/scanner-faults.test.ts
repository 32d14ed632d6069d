// Every way a clamd can fail at every step of the dialogue, in both protocols, alone and with two healthy neighbours.
// Whatever it does: only a message it has got whole and answered `stream: OK` is clean, a neighbour is asked when that
// makes sense, the budget holds, and nothing stays behind.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { after, describe, test } from 'node:test'
import { addressText, type Host } from '../../lib/address'
import { headLine } from '../../lib/clamd/protocol'
import type { Verdict } from '../../lib/verdict'
import type { Act, ConnectDeadEnd, Moment, Step } from '../support/clamd-script'
import { eicar } from '../support/eicar'
import { startFakeClamd, type FakeClamd, type FakeClamdOptions } from '../support/fake-clamd'
import { runningTimers, Scanning, type ScanningOptions } from '../support/scanning'

type Setting = 'stream' | 'instream' | 'auto'
type Content = 'clean' | 'infected'

/**
 * How the exchange with the faulty daemon ends if nobody else is asked. verdict: the right one; found: infected,
 * whatever the message; unclean: what is infected is found, what is clean is an error.
 */
type End = 'verdict' | 'found' | 'unclean' | 'error' | 'timeout' | 'too_large' | 'limits'
type Ends = Partial<Record<Setting, End | readonly End[]>>

interface Row {
  readonly name: string
  /** Of a message of so many bytes, our own line included. */
  readonly script: (size: number, strangerPort: number) => readonly (Step | ConnectDeadEnd)[]
  /** Settings that are left out are not run: the fault cannot happen there. */
  readonly ends: Ends
  /** In the text of an unscanned message, beside the address. */
  readonly text?: RegExp | string
  /** Default a quarter of a megabyte. */
  readonly bytes?: number
  readonly daemon?: FakeClamdOptions
  /** The port of a dead end belongs to nobody, and on 127.0.0.1 the next test may be given it. */
  readonly hasOwnHost?: boolean
  readonly scanner?: ScanningOptions
  /** Says more than its verdict, too late to be noticed. */
  readonly talksOn?: boolean
  /** Listens on a port of its own and is no clamd. */
  readonly stranger?: (socket: Socket) => void
}

const usual = 256 * 1024
/** So much more than a clamd reads in one turn that we are still sending when it breaks off at `middleOf`. */
const large = 2 * 1024 * 1024
const middleOf = (size: number) => Math.floor(Math.min(size, 512 * 1024) / 2)

/** A message of exactly so many bytes behind our line; the virus is at its end. */
function message(content: Content, bytes: number): Buffer {
  const key = `${content} ${bytes}`
  const made = messages.get(key) ?? compose(content, bytes)
  messages.set(key, made)
  return made
}

const messages = new Map<string, Buffer>()

function compose(content: Content, bytes: number): Buffer {
  const size = bytes - headLine.length
  const end = content === 'infected' ? eicar() : 'nothing to be found'
  const head = 'Subject: faults\r\n\r\n'
  return Buffer.concat([
    Buffer.from(head),
    Buffer.alloc(size - head.length - end.length, 'x\r\n'),
    Buffer.from(end),
  ])
}

const rows: Row[] = []
const same = (end: End | readonly End[]): Ends => ({ stream: end, instream: end, auto: end })

type When = Moment | 'lastByte'
const moments: readonly When[] = [
  ...(['accept', 'command', 'port', 'dataConnect', 'first', 'middle'] as const),
  ...(['lastByte', 'last', 'terminator', 'reply'] as const),
]
const untilSent: readonly When[] = moments.slice(0, 6)
/** While the data connection of STREAM is open. */
const ofData: readonly When[] = ['dataConnect', 'first', 'middle', 'lastByte', 'last']

function step(when: When, act: Act, size: number): Step {
  if (when === 'lastByte') return { at: 'middle', after: size, ...act }
  return when === 'middle' ? { at: 'middle', after: middleOf(size), ...act } : { at: when, ...act }
}

/** Before the data connection, `auto` has lost nothing with STREAM and asks the same daemon for INSTREAM. */
function endsAt(when: When, end: End | readonly End[]): Ends {
  if (when === 'port') return { stream: end, auto: end === 'error' ? 'verdict' : end }
  return when === 'dataConnect' ? { stream: end, auto: end } : same(end)
}

function add(
  when: When,
  name: string,
  acts: readonly Act[],
  end: End | readonly End[],
  more: Partial<Row> = {},
) {
  rows.push({
    name: `${name} at ${when}`,
    script: (size) => acts.map((act) => step(when, act, size)),
    ends: endsAt(when, end),
    ...more,
  })
}

/** For connecting, and for clamd's last words: short, but longer than a busy machine keeps this process waiting. */
const patienceMs = 1500
const shortBudget: Partial<Row> = { scanner: { scanMs: 700 } }

for (const deadEnd of ['refuse', 'blackHole'] as const) {
  const more = { hasOwnHost: true, ...(deadEnd === 'refuse' ? {} : { scanner: { connectMs: patienceMs } }) }
  rows.push({
    name: `${deadEnd} at connect`,
    script: () => [{ at: 'connect', do: deadEnd }],
    ends: same('error'),
    text: /: connect: no connection/,
    ...more,
  })
  rows.push({
    name: `${deadEnd} at dataConnect`,
    script: () => [{ at: 'dataConnect', do: deadEnd }],
    ends: { stream: 'error', auto: 'verdict' },
    text: /: data connect: no connection/,
    ...more,
  })
}

for (const on of ['command', 'data', 'both'] as const) {
  for (const act of ['reset', 'close', 'halfClose'] as const) {
    for (const when of on === 'command' ? moments : ofData) {
      const isAfterAll = when === 'lastByte' || when === 'last'
      const acts = on === 'both' ? (['command', 'data'] as const) : ([on] as const)
      let end: End | End[] = 'error'
      if (on === 'data' && act === 'reset' && isAfterAll) end = 'unclean'
      else if (on === 'data' && when === 'last') end = 'verdict'
      // It has every byte; whether our end of the data was sent before its own is a matter of luck.
      else if (on === 'data' && when === 'lastByte') end = ['verdict', 'unclean']
      // It reads on, and we may have sent everything by then.
      else if (on === 'data' && act === 'halfClose' && when !== 'dataConnect') end = ['verdict', 'error']
      const row: Partial<Row> = { bytes: large, scanner: on === 'command' ? {} : { connectMs: patienceMs } }
      const ends = endsAt(when, end)
      if (on !== 'command') delete ends.instream
      // A reset may come before we know that we are connected; then `auto` has lost nothing yet.
      if (act === 'reset' && when === 'dataConnect') ends.auto = ['error', 'verdict']
      add(
        when,
        `${act} of ${on}`,
        acts.map((which) => ({ do: act, on: which })),
        end,
        { ...row, ends },
      )
    }
    if (on === 'command') add('close', act, [{ do: act }], act === 'reset' ? ['verdict', 'error'] : 'verdict')
  }
}

for (const when of moments) {
  add(when, 'stall', [{ do: 'stall' }], 'timeout', shortBudget)
  add(when, 'freeze', [{ do: 'freeze' }], 'timeout', shortBudget)
  add(when, 'dribble', [{ do: 'garbage', bytes: 2000, split: 'bytes', everyMs: 20 }], 'timeout', shortBudget)
  const some: Act = { do: 'garbage', bytes: 100 }
  add(when, 'garbage', [some], when === 'port' ? 'timeout' : 'error', when === 'port' ? shortBudget : {})
  add(when, 'garbage with line ends', [{ ...some, bytes: 1000, terminators: true }], 'error')
  const lot: Act = { do: 'garbage', bytes: 1024 * 1024 }
  add(when, '1 MB of garbage', [lot], 'error')
  add(when, '1 MB of garbage with line ends', [{ ...lot, terminators: true }], 'error')
  add(when, 'an empty line', [{ do: 'say', text: '' }], 'error', { text: /an empty reply/ })
}
for (const [name, act] of Object.entries({
  stall: { do: 'stall' },
  freeze: { do: 'freeze' },
  dribble: { do: 'garbage', bytes: 20, split: 'bytes', everyMs: 5 },
  garbage: { do: 'garbage', bytes: 100 },
  '1 MB of garbage': { do: 'garbage', bytes: 1024 * 1024 },
  '1 MB of garbage with line ends': { do: 'garbage', bytes: 1024 * 1024, terminators: true },
} satisfies Record<string, Act>)) {
  // The verdict is there already; garbage right behind it makes it doubtful.
  add('close', name, [act], ['verdict', 'error'], { talksOn: true })
}

for (const when of untilSent) {
  const more = { bytes: large }
  add(when, 'OK before the data, and goes on', [{ do: 'say', text: 'stream: OK' }], 'error', more)
  add(when, 'OK before the data, and hangs up', [{ do: 'answer', text: 'stream: OK' }], 'error', more)
  const virus: Act = { do: 'answer', text: 'stream: Early.Test FOUND' }
  // A verdict before there was anything to judge is none; later on a virus is one, if its name gets through.
  const early: readonly End[] =
    when === 'first' || when === 'middle' || when === 'dataConnect' ? ['found', 'error'] : ['error', 'found']
  add(when, 'FOUND before the data', [virus], when === 'port' ? 'error' : early, more)
}

rows.push(
  {
    name: 'two replies in one write',
    script: () => [{ at: 'reply', do: 'answer', text: '{verdict}\0{verdict}' }],
    ends: same('unclean'),
    text: /OK, and then: stream: OK/,
  },
  {
    name: 'OK and FOUND in one write',
    script: () => [{ at: 'reply', do: 'answer', text: 'stream: OK\nstream: Second.Test FOUND' }],
    ends: same('error'),
  },
  {
    name: 'two replies in two writes',
    script: () => [
      { at: 'reply', do: 'say', text: '{verdict}' },
      { at: 'reply', do: 'wait', ms: 1 },
      { at: 'reply', do: 'say', text: 'stream: OK' },
    ],
    ends: same('unclean'),
    talksOn: true,
  },
  {
    name: 'the reply byte by byte',
    script: () => [{ at: 'reply', do: 'say', text: '{verdict}', split: 'bytes' }],
    ends: same('verdict'),
  },
  {
    name: 'the PORT line byte by byte',
    script: () => [{ at: 'port', do: 'say', text: 'PORT {port}', split: 'bytes' }],
    ends: { stream: 'verdict', auto: 'verdict' },
  },
  {
    name: 'the reply slower than the budget',
    script: () => [{ at: 'reply', do: 'say', text: '{verdict}', split: 'bytes', everyMs: 100 }],
    ends: same('timeout'),
    ...shortBudget,
  },
  {
    name: 'PORT slower than the budget',
    script: () => [{ at: 'port', do: 'say', text: 'PORT {port}', split: 'bytes', everyMs: 150 }],
    ends: { stream: 'timeout', auto: 'timeout' },
    ...shortBudget,
  },
  {
    name: 'OK without an end, and a close',
    script: () => [{ at: 'reply', do: 'answer', text: 'stream: OK', end: '' }],
    ends: same('error'),
    text: /closed in the middle of a reply: stream: OK/,
  },
  {
    name: 'OK without an end, and a reset',
    script: () => [
      { at: 'reply', do: 'say', text: 'stream: OK', end: '' },
      { at: 'reply', do: 'reset' },
    ],
    ends: same('error'),
  },
  {
    name: 'OK without an end, and silence',
    script: () => [
      { at: 'reply', do: 'say', text: 'stream: OK', end: '' },
      { at: 'reply', do: 'stall' },
    ],
    ends: same('timeout'),
    ...shortBudget,
  },
  {
    name: 'nothing, then EOF',
    script: () => [{ at: 'reply', do: 'close' }],
    ends: same('error'),
    text: /reply: connection closed without a reply/,
  },
)
for (let split = 1; split <= 'stream: OK'.length; split++) {
  rows.push({
    name: `the reply in two, after ${split} bytes`,
    script: () => [{ at: 'reply', do: 'say', text: '{verdict}', split, everyMs: 5 }],
    ends: same('verdict'),
    bytes: 4096,
  })
}
for (let split = 1; split <= 'PORT 1024'.length; split++) {
  rows.push({
    name: `the PORT line in two, after ${split} bytes`,
    script: () => [{ at: 'port', do: 'say', text: 'PORT {port}', split, everyMs: 5 }],
    ends: { stream: 'verdict', auto: 'verdict' },
    bytes: 4096,
  })
}

const failures = [
  'Accept timeout. ERROR',
  'Accept poll. ERROR',
  'read timeout ERROR',
  `Can't find any free port. ERROR`,
  'cli_gentempfd() failed. ERROR',
  'Temporary file -> write ERROR',
  'Error processing command. ERROR',
  `stream: Can't allocate memory ERROR`,
  'stream: Exceeded time limit ERROR',
  'COMMAND UNAVAILABLE',
  'UNKNOWN COMMAND',
  'stream: ERROR',
  ' ERROR',
  'PONG',
  'stream:OK',
  'stream: ok',
  'stream: OK ',
  ' stream: OK',
  'stream: OK\r',
  'Stream: OK',
  '1: stream: OK',
  'fd[10]: OK',
  'stream: FOUND',
  'stream:  FOUND',
  'stream: Some.Virus FOUND ',
  'stream: Some.Virus FOUN',
  'Some.Virus FOUND',
]
for (const text of failures) {
  const shown = text === 'PONG' ? 'pong' : text.trim().replace('\r', '?')
  const isName = text === 'stream:  FOUND'
  rows.push({
    name: `'${text}' as the reply`,
    script: () => [{ at: 'reply', do: 'answer', text }],
    ends: same(isName ? ['found', 'error'] : 'error'),
    ...(isName ? {} : { text: shown }),
    bytes: 4096,
  })
  rows.push({
    name: `'${text}' instead of PORT`,
    script: () => [{ at: 'port', do: 'answer', text }],
    ends: { stream: 'error', auto: 'verdict' },
    bytes: 4096,
  })
  if (text === 'stream: ERROR') {
    for (const when of ['command', 'first', 'middle', 'lastByte'] as const) {
      add(when, `'read timeout ERROR'`, [{ do: 'answer', text: 'read timeout ERROR' }], 'error', {
        bytes: large,
      })
    }
  }
}
for (const when of ['accept', 'command', 'first', 'last', 'reply'] as const) {
  // The one reply that ends in LF whatever the command ended in.
  add(when, 'COMMAND READ TIMED OUT', [{ do: 'answer', text: 'COMMAND READ TIMED OUT', end: '\n' }], 'error')
}
rows.push(
  {
    name: 'the size limit in the middle',
    script: (size) => [
      { at: 'middle', after: middleOf(size), do: 'answer', text: 'INSTREAM size limit exceeded. ERROR' },
    ],
    // Whether the words arrive before our next write breaks is a matter of luck.
    ends: { instream: ['too_large', 'error'] },
    bytes: large,
  },
  {
    name: 'the size limit as the reply',
    script: () => [{ at: 'reply', do: 'answer', text: 'INSTREAM size limit exceeded. ERROR' }],
    ends: { instream: 'too_large' },
    text: 'INSTREAM size limit exceeded',
  },
  {
    name: 'limits that were reached',
    script: () => [{ at: 'reply', do: 'say', text: 'stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND' }],
    ends: same('limits'),
    text: /Heuristics\.Limits\.Exceeded\.MaxScanSize/,
  },
  {
    name: 'a virus without a name',
    script: () => [{ at: 'reply', do: 'say', text: 'stream: (null) FOUND' }],
    ends: same('limits'),
    text: /\(null\)/,
  },
  {
    name: 'a virus',
    script: () => [{ at: 'reply', do: 'say', text: 'stream: Any.Test FOUND' }],
    ends: same('found'),
  },
  { name: 'no scan command at all', script: () => [], ends: same('error'), daemon: { protocols: [] } },
)

for (const line of [
  ...[
    'PORT 0',
    'PORT 65536',
    'PORT 99999',
    'PORT -1',
    'PORT 1e3',
    'PORT 0x400',
    'PORT',
    'PORT ',
    'PORT text',
  ],
  ...['PORT {port} ', 'PORT  {port}', ' PORT {port}', 'port {port}', 'PORT {port}\r', 'PORT {port} {port}'],
  ...['{port}', 'PORT 184467440737095516151024', 'PORT 10.24'],
]) {
  rows.push({
    name: `'${line}' instead of PORT`,
    script: () => [{ at: 'port', do: 'say', text: line }],
    ends: { stream: 'error', auto: 'verdict' },
    daemon: { acceptMs: 1000 },
    bytes: 4096,
  })
}

const strangers: Record<string, (socket: Socket) => void> = {
  'takes it and closes when we do': (socket) => socket.resume().on('end', () => socket.end()),
  'greets and takes it': (socket) =>
    socket
      .resume()
      .on('end', () => socket.end())
      .write('220 ready\r\n'),
  'takes it and never closes': (socket) => socket.resume(),
  'closes at once': (socket) => socket.end(),
  'resets at once': (socket) => socket.resetAndDestroy(),
  'reads nothing': (socket) => socket.pause(),
}
for (const [name, stranger] of Object.entries(strangers)) {
  rows.push({
    name: `the port of somebody else, who ${name}`,
    script: (_, port) => [{ at: 'port', do: 'say', text: `PORT ${port}` }],
    // A reset may come before we know that we are connected; then `auto` has lost nothing yet.
    ends: { stream: 'error', auto: name === 'resets at once' ? ['error', 'verdict'] : 'error' },
    daemon: { acceptMs: 400 },
    scanner: { connectMs: patienceMs },
    bytes: large,
    stranger,
  })
}

async function withStranger<T>(talk: Row['stranger'], use: (port: number) => Promise<T>): Promise<T> {
  if (!talk) return use(0)
  const guests = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    guests.add(socket)
    socket.on('error', () => undefined)
    talk(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    return await use((server.address() as AddressInfo).port)
  } finally {
    for (const guest of guests) guest.destroy()
    server.close()
  }
}

function label(verdict: Verdict, faulty: string): string {
  const what = verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome
  return verdict.clamd === faulty ? what : `${what} by a neighbour`
}

function labelOf(end: End, content: Content, hasNeighbours: boolean): string {
  if (end === 'verdict') return content
  if (end === 'found') return 'infected'
  if (end === 'unclean' && content === 'infected') return 'infected'
  if (end === 'timeout' || end === 'limits') return end
  if (hasNeighbours) return `${content} by a neighbour`
  return end === 'too_large' ? end : 'error'
}

function assertTold(text: string, what: RegExp | string = /./): void {
  if (typeof what === 'string') assert.ok(text.includes(what), `'${what}' is not told: ${text}`)
  else assert.match(text, what)
}

/** What must be true of any scan at all. */
async function checkInvariants(
  scanning: Scanning,
  verdict: Verdict,
  sent: Buffer,
  daemons: readonly FakeClamd[],
  talksOn: boolean,
): Promise<void> {
  assert.deepEqual(scanning.leftovers(), [])
  const by = daemons.find(({ address }) => addressText(address) === verdict.clamd)
  if (verdict.outcome === 'clean') {
    const scan = by?.scans.at(-1)
    assert.ok(scan, 'clean, and nobody has scanned')
    assert.ok(scan.bytes.equals(Buffer.concat([headLine, sent])), 'clean, but not all of it was sent')
    const end = talksOn ? '' : '$'
    assert.match(scan.reply.toString('latin1'), new RegExp(`^(PORT \\d+\n)?stream: OK[\\0\n]${end}`))
    assert.equal(verdict.bytes, sent.length + headLine.length)
  }
  for (const daemon of daemons) {
    await daemon.idle()
    assert.equal(daemon.open, 0)
    assert.deepEqual(daemon.violations, [])
  }
  // With one place for each, every place is free again.
  const tried = new Set<string>()
  for (const daemon of daemons) {
    const lease = await scanning.hosts.take(tried, AbortSignal.timeout(1000))
    assert.ok(lease, `no lease, though there are ${daemons.length} daemons`)
    assert.ok(
      daemons.some(({ address }) => addressText(address) === lease.text),
      addressText(daemon.address),
    )
    tried.add(lease.text)
  }
}

let ownHosts = 0

function ownHost(): string {
  ownHosts++
  return `127.0.${3 + (ownHosts >> 7)}.${1 + (ownHosts & 127)}`
}

async function runCell(row: Row, setting: Setting, content: Content, hasNeighbours: boolean): Promise<void> {
  const faulty = await startFakeClamd({ ...row.daemon, ...(row.hasOwnHost ? { host: ownHost() } : {}) })
  const healthy = hasNeighbours ? [await startFakeClamd(), await startFakeClamd()] : []
  const daemons = [faulty, ...healthy]
  const limits = { maxConcurrent: 1, ...row.scanner }
  const scanning = new Scanning(
    daemons.map(({ address }) => address),
    { protocol: setting, ...limits },
  )
  try {
    await withStranger(row.stranger, async (port) => {
      const bytes = row.bytes ?? usual
      await faulty.play(row.script(bytes, port))
      const sent = message(content, bytes)
      const begin = performance.now()
      const verdict = await scanning.scan(sent)
      const ms = performance.now() - begin
      assert.ok(ms < (limits.scanMs ?? 20_000) + 2000, `${ms} ms`)

      const where = addressText(faulty.address)
      const possible = [row.ends[setting] ?? []].flat().map((end) => labelOf(end, content, hasNeighbours))
      const got = label(verdict, where)
      const why = verdict.outcome === 'unscanned' ? verdict.text : ''
      assert.ok(possible.includes(got), `${got} (${why}), not ${possible.join(' or ')}`)
      if (verdict.outcome === 'unscanned' && verdict.reason !== 'timeout') {
        assertTold(verdict.text, row.text)
        if (verdict.reason === 'error') assertTold(verdict.text, `${where} `)
      }
      if (got.endsWith('by a neighbour')) {
        assertTold(scanning.log.warnings[0] ?? '', row.text)
        assertTold(scanning.log.warnings[0] ?? '', where)
        assert.equal(scanning.log.warnings.length, 1)
      }
      if (verdict.outcome === 'infected' && !got.endsWith('by a neighbour')) {
        assert.match(verdict.virus, /^(Eicar-Test-Signature|\w+\.Test)$/)
      }
      await checkInvariants(scanning, verdict, sent, daemons, row.talksOn ?? false)
    })
  } finally {
    scanning.destroy()
    await Promise.all(daemons.map((daemon) => daemon.stop()))
  }
}

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

describe('faults', { concurrency: 4 }, () => {
  for (const row of rows) {
    test(row.name, async () => {
      const cells = (Object.keys(row.ends) as Setting[]).flatMap((setting) =>
        (['clean', 'infected'] as const).flatMap((content) =>
          [false, true].map((hasNeighbours) => ({ setting, content, hasNeighbours })),
        ),
      )
      const ends = await Promise.allSettled(
        cells.map(({ setting, content, hasNeighbours }) => runCell(row, setting, content, hasNeighbours)),
      )
      const failed = ends.flatMap((end, index) => {
        if (end.status === 'fulfilled') return []
        const { setting, content, hasNeighbours } = cells[index] ?? {}
        const name = `${setting}, ${content}, ${hasNeighbours ? 'three addresses' : 'one address'}`
        return [`${name}: ${(end.reason as Error).message}`]
      })
      assert.ok(failed.length === 0, `\n${failed.join('\n')}`)
    })
  }
})

interface NameRow {
  readonly lookup: (name: string) => Promise<readonly string[]>
  readonly text: RegExp
  readonly warning?: RegExp
}

const unresolved: Record<string, NameRow> = {
  'a name that does not exist': {
    lookup: () => Promise.reject(new Error('getaddrinfo ENOTFOUND clamd.test')),
    text: /resolve: no address/,
    warning: /clamd\.test: getaddrinfo ENOTFOUND/,
  },
  'a name without an address': { lookup: () => Promise.resolve([]), text: /resolve: no address/ },
  'a name server that is silent': {
    lookup: () => new Promise(() => undefined),
    text: /resolve: no address/,
  },
}

describe('resolve', { concurrency: 3 }, () => {
  for (const [name, { lookup, text, warning }] of Object.entries(unresolved)) {
    const unknown: Host = { name: 'clamd.test', port: 3310 }
    test(`${name}: no verdict`, async () => {
      const scanning = new Scanning([unknown], { lookup, connectMs: 300 })
      const verdict = await scanning.scan(message('clean', usual))
      assert.equal(verdict.outcome === 'unscanned' && verdict.reason, 'error')
      assert.match(verdict.outcome === 'unscanned' ? verdict.text : '', text)
      assert.match(scanning.warnings.join(), warning ?? /^$/)
      assert.deepEqual(scanning.leftovers(), [])
    })

    test(`${name}, and two healthy ones: theirs`, async (t) => {
      const healthy = [await startFakeClamd(), await startFakeClamd()]
      t.after(() => Promise.all(healthy.map((daemon) => daemon.stop())))
      const hosts = [unknown, ...healthy.map(({ address }) => address)]
      const scanning = new Scanning(hosts, { lookup, connectMs: 300 })
      const outcomes = []
      for (const content of ['clean', 'infected'] as const) {
        outcomes.push((await scanning.scan(message(content, usual))).outcome)
      }
      assert.deepEqual(outcomes, ['clean', 'infected'])
      assert.deepEqual(scanning.leftovers(), [])
    })
  }

  test('a silent name server is waited for within the budget', async () => {
    const lookup = () => new Promise<never>(() => undefined)
    const scanning = new Scanning([{ name: 'clamd.test', port: 3310 }], { lookup, scanMs: 300 })
    const verdict = await scanning.scan(message('clean', usual))
    assert.equal(verdict.outcome === 'unscanned' && verdict.reason, 'timeout')
    assert.deepEqual(scanning.leftovers(), [])
  })
})

interface Told {
  readonly script: readonly (Step | ConnectDeadEnd)[]
  readonly setting: 'stream' | 'instream'
  readonly text: RegExp
  readonly bytes?: number
}

const timeouts: Record<string, Told> = {
  connect: {
    script: [{ at: 'connect', do: 'blackHole' }],
    setting: 'instream',
    text: /\bconnect\b/,
  },
  'the port': { script: [{ at: 'command', do: 'stall' }], setting: 'stream', text: /\bport\b/ },
  'the data connection': {
    script: [{ at: 'dataConnect', do: 'blackHole' }],
    setting: 'stream',
    text: /\bdata connect\b/,
  },
  // More than the kernel takes off our hands.
  'room for the data, STREAM': {
    script: [{ at: 'first', do: 'freeze' }],
    setting: 'stream',
    text: /\b(send|reply)\b/,
    bytes: 20 * large,
  },
  'room for the data, INSTREAM': {
    script: [{ at: 'first', do: 'freeze' }],
    setting: 'instream',
    text: /\b(send|reply)\b/,
    bytes: 20 * large,
  },
  'the reply, STREAM': { script: [{ at: 'reply', do: 'stall' }], setting: 'stream', text: /\breply\b/ },
  'the reply, INSTREAM': { script: [{ at: 'reply', do: 'stall' }], setting: 'instream', text: /\breply\b/ },
}

describe('a time-out tells address, step and budget', { concurrency: 3 }, () => {
  for (const [name, { script, setting, text, bytes = usual }] of Object.entries(timeouts)) {
    test(`while we wait for ${name}`, async (t) => {
      const daemon = await startFakeClamd({ host: ownHost() })
      t.after(() => daemon.stop())
      await daemon.play(script)
      const scanning = new Scanning([daemon.address], {
        protocol: setting,
        scanMs: 1500,
        maxBytes: 32 * large,
      })
      const verdict = await scanning.scan(message('clean', bytes))
      assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'timeout')
      assert.equal(verdict.clamd, addressText(daemon.address))
      assert.deepEqual(scanning.leftovers(), [])
      assertTold(verdict.text, '1500 ms')
      assertTold(verdict.text, addressText(daemon.address))
      assertTold(verdict.text, text)
    })
  }
})

describe('an error reply is told with the step it came at', () => {
  for (const [at, setting, told] of [
    ['port', 'stream', /\bport: Some trouble\. ERROR/],
    ['reply', 'stream', /\breply: Some trouble\. ERROR/],
    ['reply', 'instream', /\breply: Some trouble\. ERROR/],
  ] as const) {
    test(`${at}, ${setting}`, async (t) => {
      const daemon = await startFakeClamd()
      t.after(() => daemon.stop())
      await daemon.play([{ at, do: 'answer', text: 'Some trouble. ERROR' }])
      const verdict = await new Scanning([daemon.address], { protocol: setting }).scan(
        message('clean', usual),
      )
      assertTold(verdict.outcome === 'unscanned' ? verdict.text : '', told)
    })
  }
})
