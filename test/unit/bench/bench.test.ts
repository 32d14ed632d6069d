// The parts of the bench that do not measure: figures out of measurements, targets, tables, the plot, the documents.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { Contender } from '../../../bench/contenders'
import { inTurn } from '../../../bench/cost'
import { cpuMsBetween, cpuSnapshot, withChildren } from '../../../bench/cpu'
import { between, documents, readResults } from '../../../bench/documents'
import { added, addedLatency, ratio } from '../../../bench/figures'
import { uniqueMessage } from '../../../bench/messages'
import { readOptions } from '../../../bench/options'
import { planningTable } from '../../../bench/planning'
import { decadesAround, drawPlot } from '../../../bench/plot'
import { pageSections, short, terminalSections } from '../../../bench/report'
import type { Cost, Results, SizeCosts } from '../../../bench/results'
import { median, percentile, spread } from '../../../bench/statistics'
import { asMarkdown, asText } from '../../../bench/table'
import { costTargets, paidPerRest, targets } from '../../../bench/targets'
import { steadyRate } from '../../../bench/throughput'
import { eicar } from '../../support/eicar'
import { repository } from '../../support/haraka/haraka-install'

const cost = (wall: number, server: number, clamd = 0, front = 0): Cost => ({ wall, server, clamd, front })

function size(label: string, bytes: number, rounds: SizeCosts['rounds']): SizeCosts {
  return { label, bytes, count: 10, rounds }
}

const oneMegabyte = size('1 MB', 1_000_000, {
  none: [cost(10, 8), cost(12, 9), cost(11, 8)],
  null: [cost(13, 12), cost(15, 13), cost(14, 12)],
  least: [cost(45, 14, 40), cost(47, 15, 40), cost(46, 14, 40)],
  clamd: [cost(70, 28, 50), cost(72, 29, 51), cost(71, 28, 49)],
  instream: [cost(40, 13, 38), cost(42, 14, 39), cost(41, 13, 38)],
  stream: [cost(45, 13, 38, 3), cost(47, 14, 38, 3), cost(46, 13, 38, 3)],
  bare: [cost(30, 0, 38), cost(30, 0, 38), cost(30, 0, 38)],
  'bare-stream': [cost(34, 0, 38, 3), cost(34, 0, 38, 3), cost(34, 0, 38, 3)],
})

const results = (more: Partial<Results> = {}): Results => ({
  date: '2025-11-22',
  machine: {
    processor: 'a processor',
    processors: 2,
    memoryGiB: 8,
    system: 'Linux 6.1',
    versions: { Haraka: '3.3.4' },
    signatures: 'a handful of test signatures',
  },
  leftOut: [],
  costs: [{ sessions: 4, sizes: [oneMegabyte] }],
  ...more,
})

const targetOf = (from: Results, group: RegExp, what: RegExp) =>
  targets(from).find((each) => group.test(each.group) && what.test(each.what))

test('medians and percentiles lie between the values next to them', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(percentile([0, 10], 99), 9.9)
  assert.ok(Number.isNaN(median([])))
  assert.deepEqual(spread([5, 1, 3]), { median: 3, min: 1, max: 5 })
})

test('CPU time is of all threads, and new ones count whole', () => {
  const before = new Map([
    ['1/1', 5e6],
    ['1/2', 1e6],
  ])
  const after = new Map([
    ['1/1', 7e6],
    ['1/2', 1e6],
    ['9/9', 4e6],
  ])
  assert.equal(cpuMsBetween(before, after), 6)
})

test('CPU time of a process grows with its work', () => {
  assert.ok(withChildren(process.pid).includes(process.pid))
  const before = cpuSnapshot([process.pid])
  for (const end = process.cpuUsage().user + 50_000; process.cpuUsage().user < end;);
  assert.ok(cpuMsBetween(before, cpuSnapshot([process.pid])) >= 40)
})

for (const bytes of [5_000, 100_000, 1_000_000]) {
  test(`a message of ${bytes} bytes is as large, one of its kind, and has no line that begins with a dot`, () => {
    const [one, other] = [uniqueMessage(bytes), uniqueMessage(bytes)]
    assert.ok(Math.abs(one.length - bytes) < bytes * 0.02)
    const [first, second] = [one, other].map((message) => message.toString('latin1').split('\r\n'))
    assert.ok(first && second)
    assert.ok(first.every((line) => !line.startsWith('.') && line.length <= 998))
    assert.match(first[0] ?? '', /^Received: /)
    assert.notEqual(first[0], second[0])
    const content = (lines: string[]) => lines.filter((line) => /^[A-Za-z0-9+/]{76}$/.test(line))
    assert.ok(content(first).length > 0.8 * (bytes / 78) - 20)
    assert.ok(content(first).every((line) => !second.includes(line)))
  })
}

test('an infected message has EICAR in a part of its own, and a zip is one', () => {
  assert.ok(uniqueMessage(5_000, 'infected').includes(`\r\n\r\n${eicar()}\r\n`))
  const archive = /filename="report\.zip"\r\n\r\n([\s\S]*?)\r\n--/.exec(
    uniqueMessage(5_000, 'zip').toString(),
  )
  assert.equal(
    Buffer.from(archive?.[1] ?? '', 'base64')
      .subarray(0, 4)
      .toString('latin1'),
    'PK\x03\x04',
  )
})

test('scanning adds what it takes more than the same server in the same round', () => {
  assert.deepEqual(added(oneMegabyte, 'clamd', 'wall'), { median: 60, min: 60, max: 60 })
  assert.deepEqual(added(oneMegabyte, 'null', 'server'), { median: 4, min: 4, max: 4 })
  assert.equal(added(oneMegabyte, 'milter', 'wall'), undefined)
  assert.equal(added(oneMegabyte, 'none', 'wall'), undefined)
})

test("the front's time is not blamed on STREAM, and a bare client adds all it costs", () => {
  assert.equal(added(oneMegabyte, 'stream', 'wall')?.median, 31)
  assert.equal(added(oneMegabyte, 'bare', 'wall')?.median, 30)
})

test('a ratio needs both', () => {
  const two = { median: 2, min: 1, max: 3 }
  assert.equal(ratio(two, { ...two, median: 4 }), 0.5)
  assert.equal(ratio(two, undefined), undefined)
})

test('beside a target stands what the least there is to do comes to', () => {
  const floorOf = (group: RegExp) => targetOf(results(), group, /1 MB/)?.floor
  assert.equal(floorOf(/CPU added .* haraka-plugin-clamd/), 0.2)
  assert.equal(floorOf(/Time added .* haraka-plugin-clamd/), 0.5)
  assert.equal(floorOf(/null sink/), undefined)
  assert.equal(targetOf(results(), /CPU added .* haraka-plugin-clamd/, /1 MB/)?.onlySends, 0.3)
})

test('targets say reached, not reached, and not measured', () => {
  const found = results()
  const cpu = targetOf(found, /CPU added .* haraka-plugin-clamd/, /1 MB/)
  assert.deepEqual([cpu?.value, cpu?.limit, cpu?.reached], [0.25, 0.25, true])
  const nullSink = targetOf(found, /null sink/, /1 MB/)
  assert.deepEqual([nullSink?.value, nullSink?.reached], [1.25, true])
  assert.equal(targetOf(found, /Time added \/ haraka/, /1 MB/)?.value, 0.5)
  assert.equal(targetOf(found, /clamd's CPU/, /1 MB/)?.value, 1)
  assert.equal(targetOf(found, /clamav-milter/, /1 MB/)?.reached, undefined)
  const slower = size('1 MB', 1_000_000, { ...oneMegabyte.rounds, instream: [cost(60, 20, 50)] })
  const worse = results({ costs: [{ sessions: 4, sizes: [slower] }] })
  for (const group of [/CPU added .* haraka/, /null sink/, /Time added \/ haraka/, /clamd's CPU/]) {
    assert.equal(targetOf(worse, group, /1 MB/)?.reached, false, String(group))
  }
})

test('added latency is above the median without scanning; the bare client is measured as it is', () => {
  const latency = (p50Ms: number, p99Ms: number) => ({ messages: 100, p50Ms, p99Ms, p50sMs: [p50Ms] })
  const latencies = { none: latency(1, 5), instream: latency(3, 6), bare: latency(2, 3) }
  assert.deepEqual(addedLatency(latencies, 'instream'), { p50Ms: 2, p99Ms: 5 })
  assert.deepEqual(addedLatency(latencies, 'bare'), { p50Ms: 2, p99Ms: 3 })
  assert.equal(addedLatency(latencies, 'clamd'), undefined)
  const found = results({ latency: latencies })
  assert.equal(targetOf(found, /latency/, /bare/)?.reached, true)
  assert.equal(targetOf(found, /latency/, /p99/)?.reached, false)
})

test('memory, throughput and fail-over have their targets', () => {
  const looks = (grows: number) => [
    { messages: 500, retainedBytes: 1_000, files: 20 },
    { messages: 1_500, retainedBytes: 1_000 + grows, files: 20 },
  ]
  const found = results({
    memory: {
      bytes: 10_000_000,
      busy: { sessions: 20, peakMiB: { none: [300], clamd: [420], instream: [329] }, heldMiB: [315] },
      stalled: { sessions: 40, peakMiB: { none: [500], clamd: [900], instream: [600] } },
      growth: { none: looks(20_000), instream: looks(50_000) },
    },
    throughput: {
      scanMs: 50,
      perSecond: {
        clamd: [{ clamds: 1, rounds: [19] }],
        instream: [
          { clamds: 1, rounds: [19, 20, 21] },
          { clamds: 4, rounds: [76] },
        ],
      },
    },
    failOver: { hostRestMs: 2_000, connectMs: 1_000, sessions: 4, messages: 100, wallMs: 6_500, paid: 4 },
  })
  assert.equal(targetOf(found, /memory/i, /^20/)?.reached, true)
  assert.equal(targetOf(found, /memory/i, /^20/)?.value, 329 / 315)
  assert.equal(targetOf(found, /memory/i, /stalled/)?.reached, false)
  assert.equal(targetOf(found, /kept/, /bytes/)?.value, 30)
  assert.equal(targetOf(found, /Throughput/, /4 clamds/)?.reached, true)
  assert.equal(targetOf(found, /black-holed/, /host_rest/)?.reached, false)
  const titles = terminalSections(found).map(({ title }) => title)
  for (const part of [/^Targets/, /^1 MB/, /Memory/, /Throughput/, /swallows/])
    assert.ok(
      titles.some((title) => part.test(title)),
      String(part),
    )
  const [ratios, further] = pageSections(found)
  assert.deepEqual([ratios?.title, further?.title], ['Ratios', 'Further ratios'])
  const groups = further?.table?.rows.map(([group = '']) => group) ?? []
  for (const part of [/memory/i, /Throughput/, /black-holed/])
    assert.ok(
      groups.some((group) => part.test(group)),
      String(part),
    )
})

test('contenders take turns there and back, then in another order', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const
  const contenders = names.map((name) => ({ name }) as Contender<(typeof names)[number]>)
  const rounds: string[][] = []
  const counts: number[] = []
  let called = 0
  const found = await inTurn(contenders, 8, { count: 100 }, ({ name }, { count }) => {
    if (called % names.length === 0) rounds.push([])
    rounds.at(-1)?.push(name)
    counts.push(count)
    return Promise.resolve(called++)
  })
  assert.deepEqual(
    [counts[0], counts[names.length]],
    [50, 100],
    'the first round does not count, and is a short one',
  )
  const counted = rounds.slice(1)
  const there = counted.filter((_, round) => round % 2 === 0).map((order) => order.join(' '))
  const back = counted.filter((_, round) => round % 2 === 1).map((order) => order.reverse().join(' '))
  assert.deepEqual(back, there)
  assert.equal(new Set(there).size, 4)
  assert.deepEqual(
    names.map((name) => found[name]?.length),
    names.map(() => 8),
  )
})

test('the terminal tells targets, the page the same ratios without them', () => {
  const [forUs] = terminalSections(results())
  assert.match(forUs?.text.join(' ') ?? '', /^\d+ of \d+ reached/)
  const [forReaders] = pageSections(results())
  const name = 'CPU added to the server / haraka-plugin-clamd'
  assert.deepEqual(forReaders?.table?.head, ['This plugin by INSTREAM', '1 MB'])
  assert.deepEqual(forReaders.table.rows[0], [name, '0.25'])
  assert.match(forReaders.text.join(' '), /only sends/)
  const ofUs = costTargets({ sessions: 4, sizes: [oneMegabyte] }).filter(({ value }) => value !== undefined)
  const groups = [...new Set(ofUs.map(({ group }) => group))]
  assert.deepEqual(
    forReaders.table.rows.map(([group]) => group),
    groups.filter((group) => !/null sink|bare client/.test(group)),
    'but for floors, which nobody installs',
  )
  assert.ok(groups.length > forReaders.table.rows.length)
  assert.doesNotMatch(JSON.stringify(pageSections(results())), /target|reached|not measured/i)
})

test('a row without figures is left out, and not mentioned', () => {
  const rounds = { ...oneMegabyte.rounds }
  delete rounds.least
  const [ratios] = pageSections(results({ costs: [{ sessions: 4, sizes: [size('1 MB', 1, rounds)] }] }))
  assert.ok(ratios)
  const groups = ratios.table?.rows.map(([group = '']) => group) ?? []
  assert.ok(groups.some((group) => group.includes('haraka-plugin-clamd')))
  assert.ok(!groups.some((group) => group.includes('only sends')))
  assert.doesNotMatch(ratios.text.join(' '), /only sends/)
})

test('what was not measured at a size leaves its cell empty', () => {
  const rounds = { ...oneMegabyte.rounds }
  delete rounds.least
  const sizes = [size('5 kB', 5_000, rounds), oneMegabyte]
  const [ratios] = pageSections(results({ costs: [{ sessions: 4, sizes }] }))
  assert.deepEqual(ratios?.table?.head, ['This plugin by INSTREAM', '5 kB', '1 MB'])
  assert.deepEqual(
    ratios.table.rows.find(([group = '']) => group.includes('only sends')),
    ['CPU added to the server / a plugin that only sends', '', '0.83'],
  )
})

test('a rest that is over may be paid for again', () => {
  const failOver = { hostRestMs: 2_000, connectMs: 500, sessions: 4, messages: 9, wallMs: 5_100, paid: 3 }
  assert.equal(paidPerRest(failOver), 1)
})

test('a steady rate leaves out the beginning and the end', () => {
  const steady = Array.from({ length: 80 }, (_, index) => 1_000 + index * 10)
  const answeredMs = [
    ...Array.from({ length: 10 }, () => 1),
    ...steady,
    ...Array.from({ length: 10 }, () => 9e6),
  ]
  assert.equal(steadyRate({ answeredMs }), 100)
})

test('planning halves what a core could do, and needs every size', () => {
  assert.equal(planningTable(results()), undefined)
  const sizes = ['5 kB', '100 kB', '1 MB', '10 MB'].map((label) =>
    size(label, 1, { instream: [cost(9, 4, 1)] }),
  )
  const rows = planningTable(results({ costs: [{ sessions: 4, sizes }] }))?.rows ?? []
  assert.equal(rows.length, 5)
  assert.deepEqual(rows[0], ['5 kB', '4.00', '1.00', '125', '500', '100'])
  assert.deepEqual(rows.at(-1)?.slice(1), ['4.00', '1.00', '125', '500', '100'])
})

test('figures are as long as they mean something', () => {
  assert.deepEqual([0.256, 12.34, 456.7, -0.001].map(short), ['0.26', '12.3', '457', '0.00'])
})

test('a table is the same in text and in Markdown', () => {
  const table = { head: ['a', 'long'], rows: [['xyz', '1']] }
  assert.equal(asText(table), 'a    long\nxyz  1')
  assert.equal(asMarkdown(table), '| a | long |\n| --- | --- |\n| xyz | 1 |')
})

test('the plot has every series, closes what it opens, and knows a dark page', () => {
  const point = (x: number, y: number) => ({ x, y, range: [y / 2, y * 2] as const })
  const svg = drawPlot({
    description: 'a "plot" <of> costs',
    panels: [
      { title: 'One & two', series: [{ title: 'first', colour: 0, points: [point(1, 3), point(10, 30)] }] },
      { title: 'Other', series: [{ title: 'second', colour: 1, points: [point(1, 0), point(10, 5)] }] },
    ],
    xTitle: 'x',
    yTitle: 'y',
    xTicks: [
      { at: 1, text: '1 kB' },
      { at: 10, text: '10 kB' },
    ],
  })
  const open: string[] = []
  for (const [, close, name = '', self] of svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
    if (close) assert.equal(open.pop(), name)
    else if (!self) open.push(name)
  }
  assert.deepEqual(open, [])
  assert.match(svg, /prefers-color-scheme:dark/)
  assert.match(svg, /One &amp; two/)
  assert.match(svg, /aria-label="a &quot;plot&quot; &lt;of&gt; costs"/)
  assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
  // Three points and a legend of two; the one at zero is not on a logarithmic axis.
  assert.equal(svg.match(/<circle/g)?.length, 5)
})

test('an axis runs from the power of ten below to the one above', () => {
  assert.deepEqual(decadesAround([0.3, 250]), [0.1, 1, 10, 100, 1000])
  assert.deepEqual(decadesAround([10]), [10, 100])
  assert.deepEqual(decadesAround([0, -1]), [1, 10])
})

test('figures go between the marks, and nowhere else', () => {
  const [begin, end] = ['<!-- written by npm run bench: begin -->', '<!-- written by npm run bench: end -->']
  assert.equal(between(`a\n${begin}\nold\n${end}\nb`, 'new'), `a\n${begin}\n\nnew\n\n${end}\nb`)
  assert.throws(() => between('nothing', 'new'), /marks are missing/)
})

test('options say what is allowed', () => {
  const { parts, sizes, complete, sessions } = readOptions([
    '--only',
    'cpu',
    '--sizes',
    '10M,5k',
    '--sessions',
    '8',
  ])
  assert.deepEqual(parts, ['cpu'])
  assert.deepEqual(
    sizes.map(({ bytes }) => bytes),
    [5_000, 10_000_000],
  )
  assert.deepEqual([complete, sessions], [false, [8]])
  const readings = readOptions(['--only', 'readings'])
  assert.deepEqual([readings.parts, readings.sessions, readings.complete], [['cpu'], [4], false])
  assert.ok(readings.contenders.includes('odd') && !readings.contenders.includes('milter'))
  assert.ok(readings.rounds < readOptions([]).rounds)
  assert.equal(readOptions([]).complete, true)
  assert.throws(() => readOptions(['--only', 'speed']), /--only speed: allowed are cpu, latency/)
  assert.throws(() => readOptions(['--rounds', '0']), /--rounds 0: /)
  assert.throws(() => readOptions(['--rounds', '1.5']), /whole number/)
  assert.throws(() => readOptions(['--fast']), /--fast/)
})

test('what a second look costs is compared with scan=message', () => {
  const measured = size('1 MB', 1_000_000, {
    ...oneMegabyte.rounds,
    message: [cost(38, 12, 40), cost(38, 12, 40), cost(38, 12, 40)],
    odd: [cost(44, 20, 44), cost(44, 20, 44), cost(44, 20, 44)],
    parts: [cost(24, 18, 16), cost(26, 18, 16), cost(25, 18, 16)],
  })
  const found = results({ costs: [{ sessions: 4, sizes: [measured] }] })
  const of = (group: RegExp) => targetOf(found, group, /1 MB/)
  assert.equal(of(/auto: clamd's CPU \/ scan=message/)?.value, 0.95)
  assert.equal(of(/Odd mail, scan=auto: clamd's CPU/)?.value, 1.1)
  assert.equal(of(/Odd mail, scan=auto: time/)?.reached, true)
  assert.equal(of(/parts: clamd's CPU/)?.value, 0.4)
  assert.equal(of(/parts: time added/)?.reached, true)
  assert.equal(of(/parts: Haraka's CPU/)?.value, 1.5)
  assert.equal(of(/parts: Haraka's CPU/)?.reached, false)
  assert.equal(targetOf(results(), /scan=message/, /./), undefined, 'it was not measured')
})

test('the documents are those of the last run (npm run bench -- --render writes them)', async () => {
  for (const [name, text] of Object.entries(await documents(readResults()))) {
    assert.equal(readFileSync(path.join(repository, name), 'utf8'), text, name)
  }
})
