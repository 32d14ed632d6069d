// Which address gets the next message: one row a rule. The clock of these tests stands at 100 s.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type HostEvent, newHost, next } from '../../../lib/hosts/host-state'
import { Load } from '../../../lib/hosts/load'
import { type Candidate, pick, type Wanted } from '../../../lib/hosts/pick'
import type { SelfTestResult } from '../../../lib/hosts/test-results'

const nowMs = 100_000

type Made = (host: Candidate) => Candidate

/** An address to which these things happened, in this order. */
function host(text: string, ...made: readonly Made[]): Candidate {
  const address = { host: text, port: 1 }
  const start: Candidate = { address, text, role: 'host', state: newHost, load: new Load() }
  return made.reduce((candidate, step) => step(candidate), start)
}
const event =
  (happened: HostEvent): Made =>
  (candidate) => ({ ...candidate, state: next(candidate.state, happened) })
const rests = (untilMs: number) => event({ type: 'failed', restsUntilMs: untilMs })
const resting = rests(nowMs + 20_000)
const restIsOver = rests(nowMs)
const doubted = event({ type: 'doubted' })
const untrusted = event({ type: 'eicarMissed' })
/** Listed in `backup`. */
const backup: Made = (candidate) => ({ ...candidate, role: 'backup' })
const tested = event({ type: 'selfTestFailed' })
const upTo = (bytes: number) =>
  event({ type: 'selfTested', selfTest: { ...limited, maxScannableBytes: bytes } })
const limited: SelfTestResult = {
  findsTestFile: true,
  maxScannableBytes: null,
  coversMaxSize: false,
  missed: null,
  alarm: null,
  reportsLimits: null,
  probes: 1,
  sentBytes: 1,
  ms: 1,
}
/** A scan that began so long ago and does not connect. */
const dials =
  (agoMs = 0): Made =>
  (candidate) => {
    candidate.load.begin(nowMs - agoMs)
    return candidate
  }
/** A scan that began so long ago, is connected and has no verdict. */
const scans =
  (agoMs = 0): Made =>
  (candidate) => {
    candidate.load.begin(nowMs - agoMs)
    candidate.load.endDialling()
    candidate.load.reached()
    return candidate
  }
const finished =
  (agoMs: number): Made =>
  (candidate) => {
    candidate.load.answered(nowMs - agoMs)
    return candidate
  }

const usual: Wanted = {
  bytes: 1000,
  tried: new Set(),
  turn: 0,
  nowMs,
  checksDueAtMs: 0,
  maxConcurrent: 0,
  hasPaused: false,
}

function picked(list: readonly Candidate[], wanted: Partial<Wanted> = {}): string {
  const choice = pick(list, { ...usual, ...wanted })
  if (choice.type === 'take') return `take ${choice.host.text}`
  return 'ms' in choice ? `${choice.type} ${choice.ms ?? ''}`.trim() : choice.type
}

type Row = readonly [what: string, expected: string, list: readonly Candidate[], wanted?: Partial<Wanted>]

function rows(title: string, ...table: readonly Row[]): void {
  describe(title, () => {
    for (const [what, expected, list, wanted] of table)
      test(`${what}: ${expected}`, () => assert.equal(picked(list, wanted), expected))
  })
}

rows(
  'round robin',
  ['the first turn', 'take a', [host('a'), host('b'), host('c')]],
  ['the turn goes round', 'take b', [host('a'), host('b'), host('c')], { turn: 1 + 3 }],
  [
    'one that failed this message is not asked again',
    'take b',
    [host('a'), host('b')],
    { tried: new Set(['a']) },
  ],
  ['all have failed this message', 'none', [host('a')], { tried: new Set(['a']) }],
  ['no address is known', 'none', []],
)

rows(
  'rest',
  ['a resting one is passed over', 'take b', [host('a', resting), host('b')]],
  ['its rest is over: one message may try it', 'take a', [host('a', restIsOver), host('b')]],
  [
    'not a message that has failed elsewhere',
    'take c',
    [host('a'), host('b', restIsOver), host('c')],
    { tried: new Set(['a']) },
  ],
  ['unless there is no other', 'take b', [host('a'), host('b', restIsOver)], { tried: new Set(['a']) }],
  [
    'all rest: the one with the oldest rest',
    'take b',
    [host('a', rests(nowMs + 2)), host('b', rests(nowMs + 1))],
  ],
)

rows(
  'addresses that do not get the message',
  ['untrusted', 'take b', [host('a', untrusted), host('b')]],
  ['untrusted, and there is no other', 'none', [host('a', untrusted)]],
  ['untrusted comes before resting', 'take b', [host('a', untrusted), host('b', resting)]],
  ['too large for it', 'take b', [host('a', upTo(999)), host('b')]],
  ['just fits', 'take a', [host('a', upTo(1000)), host('b')]],
  ['too large for all', 'none', [host('a', upTo(999)), host('b', upTo(10))]],
  [
    'a mail has found the limit a minute ago: it is tried again',
    'take a',
    [host('a', event({ type: 'eicarMissedAt', bytes: 500, nowMs: nowMs - 60_000 }))],
  ],
)

rows(
  'backup',
  ['a host can be asked', 'take b', [host('a', backup), host('b')]],
  ['a host may be tried again', 'take b', [host('a', backup), host('b', restIsOver)]],
  ['the host has failed this message', 'take b', [host('a'), host('b', backup)], { tried: new Set(['a']) }],
  ['the host rests', 'take b', [host('a', resting), host('b', backup)]],
  ['the host is untrusted', 'take b', [host('a', untrusted), host('b', backup)]],
  ['the message is too large for the host', 'take b', [host('a', upTo(999)), host('b', backup)]],
  ['no host is known', 'take b', [host('b', backup)]],
  ['the host is full: wait', 'wait', [host('a', scans()), host('b', backup)], { maxConcurrent: 1 }],
  ['all rest: the oldest rest', 'take a', [host('a', resting), host('b', backup, rests(nowMs + 30_000))]],
  ['the backup rests as well', 'take c', [host('a', resting), host('b', backup, resting), host('c', backup)]],
  [
    'the host is not tested yet: wait',
    'wait 5000',
    [host('a'), host('b', backup, tested)],
    { checksDueAtMs: nowMs + 5000 },
  ],
)

rows(
  'before the self tests have ended',
  ['none has been tested: wait', 'wait 5000', [host('a'), host('b')], { checksDueAtMs: nowMs + 5000 }],
  ['the tested one', 'take b', [host('a'), host('b', tested)], { checksDueAtMs: nowMs + 5000 }],
  ['the time is over', 'take a', [host('a'), host('b', tested)], { checksDueAtMs: nowMs }],
  ['all rest: they are asked at once', 'take a', [host('a', resting)], { checksDueAtMs: nowMs + 5000 }],
  [
    'a tested one rests: wait for the others',
    'wait 5000',
    [host('a', tested, resting), host('b')],
    { checksDueAtMs: nowMs + 5000 },
  ],
)

rows(
  'max_concurrent',
  ['a full one is passed over', 'take b', [host('a', scans()), host('b')], { maxConcurrent: 1 }],
  ['all are full: wait', 'wait', [host('a', scans()), host('b', scans())], { maxConcurrent: 1 }],
  ['until a rest is over', 'wait 20000', [host('a', resting), host('b', scans())], { maxConcurrent: 1 }],
  ['below the limit', 'take a', [host('a', scans()), host('b')], { maxConcurrent: 2 }],
)

rows(
  'slow connections',
  ['one that connects: another that does not', 'take b', [host('a', dials()), host('b', scans())]],
  ['all connect for the first time: pause once', 'pause 100', [host('a', dials(10)), host('b', dials(10))]],
  [
    'after the pause the next in turn',
    'take a',
    [host('a', dials(10)), host('b', dials(10))],
    { hasPaused: true },
  ],
  ['a single address is not waited for', 'take a', [host('a', dials(10))]],
  ['one was reached before: it is taken', 'take b', [host('a', dials(200)), host('b', scans(), dials(10))]],
  ['all are slow: the next in turn', 'take a', [host('a', dials(200)), host('b', dials(200))]],
)

rows(
  'stalled daemons',
  ['two scans and nothing finished for 2 s', 'take b', [host('a', scans(2000), scans(2000)), host('b')]],
  ['for less', 'take a', [host('a', scans(1999), scans(1999)), host('b')]],
  ['it has finished one since', 'take a', [host('a', scans(9000), scans(9000), finished(1999)), host('b')]],
  ['one scan alone may be a slow message', 'take a', [host('a', scans(9000)), host('b')]],
  ['all are stalled: the next in turn', 'take a', [host('a', scans(2000), scans(2000))]],
)

describe('what is said of the other addresses', () => {
  for (const [what, expected, ...others] of [
    ['there are none', 'none'],
    ['one works', 'well', host('b', resting), host('c')],
    ['all rest', 'doubtful', host('b', resting), host('c', resting)],
    ['one is doubted', 'doubtful', host('b', doubted)],
    ['one is untrusted', 'none', host('b', untrusted)],
    ['one is too small', 'none', host('b', upTo(10))],
  ] as const) {
    test(`${what}: ${expected}`, () => {
      const choice = pick([host('a'), ...others], usual)
      assert.equal(choice.type === 'take' && choice.others, expected)
    })
  }
})
