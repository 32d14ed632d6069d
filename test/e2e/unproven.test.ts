// Where no self test has come about, no matter why: messages larger than what a clamd is proven to scan.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { type HarakaOptions, startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { bounded, messagePlugins, messageSources, post } from './messages'

const M = 1024 * 1024

/** Larger than what this clamd looks into, which says OK to it. */
const infected = () => mails.eicarBehind(8 * M)

async function smallClamd(t: TestContext) {
  const clamd = await startClamd({ config: { MaxFileSize: '3M', MaxScanSize: '50M' } })
  t.after(() => clamd.stop())
  assert.equal(await clamd.scan(infected()), 'stream: OK')
  return clamd
}

async function harakaBehind(t: TestContext, clamd: string, above: string, options: HarakaOptions) {
  const haraka = await startHaraka({
    ini: `host=${clamd}\nmax_size=10M\nscan_timeout=40s\n`,
    plugins: ['above', ...messagePlugins, 'clamav-stream'],
    sources: { ...messageSources, above },
    // Without it Haraka ends after half a minute of a start that does not come to its end.
    files: { 'above.timeout': '0\n' },
    ...options,
  })
  t.after(() => haraka.stop())
  return haraka
}

const atPriority = (hook: string, priority: number, answer: string) =>
  `exports.register = function () { this.register_hook('${hook}', 'begin', ${priority}) }\n` +
  `exports.begin = function (next) { ${answer} }\n`

const otherPlugins: [what: string, source: string, nodes: number][] = [
  ['never answers init_master', 'exports.hook_init_master = function () {}\n', 0],
  ['never answers init_child', 'exports.hook_init_child = function () {}\n', 1],
  ['never answers init_master at priority -100', atPriority('init_master', -100, ''), 0],
  ['never answers init_child at priority -100', atPriority('init_child', -100, ''), 1],
  ['answers init_master with OK at priority -100', atPriority('init_master', -100, 'next(OK)'), 1],
]
for (const [what, source, nodes] of otherPlugins) {
  test(`a plugin above that ${what} keeps no clamd from being proven, nodes=${nodes}`, bounded, async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await smallClamd(t)
    const haraka = await harakaBehind(t, `127.0.0.1:${clamd.port}`, source, { nodes })
    await haraka.waitForLog(/scans messages of up to \d+ bytes/, 20_000)
    const { reply, told, delivered } = await post(haraka, infected())
    assert.equal(reply.code, 552, reply.text)
    assert.equal(told.note?.reason, 'too_large')
    assert.deepEqual(delivered, [])
    const small = await post(haraka, mails.clean())
    assert.equal(small.reply.code, 250, small.reply.text)
  })
}

test(
  'a worker that hears nothing from its master has each clamd proven by its own mail',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await smallClamd(t)
    const deaf = atPriority('init_child', 100, `process.removeAllListeners('message'); next()`)
    const haraka = await harakaBehind(t, `127.0.0.1:${clamd.port}`, deaf, { nodes: 1 })
    await haraka.waitForLog(/scans messages of up to \d+ bytes/, 20_000)
    const { reply, delivered } = await post(haraka, infected())
    assert.equal(reply.code, 552, reply.text)
    assert.deepEqual(delivered, [])
    const small = await post(haraka, mails.eicarBehind(2 * M))
    assert.equal(small.reply.code, 550, small.reply.text)
  },
)

test(
  'mail does not wait for a self test that is slow, and is not scanned without one',
  bounded,
  async (t) => {
    const daemon = await startFakeClamd({
      protocols: ['INSTREAM'],
      judge: () => Promise.resolve('stream: OK'),
    })
    t.after(() => daemon.stop())
    await daemon.play([{ at: 'reply', do: 'stall' }])
    const haraka = await harakaBehind(
      t,
      addressText(daemon.address),
      'exports.hook_mail = (next) => next()\n',
      {
        ini: `host=${addressText(daemon.address)}\nscan_timeout=4s\n`,
      },
    )
    const { reply, told, delivered } = await post(haraka, mails.big(M))
    assert.equal(reply.code, 451, reply.text)
    assert.equal(told.note?.reason, 'timeout')
    assert.deepEqual(delivered, [])
  },
)
