// The start-up check over real sockets: one line of log for each address, whatever answers there, and nothing left
// behind. What it learns is seen in the first scan that follows.
import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { addressText, type Host } from '../../lib/clamd/address'
import { checkAtStart, type StartupLog, type StartupSettings } from '../../lib/health/startup-check'
import { clamdOrSkip, hasStream, startClamd } from '../support/clamd/clamd'
import { type FakeClamd, type FakeClamdOptions, startFakeClamd } from '../support/clamd/fake-clamd'
import { runningTimers, Scanning, type ScanningOptions, settled, until } from '../support/clamd/scanning'
import { startStreamFront } from '../support/clamd/stream-front'
import { clean } from '../support/smtp/mails'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

type Level = 'info' | 'warn' | 'error'

class Lines implements StartupLog {
  readonly all: { level: Level; text: string }[] = []
  readonly traces: string[] = []
  trace(text: string): void {
    this.traces.push(text)
  }
  info(text: string): void {
    this.all.push({ level: 'info', text })
  }
  warn(text: string): void {
    this.all.push({ level: 'warn', text })
  }
  error(text: string): void {
    this.all.push({ level: 'error', text })
  }
}

interface CheckOptions extends Partial<StartupSettings> {
  readonly signal?: AbortSignal
  readonly scanning?: ScanningOptions
}

/** A check that is under way. */
function check(hosts: readonly Host[], { signal, scanning: more, ...settings }: CheckOptions = {}) {
  const all = { maxPings: 3, pingIntervalMs: 20, connectMs: 2000, protocol: 'auto' as const, ...settings }
  const scanning = new Scanning(hosts, { connectMs: all.connectMs, protocol: all.protocol, ...more })
  const log = new Lines()
  const done = checkAtStart(
    all,
    scanning.hosts,
    scanning.connect,
    log,
    signal ?? new AbortController().signal,
  )
  return { scanning, log, done }
}

/** A check that is over, with nothing left open. */
async function checked(hosts: readonly Host[], options?: CheckOptions) {
  const { scanning, log, done } = check(hosts, options)
  await done
  assert.deepEqual(scanning.leftovers(), [])
  return { scanning, ...told(log), traces: log.traces }
}

/** The lines of failed first tries, and the others. */
function told({ all }: Lines) {
  const isFirst = ({ level, text }: Lines['all'][number]) =>
    level === 'warn' && / try 1 of \d+: .*; next try in \d/.test(text)
  return { firstTries: all.filter(isFirst), lines: all.filter((one) => !isFirst(one)) }
}

async function fake(t: TestContext, options: FakeClamdOptions = {}): Promise<FakeClamd> {
  const daemon = await startFakeClamd(options)
  t.after(() => daemon.stop())
  return daemon
}

const count = (daemon: FakeClamd, name: string) =>
  daemon.commands.filter((command) => command === name).length

test('an address that answers is one line: where, version, protocol', async (t) => {
  const daemon = await fake(t)
  const { lines, scanning } = await checked([daemon.address])
  const where = addressText(daemon.address)
  assert.deepEqual(lines, [
    { level: 'info', text: `clamd ${where} answers: ${daemon.version}, protocol stream` },
  ])
  assert.deepEqual(daemon.commands, ['PING', 'VERSIONCOMMANDS'])
  assert.equal(scanning.sockets.length, 2)
  assert.deepEqual(daemon.violations, [])
  await daemon.idle()
})

test('every address of every host, over IPv4, ::1 and by name, one line each', async (t) => {
  const four = await fake(t)
  const six = await fake(t, { host: '::1' })
  assert.ok('port' in four.address)
  const { port } = four.address
  const second = await fake(t, { host: '127.0.10.1', port })
  const lookup = () => Promise.resolve(['127.0.0.1', '127.0.10.1'])
  const { lines } = await checked([{ name: 'clamd.test', port }, six.address], { scanning: { lookup } })
  assert.equal(lines.length, 3)
  for (const { address } of [four, second, six]) {
    assert.equal(lines.filter(({ text }) => text.includes(addressText(address))).length, 1)
  }
})

test('a real clamd', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const usual = (await hasStream(clamd)) ? 'stream' : 'instream'
  for (const address of [{ host: clamd.host, port: clamd.port }, { path: clamd.socketPath }]) {
    const { lines, scanning } = await checked([address])
    assert.equal(lines.length, 1)
    assert.match(lines[0]?.text ?? '', new RegExp(`answers: ClamAV \\d+\\.\\d+.*, protocol ${usual}$`))
    const sockets = scanning.sockets.length
    const verdict = await scanning.scan(clean())
    assert.deepEqual([verdict.outcome, verdict.protocol], ['clean', usual])
    const connections = usual === 'stream' ? 2 : 1
    assert.equal(scanning.sockets.length, sockets + connections, 'the other protocol is not tried')
  }
})

test('what was learnt is what the first scan speaks', async (t) => {
  for (const [protocols, spoken] of [
    [['STREAM', 'INSTREAM'], 'stream'],
    [['STREAM'], 'stream'],
    [['INSTREAM'], 'instream'],
  ] as const) {
    const daemon = await fake(t, { protocols })
    const { scanning, lines } = await checked([daemon.address])
    assert.match(lines[0]?.text ?? '', new RegExp(`protocol ${spoken}$`))
    const verdict = await scanning.scan(clean())
    assert.deepEqual([verdict.outcome, verdict.protocol], ['clean', spoken])
    assert.deepEqual(daemon.commands, ['PING', 'VERSIONCOMMANDS', spoken.toUpperCase()])
  }
})

test('a configured protocol that the daemon does not have is a warning', async (t) => {
  const daemon = await fake(t, { protocols: ['INSTREAM'] })
  const missing = await checked([daemon.address], { protocol: 'stream' })
  assert.deepEqual(
    missing.lines.map(({ level }) => level),
    ['warn'],
  )
  assert.match(missing.lines[0]?.text ?? '', /STREAM.*protocol=auto/)
  const there = await checked([daemon.address], { protocol: 'instream' })
  assert.deepEqual(
    there.lines.map(({ level }) => level),
    ['info'],
  )
})

test('daemons older than VERSIONCOMMANDS: their version, and the protocol is left to the first message', async (t) => {
  const daemon = await fake(t, { version: 'ClamAV 0.90.1/2500/Thu Feb 1 2007' })
  const old = [
    'UNKNOWN COMMAND',
    daemon.version,
    'COMMAND UNAVAILABLE',
    [{ do: 'close' }],
    [{ do: 'reset' }],
    [{ do: 'garbage', bytes: 6000 }],
  ] as const
  for (const answer of old) {
    daemon.answers.VERSIONCOMMANDS = answer
    const { scanning, lines } = await checked([daemon.address])
    assert.deepEqual(
      lines.map(({ level }) => level),
      ['info'],
    )
    assert.match(lines[0]?.text ?? '', /answers: ClamAV 0\.90\.1\S* .*, protocol not told/)
    assert.deepEqual((await scanning.scan(clean())).protocol, 'stream')
  }
})

test('a front that is older than VERSIONCOMMANDS, with a real clamd behind it', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const front = await startStreamFront({
    clamd: { host: clamd.host, port: clamd.port },
    versionCommands: false,
    engine: '0.94.2',
  })
  t.after(() => front.stop())
  const { lines } = await checked([front.address])
  assert.match(lines[0]?.text ?? '', /answers: ClamAV 0\.94\.2.*, protocol not told/)
})

test('a daemon that answers PING and no question about itself is alive', async (t) => {
  const daemon = await fake(t)
  for (const answer of ['COMMAND UNAVAILABLE', [{ do: 'close' }], [{ do: 'reset' }]] as const) {
    daemon.answers.VERSIONCOMMANDS = answer
    daemon.answers.VERSION = answer
    const { lines } = await checked([daemon.address], { maxPings: 1 })
    assert.deepEqual(
      lines.map(({ level }) => level),
      ['info'],
      lines[0]?.text,
    )
    assert.match(lines[0]?.text ?? '', /answers: version unknown/)
  }
})

test('VERSIONCOMMANDS in many small segments', async (t) => {
  const daemon = await fake(t)
  daemon.answers.VERSIONCOMMANDS = [
    { do: 'say', text: `${daemon.version}| COMMANDS: SCAN INSTREAM`, split: 'bytes' },
  ]
  const { lines } = await checked([daemon.address])
  assert.match(lines[0]?.text ?? '', /protocol instream$/)
})

test('max_pings tries, ping_interval apart, then one error', async (t) => {
  const daemon = await fake(t)
  daemon.answers.PING = [{ do: 'close' }]
  for (const maxPings of [1, 2, 4]) {
    daemon.commands.length = 0
    const times: number[] = []
    const { lines, firstTries } = await checked([daemon.address], { maxPings, pingIntervalMs: 60 })
    assert.deepEqual(
      firstTries.map(({ text }) => text.replace(/^.*, try/, 'try')),
      maxPings === 1
        ? []
        : [`try 1 of ${maxPings}: reply: connection closed without a reply; next try in 60ms`],
    )
    for (let i = 0; i < maxPings; i++) times.push(await daemon.seen('PING'))
    assert.deepEqual(
      daemon.commands,
      Array.from({ length: maxPings }, () => 'PING'),
    )
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
    assert.ok(
      gaps.every((gap) => gap > 50),
      gaps.join(),
    )
    assert.equal(lines.length, 1)
    assert.equal(lines[0]?.level, 'error')
    assert.ok(lines[0].text.includes(addressText(daemon.address)))
    assert.match(
      lines[0].text,
      new RegExp(`after ${maxPings} tries: reply: connection closed without a reply`),
    )
  }
})

test('an address that comes up later is found by a later try', async (t) => {
  const daemon = await fake(t, { host: '127.0.10.2' })
  // Something that keeps the process going between the tries, as a server does.
  await fake(t)
  await daemon.play([{ at: 'connect', do: 'refuse' }])
  const { log, done, scanning } = check([daemon.address], { maxPings: 100 })
  await until(() => log.traces.length >= 2)
  await daemon.play([])
  await done
  const { lines, firstTries } = told(log)
  assert.match(firstTries[0]?.text ?? '', /^clamd 127\.0\.10\.2:\d+, try 1 of 100: connect: .*ECONNREFUSED/)
  assert.deepEqual([firstTries.length, lines.length, lines[0]?.level], [1, 1, 'info'])
  assert.equal(count(daemon, 'PING'), 1)
  assert.deepEqual(scanning.leftovers(), [])
})

const notPong: Record<string, FakeClamd['answers']['PING']> = {
  'another word': 'PING',
  'lower case': 'pong',
  'more than PONG': 'PONG PONG',
  nothing: '',
  OK: 'stream: OK',
  'an error': 'COMMAND READ TIMED OUT',
  'a refusal': 'UNKNOWN COMMAND',
  noise: [{ do: 'garbage', bytes: 100 }],
  'a lot of noise': [{ do: 'garbage', bytes: 1024 * 1024 }],
  'a lot of noisy lines': [{ do: 'garbage', bytes: 1024 * 1024, terminators: true }],
  'half a PONG': [{ do: 'say', text: 'PO', end: '' }],
  'PONG without an end': [{ do: 'answer', text: 'PONG', end: '' }],
  'a reset': [{ do: 'reset' }],
}
for (const [name, answer] of Object.entries(notPong)) {
  test(`PONG is PONG: ${name} is an error, told in printable words`, async (t) => {
    const daemon = await fake(t)
    daemon.answers.PING = answer
    const { lines } = await checked([daemon.address], { maxPings: 2 })
    assert.deepEqual(
      lines.map(({ level }) => level),
      ['error'],
    )
    assert.match(
      lines[0]?.text ?? '',
      /^clamd 127\.0\.0\.1:\d+ does not answer after 2 tries: [\x20-\x7e]{1,400}$/,
    )
    assert.equal(count(daemon, 'PING'), 2)
  })
}

test('PONG byte by byte is PONG', async (t) => {
  const daemon = await fake(t)
  daemon.answers.PING = [{ do: 'say', text: 'PONG', split: 'bytes' }]
  const { lines } = await checked([daemon.address], { maxPings: 1 })
  assert.equal(lines[0]?.level, 'info')
})

test('dead addresses hide no other and take no longer than their limits', async (t) => {
  const alive = await fake(t)
  const refused = await fake(t, { host: '127.0.10.3' })
  const hole = await fake(t, { host: '127.0.10.4' })
  const silent = await fake(t)
  const dribbling = await fake(t)
  await refused.play([{ at: 'connect', do: 'refuse' }])
  await hole.play([{ at: 'connect', do: 'blackHole' }])
  silent.answers.PING = [{ do: 'stall' }]
  dribbling.answers.PING = [{ do: 'garbage', bytes: 4000, split: 'bytes', everyMs: 20 }]
  const all = [refused, hole, silent, dribbling, alive]
  const begin = performance.now()
  const { lines, scanning } = await checked(
    all.map(({ address }) => address),
    { maxPings: 2, connectMs: 1000 },
  )
  assert.ok(performance.now() - begin < 8000)
  assert.equal(lines.length, all.length)
  const positionOf = (daemon: FakeClamd) =>
    lines.findIndex(({ text }) => text.includes(`${addressText(daemon.address)} `))
  assert.ok(positionOf(alive) < positionOf(silent), 'the one that lives waits for nobody')
  const lineOf = (daemon: FakeClamd) => lines[positionOf(daemon)]?.text
  assert.match(lineOf(alive) ?? '', /answers/)
  assert.match(lineOf(refused) ?? '', /after 2 tries: connect: .*ECONNREFUSED/)
  assert.match(lineOf(hole) ?? '', /after 2 tries: connect: no connection within 1000 ms/)
  assert.match(lineOf(silent) ?? '', /after 2 tries: reply: no reply within 1000 ms/)
  assert.match(lineOf(dribbling) ?? '', /after 2 tries: reply: no reply within 1000 ms/)
  // And the first message knows.
  const verdict = await scanning.scan(clean())
  assert.equal(verdict.clamd, addressText(alive.address))
  assert.equal(scanning.log.warnings.length, 0)
})

test('a name that is not found yet is looked up again', async (t) => {
  const daemon = await fake(t)
  assert.ok('port' in daemon.address)
  const { port } = daemon.address
  let lookups = 0
  const lookup = () =>
    ++lookups < 3 ? Promise.reject(new Error('ENOTFOUND')) : Promise.resolve(['127.0.0.1'])
  const { lines } = await checked([{ name: 'clamd.test', port }], { scanning: { lookup } })
  assert.equal(lookups, 3)
  assert.deepEqual(
    lines.map(({ level }) => level),
    ['info'],
  )
})

test('a name that is never found is one error', async (t) => {
  await fake(t)
  let lookups = 0
  const lookup = () => {
    lookups++
    return Promise.reject(new Error('ENOTFOUND'))
  }
  const { lines, scanning } = await checked([{ name: 'clamd.test', port: 3310 }], { scanning: { lookup } })
  assert.equal(lookups, 3)
  assert.deepEqual(
    lines.map(({ level }) => level),
    ['error'],
  )
  assert.match(scanning.warnings.join(), /clamd\.test: ENOTFOUND/)
})

test('a name server that is silent hides no other host', async (t) => {
  const daemon = await fake(t)
  const lookup = () => new Promise<never>(() => undefined)
  const { lines } = await checked([{ name: 'clamd.test', port: 3310 }, daemon.address], {
    maxPings: 2,
    connectMs: 200,
    scanning: { lookup },
  })
  assert.ok(
    lines.some(({ level, text }) => level === 'info' && text.includes(addressText(daemon.address))),
    JSON.stringify(lines),
  )
})

test('max_pings 0: no connection, no look-up, no line', async (t) => {
  const daemon = await fake(t)
  let lookups = 0
  const lookup = () => {
    lookups++
    return Promise.resolve([])
  }
  const hosts: Host[] = [{ name: 'clamd.test', port: 3310 }, daemon.address]
  const { lines, traces, scanning } = await checked(hosts, { maxPings: 0, scanning: { lookup } })
  assert.deepEqual([lines, traces, lookups, scanning.sockets.length, daemon.connections], [[], [], 0, 0, 0])
})

for (const name of ['PING', 'VERSIONCOMMANDS', 'VERSION'] as const) {
  test(`an abort while ${name} is not answered ends it all at once, without a line`, async (t) => {
    const daemon = await fake(t)
    if (name === 'VERSION') daemon.answers.VERSIONCOMMANDS = 'UNKNOWN COMMAND'
    daemon.answers[name] = [{ do: 'stall' }]
    const stop = new AbortController()
    const { scanning, log, done } = check([daemon.address], { signal: stop.signal })
    await daemon.seen(name)
    const sockets = scanning.sockets.length
    stop.abort()
    await done
    await settled()
    assert.deepEqual(scanning.leftovers(), [])
    assert.equal(scanning.sockets.length, sockets, 'connected again after the end')
    assert.deepEqual(log.all, [])
    await daemon.idle()
  })
}

test('an abort while connecting, between two tries, while a name is looked up, or before it all', async (t) => {
  const hole = await fake(t, { host: '127.0.10.5' })
  await hole.play([{ at: 'connect', do: 'blackHole' }])
  const closing = await fake(t)
  closing.answers.PING = [{ do: 'close' }]
  const lookup = () => new Promise<never>(() => undefined)
  const before = AbortSignal.abort()
  const cases: [Host, (log: Lines, sockets: number) => boolean][] = [
    [hole.address, (_, sockets) => sockets === 1],
    [closing.address, ({ all }) => all.some(({ text }) => text.includes('try 1'))],
    [{ name: 'clamd.test', port: 3310 }, () => true],
  ]
  for (const [host, isThere] of cases) {
    const stop = new AbortController()
    const options = { signal: stop.signal, pingIntervalMs: 60_000, connectMs: 60_000, scanning: { lookup } }
    const { scanning, log, done } = check([host], options)
    await until(() => isThere(log, scanning.sockets.length))
    const sockets = scanning.sockets.length
    stop.abort()
    await done
    await settled()
    assert.deepEqual(scanning.leftovers(), [])
    assert.equal(scanning.sockets.length, sockets)
    assert.deepEqual(told(log).lines, [])
  }
  const { scanning, lines } = await checked([closing.address], { signal: before })
  assert.deepEqual([lines, scanning.sockets.length], [[], 0])
})

test('mail is scanned while the check goes on', async (t) => {
  const daemon = await fake(t)
  const silent = await fake(t)
  silent.answers.PING = [{ do: 'stall' }]
  const stop = new AbortController()
  const { scanning, done } = check([daemon.address, silent.address], { signal: stop.signal })
  await silent.seen('PING')
  const outcomes = [await scanning.scan(clean()), await scanning.scan(clean())].map(({ outcome }) => outcome)
  assert.deepEqual(outcomes, ['clean', 'clean'])
  stop.abort()
  await done
})
