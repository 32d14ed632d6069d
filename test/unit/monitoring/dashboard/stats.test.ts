// Figures of the page: by time, bounded for any input, and merged over processes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { displayText } from '../../../../lib/base/text'
import { figuresOf } from '../../../../lib/monitoring/dashboard/figures'
import {
  addTime,
  percentile,
  type ScanTimes,
  sumTimes,
} from '../../../../lib/monitoring/dashboard/scan-times'
import {
  bounds,
  mergeRecent,
  mergeStats,
  noCounts,
  otherAddress,
  type Span,
  spanNames,
  spans,
  Stats,
} from '../../../../lib/monitoring/dashboard/stats'
import { TimeWindow } from '../../../../lib/monitoring/dashboard/time-window'
import { exemptVerdict } from '../../../../lib/policy/verdict'
import { clean, infected, someAddress, unscanned } from '../../../support/monitoring-site'

const minuteMs = 60_000
const someDay = Date.UTC(2026, 0, 15, 12, 0, 30)

/** Statistics whose clock the test sets. */
function clocked() {
  const clock = { ms: someDay }
  const stats = new Stats(() => clock.ms)
  const see = (span: Span = 'hour') => figuresOf(stats.snapshot(), span, clock.ms)
  return { stats, clock, see, counts: (span: Span = 'hour') => see(span).sum.counts }
}

const counts = (some: Partial<ReturnType<typeof noCounts>>) => ({ ...noCounts(), ...some })

test('verdicts leave the last hour, then the last day, and then the last week', () => {
  const { stats, clock, see, counts: seen } = clocked()
  stats.add(clean, null, 'accept')
  stats.add(infected('A'), { denied: '*.exe', name: 'a.exe' }, 'reject')
  clock.ms += 59 * minuteMs
  stats.add(unscanned('x'), null, 'defer')
  stats.add(exemptVerdict(''), null, 'accept')
  const all = { clean: 1, infected: 1, unscanned: 1, exempt: 1, denied: 1, deferred: 1 }
  for (const span of spanNames) assert.deepEqual(seen(span), counts(all), span)
  assert.equal(see().counts.length, 60)
  assert.equal(see().counts[0]?.clean, 1)
  assert.equal(see().counts[59]?.unscanned, 1)
  assert.equal(see().times[59], Date.UTC(2026, 0, 15, 12, 59))
  assert.deepEqual(see().sum.signatures, [['A', 1]])
  clock.ms += minuteMs
  assert.deepEqual(seen(), counts({ unscanned: 1, exempt: 1, deferred: 1 }))
  assert.deepEqual(see().sum.signatures, [])
  assert.equal(seen('day').infected, 1)
  clock.ms += 24 * 60 * minuteMs
  assert.deepEqual(seen('day'), noCounts())
  assert.equal(seen('week').infected, 1)
  clock.ms += 7 * 24 * 60 * minuteMs
  assert.deepEqual(seen('week'), noCounts())
})

test('what becomes of unscanned messages is counted, but not of those that nobody can or should scan', () => {
  const { stats, counts: seen } = clocked()
  for (const action of ['defer', 'quarantine defer']) stats.add(unscanned('x'), null, action)
  for (const action of ['accept', 'tag']) stats.add(unscanned('x'), null, action)
  for (const action of ['reject', 'quarantine', 'quarantine reject']) stats.add(unscanned('x'), null, action)
  stats.add({ ...unscanned('x'), reason: 'encrypted' } as typeof clean, null, 'accept')
  stats.add(exemptVerdict('x'), null, 'accept')
  stats.addFailedCopy()
  const { deferred, delivered, refused, copiesFailed } = seen()
  assert.deepEqual([deferred, delivered, refused, copiesFailed], [2, 2, 3, 1])
})

test('a clock that is set back does no harm', () => {
  const { stats, clock, counts: seen } = clocked()
  stats.add(clean, null, 'accept')
  clock.ms -= 30 * minuteMs
  stats.add(clean, null, 'accept')
  assert.equal(seen().clean, 1, 'what is ahead of us now is not of the last hour')
  clock.ms += 30 * minuteMs
  assert.equal(seen().clean, 2)
})

test('scan times: percentiles of spread times are right to within 6 %, also of several addresses', () => {
  const all = Array.from({ length: 10_000 }, (_, at) => 1 + ((at * 7919) % 10_000))
  const halves: ScanTimes[] = [[], []]
  for (const [at, ms] of all.entries()) addTime(halves[at % 2] ?? [], ms)
  for (const share of [0.1, 0.5, 0.95, 0.99]) {
    const ms = percentile(sumTimes(halves), share) ?? 0
    assert.ok(Math.abs(ms / (share * 10_000) - 1) < 0.06, `${share}: ${ms} ms`)
  }
  assert.equal(percentile([], 0.5), null)
  const odd: ScanTimes = []
  for (const ms of [0, 0.2, 1e12, NaN]) if (!Number.isNaN(ms)) addTime(odd, ms)
  assert.ok(odd.length <= 54)
})

test('addresses: scans, bytes and times of each, those with the most scans first', () => {
  const { stats, clock, see } = clocked()
  stats.add({ ...clean, clamd: '192.0.2.11:3310', ms: 5 }, null, 'accept')
  for (const ms of [10, 50]) stats.add({ ...clean, ms }, null, 'accept')
  stats.add({ ...clean, clamd: null }, null, 'accept')
  const { sum, addresses, scans } = see()
  assert.deepEqual(
    sum.addresses.map(([text, one]) => [text, one.scans, one.bytes, one.slowest]),
    [
      [someAddress.text, 2, 2000, 50],
      ['192.0.2.11:3310', 1, 1000, 5],
    ],
  )
  assert.equal(sum.scans.scans, 3)
  assert.equal(scans[59]?.bytes, 3000)
  assert.equal(scans[58]?.p95, null)
  assert.equal(addresses[0]?.scans[59]?.scans, 2)
  clock.ms += 61 * minuteMs
  assert.deepEqual(see().sum.addresses, [])
})

test('a flood of everything takes no more room than a little of it', () => {
  const { stats, clock } = clocked()
  const size = () => JSON.stringify(stats.snapshot()).length
  let at = 0
  const flood = (count: number, stepMs: number) => {
    for (let i = 0; i < count; i++, at++) {
      clock.ms += stepMs
      const text = `${at}-${'x'.repeat(5000)}`
      const ms = (at * 7919) % 300_000
      stats.add({ ...infected(text), clamd: `[2001:db8::${at.toString(16)}]:3310`, ms }, null, 'reject')
    }
  }
  // Two weeks, so that every bucket of every span is full.
  flood(20_000, 60_000)
  flood(20_000, 30)
  const full = size()
  flood(20_000, 60_000)
  flood(20_000, 30)
  assert.ok(size() < full * 1.05, `${full} and then ${size()}`)
  assert.ok(full < 3_000_000, `${full} characters`)
  for (const [, { work, names }] of stats.snapshot().week) {
    assert.ok(work.length <= bounds.addresses && names.length <= bounds.names)
  }
})

test('frequent signatures are not pushed out by rare ones', () => {
  const { stats, see } = clocked()
  for (let i = 0; i < 1000; i++) {
    stats.add(infected(`Rare.${i}`), null, 'reject')
    if (i % 5 === 0) stats.add(infected('Frequent'), null, 'reject')
  }
  const [[name, count] = ['', 0]] = see().sum.signatures
  assert.equal(name, 'Frequent')
  assert.ok(count >= 200)
})

test('several processes are one, dead ones included, and take no more room than one', () => {
  const first = clocked()
  const second = clocked()
  first.stats.add(infected('A'), null, 'reject')
  second.stats.add(infected('B'), null, 'reject')
  second.stats.add(infected('A'), null, 'reject')
  const all = mergeStats([first.stats.snapshot(), second.stats.snapshot()], someDay)
  const { sum } = figuresOf(all, 'hour', someDay)
  assert.equal(sum.counts.infected, 3)
  assert.deepEqual(sum.signatures, [
    ['A', 2],
    ['B', 1],
  ])
  assert.equal(sum.scans.scans, 3)
  assert.deepEqual(mergeStats([], someDay), { hour: [], day: [], week: [] })

  const { clock } = first
  let dead = mergeStats([], clock.ms)
  const sizes: number[] = []
  for (let worker = 0; worker < 60; worker++) {
    const stats = new Stats(() => clock.ms)
    for (let step = 0; step < 96; step++) {
      clock.ms += 15 * minuteMs
      for (let i = 0; i < bounds.names; i++)
        stats.add(
          { ...infected(`${worker}.${i}`), clamd: `192.0.2.${(worker * 7 + i) % 250}:3310` },
          null,
          'reject',
        )
    }
    dead = mergeStats([dead, stats.snapshot()], clock.ms)
    sizes.push(JSON.stringify(dead).length)
  }
  assert.ok((sizes[59] ?? 0) < (sizes[9] ?? 0) * 1.2, `${sizes[9]} characters, then ${sizes[59]}`)
  const merged = figuresOf(dead, 'day', clock.ms)
  assert.equal(merged.sum.counts.infected, 96 * bounds.names)
  assert.equal(merged.sum.scans.scans, 96 * bounds.names, 'none is lost when addresses share a name')
  assert.ok(merged.sum.addresses.length <= bounds.addresses)
  assert.ok(figuresOf(dead, 'week', clock.ms).sum.addresses.some(([text]) => text === otherAddress))
})

test('failures count from the last scan of any process on', () => {
  const one = clocked()
  const two = clocked()
  const merged = () => mergeRecent([one.stats.recent(), two.stats.recent()], one.clock.ms)
  assert.deepEqual([merged().failures, merged().failingSinceMs], [0, null])
  one.stats.add(unscanned('x'), null, 'defer')
  one.clock.ms += 5000
  one.stats.add(unscanned('x'), null, 'defer')
  assert.deepEqual([merged().failures, merged().failingSinceMs], [2, someDay])
  two.clock.ms += 4000
  two.stats.add(clean, null, 'accept')
  assert.equal(merged().failures, 0, 'the other process has scanned since')
  two.clock.ms += 4000
  two.stats.add({ ...unscanned('x'), reason: 'timeout' } as typeof clean, null, 'defer')
  two.stats.add({ ...unscanned('x'), reason: 'too_large' } as typeof clean, null, 'reject')
  assert.deepEqual([merged().failures, merged().failingSinceMs], [1, someDay + 8000])
})

test('a ring keeps as many buckets as it has', () => {
  const timeWindow = new TimeWindow(10, 3, () => ({ n: 0 }))
  for (let ms = 0; ms < 1000; ms++) timeWindow.at(ms).n++
  assert.deepEqual(timeWindow.buckets(999), [
    [99, { n: 10 }],
    [97, { n: 10 }],
    [98, { n: 10 }],
  ])
  for (const [span, days] of [
    ['day', 1],
    ['week', 7],
  ] as const)
    assert.equal(spans[span].widthMs * spans[span].count, days * 24 * 60 * minuteMs)
})

test('strings of strangers: bounded, on one line, nothing hidden in them', () => {
  const cases: [string, number, string][] = [
    ['plain', 10, 'plain'],
    ['a\r\n\tb', 10, 'a b'],
    ['\u202egpj.exe', 20, '\ufffdgpj.exe'],
    ['a\u200bb\u0000c\u2028d', 20, 'a\ufffdb\ufffdc\ufffdd'],
    ['12345678901', 10, '123456789…'],
    ['x'.repeat(1e6), 5, 'xxxx…'],
    ['😀😀😀', 2, '😀…'],
    ['\ud800', 5, '\ufffd'],
    [`a${'\u0301'.repeat(30)}b`, 10, 'a\u0301\u0301\u0301b'],
    ['שלום', 10, 'שלום'],
    ['', 10, ''],
  ]
  for (const [text, length, expected] of cases) assert.equal(displayText(text, length), expected)
})
