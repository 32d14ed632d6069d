// Several messages over one connection (IDSESSION): each has the verdict on itself, whatever the daemon says and
// whenever the connection goes; what is kept goes by itself; and only a connection that was made anew is held against
// its address.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import path from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Address } from '../../lib/clamd/address'
import { CommandConnection } from '../../lib/clamd/connection'
import { ClamdError } from '../../lib/clamd/errors'
import { receivedLine } from '../../lib/clamd/protocol'
import { defaultSessionTimes, SessionPool } from '../../lib/clamd/session-pool'
import type { Verdict } from '../../lib/policy/verdict'
import { type ClamdOptions, clamdOrSkip, type RealClamd, startClamd } from '../support/clamd/clamd'
import type { Act, Moment, Script, Step } from '../support/clamd/clamd-script'
import { type FakeClamd, type FakeClamdOptions, startFakeClamd } from '../support/clamd/fake-clamd'
import {
  BufferMessage,
  offerOfSessions,
  runningTimers,
  Scanning,
  type ScanningOptions,
  until,
} from '../support/clamd/scanning'
import { testSignatures } from '../support/eicar'
import { type Content, large, message } from '../support/faults/fault-table'
import { TemporaryDirectory } from '../support/process'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

/** Longer than any test, so that nothing is closed for its age, or for somebody's who waits. */
const longMs = 600_000
const longTimes = { idleMs: longMs, slowReplyMs: longMs }
let ids = 0

function letter(content: Content, bytes = 2000): Buffer {
  return message(content, bytes, `session-${++ids}`)
}

const contents: readonly Content[] = ['clean', 'infected']

function scanningOf(t: TestContext, addresses: readonly Address[], options: ScanningOptions = {}): Scanning {
  const scanning = new Scanning(addresses, {
    protocol: 'instream',
    sessions: true,
    sessionTimes: longTimes,
    ...options,
  })
  t.after(() => scanning.destroy())
  return scanning
}

/** A daemon that has sessions, and a scanner that knows it. */
async function site(t: TestContext, options: ScanningOptions = {}, ways: FakeClamdOptions = {}) {
  const daemon = await startFakeClamd({ sessions: true, ...ways })
  const scanning = scanningOf(t, [daemon.address], options)
  t.after(() => daemon.stop())
  return { daemon, scanning }
}

const wordOf = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome)
const textOf = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.text : '')

async function assertVerdict(scanning: Scanning, content: Content, bytes?: number): Promise<BufferMessage> {
  const source = new BufferMessage(letter(content, bytes))
  const verdict = await scanning.scan(source)
  assert.equal(verdict.outcome, content, textOf(verdict))
  assert.equal(verdict.bytes, receivedLine.length + source.bytes.length)
  return source
}

/** A proxy that serves one connection at a time, and has the others wait. */
async function startNarrowDoor(t: TestContext, to: Address): Promise<Address> {
  const queue: Socket[] = []
  let isTaken = false
  const serve = () => {
    const client = isTaken ? undefined : queue.shift()
    if (!client) return
    isTaken = true
    const daemon = connect('path' in to ? to : { ...to })
    client.pipe(daemon).pipe(client)
    daemon.on('error', () => client.destroy())
    client.on('end', () => client.destroy())
    client.on('close', () => {
      daemon.destroy()
      isTaken = false
      serve()
    })
  }
  const server = createServer((client) => {
    client.on('error', () => undefined)
    queue.push(client)
    serve()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const place = server.address()
  return { host: '127.0.0.1', port: typeof place === 'object' ? (place?.port ?? 0) : 0 }
}

test('a connection that is kept does not hold up those that wait for its place, whatever comes meanwhile', async (t) => {
  const { daemon } = await site(t)
  const door = await startNarrowDoor(t, daemon.address)
  const scanning = scanningOf(t, [door], { scanMs: 10_000, sessionTimes: defaultSessionTimes })
  let waiting = 6
  const burst = Array.from({ length: waiting }, () =>
    assertVerdict(scanning, 'clean').finally(() => waiting--),
  )
  const flow: Promise<unknown>[] = []
  while (waiting > 0) {
    flow.push(assertVerdict(scanning, 'infected'))
    await delay(10)
  }
  await Promise.all([...burst, ...flow])
  assert.deepEqual(scanning.log.warnings, [])
})

/** Nobody was blamed, and nothing but kept connections is left. */
function assertWell(scanning: Scanning, daemon?: FakeClamd): void {
  assert.deepEqual(scanning.log.warnings, [])
  assert.deepEqual(
    scanning.hosts.states().map(({ state }) => state),
    scanning.hosts.states().map(() => 'up'),
  )
  const open = scanning.open
  assert.deepEqual(scanning.leftovers(), open === 0 ? [] : [`${open} sockets`])
  if (daemon) assert.deepEqual(daemon.violations, [])
}

/** The script for one scan alone, counted from 0. */
function onlyAt(number: number, ...steps: Step[]): (scan: number) => Script {
  return (scan) => (scan === number ? steps : [])
}

function onlySocket(scanning: Scanning): Socket {
  const [socket, ...others] = scanning.sockets.filter(({ destroyed }) => !destroyed)
  assert.ok(socket && others.length === 0)
  return socket
}

describe('one connection', () => {
  test('message after message, each with its own bytes and its own verdict', async (t) => {
    const { daemon, scanning } = await site(t)
    const sent: Buffer[] = []
    let listeners: number | undefined
    for (const content of ['infected', 'clean', 'clean', 'infected', 'clean'] as const) {
      for (const bytes of [2000, large]) sent.push((await assertVerdict(scanning, content, bytes)).bytes)
      const socket = onlySocket(scanning)
      const now = socket.eventNames().reduce((sum, name) => sum + socket.listenerCount(name), 0)
      assert.equal((listeners ??= now), now, 'listeners grow with the messages')
    }
    assert.equal(daemon.connections, 1)
    assert.deepEqual(
      daemon.scans.map(({ inSession }) => inSession),
      sent.map((_, index) => index + 1),
    )
    for (const [index, bytes] of sent.entries()) {
      assert.ok(daemon.scans[index]?.bytes.equals(Buffer.concat([receivedLine, bytes])))
    }
    assertWell(scanning, daemon)
  })

  test('a daemon of which nothing is known gets one for each message', async (t) => {
    const { daemon, scanning } = await site(t, { sessions: false })
    for (const content of contents) await assertVerdict(scanning, content)
    assert.equal(daemon.connections, 2)
    assert.ok(!daemon.commands.includes('IDSESSION'))
    assert.deepEqual(scanning.leftovers(), [])
  })

  test('each address has its own', async (t) => {
    const daemons = [await startFakeClamd({ sessions: true }), await startFakeClamd({ sessions: true })]
    t.after(() => Promise.all(daemons.map((daemon) => daemon.stop())))
    const scanning = scanningOf(
      t,
      daemons.map(({ address }) => address),
    )
    for (let i = 0; i < 8; i++) await assertVerdict(scanning, contents[(i >> 1) % 2] ?? 'clean')
    assert.deepEqual(
      daemons.map(({ connections, scans }) => [connections, scans.length]),
      [
        [1, 4],
        [1, 4],
      ],
    )
    assertWell(scanning)
  })

  for (const maxConcurrent of [3, 0]) {
    test(`50 messages at once, max_concurrent ${maxConcurrent}`, async (t) => {
      const { daemon, scanning } = await site(t, { maxConcurrent })
      for (let round = 0; round < 2; round++) {
        const all = Array.from({ length: 50 }, (_, i) => contents[i % 2] ?? 'clean')
        await Promise.all(all.map((content, i) => assertVerdict(scanning, content, 2000 + i * 1000)))
        const open = daemon.open
        assert.ok(scanning.open <= (maxConcurrent || 4), `${scanning.open} of ${open} are kept`)
      }
      assert.equal(daemon.scans.length, 100)
      if (maxConcurrent > 0) assert.equal(daemon.connections, maxConcurrent)
      else assert.ok(daemon.connections <= 96)
      assertWell(scanning, daemon)
    })
  }

  for (let split = 1; split <= '2: stream: OK'.length; split++) {
    test(`the reply in two, after ${split} bytes`, async (t) => {
      const { daemon, scanning } = await site(t)
      await daemon.play([{ at: 'reply', do: 'say', text: '{verdict}', split, everyMs: 5 }])
      for (const content of ['clean', 'infected', 'clean'] as const) await assertVerdict(scanning, content)
      assert.equal(daemon.connections, 1)
      assertWell(scanning, daemon)
    })
  }

  test('the reply byte by byte', async (t) => {
    const { daemon, scanning } = await site(t)
    await daemon.play([{ at: 'reply', do: 'say', text: '{verdict}', split: 'bytes' }])
    for (const content of ['clean', 'infected', 'clean'] as const) await assertVerdict(scanning, content)
    assert.equal(daemon.connections, 1)
  })
})

describe('while nothing is to be scanned', () => {
  test('a connection is kept for a quarter of a second', async (t) => {
    const { scanning } = await site(t, { sessionTimes: defaultSessionTimes })
    await assertVerdict(scanning, 'clean')
    const socket = onlySocket(scanning)
    assert.equal(socket.timeout, 250)
    const next = scanning.scan(letter('clean', large))
    await until(() => socket.timeout === 0)
    await next
    assert.equal(socket.timeout, 250)
  })

  test('it is closed by us, and nothing is left', async (t) => {
    const { daemon, scanning } = await site(t, { sessionTimes: { ...longTimes, idleMs: 20 } })
    for (let round = 1; round <= 3; round++) {
      await assertVerdict(scanning, 'clean')
      const last = scanning.sockets.at(-1)
      if (last?.destroyed === false) await once(last, 'close')
      await daemon.idle()
      assert.deepEqual(scanning.leftovers(), [])
    }
    assert.equal(daemon.connections, 3)
    assertWell(scanning, daemon)
  })

  test('it does not keep the process alive', async (t) => {
    const daemon = await startFakeClamd({ sessions: true })
    t.after(() => daemon.stop())
    const support = path.resolve(__dirname, '..', 'support', 'clamd', 'scanning')
    const program = `
      const { Scanning } = require(${JSON.stringify(support)})
      const scanning = new Scanning([${JSON.stringify(daemon.address)}],
        { protocol: 'instream', sessions: true, sessionTimes: { idleMs: ${longMs} } })
      scanning.scan(Buffer.from('Subject: one\\r\\n\\r\\n')).then(({ outcome }) =>
        console.log(outcome, scanning.open))`
    const child = spawn(process.execPath, ['--import', 'tsx', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.after(() => child.kill('SIGKILL'))
    let said = ''
    child.stdout.on('data', (text: Buffer) => (said += text.toString()))
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
    const [code] = (await once(child, 'close')) as [number | null]
    clearTimeout(timer)
    assert.deepEqual([said.split('\n')[0], code], ['clean 1', 0])
  })

  for (const [name, text, end] of [
    ['the next verdict, clean', '2: stream: OK', '\0'],
    ['the next verdict, infected', '2: stream: Early.Test FOUND', '\0'],
    ['half of the next verdict', '2: strea', ''],
    ['the last one once more', '1: stream: OK', '\0'],
    ['one without a number', 'stream: OK', '\0'],
    ['COMMAND READ TIMED OUT', 'COMMAND READ TIMED OUT', '\n'],
    ['an error', '2: Some trouble. ERROR', '\0'],
  ] as const) {
    const words: Act = { do: 'say', text, end, number: null }
    const isSaidOfNext = text.startsWith('2: ')
    for (const content of contents) {
      test(`${name} comes unasked, and then ${content} mail`, async (t) => {
        const { daemon, scanning } = await site(t)
        await daemon.play(onlyAt(0, { at: 'close', do: 'wait', ms: 5 }, { at: 'close', ...words }))
        await assertVerdict(scanning, 'clean')
        const socket = onlySocket(scanning)
        const before = socket.bytesRead
        await until(() => socket.destroyed || socket.bytesRead > before)
        const { readings } = await assertVerdict(scanning, content, 20_000)
        assert.equal(readings, 1)
        assert.equal(daemon.connections, 2)
        assert.ok(socket.destroyed)
        assertWell(scanning, daemon)
      })

      test(`${name} comes unasked, with ${content} mail on its way`, async (t) => {
        const { daemon, scanning } = await site(t, { maxBytes: 17 * large })
        await daemon.play(onlyAt(1, { at: 'command', ...words }))
        await assertVerdict(scanning, 'clean')
        // More than the kernel takes off our hands, so that the end of it has not been sent.
        const verdict = await scanning.scan(letter(content, 16 * large))
        // Under the right number, and not a verdict: that is the daemon's answer, as far as anybody can tell.
        const ends = isSaidOfNext ? [content, 'error'] : [content]
        assert.ok(ends.includes(wordOf(verdict)), textOf(verdict))
        if (verdict.outcome === content) assert.equal(daemon.connections, 2)
      })
    }
  }

  test('one that the daemon has closed is not taken', async (t) => {
    const { daemon, scanning } = await site(t)
    await daemon.play(onlyAt(0, { at: 'close', do: 'close' }))
    await assertVerdict(scanning, 'clean')
    await until(() => scanning.open === 0)
    const { readings } = await assertVerdict(scanning, 'infected')
    assert.equal(readings, 1)
    assertWell(scanning, daemon)
  })

  test('one that we are about to close is not taken', async (t) => {
    const { daemon, scanning } = await site(t)
    await assertVerdict(scanning, 'clean')
    onlySocket(scanning).emit('timeout')
    const { readings } = await assertVerdict(scanning, 'infected')
    assert.deepEqual([readings, daemon.connections], [1, 2])
    assertWell(scanning, daemon)
  })

  test('nothing of a message is kept with it', async (t) => {
    const { scanning } = await site(t)
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const gone: WeakRef<ArrayBufferLike>[] = []
    const sockets = new Set<Socket>()
    const send = async () => {
      const bytes = Buffer.from(letter('clean', large))
      gone.push(new WeakRef(bytes.buffer))
      assert.equal(
        (await scanning.scanner.scan(new BufferMessage(bytes), new AbortController().signal, scanning.log))
          .outcome,
        'clean',
      )
      sockets.add(onlySocket(scanning))
    }
    for (let i = 0; i < 3; i++) await send()
    await until(() => {
      collect()
      return gone.every((buffer) => buffer.deref() === undefined)
    })
    assert.equal(sockets.size, 1)
  })
})

/** A kept connection goes at every moment of the second message, for which it is used. */
const moments: readonly (Moment | 'lastByte')[] = [
  ...(['command', 'first', 'middle', 'lastByte', 'last', 'terminator', 'reply'] as const),
]

function stepAt(when: Moment | 'lastByte', act: Act, bytes: number): Step {
  if (when === 'lastByte') return { at: 'middle', after: bytes, ...act }
  return when === 'middle' ? { at: 'middle', after: bytes >> 2, ...act } : { at: when, ...act }
}

describe('a kept connection that is no good any more', { concurrency: 4 }, () => {
  const ends: Record<string, readonly Act[]> = {
    close: [{ do: 'close' }],
    reset: [{ do: 'reset' }],
    'half-close': [{ do: 'halfClose' }],
    'COMMAND READ TIMED OUT': [{ do: 'answer', text: 'COMMAND READ TIMED OUT', end: '\n', number: null }],
    'half a reply': [{ do: 'answer', text: '{verdict}', end: '' }],
    'half a reply, and a reset': [{ do: 'say', text: 'stream: O', end: '' }, { do: 'reset' }],
  }
  for (const [name, acts] of Object.entries(ends)) {
    for (const when of moments) {
      for (const content of contents) {
        test(`${name} at ${when}, ${content}: scanned anew, from its first byte`, async (t) => {
          const { daemon, scanning } = await site(t)
          await daemon.play(onlyAt(1, ...acts.map((act) => stepAt(when, act, large))))
          await assertVerdict(scanning, 'clean')
          const { readings, bytes } = await assertVerdict(scanning, content, large)
          assert.equal(readings, 2)
          assert.equal(daemon.connections, 2)
          assert.deepEqual(
            daemon.scans.map(({ inSession }) => inSession),
            [1, 2, 1],
          )
          assert.ok(daemon.scans[2]?.bytes.equals(Buffer.concat([receivedLine, bytes])))
          assert.equal(scanning.open, 1)
          assertWell(scanning, daemon)
        })
      }
    }
  }

  test('who hangs up on sessions only gets a connection for each message, until it is another release', async (t) => {
    const { daemon, scanning } = await site(t)
    const looked = (release: string) => scanning.clamd.learn(daemon.address, offerOfSessions(release))
    looked('ClamAV 1.4.6')
    await daemon.play(onlyAt(0, { at: 'command', do: 'close' }))
    assert.equal((await assertVerdict(scanning, 'infected')).readings, 2)
    looked('ClamAV 1.4.6')
    await assertVerdict(scanning, 'clean')
    looked('ClamAV 1.4.7')
    await assertVerdict(scanning, 'clean')
    assert.deepEqual(
      daemon.scans.map(({ inSession }) => inSession),
      [1, null, null, 1],
    )
    assertWell(scanning, daemon)
  })

  for (const nth of [0, 1]) {
    test(`clamd's time limit in message ${nth + 1} of a session is the session's: ${nth === 0 ? 'it' : 'the next one'} is scanned by itself`, async (t) => {
      const { daemon, scanning } = await site(t)
      const limit = { do: 'answer', text: 'COMMAND READ TIMED OUT', end: '\n', number: null } as const
      await daemon.play(onlyAt(nth, { at: 'reply', do: 'wait', ms: 1100 }, { at: 'reply', ...limit }))
      for (let i = 0; i < nth; i++) await assertVerdict(scanning, 'clean')
      await assertVerdict(scanning, 'infected')
      await assertVerdict(scanning, 'clean')
      assert.deepEqual(
        daemon.scans.map(({ inSession }) => inSession),
        [...(nth === 0 ? [] : [1]), nth + 1, null, null],
      )
      assertWell(scanning, daemon)
    })
  }

  for (const content of contents) {
    test(`reset before our command, unseen, ${content}`, async (t) => {
      const { daemon, scanning } = await site(t)
      await assertVerdict(scanning, 'clean')
      const reset = daemon.resetAll()
      await assertVerdict(scanning, content)
      await reset
      assert.equal(daemon.connections, 2)
      assertWell(scanning, daemon)
    })

    test(`several kept, and a restart: one is found out, ${content}`, async (t) => {
      const { daemon, scanning } = await site(t)
      await Promise.all(contents.map((one) => assertVerdict(scanning, one, large)))
      assert.equal(scanning.open, 2)
      await daemon.play(onlyAt(0, { at: 'command', do: 'close' }))
      await assertVerdict(scanning, content)
      assert.equal(daemon.connections, 3)
      assert.equal(scanning.open, 1, 'the other one is as old')
      assertWell(scanning, daemon)
    })
  }

  const odd: Record<string, readonly Act[]> = {
    'the number before': [{ do: 'say', text: '{verdict}', number: 1 }],
    'the number behind': [{ do: 'say', text: '{verdict}', number: 3 }],
    'a longer number': [{ do: 'say', text: '{verdict}', number: 22 }],
    'no number': [{ do: 'say', text: '{verdict}', number: null }],
    'a number with a space': [{ do: 'say', text: ' 2: {verdict}', number: null }],
    'two replies in one write': [{ do: 'say', text: '{verdict}\x002: {verdict}' }],
    'two replies, one without an end': [{ do: 'say', text: '{verdict}\x003: stre', end: '' }],
    'OK and FOUND in one write': [{ do: 'say', text: 'stream: OK\x002: stream: Second.Test FOUND' }],
    'an empty line': [{ do: 'say', text: '', number: null }],
    'no command of that name': [{ do: 'answer', text: 'UNKNOWN COMMAND', number: null }],
    'a limit of somebody else': [{ do: 'answer', text: 'INSTREAM size limit exceeded. ERROR', number: null }],
    garbage: [{ do: 'garbage', bytes: 10_000, terminators: true }],
    'garbage without end': [{ do: 'garbage', bytes: 10_000 }],
  }
  for (const [name, acts] of Object.entries(odd)) {
    const steps = acts.map((act): Step => ({ at: 'reply', ...act }))
    for (const content of contents) {
      test(`${name}: asked anew, ${content}`, async (t) => {
        const { daemon, scanning } = await site(t)
        await daemon.play(onlyAt(1, ...steps))
        await assertVerdict(scanning, 'clean')
        const { readings } = await assertVerdict(scanning, content)
        assert.deepEqual([readings, daemon.connections, scanning.open], [2, 2, 1])
        assertWell(scanning, daemon)
      })
      // On a new connection that number is the right one; where there is none, it is a reply like any other.
      if (['the number before', 'the number behind', 'a longer number'].includes(name)) continue
      test(`${name}, anew as well: no verdict, and the address rests, ${content}`, async (t) => {
        const { daemon, scanning } = await site(t)
        await daemon.play((scan) => (scan === 0 ? [] : steps))
        await assertVerdict(scanning, 'clean')
        const verdict = await scanning.scan(letter(content))
        assert.equal(
          wordOf(verdict),
          name.startsWith('a limit') ? 'too_large' : 'error',
          JSON.stringify(verdict),
        )
        assert.equal(scanning.open, 0)
        if (!name.startsWith('a limit')) assert.equal(scanning.hosts.states()[0]?.state, 'resting')
      })
    }
  }

  for (const at of ['command', 'first', 'middle'] as const) {
    for (const said of ['stream: OK', 'stream: Early.Test FOUND']) {
      for (const content of contents) {
        const early = stepAt(at, { do: 'say', text: said }, large)
        test(`${said} before the end of ${content} mail, at ${at}: not believed`, async (t) => {
          const { daemon, scanning } = await site(t, { maxBytes: 17 * large })
          await daemon.play(onlyAt(1, early, stepAt(at, { do: 'freeze' }, large)))
          await assertVerdict(scanning, 'clean')
          // More than the kernel takes off our hands.
          await assertVerdict(scanning, content, 16 * large)
          assert.equal(daemon.connections, 2)
          assertWell(scanning)
        })
        test(`${said} before the end of ${content} mail, at ${at}, on a new one: no verdict`, async (t) => {
          const { daemon, scanning } = await site(t, { maxBytes: 17 * large })
          await daemon.play([early, stepAt(at, { do: 'freeze' }, large)])
          const verdict = await scanning.scan(letter(content, 16 * large))
          assert.equal(wordOf(verdict), 'error')
          assert.match(textOf(verdict), /before the end of the message/)
          assert.deepEqual(scanning.leftovers(), [])
        })
      }
    }
  }

  for (const act of [{ do: 'reset' }, { do: 'close' }] as const) {
    test(`${act.do}, and the new one as well: the message is blamed, after two readings`, async (t) => {
      const { daemon, scanning } = await site(t)
      await daemon.play((scan) => (scan === 0 ? [] : [{ at: 'reply', ...act }]))
      await assertVerdict(scanning, 'clean')
      const source = new BufferMessage(letter('clean'))
      const verdict = await scanning.scan(source)
      assert.equal(wordOf(verdict), 'error')
      assert.equal(source.readings, 2)
      assert.equal(scanning.hosts.states()[0]?.state, 'up', 'it answers PING')
      assert.deepEqual(scanning.leftovers(), [])
      assert.equal(connectionsForMail(daemon), 2)
    })
  }

  test('and nobody listens any more: the address is blamed', async (t) => {
    const { daemon, scanning } = await site(t, {}, { host: '127.0.8.1' })
    await assertVerdict(scanning, 'clean')
    await daemon.play([{ at: 'connect', do: 'refuse' }])
    const reset = daemon.resetAll()
    const verdict = await scanning.scan(letter('clean'))
    await reset
    assert.match(textOf(verdict), /connect: no connection \(ECONNREFUSED\)/)
    assert.equal(scanning.hosts.states()[0]?.state, 'resting')
    assert.deepEqual(scanning.leftovers(), [])
  })
})

describe('an answer that is final', () => {
  for (const [text, word] of [
    ['INSTREAM size limit exceeded. ERROR', 'too_large'],
    [`stream: Can't allocate memory ERROR`, 'error'],
    ['Command invalid inside IDSESSION. ERROR', 'error'],
    ['stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND', 'limits'],
  ] as const) {
    test(`${text}: asked once, and never over that connection again`, async (t) => {
      const { daemon, scanning } = await site(t, { restMs: 0 })
      await daemon.play(onlyAt(1, { at: 'reply', do: 'say', text }))
      await assertVerdict(scanning, 'clean')
      const source = new BufferMessage(letter('clean'))
      assert.equal(wordOf(await scanning.scan(source)), word)
      assert.deepEqual([source.readings, connectionsForMail(daemon)], [1, 1])
      // A limit that was reached is a scan that has ended well; after the others we hang up.
      assert.equal(scanning.open, word === 'limits' ? 1 : 0)
      await assertVerdict(scanning, 'infected')
      assert.equal(connectionsForMail(daemon), word === 'limits' ? 1 : 2)
    })
  }

  test('over StreamMaxLength in the middle of a kept connection: never clean', async (t) => {
    const { daemon, scanning } = await site(t, {}, { streamMaxLength: 100_000 })
    await assertVerdict(scanning, 'clean')
    const verdict = await scanning.scan(letter('clean', large))
    assert.ok(['too_large', 'error'].includes(wordOf(verdict)), wordOf(verdict))
    assert.deepEqual(scanning.leftovers(), [])
    assert.deepEqual(daemon.violations, [])
  })

  test('UNKNOWN COMMAND to IDSESSION: one connection for each message, at once and from then on', async (t) => {
    const { daemon, scanning } = await site(t, {}, { sessions: false })
    for (const content of ['clean', 'infected', 'clean'] as const) await assertVerdict(scanning, content)
    assert.deepEqual(daemon.commands, ['IDSESSION', 'INSTREAM', 'INSTREAM', 'INSTREAM'])
    assert.equal(daemon.connections, 4)
    assertWell(scanning)
    assert.equal(scanning.open, 0)
  })

  test('a daemon that loses IDSESSION under a kept connection', async (t) => {
    const { daemon, scanning } = await site(t)
    await assertVerdict(scanning, 'clean')
    daemon.sessions = false
    const reset = daemon.resetAll()
    for (const content of contents) await assertVerdict(scanning, content)
    await reset
    assert.deepEqual(daemon.commands, ['IDSESSION', 'INSTREAM', 'IDSESSION', 'INSTREAM', 'INSTREAM'])
    assertWell(scanning)
  })
})

test('after an error about one message others still share a connection', async (t) => {
  const { daemon, scanning } = await site(t, { restMs: 0 })
  await assertVerdict(scanning, 'clean')
  await daemon.play(onlyAt(0, { at: 'reply', do: 'answer', text: 'stream: Broken ERROR' }))
  assert.equal(wordOf(await scanning.scan(letter('clean'))), 'error')
  await assertVerdict(scanning, 'infected')
  scanning.clamd.learn(daemon.address, offerOfSessions())
  await assertVerdict(scanning, 'infected')
  assert.deepEqual(
    daemon.scans.map(({ inSession }) => inSession),
    [1, 2, 1, 2],
  )
})

/** After some failures an address is asked whether it is at work. */
function connectionsForMail({ connections, commands }: FakeClamd): number {
  return connections - commands.filter((command) => command === 'PING').length
}

describe('a message that ends otherwise', () => {
  for (const when of ['command', 'first', 'middle', 'last', 'reply'] as const) {
    for (const by of ['abort', 'timeout'] as const) {
      test(`${by} at ${when} on a kept connection: it is closed, and others go on`, async (t) => {
        const { daemon, scanning } = await site(t, { scanMs: by === 'timeout' ? 1000 : 20_000, restMs: 0 })
        await Promise.all([
          assertVerdict(scanning, 'clean', large),
          assertVerdict(scanning, 'infected', large),
        ])
        assert.equal(scanning.open, 2)
        daemon.forget()
        await daemon.play(onlyAt(0, stepAt(when, { do: 'stall' }, large)))
        const abort = new AbortController()
        const source = new BufferMessage(letter('infected', large))
        const scan = scanning.scan(source, abort.signal)
        await daemon.seen(when)
        if (by === 'abort') abort.abort()
        assert.equal(wordOf(await scan), by === 'abort' ? 'error' : 'timeout')
        assert.equal(source.readings, 1)
        assert.equal(scanning.open, 1, 'the other one is none the worse')
        // A time-out makes the hosts forget what the address can do.
        scanning.clamd.learn(daemon.address, offerOfSessions())
        for (const content of ['clean', 'infected', 'clean'] as const) await assertVerdict(scanning, content)
        assert.equal(connectionsForMail(daemon), 2)
        assert.equal(source.isOpen, false)
      })
    }
  }

  test('one that turns out too large is not tried again', async (t) => {
    const { daemon, scanning } = await site(t, { maxBytes: 100_000 })
    await assertVerdict(scanning, 'clean')
    const source = new BufferMessage(letter('clean', 200_000))
    // As of a message of which one cannot know it beforehand.
    Object.assign(source, { minBytes: 0, maxBytes: 100 })
    assert.equal(wordOf(await scanning.scan(source)), 'too_large')
    assert.equal(source.readings, 1)
    assert.deepEqual(scanning.leftovers(), [])
    await assertVerdict(scanning, 'infected')
    assertWell(scanning, daemon)
  })

  test('one that cannot be read is not tried again', async (t) => {
    const { scanning } = await site(t)
    await assertVerdict(scanning, 'clean')
    class Unreadable extends BufferMessage {
      override open(): Promise<void> {
        this.readings++
        return Promise.reject(new ClamdError('read message', 'another plugin keeps the message open'))
      }
    }
    const source = new Unreadable(letter('clean'))
    const verdict = await scanning.scan(source)
    assert.match(textOf(verdict), /read message/)
    assert.equal(source.readings, 1)
    await assertVerdict(scanning, 'infected')
    assertWell(scanning)
  })

  test('a signal that was given before anybody listened is obeyed', async (t) => {
    const { address } = (await site(t)).daemon
    const reason = new ClamdError('reply', 'too late')
    const how = { connect, connectMs: 10_000, address }
    // Given after the connection is there, and before whoever awaits it goes on.
    const abort = new AbortController()
    const late = CommandConnection.open({
      ...how,
      connect: (options) => {
        const socket = connect(options)
        queueMicrotask(() => socket.once('connect', () => abort.abort(reason)))
        return socket
      },
      signal: abort.signal,
    })
    await assert.rejects(
      late.then((line) => line.reply('reply')),
      reason,
    )

    const sessions = new SessionPool(longTimes)
    const session = await sessions.open({ ...how, signal: new AbortController().signal })
    sessions.keep(address, session)
    const taken = sessions.take(address, AbortSignal.abort(reason))
    assert.ok(taken === session)
    await assert.rejects(session.connection.reply('reply'), reason)
    assert.ok(session.connection.socket.destroyed)
  })
})

describe('a real clamd', () => {
  async function real(t: TestContext, options: ClamdOptions = {}): Promise<RealClamd> {
    const clamd = await startClamd(options)
    t.after(() => clamd.stop())
    return clamd
  }

  test('infected and clean in turn over one connection, TCP and unix socket', async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await real(t)
    for (const address of [{ host: clamd.host, port: clamd.port }, { path: clamd.socketPath }]) {
      const scanning = scanningOf(t, [address])
      for (let i = 0; i < 20; i++) {
        await assertVerdict(scanning, contents[(i * 7) % 3 === 0 ? 0 : 1] ?? 'clean', 2000 + i * 30_000)
      }
      assert.equal(scanning.sockets.length, 1)
      assertWell(scanning)
    }
  })

  test('50 messages at once, and once more', async (t) => {
    if (!clamdOrSkip(t)) return
    const { host, port } = await real(t)
    const scanning = scanningOf(t, [{ host, port }], { maxConcurrent: 4 })
    for (let round = 0; round < 2; round++) {
      const all = Array.from({ length: 50 }, (_, i) => contents[i % 2] ?? 'clean')
      await Promise.all(all.map((content, i) => assertVerdict(scanning, content, 2000 + i * 1000)))
    }
    assert.equal(scanning.sockets.length, 4)
    assertWell(scanning)
  })

  test('a limit in the middle, and then on with another connection', async (t) => {
    if (!clamdOrSkip(t)) return
    const { host, port } = await real(t, { config: { StreamMaxLength: '1M' } })
    const scanning = scanningOf(t, [{ host, port }], { restMs: 0 })
    await assertVerdict(scanning, 'clean')
    const verdict = await scanning.scan(letter('infected', 2 * large))
    assert.ok(['too_large', 'error'].includes(wordOf(verdict)), textOf(verdict))
    assert.equal(scanning.open, 0)
    await assertVerdict(scanning, 'infected')
  })

  test('new signatures count for the next message on the same connection', async (t) => {
    if (!clamdOrSkip(t)) return
    const directory = new TemporaryDirectory('signatures')
    t.after(() => directory.remove())
    testSignatures(directory.path)
    const clamd = await real(t, { databaseDirectory: directory.path })
    const scanning = scanningOf(t, [{ host: clamd.host, port: clamd.port }])
    const marked = () => Buffer.concat([letter('clean'), Buffer.from('a marker of tomorrow\r\n')])
    assert.equal((await scanning.scan(marked())).outcome, 'clean')
    const signature = Buffer.from('a marker of tomorrow').toString('hex')
    writeFileSync(path.join(directory.path, 'more.ndb'), `Tomorrow.Test:0:*:${signature}\n`)
    assert.equal(await clamd.ask('nRELOAD\n'), 'RELOADING')
    // That clamd has the new ones by now, another connection tells.
    while (!(await clamd.scan(marked())).includes('Tomorrow.Test')) assert.ok(!t.signal.aborted)
    const verdict = await scanning.scan(marked())
    assert.equal(verdict.outcome === 'infected' && verdict.virus, 'Tomorrow.Test.UNOFFICIAL')
    assert.equal(scanning.sockets.length, 1)
    assertWell(scanning)
  })

  test('killed and restarted between two messages: nobody notices', async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await real(t)
    const scanning = scanningOf(t, [{ host: clamd.host, port: clamd.port }])
    for (const content of contents) {
      await assertVerdict(scanning, 'clean')
      await clamd.restart()
      await assertVerdict(scanning, content)
    }
    assertWell(scanning)
  })

  test('killed with a message of a kept connection in its hands, and restarted: an error, then verdicts', async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await real(t)
    const scanning = scanningOf(t, [{ host: clamd.host, port: clamd.port }], { restMs: 0 })
    await assertVerdict(scanning, 'clean')
    clamd.pause()
    const before = onlySocket(scanning).bytesWritten
    const scan = scanning.scan(letter('infected'))
    await until(() => onlySocket(scanning).bytesWritten > before)
    await clamd.kill()
    assert.equal(wordOf(await scan), 'error')
    assert.deepEqual(scanning.leftovers(), [])
    await clamd.restart()
    await assertVerdict(scanning, 'infected')
  })
})
