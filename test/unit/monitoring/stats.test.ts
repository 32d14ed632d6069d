// Statistics of the page: by time, bounded for any input, and merged over processes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { displayText } from '../../../lib/base/text'
import { bounds, mergeStats, Stats, windows } from '../../../lib/monitoring/dashboard/stats'
import { TimeWindow } from '../../../lib/monitoring/dashboard/time-window'
import { deadWorkersPage, viewOf } from '../../../lib/monitoring/dashboard/view'
import { clean, infected, pageOf, sampleMail, someAddress, unscanned } from '../../support/monitoring-site'

const minuteMs = 60_000
const someDay = Date.UTC(2026, 0, 15, 12, 0, 30)

/** Stats whose clock the test sets. */
function clocked(): { stats: Stats; clock: { ms: number }; see: () => ReturnType<typeof viewOf> } {
  const clock = { ms: someDay }
  const stats = new Stats(() => clock.ms)
  return { stats, clock, see: () => viewOf([pageOf(stats, someAddress)], null, clock.ms) }
}

const sender = () => sampleMail

test('verdicts leave the last hour, and then the last day', () => {
  const { stats, clock, see } = clocked()
  stats.add(clean, null, 'accept', sender)
  stats.add(infected('A'), { denied: '*.exe', name: 'a.exe' }, 'reject', sender)
  clock.ms += 59 * minuteMs
  stats.add(unscanned('x'), null, 'defer', sender)
  stats.add(
    { ...clean, outcome: 'unscanned', reason: 'exempt', text: '', clamd: null },
    null,
    'accept',
    sender,
  )
  assert.deepEqual(see().hour, { clean: 1, infected: 1, unscanned: 1, exempt: 1, denied: 1 })
  assert.equal(see().minutes.length, 60)
  assert.equal(see().minutes[0]?.clean, 1)
  assert.equal(see().minutes[59]?.unscanned, 1)
  clock.ms += minuteMs
  assert.deepEqual(see().hour, { clean: 0, infected: 0, unscanned: 1, exempt: 1, denied: 0 })
  assert.equal(see().day.infected, 1)
  assert.deepEqual(see().signatures, [['A', 1]])
  clock.ms += 24 * 60 * minuteMs
  assert.deepEqual(see().day, { clean: 0, infected: 0, unscanned: 0, exempt: 0, denied: 0 })
  assert.deepEqual(see().signatures, [])
  assert.equal(see().infected.length, 1, 'the last ones stay, however old')
})

test('an exempt message is counted and not listed, and its sender is not asked for', () => {
  const { stats, see } = clocked()
  const exempt = { ...clean, outcome: 'unscanned', reason: 'exempt', text: '', clamd: null } as const
  stats.add(exempt, null, 'accept', () => assert.fail('asked'))
  stats.add(clean, null, 'accept', () => assert.fail('asked'))
  assert.deepEqual(see().unscanned, [])
  assert.equal(see().hour.exempt, 1)
})

test('a clock that is set back does no harm', () => {
  const { stats, clock, see } = clocked()
  stats.add(clean, null, 'accept', sender)
  clock.ms -= 30 * minuteMs
  stats.add(clean, null, 'accept', sender)
  assert.equal(see().hour.clean, 1, 'what is ahead of us now is not of the last hour')
  clock.ms += 30 * minuteMs
  assert.equal(see().hour.clean, 2)
})

test('addresses: share, average and slowest of the last hour', () => {
  const { stats, clock, see } = clocked()
  stats.add({ ...clean, ms: 10 }, null, 'accept', sender)
  stats.add({ ...clean, ms: 50 }, null, 'accept', sender)
  stats.add({ ...clean, clamd: '192.0.2.11:3310', ms: 5 }, null, 'accept', sender)
  const [address] = see().addresses
  assert.equal(address?.scans, 2)
  assert.equal(address.meanMs, 30)
  assert.equal(address.slowestMs, 50)
  assert.equal(address.share, 2 / 3)
  clock.ms += 61 * minuteMs
  assert.deepEqual(
    see().addresses.map(({ scans, meanMs, share }) => ({ scans, meanMs, share })),
    [{ scans: 0, meanMs: null, share: 0 }],
  )
})

test('a flood of everything takes no more room than a little of it', () => {
  const { stats, clock } = clocked()
  const size = () => JSON.stringify(stats.snapshot()).length
  const flood = (count: number) => {
    for (let i = 0; i < count; i++) {
      clock.ms += 7_000
      const text = `${i}-${'x'.repeat(5000)}`
      const mail = {
        ...sampleMail,
        subject: text,
        from: text,
        to: Array<string>(100).fill(text),
        uuid: text,
        ip: text,
      }
      stats.add(
        { ...infected(text), clamd: `[2001:db8::${i.toString(16)}]:3310` },
        null,
        'reject',
        () => mail,
      )
      stats.add({ ...unscanned(text), clamd: null }, null, 'defer', () => mail)
    }
  }
  flood(20_000)
  const full = size()
  flood(20_000)
  assert.ok(size() < full * 1.05, `${full} and then ${size()}`)
  assert.ok(full < 600_000, `${full} characters`)
  const { infected: list, addresses } = stats.snapshot()
  assert.equal(list.length, bounds.messages)
  assert.equal(addresses.length, bounds.addresses)
})

test('frequent signatures are not pushed out by rare ones', () => {
  const { stats, see } = clocked()
  for (let i = 0; i < 1000; i++) {
    stats.add(infected(`Rare.${i}`), null, 'reject', sender)
    if (i % 5 === 0) stats.add(infected('Frequent'), null, 'reject', sender)
  }
  assert.equal(see().signatures[0]?.[0], 'Frequent')
  assert.ok((see().signatures[0]?.[1] ?? 0) >= 200)
})

test('several processes are one: sums, newest first, and states counted', () => {
  const first = clocked()
  const second = clocked()
  first.stats.add(infected('A'), null, 'reject', sender)
  second.clock.ms += 1000
  second.stats.add(infected('B'), null, 'reject', sender)
  second.stats.add(infected('A'), null, 'reject', sender)
  const pages = [
    pageOf(first.stats, someAddress),
    pageOf(second.stats, { ...someAddress, state: 'resting', inFlight: 3 }),
    // One that is told of the page only now.
    pageOf(null, someAddress),
  ]
  const view = viewOf(pages, null, someDay + 1000)
  assert.equal(view.processes, 3)
  assert.equal(view.hour.infected, 3)
  assert.deepEqual(view.signatures, [
    ['A', 2],
    ['B', 1],
  ])
  assert.deepEqual(
    view.infected.map(({ what }) => what),
    ['A', 'B', 'A'],
  )
  const [address] = view.addresses
  assert.equal(view.addresses.length, 1)
  assert.deepEqual([address?.up, address?.resting, address?.inFlight, address?.scans], [2, 1, 3, 3])
  assert.deepEqual(mergeStats([], someDay).minutes, [])
})

test('figures of processes that have ended are shown for a day, and take no more room than one process', () => {
  const { stats, clock, see } = clocked()
  let deadWorkersSnapshot = pageOf(null)
  const sizes: number[] = []
  for (let day = 0; day < 60; day++) {
    const worker = new Stats(() => clock.ms)
    for (let step = 0; step < 96; step++) {
      clock.ms += 15 * minuteMs
      for (let i = 0; i < bounds.names; i++)
        worker.add(
          { ...infected(`${day}.${i}`), clamd: `192.0.2.${(day * 7 + i) % 250}:3310` },
          null,
          'reject',
          sender,
        )
    }
    deadWorkersSnapshot = deadWorkersPage([deadWorkersSnapshot, pageOf(worker)], clock.ms)
    sizes.push(JSON.stringify(deadWorkersSnapshot).length)
  }
  assert.ok((sizes[59] ?? 0) < (sizes[0] ?? 0) * 1.1, `${sizes[0]} characters, then ${sizes[59]}`)
  assert.equal(viewOf([deadWorkersSnapshot], null, clock.ms).day.infected, 96 * bounds.names)

  clock.ms += 60 * minuteMs
  stats.add(clean, null, 'accept', sender)
  assert.equal(see().addresses[0]?.scans, 1)
  const view = viewOf([deadWorkersSnapshot, pageOf(stats, someAddress)], null, clock.ms)
  assert.equal(view.addresses[0]?.scans, 1, 'not crowded out')
})

test('a ring keeps as many buckets as it has', () => {
  const timeWindow = new TimeWindow(10, 3, () => ({ n: 0 }))
  for (let ms = 0; ms < 1000; ms++) timeWindow.at(ms).n++
  assert.deepEqual(timeWindow.buckets(999), [
    [99, { n: 10 }],
    [97, { n: 10 }],
    [98, { n: 10 }],
  ])
  assert.equal(windows.quarters.widthMs * windows.quarters.count, 24 * 60 * minuteMs)
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
