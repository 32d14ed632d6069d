// A clamd that fails over a part, after it has called the whole message OK: every way there is, in both protocols and in
// sessions, alone and with two healthy neighbours. Nothing is clean that is not scanned whole and in parts by one address.
import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { noFreePort, receivedLine } from '../../lib/clamd/protocol'
import type { Verdict } from '../../lib/policy/verdict'
import type { Scope } from '../../lib/scan/second-look'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import {
  BufferMessage,
  runningTimers,
  Scanning,
  type ScanningOptions,
  until,
} from '../support/clamd/scanning'
import { type Content, labelOf, type Row, withStranger } from '../support/faults/fault-table'
import { messageWith, part, partRows, playAtParts, usualPart } from '../support/faults/part-table'

const contents = ['clean', 'infected'] as const
const scopes: readonly Scope[] = ['auto', 'parts', 'all']

interface Cell {
  readonly protocol: 'stream' | 'instream'
  readonly sessions: boolean
  readonly content: Content
  readonly hasNeighbours: boolean
}

/** INSTREAM in a session as well. */
function cellsOf({ ends, hangsUp }: Row): Cell[] {
  const cells = (['stream', 'instream'] as const).flatMap((protocol) =>
    contents.map((content, index) => ({ protocol, content, sessions: false, hasNeighbours: index === 1 })),
  )
  const inSession = contents.map((content, index) => {
    return { protocol: 'instream', content, sessions: true, hasNeighbours: index === 0 } as const
  })
  return [...cells, ...(hangsUp ? [] : inSession)].filter(({ protocol }) => ends[protocol] !== undefined)
}

async function runCell(row: Row, scope: Scope, cell: Cell): Promise<void> {
  const { protocol, sessions, content, hasNeighbours } = cell
  const host = row.hasOwnHost ? { host: ownHost() } : {}
  const faulty = await startFakeClamd({ ...row.daemon, ...host, sessions })
  const daemons = [
    faulty,
    ...(hasNeighbours ? [await startFakeClamd({ sessions }), await startFakeClamd({ sessions })] : []),
  ]
  const limits = {
    maxConcurrent: 1,
    connectMs: 10_000,
    sessionTimes: { idleMs: 50 },
    scanMs: 20_000,
    ...row.scanner,
  }
  const hosts = daemons.map(({ address }) => address)
  const scanning = new Scanning(hosts, { protocol, scope, sessions, ...limits })
  try {
    await withStranger(row.stranger, async (port) => {
      const bytes = scope === 'parts' ? Math.max(usualPart, row.bytes ?? 0) : (row.bytes ?? usualPart)
      await playAtParts(faulty, row.script(bytes, port))
      const message = messageWith(content, bytes, 'faults', scope)
      const begin = performance.now()
      const verdict = await scanning.scan(message)
      assert.ok(performance.now() - begin < limits.scanMs + 2000)

      const got = label(verdict, faulty)
      const why = verdict.outcome === 'unscanned' ? verdict.text : scanning.log.warnings.join()
      const possible = possibleEnds(row, cell)
      assert.ok(possible.includes(got), `${got} (${why}), not ${possible.join(' or ')}`)
      if (got === 'error' || got.endsWith('by another address')) {
        assert.match(why, / (part 2.*|PING): /, `the part is named: ${why}`)
        // One that has no port for the moment, or that fails on this message alone, has not failed.
        const isWell = why.includes(noFreePort) || why.includes('it answers PING')
        assert.equal(scanning.hosts.states()[0]?.state, isWell ? 'up' : 'resting', 'the one that failed')
      }
      for (const { state } of scanning.hosts.states().slice(1)) assert.equal(state, 'up', 'its neighbours')
      if (verdict.outcome === 'clean') {
        const by = daemons.find(({ address }) => addressText(address) === verdict.clamd)
        assertScanned(by, [Buffer.concat([receivedLine, message]), part(content, bytes)], scope)
        assert.ok(verdict.readings >= 1)
      }
      if (sessions) await until(() => scanning.open === 0)
      await assertNothingLeft(scanning, daemons)
    })
  } finally {
    scanning.destroy()
    await Promise.all(daemons.map((daemon) => daemon.stop()))
  }
}

let ownHosts = 0

function ownHost(): string {
  ownHosts++
  return `127.0.${5 + (ownHosts >> 7)}.${1 + (ownHosts & 127)}`
}

function label(verdict: Verdict, faulty: FakeClamd): string {
  const what = verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome
  return verdict.clamd === addressText(faulty.address) ? what : `${what} by another address`
}

function possibleEnds(
  { name, ends, lies, talksOn }: Row,
  { protocol, sessions, content, hasNeighbours }: Cell,
) {
  const allowed = [ends[protocol] ?? []].flat()
  const possible = allowed.map((end) => labelOf(end, content, hasNeighbours))
  // Nobody finds anything before the end of a part, and no end of the connection shows what comes behind it.
  if (sessions && allowed.some((end) => end === 'found' || end === 'unclean'))
    possible.push(labelOf('error', content, hasNeighbours))
  if (lies || (sessions && talksOn)) possible.push('clean')
  // A session that is kept accepts no further connection.
  if (sessions && / at (?:accept|connect)$/.test(name)) possible.push(content)
  return possible
}

/** By one and the same: of a message that was taken apart, what is left instead of the whole. */
function assertScanned(by: FakeClamd | undefined, streams: readonly Buffer[], scope: Scope): void {
  for (const stream of scope === 'parts' ? streams.slice(1) : streams)
    assert.ok(
      by?.scans.some(({ bytes, reply }) => bytes.equals(stream) && reply.includes('stream: OK')),
      `clean, and ${stream.length} bytes were not scanned`,
    )
}

async function assertNothingLeft(scanning: Scanning, daemons: readonly FakeClamd[]): Promise<void> {
  assert.deepEqual(scanning.leftovers(), [])
  const tried = new Set<string>()
  for (const daemon of daemons) {
    await daemon.idle()
    assert.equal(daemon.open, 0)
    assert.deepEqual(daemon.violations, [])
    // With one place for each, every place is free again.
    const lease = await scanning.hosts.take(tried, AbortSignal.timeout(1000))
    assert.ok(lease, 'a place is not given back')
    tried.add(lease.text)
  }
}

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

describe('faults over a part', { concurrency: 2 }, () => {
  // All of them meet a real Haraka in test/faults.
  const some = partRows.filter((_, index) => index % 7 === 0)
  for (const [index, row] of some.entries()) {
    const scope = scopes[index % scopes.length] ?? 'auto'
    test(`${row.name}, scan=${scope}`, async () => {
      const cells = cellsOf(row)
      const ends = await Promise.allSettled(cells.map((cell) => runCell(row, scope, cell)))
      const failed = ends.flatMap((end, at) =>
        end.status === 'fulfilled' ? [] : [`${JSON.stringify(cells[at])}: ${(end.reason as Error).message}`],
      )
      assert.ok(failed.length === 0, `\n${failed.join('\n')}`)
    })
  }
})

/** One daemon, or with a neighbour behind it. */
async function start(t: TestContext, options: ScanningOptions, neighbours = 0) {
  const { sessions = false } = options
  const daemons = [await startFakeClamd({ sessions })]
  for (let i = 0; i < neighbours; i++) daemons.push(await startFakeClamd({ sessions }))
  t.after(() => Promise.all(daemons.map((daemon) => daemon.stop())))
  const hosts = daemons.map(({ address }) => address)
  const scanning = new Scanning(hosts, { scope: 'auto', protocol: 'instream', connectMs: 10_000, ...options })
  const [faulty] = daemons
  assert.ok(faulty)
  return { scanning, faulty, daemons }
}

/** Does so when the daemon has a verdict on the whole message, before it is told. */
function afterWhole(faulty: FakeClamd, whole: Buffer, happen: () => unknown): void {
  const { judge } = faulty
  faulty.judge = async (bytes) => {
    const verdict = await judge(bytes)
    if (!bytes.includes(whole)) return verdict
    faulty.judge = judge
    await happen()
    return verdict
  }
}

const blind = () => Promise.resolve('stream: OK')
const ways = [
  { protocol: 'stream', sessions: false },
  { protocol: 'instream', sessions: false },
  { protocol: 'instream', sessions: true },
] as const

describe('between a message and its parts', () => {
  for (const way of ways) {
    const how = way.sessions ? 'in a session' : way.protocol

    test(`the client goes away, ${how}`, async (t) => {
      for (const at of ['command', 'first', 'reply'] as const) {
        const { scanning, faulty, daemons } = await start(t, way)
        await playAtParts(faulty, [{ at, do: 'stall' }])
        const client = new AbortController()
        const scan = scanning.scan(messageWith('infected', usualPart, 'client'), client.signal)
        await until(() => faulty.scans.length === 2)
        client.abort()
        const verdict = await scan
        assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error')
        assert.equal(scanning.hosts.states()[0]?.state, 'up')
        await assertNothingLeft(scanning, daemons)
      }
    })

    test(`the daemon is replaced by a blind one while it fails others, ${how}`, async (t) => {
      const { scanning, faulty, daemons } = await start(t, { ...way, selfTest: true, restMs: 1 }, 1)
      const message = messageWith('infected', usualPart, 'blind')
      afterWhole(faulty, message, async () => {
        faulty.judge = blind
        // Another message meets the restart; the neighbour has a verdict on it.
        faulty.queue([{ at: 'command', do: 'reset' }])
        const others = [messageWith('clean', usualPart, 'a'), messageWith('clean', usualPart, 'b')]
        for (const { outcome } of await Promise.all(others.map((other) => scanning.scan(other))))
          assert.equal(outcome, 'clean')
      })
      const verdict = await scanning.scan(message)
      assert.equal(verdict.outcome, 'infected', JSON.stringify(verdict))
      assert.equal(verdict.clamd, addressText(daemons[1]?.address ?? faulty.address))
      assert.equal(scanning.hosts.states()[0]?.state, 'untrusted')
    })
  }

  test('a session is reset, and a blind daemon is there: it has to find the test file', async (t) => {
    for (const neighbours of [0, 1]) {
      const { scanning, faulty } = await start(t, { ...ways[2], selfTest: true }, neighbours)
      const message = messageWith('infected', usualPart, 'blind')
      afterWhole(faulty, message, () => {
        faulty.judge = blind
        faulty.queue([{ at: 'command', do: 'reset' }])
      })
      const verdict = await scanning.scan(message)
      assert.equal(verdict.outcome, neighbours === 0 ? 'unscanned' : 'infected', JSON.stringify(verdict))
      assert.equal(scanning.hosts.states()[0]?.state, 'untrusted')
    }
  })

  test('no port is free for a part, and then one is: the message is scanned again, parts included', async (t) => {
    const { scanning, faulty } = await start(t, { protocol: 'stream' })
    await faulty.play((scan) => (scan === 1 ? [{ at: 'port', do: 'answer', text: noFreePort }] : []))
    const verdict = await scanning.scan(messageWith('infected', usualPart, 'ports'))
    assert.equal(verdict.outcome, 'infected')
    assert.equal(verdict.part, 'part 2 (base64)')
    assert.deepEqual(
      faulty.scans.map(({ size }) => size > usualPart),
      [true, false, true, false],
    )
  })

  test('a clamd whose StreamMaxLength a part exceeds is not the last that is asked', async (t) => {
    const { scanning, faulty, daemons } = await start(t, { scope: 'parts' }, 1)
    faulty.streamMaxLength = usualPart >> 1
    for (const content of contents) {
      const verdict = await scanning.scan(messageWith(content, usualPart, 'length', 'parts'))
      assert.equal(verdict.outcome, content)
      assert.equal(verdict.clamd, addressText(daemons[1]?.address ?? faulty.address))
    }
    assert.equal(scanning.hosts.states()[0]?.state, 'up')
    await daemons[1]?.stop()
    const verdict = await scanning.scan(messageWith('clean', usualPart, 'length', 'parts'))
    assert.equal(verdict.outcome, 'unscanned')
  })
})

/** In memory it may take as much as all may together. */
class LargeMessage extends BufferMessage {
  override readonly maxBytes = 64 * 1024 * 1024
}

describe('memory for messages that are looked into', () => {
  /** More than what is kept of every message while it is sent. */
  const bytes = 100_000

  test('a message that waits for an address has none that one at the address waits for', async (t) => {
    const { scanning, faulty } = await start(t, {
      scope: 'parts',
      maxConcurrent: 1,
      maxBytes: 25 * 1024 * 1024,
    })
    // Not plain, so that it is not taken apart.
    const odd = messageWith('clean', bytes, 'odd')
    const large = new LargeMessage(messageWith('clean', usualPart, 'large', 'parts'))
    let second: Promise<Verdict> | null = null
    afterWhole(faulty, odd, async () => {
      second = scanning.scan(large)
      await until(() => large.readings > 1 && !large.isOpen)
    })
    const first = await scanning.scan(new LargeMessage(odd))
    assert.equal(first.outcome, 'clean', JSON.stringify(first))
    assert.equal((await (second as Promise<Verdict> | null))?.outcome, 'clean')
  })

  test('an address is not blamed for the time that a message waits for memory', async (t) => {
    const other = await start(t, {})
    await playAtParts(other.faulty, [{ at: 'reply', do: 'stall' }])
    const client = new AbortController()
    const held = other.scanning.scan(new LargeMessage(messageWith('clean', bytes, 'held')), client.signal)
    await until(() => other.faulty.scans.length === 2)

    const { scanning } = await start(t, { scanMs: 1000 })
    const verdict = await scanning.scan(new LargeMessage(messageWith('clean', bytes, 'waits')))
    assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'timeout')
    assert.equal(scanning.hosts.states()[0]?.state, 'up')
    client.abort()
    await held
  })
})
