// Metrics as Prometheus reads them: the packed package in a real Haraka, its own HTTP server, one process and several.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { FakeClamd } from '../support/clamd/fake-clamd'
import { startHaraka } from '../support/haraka/haraka'
import { checkMetrics, promtoolOrSkip } from '../support/promtool'
import * as mails from '../support/smtp/mails'
import { sendMessage } from '../support/smtp/smtp'
import { metric, startWebHaraka } from '../support/web'

const startFake = (): Promise<FakeClamd> => new FakeClamd().start()

const iniOf = (clamd: FakeClamd, more = '') =>
  `host=${addressText(clamd.address)}\nmax_pings=0\nprotocol=instream\n${more}`

async function read(origin: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(`${origin}/clamav-stream/metrics`, init)
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  return response.text()
}

test('messages are counted by what became of them; promtool has nothing to say about it', async (t) => {
  const clamd = await startFake()
  t.after(() => clamd.stop())
  const { haraka, origin } = await startWebHaraka({ ini: iniOf(clamd) })
  t.after(() => haraka.stop())
  const address = addressText(clamd.address)

  const before = await read(origin)
  assert.equal(metric(before, 'clamav_stream_messages_total'), 0)
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 250)
  assert.equal(metric(await read(origin), 'clamav_stream_address_state', { address, state: 'up' }), 1)
  assert.equal((await sendMessage(haraka.port, { data: mails.eicarBody() })).code, 550)
  await clamd.stop()
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 451)

  const text = await read(origin)
  const messages = (labels: Record<string, string>) => metric(text, 'clamav_stream_messages_total', labels)
  assert.equal(
    messages({ outcome: 'clean', action: 'accept', reason: 'none', address, protocol: 'instream' }),
    1,
  )
  assert.equal(messages({ outcome: 'infected', action: 'reject', reason: 'none', address }), 1)
  assert.equal(messages({ outcome: 'unscanned', action: 'defer', reason: 'error', address }), 1)
  assert.equal(messages({}), 3)
  assert.equal(metric(text, 'clamav_stream_scan_seconds_count', { address }), 3)
  assert.equal(metric(text, 'clamav_stream_scan_bytes_count'), 3)
  assert.equal(metric(text, 'clamav_stream_address_state', { address, state: 'up' }), 0)
  assert.equal(metric(text, 'clamav_stream_address_state', { address, state: 'resting' }), 1)
  assert.equal(metric(text, 'clamav_stream_scans_in_flight', { address }), 0)
  assert.equal(metric(text, 'clamav_stream_processes'), 1)
  assert.match(text, /^clamav_stream_build_info\{version="\d+\.\d+\.\d+",node="v\d+/m)
  assert.ok(!text.includes('Eicar'), 'no names of signatures')
  await t.test('promtool check metrics', (t) => {
    if (promtoolOrSkip(t)) assert.equal(checkMetrics(text), '')
  })
})

test('with a token, a program has to show it; the token is never told', async (t) => {
  const clamd = await startFake()
  t.after(() => clamd.stop())
  const token = 'correct-horse-battery'
  const { haraka, origin } = await startWebHaraka({ ini: iniOf(clamd, `[http]\ntoken=${token}\n`) })
  t.after(() => haraka.stop())
  for (const authorization of ['', 'Bearer wrong', `Basic ${token}`, `Bearer ${token}x`, token]) {
    const response = await fetch(`${origin}/clamav-stream/metrics`, {
      headers: authorization === '' ? {} : { authorization },
    })
    assert.equal(response.status, 401, authorization)
    assert.equal(response.headers.get('www-authenticate'), 'Bearer')
    assert.ok(!(await response.text()).includes('clamav_stream_'))
  }
  assert.equal(
    (await fetch(`${origin}/clamav-stream/metrics?token=${token}`)).status,
    401,
    'not in the address',
  )
  await read(origin, { headers: { authorization: `Bearer ${token}` } })
  assert.ok(!haraka.log.join('\n').includes(token))
})

test('metrics=false: nothing is there and prom-client is not loaded, until the setting changes', async (t) => {
  const clamd = await startFake()
  t.after(() => clamd.stop())
  const { haraka, origin } = await startWebHaraka({
    ini: iniOf(clamd, '[http]\nmetrics=false\n'),
    plugins: ['clamav-stream', 'tell_loaded'],
    sources: { tell_loaded: tellLoaded },
  })
  t.after(() => haraka.stop())
  assert.equal((await fetch(`${origin}/clamav-stream/metrics`)).status, 404)
  assert.equal((await fetch(`${origin}/clamav-stream`)).status, 404)
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 250)
  assert.match(await haraka.waitForLog(/prom-client is/), /prom-client is not loaded/)

  const from = haraka.log.length
  haraka.writeConfig('clamav-stream.ini', iniOf(clamd))
  await haraka.waitForLog(/settings reloaded/, 30_000, from)
  await read(origin)
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 250)
  assert.equal(metric(await read(origin), 'clamav_stream_messages_total', { outcome: 'clean' }), 1)
  assert.match(
    await haraka.waitForLog(/prom-client is/, 30_000, from),
    /prom-client is loaded/,
    'the check works',
  )
})

test('without an HTTP server nothing is loaded either', async (t) => {
  const clamd = await startFake()
  t.after(() => clamd.stop())
  const haraka = await startHaraka({
    ini: iniOf(clamd),
    plugins: ['clamav-stream', 'tell_loaded'],
    sources: { tell_loaded: tellLoaded },
  })
  t.after(() => haraka.stop())
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 250)
  assert.match(await haraka.waitForLog(/prom-client is/), /prom-client is not loaded/)
})

test('a cluster gives the sum of its workers, whichever answers, and it does not sink with one of them', async (t) => {
  const clamd = await startFake()
  t.after(() => clamd.stop())
  const { haraka, origin } = await startWebHaraka({
    ini: iniOf(clamd),
    nodes: 2,
    plugins: ['tell_worker', 'clamav-stream'],
    sources: { tell_worker: tellWorker },
  })
  t.after(() => haraka.stop())
  const workers = new Set<number>()
  let sent = 0
  // The master deals connections out in turn, but not strictly.
  for (; workers.size < 2 && sent < 50; sent++) {
    const from = haraka.log.length
    assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 250)
    workers.add(Number(/taken by (\d+)/.exec(await haraka.waitForLog(/taken by/, 30_000, from))?.[1]))
  }
  assert.equal(workers.size, 2)
  for (let i = 0; i < 4; i++) {
    const text = await read(origin)
    assert.equal(metric(text, 'clamav_stream_messages_total'), sent)
    assert.equal(metric(text, 'clamav_stream_scan_seconds_count'), sent)
    assert.equal(metric(text, 'clamav_stream_processes'), 2)
    assert.equal(metric(text, 'clamav_stream_address_state', { state: 'up' }), 2)
  }

  const [first = 0] = workers
  const from = haraka.log.length
  process.kill(first, 'SIGKILL')
  await haraka.waitForLog(/killed by signal/, 30_000, from)
  const text = await read(origin)
  assert.equal(metric(text, 'clamav_stream_messages_total'), sent, 'what the dead worker counted stays')
  assert.equal(metric(text, 'clamav_stream_scan_bytes_count'), sent)
})

test('an HTTP connection that is kept open does not keep Haraka from ending in peace', async (t) => {
  const clamd = await startFake()
  t.after(() => clamd.stop())
  const { haraka, origin } = await startWebHaraka({
    ini: iniOf(clamd, '[http]\npage=true\n'),
    smtpIni: 'graceful_shutdown=true\n',
  })
  t.after(() => haraka.stop())
  const stream = await fetch(`${origin}/clamav-stream/events`)
  assert.equal(stream.status, 200)
  haraka.signal('SIGTERM')
  await haraka.exited
  assert.ok(!haraka.log.some((line) => line.includes('Failed to shutdown naturally')), haraka.log.join('\n'))
})

const tellLoaded = `
exports.register = function () {
  this.register_hook('queue', 'tell', -50)
}
exports.tell = function (next) {
  const names = Object.keys(require('node:module')._cache)
  const isLoaded = names.some((name) => name.includes('/prom-client/'))
  this.lognotice('prom-client is ' + (isLoaded ? 'loaded' : 'not loaded'))
  next()
}
`

const tellWorker = `
exports.register = function () {
  this.register_hook('queue', 'tell', -50)
}
exports.tell = function (next) {
  this.lognotice('taken by ' + process.pid)
  next()
}
`
