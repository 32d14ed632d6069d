// A message that no clamd can finish: it is answered with an error, never, or with a crash. Other mail passes meanwhile, no
// address rests for its sake, and it does not take one address after the other with it.
import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import type { Verdict } from '../../lib/policy/verdict'
import { defaultFailureTimes, FailureMemory, type FailureTimes } from '../../lib/scan/failure-memory'
import { mark, type Marked, markedClamds, type Trouble, visitsOf } from '../support/clamd/marked'
import { runningTimers, Scanning, type ScanningOptions, until } from '../support/clamd/scanning'
import { bounded, fake } from '../support/clamd/self-testing'
import { clean } from '../support/smtp/mails'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

const told = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome)
const textOf = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.text : '')
const statesOf = (scanning: Scanning) => scanning.hosts.states().map(({ state }) => state)

function marking(): Buffer {
  return Buffer.concat([clean(), Buffer.from(`${mark}\r\n`)])
}

async function site(
  t: TestContext,
  trouble: Trouble,
  { count = 3, awayMs, ...options }: ScanningOptions & { count?: number; awayMs?: number } = {},
  times: Partial<FailureTimes> = {},
): Promise<{ clamds: Marked[]; scanning: Scanning }> {
  const clamds = await markedClamds(t, trouble, count, {
    sessions: true,
    ...(awayMs !== undefined && { awayMs }),
  })
  const memory = new FailureMemory(3, { ...defaultFailureTimes, ...times })
  const hosts = clamds.map(({ daemon }) => daemon.address)
  const scanning = new Scanning(hosts, { protocol: 'instream', selfTest: true, memory, ...options })
  // Each has found the test file.
  for (const { daemon } of clamds) {
    const verdict = await scanning.scan(clean())
    assert.deepEqual([verdict.outcome, verdict.clamd], ['clean', addressText(daemon.address)])
  }
  return { clamds, scanning }
}

test(
  'an error for one message costs no address its rest, and other mail no test file',
  bounded,
  async (t) => {
    const { clamds, scanning } = await site(t, 'error')
    const message = marking()
    const first = await scanning.scan(message)
    assert.equal(told(first), 'error')
    assert.match(textOf(first), /Can't parse data ERROR; it finds the test file/)
    assert.deepEqual(
      clamds.map(({ visits }) => visits()),
      [1, 1, 1],
    )
    assert.deepEqual(statesOf(scanning), ['up', 'up', 'up'])
    const before = clamds.reduce((sum, { daemon }) => sum + daemon.scans.length, 0)
    for (let i = 0; i < 6; i++) assert.equal((await scanning.scan(clean())).outcome, 'clean')
    const others = clamds.reduce((sum, { daemon }) => sum + daemon.scans.length, 0) - before
    assert.equal(others, 6, 'six messages, no test file')

    // Known by now: one address for each retry, and after the third its reason is its own.
    const second = await scanning.scan(message)
    assert.equal(told(second), 'error')
    assert.match(textOf(second), /failed on this message before, so one address at a time is asked$/)
    assert.equal(visitsOf(clamds), 4)
    const third = await scanning.scan(message)
    assert.equal(told(third), 'unscannable')
    assert.match(
      textOf(third),
      /^clamd has failed on this message in 3 scans \(127\.0\.0\.1:\d+, .*Can't parse data/,
    )
    assert.equal(visitsOf(clamds), 5)
    const fourth = await scanning.scan(message)
    assert.equal(told(fourth), 'unscannable')
    assert.match(textOf(fourth), /; not sent again for \d+ s$/)
    assert.equal(visitsOf(clamds), 5, 'it is answered at once')
    assert.deepEqual(statesOf(scanning), ['up', 'up', 'up'])
    assert.deepEqual(
      scanning.leftovers().filter((what) => !what.includes('sockets')),
      [],
    )
  },
)

test('a message that is scanned at last is as any other', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'error')
  const message = marking()
  for (let i = 0; i < 2; i++) assert.equal(told(await scanning.scan(message)), 'error')
  for (const one of clamds) one.trouble = null
  assert.equal(told(await scanning.scan(message)), 'clean')
  for (const one of clamds) one.trouble = 'error'
  const visits = visitsOf(clamds)
  assert.equal(told(await scanning.scan(message)), 'error')
  assert.equal(visitsOf(clamds), visits + 3, 'every address is asked, as for a new message')
})

test('an unscannable message is scanned again after a pause', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'error', {}, { pauseMs: 0 })
  const message = marking()
  for (const reason of ['error', 'error', 'unscannable', 'unscannable'])
    assert.equal(told(await scanning.scan(message)), reason)
  assert.equal(visitsOf(clamds), 6)
})

test('an address that answers every message with an error is at fault itself', bounded, async (t) => {
  const broken = await fake(t, [], {
    judge: (message) =>
      Promise.resolve(
        message.includes('test.txt') || message.includes('EICAR')
          ? 'stream: Eicar FOUND'
          : 'stream: Broken ERROR',
      ),
  })
  const good = await fake(t, [])
  const scanning = new Scanning([broken.address, good.address], {
    protocol: 'instream',
    selfTest: true,
    memory: new FailureMemory(3),
  })
  for (let i = 0; i < 6; i++) assert.equal((await scanning.scan(clean())).clamd, addressText(good.address))
  assert.deepEqual(statesOf(scanning), ['resting', 'up'])
})

test(
  'what a clamd calls too large, and is smaller than what it has scanned, is an error',
  bounded,
  async (t) => {
    const { clamds, scanning } = await site(t, 'limit')
    const verdict = await scanning.scan(marking())
    assert.equal(told(verdict), 'error')
    assert.match(
      textOf(verdict),
      /size limit exceeded\. ERROR, though it has scanned larger mail; it finds the test file/,
    )
    assert.equal(visitsOf(clamds), 3)
    // One that is right about it is believed.
    const [first] = clamds
    assert.ok(first)
    first.trouble = null
    assert.equal(told(await scanning.scan(marking())), 'clean')
    assert.deepEqual(statesOf(scanning), ['up', 'up', 'up'])
  },
)

test('no answer: a retry starts no other scan while clamd may be at the first', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'silence', { scanMs: 2000 })
  const message = marking()
  const scanned = scanning.scan(message)
  await until(() => visitsOf(clamds) === 1)
  // Other mail passes there all the while.
  for (let i = 0; i < 6; i++) assert.equal((await scanning.scan(clean())).outcome, 'clean')
  assert.equal(told(await scanned), 'timeout')
  assert.deepEqual(statesOf(scanning), ['up', 'up', 'up'])
  for (let i = 0; i < 6; i++) {
    const retry = await scanning.scan(message)
    assert.equal(told(retry), 'in_progress')
    assert.match(textOf(retry), /^127\.0\.0\.1:\d+ may still be scanning it; not sent again for 1[12]\d s$/)
  }
  assert.equal(visitsOf(clamds), 1)
})

test('no answer: a clamd that is stopped altogether holds up no retry', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'silence', { count: 1, scanMs: 2000 })
  const [stopped] = clamds
  assert.ok(stopped)
  stopped.daemon.answers.PING = [{ do: 'stall' }]
  const message = marking()
  assert.equal(told(await scanning.scan(message)), 'timeout')
  stopped.trouble = null
  assert.equal(told(await scanning.scan(message)), 'clean')
})

test('no answer: when clamd must have given it up, the next address has a try', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'silence', { scanMs: 2000 }, { busyMs: 0 })
  const message = marking()
  for (const reason of ['timeout', 'timeout', 'unscannable'])
    assert.equal(told(await scanning.scan(message)), reason)
  assert.deepEqual(
    clamds.map(({ visits }) => visits()),
    [1, 1, 1],
  )
})

test('a client that leaves a long scan does not start another one by its retry', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'silence', {}, { slowMs: 20 })
  const message = marking()
  const leaving = new AbortController()
  const scanned = scanning.scan(message, leaving.signal)
  await until(() => visitsOf(clamds) === 1)
  await new Promise((resolve) => setTimeout(resolve, 100))
  leaving.abort()
  await scanned
  assert.equal(told(await scanning.scan(message)), 'in_progress')
  assert.equal(visitsOf(clamds), 1)
})

test('a client that leaves at once is not held up', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'silence')
  const message = marking()
  const leaving = new AbortController()
  const scanned = scanning.scan(message, leaving.signal)
  await until(() => visitsOf(clamds) === 1)
  leaving.abort()
  await scanned
  for (const one of clamds) one.trouble = null
  assert.equal(told(await scanning.scan(message)), 'clean')
})

test('of several copies of a message that has failed, one is scanned', bounded, async (t) => {
  const { clamds, scanning } = await site(t, 'error')
  const message = marking()
  await scanning.scan(message)
  const visits = visitsOf(clamds)
  const all = await Promise.all(Array.from({ length: 4 }, () => scanning.scan(message)))
  assert.deepEqual(all.map(told).sort(), ['error', 'in_progress', 'in_progress', 'in_progress'])
  assert.equal(visitsOf(clamds), visits + 1)
})

for (const protocol of ['instream', 'stream', 'auto'] as const) {
  for (const sessions of [false, true]) {
    const where = `${protocol}${sessions ? ', sessions' : ''}`
    test(`a crash takes two addresses at first, and one at a retry: ${where}`, bounded, async (t) => {
      const { clamds, scanning } = await site(t, 'crash', { protocol, sessions, awayMs: 600_000, restMs: 1 })
      const isUp = async () => {
        for (let i = 0; i < 3; i++) assert.equal((await scanning.scan(clean())).outcome, 'clean')
      }
      const message = marking()
      assert.equal(told(await scanning.scan(message)), 'error')
      assert.equal(visitsOf(clamds), 2)
      await isUp()
      for (const { daemon } of clamds) await daemon.play([])
      await isUp()
      assert.equal(told(await scanning.scan(message)), 'error')
      assert.equal(visitsOf(clamds), 3)
      await isUp()
    })
  }
}
