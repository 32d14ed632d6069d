// What follows from an event, for each state of an address: the table that lib/hosts/host-state.ts has to keep.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  breakerOf,
  type Condition,
  conditionOf,
  type HostEvent,
  type HostState,
  isVerified,
  limitOf,
  newHost,
  next,
} from '../../../lib/hosts/host-state'
import type { SelfTestResult } from '../../../lib/hosts/test-results'

const selfTest: SelfTestResult = {
  findsTestFile: true,
  maxScannableBytes: 9000,
  coversMaxSize: true,
  missed: null,
  alarm: null,
  reportsLimits: null,
  probes: 1,
  sentBytes: 1,
  ms: 1,
}
const upTo = (bytes: number): HostEvent => ({
  type: 'selfTested',
  selfTest: { ...selfTest, maxScannableBytes: bytes, coversMaxSize: false },
})
const passed: HostEvent = { type: 'selfTested', selfTest }
const missed: HostEvent = { type: 'selfTested', selfTest: { ...selfTest, findsTestFile: false } }
const doubted: HostEvent = { type: 'doubted' }
const failed: HostEvent = { type: 'failed', restsUntilMs: 30_000 }
const found = (epoch: number, bytes: number | null = 1000): HostEvent => ({
  type: 'eicarFound',
  epoch,
  bytes,
})

function after(...events: readonly HostEvent[]): HostState {
  return events.reduce(next, newHost)
}

const states: Record<Condition, HostState> = {
  unknown: newHost,
  unproven: after({ type: 'selfTestFailed' }),
  verified: after(passed),
  limited: after(upTo(1000)),
  suspect: after(passed, doubted),
  resting: after(passed, failed),
  untrusted: after(missed),
}

/** Each event as it is most often: a test file is one that was sent after the last failure. */
const events: Record<string, (state: HostState) => HostEvent> = {
  'a scan works': () => ({ type: 'answered' }),
  'a scan fails': () => failed,
  'the rest is over, a scan tries': () => ({ type: 'probed', restsUntilMs: 60_000 }),
  'that scan is dropped': ({ restsUntilMs }) => ({ type: 'probeDropped', restsUntilMs }),
  'unexpected behaviour': () => doubted,
  'mail: test file found': ({ failureEpoch }) => found(failureEpoch),
  'mail: test file missed': () => ({ type: 'eicarMissed' }),
  'mail: missed in a large mail': () => ({ type: 'eicarMissedAt', bytes: 5000, nowMs: 0 }),
  'monitor: test file found': () => passed,
  'monitor: found up to a size': () => upTo(1000),
  'monitor: test file missed': () => missed,
  'monitor: test without result': () => ({ type: 'selfTestFailed' }),
  'monitor: finds it again': () => ({ type: 'seesAgain' }),
  'monitor: version': () => ({ type: 'capabilities', version: 'ClamAV 1.4.6', commands: null }),
  'settings reloaded': () => ({ type: 'reloaded' }),
}

const table = `
event                          | unknown   | unproven  | verified  | limited   | suspect   | resting   | untrusted
a scan works                   | unknown   | unproven  | verified  | limited   | suspect   | suspect   | untrusted
a scan fails                   | resting   | resting   | resting   | resting   | resting   | resting   | untrusted
the rest is over, a scan tries | unknown   | unproven  | verified  | limited   | suspect   | resting   | untrusted
that scan is dropped           | unknown   | unproven  | verified  | limited   | suspect   | suspect   | untrusted
unexpected behaviour           | unknown   | unproven  | suspect   | suspect   | suspect   | resting   | untrusted
mail: test file found          | verified  | verified  | verified  | limited   | verified  | resting   | verified
mail: test file missed         | untrusted | untrusted | untrusted | untrusted | untrusted | untrusted | untrusted
mail: missed in a large mail   | unknown   | unproven  | limited   | limited   | suspect   | resting   | untrusted
monitor: test file found       | verified  | verified  | verified  | verified  | suspect   | resting   | suspect
monitor: found up to a size    | limited   | limited   | limited   | limited   | suspect   | resting   | suspect
monitor: test file missed      | untrusted | untrusted | untrusted | untrusted | untrusted | untrusted | untrusted
monitor: test without result   | unproven  | unproven  | verified  | limited   | suspect   | resting   | untrusted
monitor: finds it again        | unknown   | unproven  | verified  | limited   | suspect   | resting   | unproven
monitor: version               | unknown   | unproven  | verified  | limited   | suspect   | resting   | untrusted
settings reloaded              | unknown   | unproven  | suspect   | suspect   | suspect   | suspect   | untrusted
`

/** A time in ms at which a rest of `failed` is not over. */
const nowMs = 1000

describe('the next state', () => {
  const [head = [], ...rows] = table
    .trim()
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
  assert.deepEqual(head.slice(1), Object.keys(states), 'the table has every state')
  assert.deepEqual(
    rows.map(([name]) => name),
    Object.keys(events),
    'the table has every event',
  )
  for (const [what = '', ...expected] of rows) {
    for (const [index, before] of Object.values(states).entries()) {
      test(`${head[index + 1] ?? ''}, ${what}: ${expected[index] ?? ''}`, () => {
        const event = events[what]?.(before)
        assert.ok(event)
        assert.equal(conditionOf(next(before, event), nowMs), expected[index])
      })
    }
  }
})

test('each state of the table is what its name says', () => {
  for (const [name, state] of Object.entries(states)) assert.equal(conditionOf(state, nowMs), name)
})

describe('the circuit breaker', () => {
  for (const [what, expected, ...events] of [
    ['nothing has failed', 'closed'],
    ['a scan fails', 'open', failed],
    ['its rest is over', 'half-open', { type: 'failed', restsUntilMs: nowMs }],
    [
      'one scan tries it',
      'open',
      { type: 'failed', restsUntilMs: 0 },
      { type: 'probed', restsUntilMs: 5000 },
    ],
    [
      'that scan is dropped',
      'half-open',
      failed,
      { type: 'probed', restsUntilMs: 5000 },
      { type: 'probeDropped', restsUntilMs: 5000 },
    ],
    [
      'a scan is dropped that began before the failure',
      'open',
      failed,
      { type: 'probeDropped', restsUntilMs: null },
    ],
    ['a scan works', 'closed', failed, { type: 'answered' }],
    ['the daemon finds the test file', 'open', failed, found(1)],
  ] as const) {
    test(`${what}: ${expected}`, () => assert.equal(breakerOf(after(...events), nowMs), expected))
  }
})

describe('a result that was sent before a failure does not count for the daemon after it', () => {
  for (const [what, expected, ...events] of [
    ['sent after the failure', true, passed, failed, { type: 'answered' }, found(1)],
    ['sent before the failure', false, passed, failed, { type: 'answered' }, found(0)],
    ['sent before a failure in another process', false, passed, doubted, found(0)],
    ['another scan comes to its end', false, passed, failed, { type: 'answered' }],
    ['the self test of the monitor, which may be older', false, passed, doubted, passed],
    ['found in this epoch, then in an older one', true, passed, doubted, found(1), found(0)],
    ['missed, then found in an older epoch', false, passed, { type: 'eicarMissed' }, found(0)],
    ['missed, then found', true, passed, { type: 'eicarMissed' }, found(1)],
    ['found, the settings are reloaded', false, passed, { type: 'reloaded' }],
  ] as const) {
    test(`${what}: ${expected ? 'verified' : 'not verified'}`, () =>
      assert.equal(isVerified(after(...events)), expected))
  }
})

describe('largest message that counts as proven, and size limit', () => {
  const missedAt = (bytes: number): HostEvent => ({ type: 'eicarMissedAt', bytes, nowMs })
  for (const [what, provenBytes, limitBytes, ...events] of [
    ['nothing is known', null, Infinity],
    ['self test to max_size', 9000, Infinity, passed],
    ['self test to a size', 1000, 1000, upTo(1000)],
    ['a mail finds it at a larger size', 2000, Infinity, upTo(1000), found(0, 2000)],
    ['a mail finds it at a smaller size', 9000, Infinity, passed, found(0, 1000)],
    ['a mail finds it, sizes are not tested', 9000, Infinity, passed, found(0, null)],
    ['a mail misses it at a size', 4999, 4999, passed, missedAt(5000)],
    ['found at one size, missed at another', 1000, 4999, found(0, 1000), missedAt(5000)],
    ['found beyond that limit', 6000, Infinity, found(0, 1000), missedAt(5000), found(0, 6000)],
    ['proven, then a failure, then a small test file', 1000, Infinity, passed, doubted, found(1, 1000)],
    ['a large one sent before that failure', 1000, Infinity, doubted, found(1, 1000), found(0, 9000)],
  ] as const) {
    test(what, () => {
      const state = after(...events)
      assert.deepEqual([state.maxScannableBytes, limitOf(state, nowMs)], [provenBytes, limitBytes])
    })
  }

  test('a limit that a mail has found holds for a minute', () => {
    const state = after(passed, missedAt(5000))
    assert.deepEqual([limitOf(state, nowMs + 59_999), limitOf(state, nowMs + 60_000)], [4999, Infinity])
  })
})

describe('the protocol that is spoken first', () => {
  const spoke: HostEvent = { type: 'spoke', protocol: 'instream' }
  for (const [what, expected, ...events] of [
    ['learnt from a scan', 'instream', spoke],
    ['after a failure the daemon may be another release', null, spoke, failed],
    ['of the self test', 'stream', spoke, { ...passed, protocol: 'stream' }],
    ['of the self test, after a failure', 'stream', { ...passed, protocol: 'stream' }, spoke, failed],
    ['a self test by the same protocol', 'instream', { ...passed, protocol: null }, spoke, passed],
  ] as const) {
    test(`${what}: ${expected ?? 'not known'}`, () => assert.equal(after(...events).protocol, expected))
  }
})

describe('the version', () => {
  const said = (version: string | null): HostEvent => ({ type: 'capabilities', version, commands: null })
  for (const [what, expected, ...events] of [
    ['told', 'ClamAV 1.4.6', said('ClamAV 1.4.6')],
    ['another one', 'ClamAV 1.4.7', said('ClamAV 1.4.6'), said('ClamAV 1.4.7')],
    ['not told any more', undefined, said('ClamAV 1.4.6'), said(null)],
    ['not told in time', 'ClamAV 1.4.6', said('ClamAV 1.4.6'), { ...said(null), isLate: true }],
  ] as const) {
    test(what, () => assert.equal(after(...events).engine?.release, expected))
  }
})

test('an event that changes nothing makes no new state', () => {
  for (const event of [{ type: 'answered' }, { type: 'spoke', protocol: null }] as const)
    assert.equal(next(newHost, event), newHost)
})
