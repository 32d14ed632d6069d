// Recording, access and the quarantine's figures: bounded, guarded, and off when they are to be off.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { HttpSettings } from '../../../lib/config/settings'
import { MessageLog } from '../../../lib/monitoring/dashboard/message-log'
import { Quarantine } from '../../../lib/monitoring/dashboard/quarantine-summary'
import { staticFiles } from '../../../lib/monitoring/dashboard/static-files'
import type { StatsSnapshot } from '../../../lib/monitoring/dashboard/stats'
import { deadWorkersSnapshot, exposition, type MetricsSnapshot } from '../../../lib/monitoring/metrics'
import { loadProm, Recorder, recordWith, tell } from '../../../lib/monitoring/recorder'
import { exemptVerdict } from '../../../lib/policy/verdict'
import { clean, infected, sampleMail, someAddress, startSite } from '../../support/monitoring-site'
import { run, TemporaryDirectory } from '../../support/process'
import { metric } from '../../support/web'

function recorderWith(settings: Partial<HttpSettings>, warnings: string[] = []) {
  const current = { metrics: false, page: false, token: '', ...settings }
  const messages = new MessageLog(Date.now)
  const recorder = new Recorder({
    settings: () => current,
    states: () => [someAddress],
    messages,
    version: '1.2.3',
    warn: (text) => warnings.push(text),
  })
  return { recorder, current, messages }
}

const textOf = async (...snapshots: unknown[]) =>
  (await exposition(await loadProm(), snapshots as MetricsSnapshot[])).text

test('what goes wrong in recording is said once, and does not get to the message', () => {
  const warnings: string[] = []
  const { recorder } = recorderWith({ page: true }, warnings)
  const plugin = {}
  const judge = () =>
    tell(plugin, (one) =>
      one.judged({ verdict: infected('A'), finding: null, action: 'reject' }, () => {
        throw new Error('no subject')
      }),
    )
  judge()
  assert.deepEqual(warnings, [], 'not recording yet')
  recordWith(plugin, recorder)
  judge()
  judge()
  assert.equal(warnings.length, 1)
  assert.match(warnings.join('\n'), /no subject/)
})

test('a page that is switched off is forgotten; nothing is asked of a message while it is off', async () => {
  const { recorder, current, messages } = recorderWith({ page: true })
  const judged = { verdict: infected('A'), finding: null, action: 'reject' }
  recorder.judged(judged, () => sampleMail)
  recorder.copyFailed(judged, () => sampleMail, 'disk full')
  const listed = async () => (await messages.after({ epoch: 0, seq: 0 })).messages.map(({ kind }) => kind)
  const figures = async () => ((await recorder.snapshot('figures')) as StatsSnapshot | null)?.hour.length
  assert.deepEqual(await listed(), ['infected', 'copy failed'])
  assert.equal(await figures(), 1)
  current.page = false
  recorder.judged(judged, () => assert.fail('asked'))
  recorder.copyFailed(judged, () => assert.fail('asked'), 'disk full')
  assert.deepEqual(await listed(), [])
  assert.equal(await figures(), undefined)
  current.page = true
  assert.equal(await figures(), 0)
})

test('a clean message is not asked for its sender', () => {
  const { recorder } = recorderWith({ page: true })
  for (const verdict of [clean, exemptVerdict('')])
    recorder.judged({ verdict, finding: null, action: 'accept' }, () => assert.fail('asked'))
})

/** Those of an address. */
const seriesOf = (text: string, name: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith(`clamav_stream_${name}{`) && !line.includes('address="none"'))

test('labels are bounded: more addresses than there can be are one', async () => {
  const { recorder } = recorderWith({ metrics: true })
  await recorder.snapshot('metrics')
  for (let i = 0; i < 1000; i++) {
    recorder.judged(
      { verdict: { ...infected(`Name.${i}`), clamd: `192.0.2.1:${i + 1}` }, finding: null, action: 'reject' },
      () => sampleMail,
    )
  }
  const text = await textOf(await recorder.snapshot('metrics'))
  const series = seriesOf(text, 'messages_total')
  // One is that of the address that is known, which had no message.
  assert.equal(series.length, 32)
  assert.equal(metric(text, 'clamav_stream_messages_total'), 1000)
  assert.ok(metric(text, 'clamav_stream_messages_total', { address: 'other' }) > 900)
  assert.ok(!text.includes('Name.'))
})

test('action results, findings and signatures are exported, summed over processes, dead ones included', async () => {
  const one = recorderWith({ metrics: true }).recorder
  const two = recorderWith({ metrics: true }).recorder
  await Promise.all([one.snapshot('metrics'), two.snapshot('metrics')])
  for (const recorder of [one, two]) {
    recorder.judged(
      { verdict: clean, finding: { denied: '*.exe', name: 'a.exe' }, action: 'reject' },
      () => sampleMail,
    )
    recorder.countAction('copy', 'failed')
    recorder.countAction('report', 'withheld')
  }
  const snapshots = [await one.snapshot('metrics'), await two.snapshot('metrics')]
  // As over the channel between processes.
  const sent = JSON.parse(JSON.stringify(snapshots)) as MetricsSnapshot[]
  const text = await textOf(...sent)
  assert.equal(metric(text, 'clamav_stream_findings_total', { finding: 'denied' }), 2)
  assert.equal(metric(text, 'clamav_stream_findings_total', { finding: 'unreadable' }), 0)
  assert.equal(metric(text, 'clamav_stream_copies_total', { result: 'failed' }), 2)
  assert.equal(metric(text, 'clamav_stream_reports_total', { result: 'withheld' }), 2)
  assert.equal(metric(text, 'clamav_stream_scan_seconds_count'), 2)
  assert.equal(metric(text, 'clamav_stream_address_state', { state: 'up' }), 2)
  assert.equal(metric(text, 'clamav_stream_processes'), 2)
  assert.match(text, /clamav_stream_build_info\{version="1\.2\.3",node="[^"]+"\} 1$/m)

  const [first = [], second = []] = sent
  const gone = deadWorkersSnapshot(await loadProm(), [deadWorkersSnapshot(await loadProm(), [first]), second])
  const later = await textOf(JSON.parse(JSON.stringify(gone)), first)
  assert.equal(metric(later, 'clamav_stream_messages_total'), 3)
  assert.equal(metric(later, 'clamav_stream_scan_bytes_count'), 3)
  assert.equal(metric(later, 'clamav_stream_processes'), 1)
  assert.equal(metric(later, 'clamav_stream_address_state', { state: 'up' }), 1)
})

test('however many processes end, and whatever addresses they had: as many labels as one has', async () => {
  const prom = await loadProm()
  let gone: MetricsSnapshot = []
  for (let i = 0; i < 100; i++) {
    const { recorder } = recorderWith({ metrics: true })
    await recorder.snapshot('metrics')
    recorder.judged(
      { verdict: { ...clean, clamd: `192.0.2.1:${i + 1}` }, finding: null, action: 'accept' },
      () => sampleMail,
    )
    gone = deadWorkersSnapshot(prom, [gone, (await recorder.snapshot('metrics')) as MetricsSnapshot])
  }
  const text = await textOf(JSON.parse(JSON.stringify(gone)))
  for (const name of ['messages_total', 'scan_seconds_count']) {
    assert.equal(seriesOf(text, name).length, 33, name)
    assert.equal(metric(text, `clamav_stream_${name}`), 100)
    assert.equal(metric(text, `clamav_stream_${name}`, { address: 'other' }), 68)
  }
})

test('requests that are none of ours go on; the others are answered as they should be', async (t) => {
  const site = await startSite({ page: true })
  t.after(() => site.stop())
  const ask = (where: string, init: RequestInit = {}) =>
    fetch(`${site.origin}${where}`, { redirect: 'manual', ...init })
  const expected: [string, RequestInit, number][] = [
    ['/clamav-stream', {}, 200],
    ['/clamav-stream', { method: 'HEAD' }, 200],
    ['/clamav-stream/', {}, 303],
    ['/clamav-stream/page.js', {}, 200],
    ['/clamav-stream/page.css', {}, 200],
    ['/clamav-stream/runbook', {}, 200],
    ['/clamav-stream/runbook.md', {}, 200],
    ['/clamav-stream/messages?epoch=x&seq=-1', {}, 200],
    ['/clamav-stream/figures?span=week', {}, 200],
    ['/clamav-stream/figures?span=__proto__', {}, 200],
    ['/clamav-stream/quarantine', {}, 200],
    ['/clamav-stream/quarantine', { method: 'POST' }, 405],
    ['/clamav-stream/rescan', {}, 405],
    ['/clamav-stream/rescan', { method: 'POST', body: 'day=20260115&uuid=ABCDEF01' }, 415],
    [
      '/clamav-stream/rescan',
      { method: 'POST', body: '{', headers: { 'Content-Type': 'application/json' } },
      404,
    ],
    ['/clamav-stream/metrics', {}, 200],
    ['/clamav-stream/metrics', { method: 'POST' }, 405],
    ['/clamav-stream', { method: 'DELETE' }, 405],
    ['/clamav-stream/session', {}, 405],
    ['/clamav-stream/logout', {}, 405],
    ['/clamav-stream/logout', { method: 'POST' }, 303],
    ['/clamav-stream/login.html', {}, 404],
    ['/clamav-stream/../package.json', {}, 404],
    ['/clamav-stream/%2e%2e/site.ts', {}, 404],
    ['/clamav-stream/__proto__', {}, 404],
    ['/clamav-streamer', {}, 404],
  ]
  for (const [where, init, code] of expected) {
    const response = await ask(where, init)
    assert.equal(response.status, code, `${init.method ?? 'GET'} ${where}`)
    await response.arrayBuffer()
    if (code === 404) continue
    if (code === 405) assert.match(response.headers.get('allow') ?? '', /^(?:GET, HEAD|POST)$/)
    assert.match(
      response.headers.get('content-security-policy') ?? '',
      /^default-src 'none'; script-src 'self';/,
    )
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(response.headers.get('referrer-policy'), 'no-referrer')
    assert.equal(response.headers.get('cache-control'), 'no-store')
  }
  let bytes = 0
  for (const name of ['', ...[...staticFiles.keys()].map((file) => `/${file}`)])
    bytes += (await (await ask(`/clamav-stream${name}`)).arrayBuffer()).byteLength
  assert.ok(bytes < 200_000, `the page has ${bytes} bytes`)
  for (const [metrics, page] of [
    [true, false],
    [false, true],
  ] as const) {
    site.settings = { ...site.settings, metrics, page }
    assert.equal((await ask('/clamav-stream/metrics')).status, metrics ? 200 : 404)
    assert.equal((await ask('/clamav-stream')).status, page ? 200 : 404)
  }
  site.settings = { ...site.settings, metrics: false, page: false }
  for (const [where, init] of expected) assert.equal((await ask(where, init)).status, 404, where)
})

test('at its end it lets go of those that watch', { timeout: 30_000 }, async (t) => {
  const site = await startSite({ page: true })
  t.after(() => site.stop())
  const watching = await fetch(`${site.origin}/clamav-stream/events`)
  site.end()
  assert.match(await watching.text(), /^(?:.*\n)*$/)
})

test('without the token there are the files of the page, and no data', async (t) => {
  const site = await startSite({ page: true, token: 'correct-horse-battery' })
  t.after(() => site.stop())
  for (const where of ['', '/runbook', '/events', '/messages', '/figures', '/quarantine', '/rescan']) {
    const method = where === '/rescan' ? 'POST' : 'GET'
    const answer = await fetch(`${site.origin}/clamav-stream${where}`, { method })
    assert.equal(answer.status, 401, where)
    assert.doesNotMatch(await answer.text(), /example/)
  }
})

test('a form that is too long, or broken off, is nothing to warn of', async (t) => {
  const site = await startSite({ page: true, token: 'correct-horse-battery' })
  // Fails if there was a warning.
  t.after(() => site.stop())
  const where = new URL(`${site.origin}/clamav-stream/session`)
  for (const bytes of [5000, 1_000_000]) {
    const response = await fetch(where, { method: 'POST', body: 'x'.repeat(bytes) })
    assert.equal(response.status, 413)
    await response.arrayBuffer()
  }
  const socket = connect(Number(where.port), where.hostname)
  t.after(() => socket.destroy())
  socket.write(
    `POST ${where.pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`,
  )
  // With this the handler has the request.
  await once(socket, 'data')
  socket.destroy()
  assert.equal((await fetch(where, { redirect: 'manual' })).status, 405)
})

test('the quarantine: links and pipes in it are neither counted nor read', async (t) => {
  const directory = new TemporaryDirectory('kept')
  t.after(() => directory.remove())
  const folder = path.join(directory.path, 'infected')
  const day = path.join(folder, '20260115')
  const outside = path.join(directory.path, 'outside')
  for (const one of [day, outside]) mkdirSync(one, { recursive: true })
  for (const one of [day, outside])
    for (const name of ['A', 'A.json']) writeFileSync(path.join(one, name), '{}')
  symlinkSync(outside, path.join(folder, '20260116'))
  // A copy that is a link, and records that are a link and a pipe.
  writeFileSync(path.join(day, 'B.json'), '{}')
  symlinkSync(path.join(outside, 'A'), path.join(day, 'B'))
  for (const name of ['C', 'D']) writeFileSync(path.join(day, name), '{}')
  writeFileSync(
    path.join(outside, 'record'),
    JSON.stringify({
      uuid: 'C',
      time: '2026-01-15T00:00:00Z',
      envelope: { mail_from: 'a@example.net', rcpt_to: [] },
      client: {},
      verdict: { outcome: 'infected', virus: 'Followed', reason: null },
    }),
  )
  symlinkSync(path.join(outside, 'record'), path.join(day, 'C.json'))
  await run('mkfifo', [path.join(day, 'D.json')])
  const quarantine = new Quarantine(() => folder, Date.now)
  assert.equal((await quarantine.look())?.count, 3)
  const list = await quarantine.list()
  assert.deepEqual(list.map(({ uuid }) => uuid).sort(), ['A', 'C', 'D'])
  for (const { what } of list) assert.equal(what, 'record cannot be read')
})

test('the quarantine: count, size and newest, of what has changed only', async (t) => {
  const directory = new TemporaryDirectory('kept')
  t.after(() => directory.remove())
  const clock = { ms: 0 }
  const folder = path.join(directory.path, 'infected')
  const quarantine = new Quarantine(
    () => folder,
    () => clock.ms,
  )
  const keep = (day: string, uuid: string, record: string | object, time: number) => {
    const file = path.join(folder, day, uuid)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, 'x'.repeat(100))
    writeFileSync(`${file}.json`, typeof record === 'string' ? record : JSON.stringify(record))
    utimesSync(file, time, time)
  }
  const look = () => {
    clock.ms += 60_000
    return quarantine.look()
  }
  assert.deepEqual(await quarantine.look(), { count: 0, bytes: 0, isPartial: false }, 'no folder yet')

  const record = {
    uuid: 'A',
    time: '2026-01-15T00:00:00Z',
    envelope: { mail_from: 'a@example.net', rcpt_to: ['b@example.com', 'c\u202e@example.com'] },
    client: { ip: '192.0.2.1', host: null, helo: null },
    user: 7,
    verdict: { outcome: 'infected', virus: 'Win.\u202eTest', reason: null },
    attachment: null,
  }
  const clean = { outcome: 'clean', virus: null, reason: null }
  for (let i = 0; i < 8; i++) keep('20260114', `OLD${i}`, record, 1000 + i)
  keep('20260115', 'NEW', record, 5000)
  keep('20260115', 'BROKEN', '{"envelope": ', 4000)
  keep(
    '20260115',
    'NAMED',
    { ...record, verdict: clean, attachment: { denied: '*.exe', name: 'a.exe' } },
    3500,
  )
  keep('20260115', 'ODD', { envelope: { mail_from: { x: 1 } }, verdict: null }, 3000)
  mkdirSync(path.join(folder, 'not-a-day'))
  assert.equal((await quarantine.look())?.count, 0, 'fresh enough')
  const kept = await look()
  assert.equal(kept?.count, 12)
  assert.equal(kept.bytes, 1200)
  const listed = async () =>
    (await quarantine.list()).map(({ time, uuid, from, what }) => [time, uuid, from, what])
  const newest = [
    [5_000_000, 'NEW', 'a@example.net', 'Win.\ufffdTest'],
    [4_000_000, 'BROKEN', '', 'record cannot be read'],
    [3_500_000, 'NAMED', 'a@example.net', 'attachment *.exe'],
    [3_000_000, 'ODD', '', 'record cannot be read'],
    [1_007_000, 'OLD7', 'a@example.net', 'Win.\ufffdTest'],
  ]
  assert.deepEqual((await listed()).slice(0, 5), newest)
  assert.equal((await listed()).length, 12)
  const [first] = await quarantine.list()
  assert.deepEqual(
    { ...first, time: 0 },
    {
      day: '20260115',
      uuid: 'NEW',
      time: 0,
      bytes: 100,
      what: 'Win.\ufffdTest',
      from: 'a@example.net',
      to: ['b@example.com', 'c\ufffd@example.com'],
      recipients: 2,
      ip: '192.0.2.1',
      user: '',
      messageId: '',
      engine: '',
    },
  )

  rmSync(path.join(folder, '20260115', 'NEW'))
  rmSync(path.join(folder, '20260115', 'NEW.json'))
  assert.equal((await look())?.count, 11)
  assert.deepEqual((await listed()).slice(0, 4), newest.slice(1))
  assert.equal(await new Quarantine(() => null, Date.now).look(), null)
  assert.equal(await new Quarantine(() => path.join(folder, '20260115', 'ODD'), Date.now).look(), null)
})
