// The self test in a real Haraka: what becomes of mail when a clamd has no signatures, old ones, or lower limits than
// ours, and that of a cluster one process does it for all.
import assert from 'node:assert/strict'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { type ClamdOptions, clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { startStreamFront } from '../support/clamd/stream-front'
import { testSignatures } from '../support/eicar'
import { type HarakaOptions, startHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { bounded, messagePlugins, messageSources, post } from './messages'

const M = 1024 * 1024

async function realClamd(t: TestContext, config: ClamdOptions['config'] = {}, databaseDirectory?: string) {
  const clamd = await startClamd({ config, ...(databaseDirectory !== undefined && { databaseDirectory }) })
  t.after(() => clamd.stop())
  return clamd
}

async function haraka(t: TestContext, ini: string, options: HarakaOptions = {}) {
  const started = await startHaraka({
    ini,
    plugins: [...messagePlugins, 'clamav-stream'],
    sources: messageSources,
    ...options,
  })
  t.after(() => started.stop())
  return started
}

for (const nodes of [0, 2]) {
  test(
    `one self test for a whole Haraka, and everybody knows what it came to, nodes=${nodes}`,
    bounded,
    async (t) => {
      if (!clamdOrSkip(t)) return
      const clamd = await realClamd(t)
      const daemon = await startStreamFront({
        clamd: { host: clamd.host, port: clamd.port },
        engine: '0.103.12/27500/Sun Nov 22 08:00:00 2020',
      })
      t.after(() => daemon.stop())
      const { host, port } = daemon.address
      const server = await haraka(t, `host=${host}:${port}\nmax_size=1M\n`, { nodes })
      await server.waitForLog(/scans to the end: EICAR found in 1MB \(4 probes/)
      await server.waitForLog(/says OK where it stops at a limit/)
      const { scans } = daemon

      for (let message = 0; message < 4; message++) {
        const { reply, told } = await post(server, mails.clean())
        assert.equal(reply.code, 250, reply.text)
        assert.equal(told.note?.engine, 'ClamAV 0.103.12/27500')
        assert.deepEqual(told.result?.pass, ['clean'])
        assert.match(
          String((told.result as { msg?: string[] } | null)?.msg),
          /^signatures 27500 are \d+ days old$/,
        )
      }
      assert.equal(daemon.scans, scans + 4)
      assert.equal(server.log.filter((line) => line.includes('EICAR found in')).length, 1)
      assert.equal(server.log.filter((line) => /WARN.*signatures 27500 are/.test(line)).length, 1)
    },
  )

  test(`without signatures mail is deferred, until they come, nodes=${nodes}`, bounded, async (t) => {
    if (!clamdOrSkip(t)) return
    const directory = new TemporaryDirectory('signatures')
    t.after(() => directory.remove())
    writeFileSync(path.join(directory.path, 'other.ndb'), 'Harmless:0:*:6e65766572207365656e\n')
    const clamd = await realClamd(t, {}, directory.path)
    const server = await haraka(t, `host=127.0.0.1:${clamd.port}\nping_interval=1s\nmax_size=1M\n`, { nodes })
    // Mail of the first moment as well: it waits for the self test.
    for (let message = 0; message < 3; message++) {
      const { reply, told, delivered } = await post(server, mails.clean())
      assert.match(`${reply.code} ${reply.text}`, /^451 4\.3\.0 /)
      assert.deepEqual([told.note?.outcome, told.note?.reason], ['unscanned', 'error'])
      assert.match(String(told.result?.err), /does not find the EICAR test file/)
      assert.deepEqual(delivered, [])
    }
    assert.ok(server.log.some((line) => /ERROR.*gets no mail: .*EICAR/.test(line)))

    testSignatures(directory.path)
    await clamd.restart()
    await server.waitForLog(/scans to the end/)
    const { reply, delivered } = await post(server, mails.clean())
    assert.equal(reply.code, 250, reply.text)
    assert.equal(delivered.length, 1)
    assert.equal((await post(server, mails.eicarAttachment())).reply.code, 550)
  })
}

test(
  'what is larger than a clamd scans is too large for it, and goes to one that scans it',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const small = await realClamd(t, { MaxFileSize: '1M' })
    const large = await realClamd(t)
    const alone = await haraka(t, `host=127.0.0.1:${small.port}\nmax_size=4M\n`)
    const line = await alone.waitForLog(/scans messages of up to \d+ bytes/)
    assert.match(
      line,
      /WARN.*max_size is 4MB.*Raise StreamMaxLength and MaxFileSize .* to 4194304 .*MaxScanSize to 8388608/,
    )
    const refused = await post(alone, mails.big(2 * M))
    assert.match(`${refused.reply.code} ${refused.reply.text}`, /^552 5\.3\.4 /)
    assert.equal(refused.told.note?.reason, 'too_large')
    assert.equal((await post(alone, mails.clean())).reply.code, 250)

    const both = await haraka(t, `host=127.0.0.1:${small.port} 127.0.0.1:${large.port}\nmax_size=4M\n`)
    await Promise.all([both.waitForLog(/scans messages of up to/), both.waitForLog(/scans to the end/)])
    for (let message = 0; message < 2; message++) {
      const { reply, told } = await post(both, mails.big(2 * M))
      assert.equal(reply.code, 250, reply.text)
      assert.equal(told.note?.clamd, `127.0.0.1:${large.port}`)
    }
  },
)

test('a clamd.conf with lower limits is found out when the ini is read again', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const config: Record<string, string> = {}
  const clamd = await realClamd(t, config)
  const ini = `host=127.0.0.1:${clamd.port}\nmax_size=4M\nping_interval=10m\n`
  const server = await haraka(t, ini)
  await server.waitForLog(/scans to the end/)
  assert.equal((await post(server, mails.big(2 * M))).reply.code, 250)
  config.MaxFileSize = '1M'
  await clamd.restart()
  const from = server.log.length
  server.writeConfig('clamav-stream.ini', ini)
  await server.waitForLog(/settings reloaded/, 30_000, from)
  await server.waitForLog(/scans messages of up to \d+ bytes/, 30_000, from)
  const { reply, delivered } = await post(server, mails.big(2 * M))
  assert.match(`${reply.code} ${reply.text}`, /^552 5\.3\.4 /)
  assert.deepEqual(delivered, [])
})

test(
  'a start-up check that is switched on while Haraka runs is made, self test included',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const directory = new TemporaryDirectory('signatures')
    t.after(() => directory.remove())
    writeFileSync(path.join(directory.path, 'other.ndb'), 'Harmless:0:*:6e65766572207365656e\n')
    const clamd = await realClamd(t, {}, directory.path)
    const ini = `host=127.0.0.1:${clamd.port}\nmax_size=1M\n`
    const server = await haraka(t, `${ini}max_pings=0\n`)
    assert.equal((await post(server, mails.clean())).reply.code, 250)
    const from = server.log.length
    server.writeConfig('clamav-stream.ini', `${ini}max_pings=6\n`)
    await server.waitForLog(/gets no mail: .*EICAR/, 30_000, from)
    assert.equal((await post(server, mails.clean())).reply.code, 451)
  },
)

test(
  'a clamd that fails in one worker and is blind when it comes back gets no mail from the others',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const directory = new TemporaryDirectory('signatures')
    t.after(() => directory.remove())
    testSignatures(directory.path)
    const clamd = await realClamd(t, {}, directory.path)
    const server = await haraka(t, `host=127.0.0.1:${clamd.port}\nmax_size=1M\nping_interval=10m\n`, {
      nodes: 3,
    })
    await server.waitForLog(/scans to the end/)
    for (let message = 0; message < 6; message++)
      assert.equal((await post(server, mails.clean())).reply.code, 250)
    await clamd.kill()
    // One of the three.
    assert.equal((await post(server, mails.clean())).reply.code, 451)
    for (const name of readdirSync(directory.path)) rmSync(path.join(directory.path, name))
    writeFileSync(path.join(directory.path, 'other.ndb'), 'Harmless:0:*:6e65766572207365656e\n')
    await clamd.restart()
    for (let message = 0; message < 9; message++) {
      const { reply, delivered } = await post(server, mails.eicarAttachment())
      assert.equal(reply.code, 451, reply.text)
      assert.deepEqual(delivered, [])
    }
  },
)
