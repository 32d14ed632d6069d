// What the page says is wrong: nothing when all is well, and each sentence with a section of the runbook that is there.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { AddressState } from '../../../../lib/hosts/host-pool'
import { Stats } from '../../../../lib/monitoring/dashboard/stats'
import { viewOf } from '../../../../lib/monitoring/dashboard/view'
import { actionOf } from '../../../../lib/policy/action'
import type { Verdict } from '../../../../lib/policy/verdict'
import { clean, someAddress, unscanned } from '../../../support/monitoring-site'

const hourMs = 3_600_000
const now = Date.UTC(2026, 0, 15, 12)
const second = { ...someAddress, text: '192.0.2.11:3310' }
const resting = (one: AddressState): AddressState => ({ ...one, state: 'resting' })
const untrusted = (one: AddressState): AddressState => ({ ...one, state: 'untrusted' })
const madeBefore = (hours: number): AddressState => ({
  ...someAddress,
  engine: { release: 'ClamAV 1.4.6', signatures: { number: 1, builtMs: now - hours * hourMs }, line: '' },
})

interface Case {
  readonly addresses?: readonly (readonly AddressState[])[]
  readonly mail?: readonly (readonly [Verdict, string])[]
  readonly failedCopies?: number
  readonly onError?: Parameters<typeof actionOf>
  readonly expected: readonly string[]
}

const failed = [unscanned('x'), 'defer'] as const
const cases: Record<string, Case> = {
  'all is well': { mail: [[clean, 'accept']], expected: [] },
  'one message that failed, and one that was scanned': {
    mail: [failed, [clean, 'accept']],
    expected: ['warn 1 message was deferred, not scanned in the last 15 minutes'],
  },
  'no clamd answers': {
    addresses: [[resting(someAddress)], [resting(someAddress)]],
    mail: [failed],
    expected: ['bad Mail is deferred: no clamd answers since 12:00'],
  },
  'no clamd answers, and mail is let through': {
    addresses: [[resting(someAddress)]],
    onError: ['accept'],
    expected: ['bad Mail is delivered unscanned: no clamd answers'],
  },
  'no clamd answers, and mail is kept': {
    addresses: [[resting(someAddress)]],
    onError: [undefined, true],
    expected: ['bad Mail is kept out: no clamd answers'],
  },
  'no clamd finds the test file': {
    addresses: [[untrusted(someAddress)]],
    onError: ['reject'],
    expected: ['bad Mail is refused: no clamd finds the EICAR test file'],
  },
  'no message has come, so no name was looked up': { addresses: [[]], expected: [] },
  'no names can be resolved': {
    addresses: [[]],
    mail: [failed],
    expected: ['bad Mail is deferred: no address of a clamd is known since 12:00'],
  },
  'every scan fails, though an address has rested': {
    mail: [failed, failed, failed],
    expected: ['bad Mail is deferred: no scan has succeeded since 12:00'],
  },
  'one of two rests everywhere': {
    addresses: [[someAddress, resting(second)]],
    expected: ['warn 192.0.2.11:3310 does not answer; the others do its work'],
  },
  'one of two rests in one of two processes': {
    addresses: [
      [someAddress, second],
      [someAddress, resting(second)],
    ],
    expected: [],
  },
  'one of two finds nothing': {
    addresses: [[someAddress, untrusted(second)]],
    expected: ['bad 192.0.2.11:3310 gets no mail: it does not find the EICAR test file'],
  },
  'signatures of yesterday': { addresses: [[madeBefore(70)]], expected: [] },
  'old signatures': {
    addresses: [[madeBefore(100)]],
    expected: ['warn The signatures of 192.0.2.10:3310 are 4 days old'],
  },
  'mail that got through, and mail that did not': {
    mail: [
      [unscanned('x'), 'accept'],
      [unscanned('x'), 'reject'],
      [clean, 'accept'],
    ],
    expected: [
      'bad 1 message was delivered unscanned in the last 15 minutes',
      'warn 1 message was kept out, not scanned in the last 15 minutes',
    ],
  },
  'copies that could not be kept': {
    failedCopies: 2,
    expected: ['bad 2 messages were deferred because no copy could be kept in the last 15 minutes'],
  },
}

const runbook = readFileSync(path.resolve(__dirname, '../../../../docs/guide/runbook.md'), 'utf8')
const anchors = [...runbook.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
  heading
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replaceAll(' ', '-'),
)

for (const [
  name,
  { addresses = [[someAddress]], mail = [], failedCopies = 0, onError, expected },
] of Object.entries(cases))
  test(`the state of the whole: ${name}`, () => {
    const stats = new Stats(() => now)
    for (const [verdict, action] of mail) stats.add(verdict, null, action)
    for (let i = 0; i < failedCopies; i++) stats.addFailedCopy()
    const pages = addresses.map((states, at) => ({
      recent: at === 0 ? stats.recent() : null,
      addresses: states,
      processes: 1,
    }))
    const settings = { onError: actionOf(...(onError ?? ['defer'])), maxSignatureAgeMs: 72 * hourMs }
    const { alerts, processes } = viewOf(pages, settings, null, { epoch: 1, seq: 0 }, now)
    const since = (ms: number | null) =>
      ms === null ? '' : ` since ${new Date(ms).toISOString().slice(11, 16)}`
    assert.deepEqual(
      alerts.map(({ level, text, sinceMs }) => `${level} ${text}${since(sinceMs)}`),
      expected,
    )
    for (const { section } of alerts) assert.ok(anchors.includes(section), section)
    assert.equal(processes, addresses.length)
  })
