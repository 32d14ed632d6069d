// Which daemon a message goes to, over real sockets: in turn, each once, inside one budget, and away from the ones
// that failed. The choice itself, with a clock of ours, is tested in test/unit/hosts/host-pool.test.ts.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type NetConnectOpts, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { addressText } from '../../lib/clamd/address'
import { dial } from '../../lib/clamd/connection'
import { ClamdError } from '../../lib/clamd/errors'
import { noFreePort } from '../../lib/clamd/protocol'
import type { Verdict } from '../../lib/policy/verdict'
import { type FakeClamd, type FakeClamdOptions, startFakeClamd } from '../support/clamd/fake-clamd'
import {
  BufferMessage,
  runningTimers,
  Scanning,
  type ScanningOptions,
  settled,
  until,
} from '../support/clamd/scanning'
import { eicar } from '../support/eicar'
import { big, clean, eicarBody } from '../support/smtp/mails'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

async function daemons(t: TestContext, ...options: FakeClamdOptions[]): Promise<FakeClamd[]> {
  const started = await Promise.all(options.map(startFakeClamd))
  t.after(() => Promise.all(started.map((daemon) => daemon.stop())))
  return started
}

function scanningOf(list: readonly FakeClamd[], options: ScanningOptions = {}): Scanning {
  return new Scanning(
    list.map(({ address }) => address),
    options,
  )
}

const counts = (list: readonly FakeClamd[]) => list.map(({ scans }) => scans.length)
const reason = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome)
const textOf = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.text : '')

async function scanAll(scanning: Scanning, number: number): Promise<(string | null)[]> {
  const by: (string | null)[] = []
  for (let i = 0; i < number; i++) by.push((await scanning.scan(clean())).clamd)
  return by
}

test('each message goes to the next address, over TCP and unix sockets alike', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'hosts-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const list = await daemons(t, {}, { host: '::1' }, { path: path.join(directory, 'clamd.sock') }, {})
  const scanning = scanningOf(list, { protocol: 'instream' })
  const places = list.map(({ address }) => addressText(address))
  assert.deepEqual(await scanAll(scanning, 8), [...places, ...places])
  assert.deepEqual(counts(list), [2, 2, 2, 2])
  assert.match(places.join(' '), /^127\.0\.0\.1:\d+ \[::1\]:\d+ \/.*\/clamd\.sock 127/)
  assert.deepEqual(scanning.leftovers(), [])
})

test('messages at the same time are spread as well', async (t) => {
  const list = await daemons(t, {}, {}, {})
  const scanning = scanningOf(list)
  const verdicts = await Promise.all(Array.from({ length: 30 }, () => scanning.scan(clean())))
  assert.ok(verdicts.every(({ outcome }) => outcome === 'clean'))
  assert.deepEqual(counts(list), [10, 10, 10])
  assert.deepEqual(scanning.leftovers(), [])
})

test('after a failure the next in turn, each once, and each failure is told', async (t) => {
  const list = await daemons(t, {}, {}, {}, {})
  const scanning = scanningOf(list, { protocol: 'instream' })
  const failures = ['First trouble. ERROR', 'Second trouble. ERROR', 'Third trouble. ERROR']
  for (const [index, text] of failures.entries()) {
    await list[index]?.play([{ at: 'reply', do: 'answer', text }])
  }
  const verdict = await scanning.scan(eicarBody())
  assert.equal(verdict.outcome, 'infected')
  assert.equal(verdict.clamd, addressText(list[3]?.address ?? { path: '' }))
  assert.deepEqual(counts(list), [1, 1, 1, 1])
  const places = list.map(({ address }) => addressText(address))
  const [warning = '', ...others] = scanning.log.warnings
  assert.deepEqual(others, [], 'one line for the message')
  const texts = warning.split('; ').filter((text) => text !== 'it answers PING')
  for (const [index, told] of texts.entries())
    assert.ok(
      told.includes(failures[index] ?? `scanned by ${places[3] ?? ''}`) && told.includes(places[index] ?? ''),
    )
  assert.deepEqual(scanning.leftovers(), [])
})

test('when all fail each has been asked once, and the text names them all', async (t) => {
  const list = await daemons(t, {}, {}, { host: '127.0.9.8' })
  const scanning = scanningOf(list, { protocol: 'stream' })
  await list[0]?.play([{ at: 'accept', do: 'reset' }])
  await list[1]?.play([{ at: 'port', do: 'answer', text: 'cli_gentempfd() failed. ERROR' }])
  await list[2]?.play([{ at: 'connect', do: 'refuse' }])
  const message = new BufferMessage(clean())
  const verdict = await scanning.scan(message)
  assert.equal(reason(verdict), 'error')
  for (const { address } of list) assert.ok(textOf(verdict).includes(addressText(address)), textOf(verdict))
  for (const cause of ['ECONNRESET', 'cli_gentempfd', 'ECONNREFUSED'])
    assert.match(textOf(verdict), RegExp(cause))
  assert.deepEqual(
    list.map(({ connections }) => connections),
    [1, 1, 0],
  )
  assert.equal(message.readings, 0)
  assert.deepEqual(scanning.leftovers(), [])
})

test('what is told of the address that was asked last is not of the one before', async (t) => {
  const [first, last] = (await daemons(t, {}, {})) as [FakeClamd, FakeClamd]
  // Behind the test file, which it finds.
  first.queue([], [{ at: 'reply', do: 'answer', text: 'stream: broken ERROR' }])
  await last.play([{ at: 'accept', do: 'stall' }])
  const scanning = scanningOf([first, last], { selfTest: true })
  const dropped = new AbortController()
  const scanned = scanning.scan(clean(), dropped.signal)
  await until(() => last.connections > 0)
  dropped.abort()
  const { clamd, protocol, bytes } = await scanned
  assert.deepEqual({ clamd, protocol, bytes }, { clamd: addressText(last.address), protocol: null, bytes: 0 })
  assert.equal(first.scans.length, 3, 'the test file, the message, and the test file once more')
})

test('every try sends the message from its first byte', async (t) => {
  const list = await daemons(t, {}, {})
  const scanning = scanningOf(list, { bufferBytes: 1000 })
  await list[0]?.play([{ at: 'reply', do: 'close' }])
  const message = new BufferMessage(Buffer.concat([clean(), Buffer.alloc(300_000, 'y\r\n')]))
  assert.equal((await scanning.scan(message)).outcome, 'clean')
  assert.equal(message.readings, 2)
  for (const { scans } of list) {
    assert.ok(scans[0]?.bytes.subarray(-message.bytes.length).equals(message.bytes))
  }
})

test('a verdict is final: nobody else is asked after clean, FOUND or limits', async (t) => {
  const list = await daemons(t, {}, {}, {})
  const scanning = scanningOf(list)
  await list[1]?.play([{ at: 'reply', do: 'say', text: 'stream: Any.Test FOUND' }])
  await list[2]?.play([{ at: 'reply', do: 'say', text: 'stream: Heuristics.Limits.Exceeded.MaxFiles FOUND' }])
  const reasons = [clean(), clean(), clean()].map((mail) => scanning.scan(mail).then(reason))
  assert.deepEqual(await Promise.all(reasons), ['clean', 'infected', 'limits'])
  assert.deepEqual(counts(list), [1, 1, 1])
})

test('a scan time-out is not taken to another address, and the address rests', async (t) => {
  const list = await daemons(t, {}, {})
  const scanning = scanningOf(list, { scanMs: 1500, maxConcurrent: 1 })
  await list[0]?.play([{ at: 'reply', do: 'stall' }])
  assert.equal(reason(await scanning.scan(clean())), 'timeout')
  assert.deepEqual(counts(list), [1, 0])
  const second = addressText(list[1]?.address ?? { path: '' })
  assert.deepEqual(await scanAll(scanning, 3), [second, second, second])
  assert.deepEqual(scanning.leftovers(), [])
  await Promise.all(list.map((daemon) => daemon.idle()))
})

/** Accepts connections and answers nothing, as while it loads signatures without ConcurrentDatabaseReload. */
async function silence(daemon: FakeClamd | undefined): Promise<void> {
  assert.ok(daemon)
  daemon.answers.PING = [{ do: 'stall' }]
  await daemon.play([{ at: 'reply', do: 'stall' }])
}

for (const protocol of ['stream', 'instream'] as const) {
  for (const sessions of protocol === 'instream' ? [false, true] : [false]) {
    const how = sessions ? 'in a session' : `by ${protocol}`
    test(`an address that answers nothing at all loses its messages to one that answers PING, ${how}`, async (t) => {
      const list = await daemons(t, { sessions }, { sessions })
      const scanning = scanningOf(list, { protocol, sessions, connectMs: 400 })
      await silence(list[0])
      const verdict = await scanning.scan(big(300_000))
      const [first, second] = list.map(({ address }) => addressText(address))
      assert.equal(reason(verdict), 'clean', textOf(verdict))
      assert.equal(verdict.clamd, second)
      assert.deepEqual(counts(list), [1, 1])
      assert.deepEqual(
        scanning.hosts.states().map(({ state }) => state),
        ['resting', 'up'],
      )
      assert.match(
        scanning.log.warnings.join('\n'),
        new RegExp(
          `^${first} ${protocol}: reply: no reply within 400 ms, and none to PING; scanned by ${second}$`,
        ),
      )
      await Promise.all(list.map((daemon) => daemon.idle()))
    })
  }
}

test('a message stays at an address that answers nothing while no other answers', async (t) => {
  const list = await daemons(t, {}, {})
  const scanning = scanningOf(list, { connectMs: 200, scanMs: 1500 })
  await silence(list[0])
  await silence(list[1])
  assert.equal(reason(await scanning.scan(clean())), 'timeout')
  assert.deepEqual(counts(list), [1, 0])
  assert.deepEqual(scanning.leftovers(), [])
})

test('a message stays at an address that is long over it, and answers PING or other messages', async (t) => {
  const slow = 'this one takes long'
  const judge = async (bytes: Buffer) => {
    if (bytes.includes(slow)) await delay(2500)
    return 'stream: OK'
  }
  const list = await daemons(t, { judge }, {})
  const [first] = list
  assert.ok(first)
  const scanning = scanningOf(list, { connectMs: 600 })
  const long = await scanning.scan(Buffer.concat([clean(), Buffer.from(slow)]))
  assert.equal(long.clamd, addressText(first.address))
  // Now it has no thread left for PING, but scans.
  first.answers.PING = [{ do: 'stall' }]
  await scanning.scan(clean())
  const longAgain = scanning.scan(Buffer.concat([clean(), Buffer.from(slow)]))
  for (let i = 0; i < 20; i++) {
    await delay(100)
    await scanning.scan(clean())
  }
  assert.equal((await longAgain).clamd, addressText(first.address))
  assert.deepEqual(scanning.leftovers(), [])
})

test('a message that has silenced one address is not taken from the next one', async (t) => {
  const list = await daemons(t, {}, {}, {})
  const scanning = scanningOf(list, { connectMs: 200, scanMs: 3000 })
  await silence(list[0])
  await list[1]?.play([{ at: 'reply', do: 'stall' }])
  const scanned = scanning.scan(clean())
  await until(() => (list[1]?.scans.length ?? 0) > 0 || list[1]?.connections === 2)
  await silence(list[1])
  assert.equal(reason(await scanned), 'timeout')
  assert.deepEqual(counts(list), [1, 1, 0])
  assert.deepEqual(scanning.leftovers(), [])
})

/** Scans one message at a time, each for so long; the verdicts are the usual ones. */
function slowly(ms: number): FakeClamdOptions {
  let turn: Promise<unknown> = Promise.resolve()
  const judge = (bytes: Buffer) => {
    const mine = turn
      .then(() => delay(ms))
      .then(() => `stream: ${bytes.includes(eicar()) ? 'Eicar FOUND' : 'OK'}`)
    turn = mine
    return mine
  }
  return { judge }
}

test('more than a daemon can do in time: what it cannot do times out, and it does not rest for that', async (t) => {
  const list = await daemons(t, slowly(150), slowly(150), {})
  const scanning = scanningOf(list, { protocol: 'instream', scanMs: 1500 })
  const flood = await Promise.all(Array.from({ length: 54 }, () => scanning.scan(clean())))
  const reasons = new Set(flood.map(reason))
  assert.deepEqual([...reasons].sort(), ['clean', 'timeout'], flood.map(textOf).join('\n'))
  // All are in turn at once; of those that rest none would be.
  const signal = AbortSignal.timeout(1000)
  const leases = [
    await scanning.hosts.take(new Set(), signal),
    await scanning.hosts.take(new Set(), signal),
    await scanning.hosts.take(new Set(), signal),
  ]
  const places = list.map(({ address }) => addressText(address))
  assert.deepEqual(leases.map((lease) => lease?.text).sort(), places.sort())
  assert.deepEqual(scanning.leftovers(), [])
})

test('a message that waited most of its budget for room says nothing about the address it came to', async (t) => {
  const list = await daemons(t, slowly(700), {})
  const [slow, other] = list
  await other?.play([{ at: 'first', do: 'stall' }])
  const scanning = scanningOf(list, { protocol: 'instream', scanMs: 1000, maxConcurrent: 1 })
  // The first is finished; the second holds the other address until its time is up; the third comes late to the first.
  const verdicts = await Promise.all([scanning.scan(clean()), scanning.scan(clean()), scanning.scan(clean())])
  assert.deepEqual(verdicts.map(reason), ['clean', 'timeout', 'timeout'])
  assert.equal(verdicts[2].clamd, slow && addressText(slow.address))
  const lease = await scanning.hosts.take(new Set(), AbortSignal.timeout(1000))
  assert.equal(lease?.text, slow && addressText(slow.address))
  const another = await scanning.hosts.take(new Set([lease?.text ?? '']), AbortSignal.timeout(1000))
  assert.equal(another?.text, other && addressText(other.address))
  assert.deepEqual(scanning.leftovers(), [])
})

test('a time-out while waiting for room says so, and not that an address was slow', async (t) => {
  const scanning = scanningOf(await daemons(t, {}), { scanMs: 300, maxConcurrent: 1 })
  await scanning.hosts.take(new Set(), AbortSignal.timeout(1000))
  const verdict = await scanning.scan(clean())
  assert.equal(textOf(verdict), 'waiting for an address with room: no verdict within 300 ms')
  assert.equal(verdict.clamd, null)
})

test('a message whose turn comes when its time is nearly up gives clamd no work', async (t) => {
  const [daemon, ...none] = await daemons(t, {})
  assert.ok(daemon)
  const scanning = scanningOf([daemon, ...none], { protocol: 'instream', scanMs: 1000, maxConcurrent: 1 })
  const lease = await scanning.hosts.take(new Set(), AbortSignal.timeout(1000))
  setTimeout(() => lease?.done('worked'), 950)
  const verdict = await scanning.scan(clean())
  assert.match(textOf(verdict), /^waiting for an address with room: (none|no verdict) within \d+ ms$/)
  assert.equal(daemon.connections, 0)
  assert.equal((await scanning.scan(clean())).outcome, 'clean')
  assert.deepEqual(scanning.leftovers(), [])
})

test('the budget spans all tries', async (t) => {
  const list = await daemons(t, { host: '127.0.9.1' }, { host: '127.0.9.2' }, { host: '127.0.9.3' })
  for (const daemon of list) await daemon.play([{ at: 'connect', do: 'blackHole' }])
  const begin = performance.now()
  const scanning = scanningOf(list, { connectMs: 400, scanMs: 1000 })
  const verdict = await scanning.scan(clean())
  assert.equal(reason(verdict), 'timeout')
  assert.ok(performance.now() - begin < 3000)
  const tries = textOf(verdict).split('; before that ').length - 1
  assert.ok(tries === 1 || tries === 2, 'of 400 ms each, within 1000 ms')
  assert.deepEqual(scanning.log.warnings, [], 'the verdict has them')
  assert.deepEqual(scanning.leftovers(), [])
})

test('a message waits for a port where all of them are taken, and nobody is blamed', async (t) => {
  const [daemon] = await daemons(t, {})
  assert.ok(daemon)
  await daemon.play((scan) => (scan < 5 ? [{ at: 'port', do: 'answer', text: noFreePort }] : []))
  const scanning = scanningOf([daemon], { protocol: 'stream' })
  const verdict = await scanning.scan(eicarBody())
  assert.equal(verdict.outcome, 'infected')
  assert.equal(daemon.scans.length, 6)
  assert.equal(scanning.log.warnings.length, 1)
  assert.equal(scanning.hosts.states()[0]?.state, 'up')

  await daemon.play([{ at: 'port', do: 'answer', text: noFreePort }])
  const short = scanningOf([daemon], { protocol: 'stream', connectMs: 200 })
  assert.match(textOf(await short.scan(clean())), /stream: port: Can't find any free port\. ERROR$/)
  assert.equal(short.hosts.states()[0]?.state, 'up')
})

test('a port is waited for from when there was none, not from when room was waited for', async (t) => {
  const [daemon] = await daemons(t, {})
  assert.ok(daemon)
  await daemon.play((scan) => (scan === 1 ? [{ at: 'port', do: 'answer', text: noFreePort }] : []))
  daemon.queue([{ at: 'reply', do: 'wait', ms: 700 }])
  const scanning = scanningOf([daemon], { protocol: 'stream', maxConcurrent: 1, connectMs: 300 })
  const verdicts = await Promise.all([scanning.scan(clean()), scanning.scan(clean())])
  assert.deepEqual(
    verdicts.map((verdict) => reason(verdict) + textOf(verdict)),
    ['clean', 'clean'],
  )
})

test('an address that failed rests, and gets mail again when it is back', async (t) => {
  const list = await daemons(t, { host: '127.0.9.4' }, {})
  let time = 0
  const scanning = scanningOf(list, { restMs: 30_000, now: () => time })
  const [first = '', second = ''] = list.map(({ address }) => addressText(address))
  await list[0]?.play([{ at: 'connect', do: 'refuse' }])
  assert.deepEqual(await scanAll(scanning, 4), [second, second, second, second])
  assert.equal(scanning.log.warnings.length, 1, 'tried once, then left alone')
  time += 30_000
  assert.deepEqual(await scanAll(scanning, 4), [second, second, second, second])
  assert.equal(scanning.log.warnings.length, 2, 'tried once more after its rest')
  await list[0]?.play([])
  time += 30_000
  const again = await scanAll(scanning, 4)
  assert.deepEqual([...again].sort(), [first, first, second, second].sort())
  assert.equal(scanning.log.warnings.length, 2)
})

test('when the only address rests it is asked all the same', async (t) => {
  const list = await daemons(t, {})
  const scanning = scanningOf(list)
  list[0]?.queue([{ at: 'reply', do: 'close' }])
  const reasons = [await scanning.scan(clean()), await scanning.scan(clean())].map(reason)
  assert.deepEqual(reasons, ['error', 'clean'])
})

test('max_concurrent: more wait, and come in turn when there is room', async (t) => {
  const list = await daemons(t, {}, {})
  for (const daemon of list) await daemon.play((scan) => (scan < 2 ? [{ at: 'command', do: 'stall' }] : []))
  const scanning = scanningOf(list, { maxConcurrent: 2, protocol: 'instream' })
  const busy = Array.from({ length: 4 }, () => new AbortController())
  const stalled = busy.map(({ signal }) => scanning.scan(clean(), signal))
  for (const daemon of list) await Promise.all([daemon.seen('command'), daemon.seen('command')])
  const order: number[] = []
  const waiting = [1, 2, 3].map(async (number) => {
    const verdict = await scanning.scan(clean())
    order.push(number)
    return verdict
  })
  await settled()
  assert.deepEqual(counts(list), [2, 2])
  assert.equal(scanning.sockets.length, 4)
  busy[0]?.abort()
  const verdicts = await Promise.all(waiting)
  assert.deepEqual(order, [1, 2, 3])
  assert.deepEqual(verdicts.map(reason), ['clean', 'clean', 'clean'])
  const freed = addressText(list[0]?.address ?? { path: '' })
  assert.deepEqual(
    verdicts.map(({ clamd }) => clamd),
    [freed, freed, freed],
  )
  for (const controller of busy) controller.abort()
  assert.deepEqual((await Promise.all(stalled)).map(reason), ['error', 'error', 'error', 'error'])
  assert.deepEqual(scanning.leftovers(), [])
})

test('waiting for room ends with the budget', async (t) => {
  const list = await daemons(t, {})
  const scanning = scanningOf(list, { maxConcurrent: 1, scanMs: 1000 })
  const lease = await scanning.hosts.take(new Set(), new AbortController().signal)
  const message = new BufferMessage(clean())
  assert.equal(reason(await scanning.scan(message)), 'timeout')
  assert.equal(message.readings, 0)
  assert.equal(scanning.sockets.length, 0)
  lease?.done('worked')
  assert.equal(reason(await scanning.scan(clean())), 'clean')
  assert.deepEqual(scanning.leftovers(), [])
})

const large = Buffer.concat([clean(), Buffer.alloc(20_000_000, 'z\r\n')])

for (const protocol of ['stream', 'instream', 'auto'] as const) {
  for (const at of ['accept', 'command', 'port', 'dataConnect', 'first', 'last', 'reply'] as const) {
    if (protocol === 'instream' && (at === 'port' || at === 'dataConnect')) continue
    test(`${protocol}: a message dropped at ${at} lets go of everything at once`, async (t) => {
      const list = await daemons(t, {}, {})
      await list[0]?.play([{ at, do: 'stall' }])
      const scanning = scanningOf(list, { protocol, maxConcurrent: 1, connectMs: 60_000 })
      const dropped = new AbortController()
      const timers = runningTimers()
      const message = new BufferMessage(at === 'first' ? large : clean())
      const scan = scanning.scan(message, dropped.signal)
      await list[0]?.seen(at)
      dropped.abort()
      // Without waiting for anybody.
      assert.equal(scanning.sockets.filter((socket) => !socket.destroyed).length, 0)
      const verdict = await scan
      assert.equal(reason(verdict), 'error')
      assert.match(textOf(verdict), /dropped/)
      assert.deepEqual(scanning.leftovers(), [])
      await list[0]?.idle()
      await until(() => runningTimers() <= timers, 2000)
      assert.deepEqual(counts(list).slice(1), [0], 'nobody else is asked')
      assert.equal(scanning.log.warnings.length, 0, 'the daemon is not to blame')
      // Nor does it rest, and its place is free.
      const places = list.map(({ address }) => addressText(address))
      const never = new AbortController().signal
      const next = [await scanning.hosts.take(new Set(), never), await scanning.hosts.take(new Set(), never)]
      assert.deepEqual(next.map((lease) => lease?.text).sort(), [...places].sort())
    })
  }
}

for (const at of ['dataConnect', 'first', 'last', 'reply'] as const) {
  test(`stream: a time-out at ${at} leaves no timer behind`, async (t) => {
    const list = await daemons(t, {})
    await list[0]?.play([{ at, do: 'stall' }])
    const timers = runningTimers()
    const scanning = scanningOf(list, { protocol: 'stream', scanMs: 300, connectMs: 60_000 })
    assert.equal(reason(await scanning.scan(clean())), 'timeout')
    assert.deepEqual(scanning.leftovers(), [])
    await list[0]?.idle()
    await until(() => runningTimers() <= timers, 2000)
  })
}

test('a message dropped while nothing is read from us', async (t) => {
  const list = await daemons(t, {})
  await list[0]?.play([{ at: 'first', do: 'freeze' }])
  for (const protocol of ['stream', 'instream'] as const) {
    const scanning = scanningOf(list, { protocol })
    const dropped = new AbortController()
    const message = new BufferMessage(large)
    const scan = scanning.scan(message, dropped.signal)
    await list[0]?.seen('first')
    dropped.abort()
    assert.equal(reason(await scan), 'error')
    assert.deepEqual(scanning.leftovers(), [])
    await list[0]?.idle()
  }
})

test('a message dropped while connecting, waiting for room, or before it all began', async (t) => {
  const list = await daemons(t, { host: '127.0.9.5' })
  await list[0]?.play([{ at: 'connect', do: 'blackHole' }])
  const scanning = scanningOf(list, { maxConcurrent: 1 })
  const connecting = new AbortController()
  const waiting = new AbortController()
  const first = scanning.scan(clean(), connecting.signal)
  const second = scanning.scan(clean(), waiting.signal)
  await settled()
  assert.equal(scanning.sockets.length, 1)
  waiting.abort()
  assert.match(textOf(await second), /dropped/)
  connecting.abort()
  assert.match(textOf(await first), /dropped/)
  const message = new BufferMessage(clean())
  assert.match(textOf(await scanning.scan(message, AbortSignal.abort())), /dropped/)
  assert.equal(message.readings, 0)
  assert.equal(scanning.sockets.length, 1)
  assert.deepEqual(scanning.leftovers(), [])
})

test('a message dropped before its size was known', { timeout: 10_000 }, async (t) => {
  const list = await daemons(t, {})
  class Unmeasured extends BufferMessage {
    override readonly minBytes = 0
    override readonly maxBytes = Infinity
    override open(): Promise<void> {
      this.readings++
      return new Promise(() => undefined)
    }
  }
  const scanning = scanningOf(list)
  for (const isEarly of [false, true]) {
    const dropped = new AbortController()
    if (isEarly) dropped.abort()
    const scan = scanning.scan(new Unmeasured(clean()), dropped.signal)
    await settled()
    dropped.abort()
    assert.match(textOf(await scan), /dropped/)
  }
  assert.deepEqual(scanning.leftovers(), [])
})

test("a message that cannot be read is nobody's fault, and nobody else is asked", async (t) => {
  class Unreadable extends BufferMessage {
    override open(): Promise<void> {
      return Promise.reject(new ClamdError('read message', 'another plugin keeps the message open'))
    }
  }
  for (const protocol of ['stream', 'instream'] as const) {
    const list = await daemons(t, {}, {})
    const scanning = scanningOf(list, { protocol })
    const verdict = await scanning.scan(new Unreadable(clean()))
    assert.equal(reason(verdict), 'error')
    assert.match(textOf(verdict), /read message: another plugin keeps the message open/)
    assert.deepEqual(scanning.log.warnings, [])
    await list[0]?.idle()
    assert.equal(list[1]?.connections, 0)
    assert.deepEqual(scanning.leftovers(), [])
    assert.deepEqual(
      await scanAll(scanning, 2),
      [list[1], list[0]].map((daemon) => daemon && addressText(daemon.address)),
      'it does not rest',
    )
  }
})

test('without a self test, one that has failed is pinged first, and costs no more than the connect limit while it hangs', async (t) => {
  const list = await daemons(t, {}, {})
  const [faulty, good] = list
  assert.ok(faulty && good)
  let time = 0
  const scanning = scanningOf(list, { protocol: 'instream', connectMs: 200, now: () => time })
  await faulty.play([{ at: 'accept', do: 'close' }])
  await scanning.scan(clean())
  faulty.answers.PING = [{ do: 'stall' }]
  await faulty.play([])
  const begun = faulty.scans.length
  time += 30_000
  for (let i = 0; i < 2; i++) assert.equal((await scanning.scan(clean())).clamd, addressText(good.address))
  assert.match(scanning.log.warnings.at(-1) ?? '', /reply: PING: no reply within 200 ms; scanned by /)
  assert.equal(faulty.scans.length, begun)
  delete faulty.answers.PING
  time += 30_000
  await scanAll(scanning, 2)
  assert.equal(faulty.scans.length, begun + 1, 'it answers, so it is back')
  assert.deepEqual(scanning.leftovers(), [])
})

/** A mock: a queue that is full, or a process without a descriptor, stays so for no time that a test could rely on. */
function broken(code: string): Socket {
  const socket = new Socket()
  socket.destroy(Object.assign(new Error(`connect ${code}`), { code }))
  return socket
}

test('a unix socket that takes no more for the moment is asked again, within the limit', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'full-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const [daemon] = await daemons(t, { path: path.join(directory, 'clamd.sock') })
  assert.ok(daemon)
  const dialled = (times: number, connectMs: number) => {
    let left = times
    const how = { connectMs, signal: new AbortController().signal }
    const to = (options: NetConnectOpts) => (left-- > 0 ? broken('EAGAIN') : connect(options))
    return dial({ ...how, connect: to }, daemon.address, 'connect')
  }
  const socket = await dialled(3, 5000)
  assert.equal(socket.readyState, 'open')
  socket.destroy()
  await assert.rejects(dialled(Infinity, 50), /no connection within 50 ms/)
})

test('without a file descriptor a message waits for one, and no address is blamed', async (t) => {
  const list = await daemons(t, {}, {})
  let left = 3
  const connectSoon = (options: NetConnectOpts) => (left-- > 0 ? broken('EMFILE') : connect(options))
  const soon = scanningOf(list, { connect: connectSoon })
  assert.equal((await soon.scan(clean())).outcome, 'clean')
  assert.deepEqual(soon.log.warnings, [])

  const without = scanningOf(list, { connect: () => broken('EMFILE'), connectMs: 50 })
  const verdict = await without.scan(clean())
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error')
  assert.match(verdict.text, /^connect: no connection within 50 ms \(EMFILE\)$/)
  assert.ok(without.hosts.states().every(({ state }) => state === 'up'))
})

test('what is too large for those that are known is deferred while a name stands for nothing', async (t) => {
  const [daemon] = await daemons(t, {})
  assert.ok(daemon)
  const scanning = new Scanning([daemon.address, { name: 'large.example', port: 3310 }])
  await scanning.hosts.addresses(new AbortController().signal)
  const selfTest = {
    findsTestFile: true,
    maxScannableBytes: 1000,
    coversMaxSize: false,
    missed: null,
    alarm: null,
  }
  scanning.hosts.learn(daemon.address, {
    type: 'selfTested',
    selfTest: { ...selfTest, reportsLimits: null, probes: 1, sentBytes: 1, ms: 1 },
  })
  const verdict = await scanning.scan(big(5000))
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error', JSON.stringify(verdict))
})

test('names are looked up again after a failure: the daemon has moved', async (t) => {
  const [old, moved] = await daemons(t, { host: '127.0.9.6' }, { host: '127.0.9.7' })
  assert.ok(old && moved && 'port' in old.address && 'port' in moved.address)
  const { port } = old.address
  const [third] = await daemons(t, { host: '127.0.9.7', port })
  let found = ['127.0.9.6']
  let lookups = 0
  let time = 0
  const scanning = new Scanning([{ name: 'clamd.test', port }], {
    lookup: () => {
      lookups++
      return Promise.resolve(found)
    },
    now: () => time,
  })
  assert.deepEqual(await scanAll(scanning, 2), [`127.0.9.6:${port}`, `127.0.9.6:${port}`])
  assert.equal(lookups, 1)
  await old.play([{ at: 'connect', do: 'refuse' }])
  found = ['127.0.9.7']
  time += 2000
  assert.deepEqual(
    await scanAll(scanning, 1),
    [`127.0.9.7:${port}`],
    'the same message goes to the new place',
  )
  assert.equal(lookups, 2)
  assert.equal(third?.scans.length, 1)
})

test('a name stands for all its addresses, of both families', async (t) => {
  const [four] = await daemons(t, {})
  assert.ok(four && 'port' in four.address)
  const { port } = four.address
  const [six] = await daemons(t, { host: '::1', port })
  const lookup = () => Promise.resolve(['::1', '127.0.0.1'])
  const scanning = new Scanning([{ name: 'clamd.test', port }], { lookup, protocol: 'instream' })
  assert.deepEqual(await scanAll(scanning, 2), [`[::1]:${port}`, `127.0.0.1:${port}`])
  assert.equal(six?.scans.length, 1)
})
