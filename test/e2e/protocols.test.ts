// STREAM and INSTREAM with the verdicts of the real clamd, learnt for each address, over every kind of address; and
// the start-up check that looks at each of them. STREAM is spoken by a front, for no clamd of today has it.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { type Address, addressText } from '../../lib/clamd/address'
import {
  type ClamdOptions,
  clamdOrSkip,
  freePort,
  hasStream,
  type RealClamd,
  startClamd,
} from '../support/clamd/clamd'
import { FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type FrontOptions, startStreamFront, type StreamFront } from '../support/clamd/stream-front'
import { eicarName } from '../support/eicar'
import { type Haraka, type HarakaOptions, startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { bounded, type Fate, messagePlugins, messageSources, ourHeaders, post } from './messages'

async function realClamd(t: TestContext, options: ClamdOptions = {}): Promise<RealClamd> {
  const clamd = await startClamd(options)
  t.after(() => clamd.stop())
  return clamd
}

async function front(t: TestContext, options: FrontOptions): Promise<StreamFront> {
  const front = await startStreamFront(options)
  t.after(() => front.stop())
  return front
}

/** Without the search for archive limits, which takes clamd seconds and is not about protocols. */
async function haraka(t: TestContext, ini: string, options: HarakaOptions = {}): Promise<Haraka> {
  const haraka = await startHaraka({
    ini: ini.includes('self_test=') ? ini : `self_test=eicar\n${ini}`,
    plugins: [...messagePlugins, 'clamav-stream'],
    sources: messageSources,
    ...options,
  })
  t.after(() => haraka.stop())
  return haraka
}

/** One clean and one infected message; resolves with who gave the verdicts, which are right. */
async function verdicts(server: Haraka): Promise<{ clamd: string; protocol: string }[]> {
  const clean = await post(server, mails.big(100_000))
  const infected = await post(server, mails.eicarAttachment())
  assert.equal(clean.reply.code, 250, clean.reply.text)
  assert.deepEqual(
    clean.delivered.map(({ message }) => ourHeaders(message)),
    [['X-MessageIsInfected: false']],
  )
  assert.equal(infected.reply.code, 550, infected.reply.text)
  assert.equal(infected.told.note?.virus, eicarName)
  assert.deepEqual(infected.delivered, [])
  return [clean, infected].map(askedOf)
}

function askedOf({ told: { note } }: Fate): { clamd: string; protocol: string } {
  return { clamd: String(note?.clamd), protocol: String(note?.protocol) }
}

function both(address: Address, protocol: string): { clamd: string; protocol: string }[] {
  return [0, 1].map(() => ({ clamd: addressText(address), protocol }))
}

for (const configured of ['stream', 'instream', 'auto']) {
  test(`protocol=${configured}, with and without the start-up check`, bounded, async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await realClamd(t)
    const real: Address = { host: clamd.host, port: clamd.port }
    const old = await front(t, { clamd: real })
    const usual = configured === 'auto' && (await hasStream(clamd)) ? 'stream' : 'instream'
    const wanted = [
      ...(configured === 'instream' ? [] : [{ address: old.address, protocol: 'stream' }]),
      ...(configured === 'stream' ? [] : [{ address: real, protocol: usual }]),
    ]
    for (const { address, protocol } of wanted) {
      for (const maxPings of [0, 6]) {
        await t.test(`${protocol}, max_pings=${maxPings}`, async (t) => {
          const text = `host=${addressText(address)}\nprotocol=${configured}\nmax_pings=${maxPings}\n`
          const server = await haraka(t, text)
          if (maxPings > 0) {
            const line = await server.waitForLog(/clamd \S+ answers:/)
            assert.match(line, new RegExp(`answers: ClamAV [\\d.]+\\S* .*protocol ${protocol}$`))
          }
          assert.deepEqual(await verdicts(server), both(address, protocol))
        })
      }
    }
    assert.deepEqual(old.open, { command: 0, data: 0 })
  })
}

test(
  'auto speaks STREAM until the daemon is upgraded under us, and INSTREAM from then on',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await realClamd(t)
    const daemon = await front(t, { clamd: { host: clamd.host, port: clamd.port }, instream: true })
    const server = await haraka(t, `host=${addressText(daemon.address)}\nself_test=off\n`)
    assert.deepEqual(await verdicts(server), both(daemon.address, 'stream'))
    daemon.become({ stream: false, engine: '1.4.3' })
    assert.deepEqual(await verdicts(server), both(daemon.address, 'instream'))
    // And back, for who does that to us.
    daemon.become({ stream: true, instream: false, engine: '0.103.12' })
    assert.deepEqual(await verdicts(server), both(daemon.address, 'stream'))
    const asked = daemon.commands.filter((name) => name.endsWith('STREAM'))
    const expected = 'STREAM STREAM STREAM INSTREAM INSTREAM INSTREAM STREAM STREAM'
    assert.equal(asked.join(' '), expected, 'it is asked once what it does not know')
    await daemon.idle()
  },
)

test(
  'a daemon older than VERSIONCOMMANDS, which knows neither z commands nor INSTREAM',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await realClamd(t)
    const daemon = await front(t, {
      clamd: { host: clamd.host, port: clamd.port },
      versionCommands: false,
      engine: '0.94.2',
    })
    const server = await haraka(t, `host=${addressText(daemon.address)}\n`)
    assert.match(await server.waitForLog(/clamd \S+ answers:/), /ClamAV 0\.94\.2/)
    assert.deepEqual(await verdicts(server), both(daemon.address, 'stream'))
    await daemon.idle()
  },
)

for (const dataPort of ['refuse', 'blackHole'] as const) {
  test(
    `a data port that cannot be reached (${dataPort}): INSTREAM, if the daemon has it`,
    bounded,
    async (t) => {
      if (!clamdOrSkip(t)) return
      const clamd = await realClamd(t)
      const real = { host: clamd.host, port: clamd.port }
      const daemon = await front(t, { clamd: real, instream: true, dataPort })
      const server = await haraka(t, `host=${addressText(daemon.address)}\nconnect_timeout=1s\n`)
      assert.deepEqual(await verdicts(server), both(daemon.address, 'instream'))

      daemon.become({ instream: false })
      const { reply, told, delivered } = await post(server, mails.clean())
      assert.match(`${reply.code} ${reply.text}`, /^451 4\.3\.0 /)
      assert.equal(told.note?.reason, 'error')
      assert.deepEqual(delivered, [])
      daemon.become({ dataPort: 'open' })
      assert.deepEqual(await verdicts(server), both(daemon.address, 'stream'))
      await daemon.idle()
    },
  )
}

test('IPv4, IPv6 and a unix socket', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const four = await realClamd(t)
  const six = await realClamd(t, { host: '::1' })
  // The data port of STREAM is on IPv4 alone.
  const usual = (await hasStream(four)) ? 'stream' : 'instream'
  const addresses: [text: string, address: Address, protocol: string][] = [
    [`127.0.0.1:${four.port}`, { host: '127.0.0.1', port: four.port }, usual],
    [`[::1]:${six.port}`, { host: '::1', port: six.port }, 'instream'],
    [four.socketPath, { path: four.socketPath }, usual],
    [`localhost:${four.port}`, { host: '127.0.0.1', port: four.port }, usual],
  ]
  for (const [text, address, protocol] of addresses) {
    await t.test(text.replace(/.*\/|\d+$/g, ''), async (t) => {
      const server = await haraka(t, `host=${text}\nhost_rest=5m\n`)
      // A name has other addresses as well, where nothing listens; they rest after the first message.
      assert.deepEqual(await verdicts(server), both(address, protocol))
    })
  }
  await t.test('a bare IPv6 address and port=', async (t) => {
    const server = await haraka(t, `host=::1\nport=${six.port}\n`)
    assert.deepEqual(await verdicts(server), both({ host: '::1', port: six.port }, 'instream'))
  })
})

test('STREAM over a unix socket and over IPv6', bounded, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'clamd-'))
  t.after(() => rmSync(directory, { recursive: true }))
  for (const options of [{ path: path.join(directory, 's') }, { host: '::1', dataHost: '::1' }]) {
    const clamd = await startFakeClamd({ ...options, protocols: ['STREAM'] })
    t.after(() => clamd.stop())
    const server = await haraka(t, `host=${addressText(clamd.address)}\nprotocol=stream\nself_test=off\n`)
    const clean = await post(server, mails.clean())
    assert.equal(clean.reply.code, 250, clean.reply.text)
    assert.deepEqual(askedOf(clean), { clamd: addressText(clamd.address), protocol: 'stream' })
    assert.equal((await post(server, mails.eicarBody())).reply.code, 550)
    await clamd.idle()
    assert.deepEqual(clamd.violations, [])
  }
})

test(
  'clamd on IPv6 has its data port on IPv4 all the same: auto goes on with INSTREAM',
  bounded,
  async (t) => {
    const clamd = await startFakeClamd({ host: '::1' })
    t.after(() => clamd.stop())
    const server = await haraka(t, `host=${addressText(clamd.address)}\nself_test=off\n`)
    for (let message = 0; message < 2; message++) {
      const clean = await post(server, mails.clean())
      assert.equal(clean.reply.code, 250, clean.reply.text)
      assert.deepEqual(askedOf(clean), { clamd: addressText(clamd.address), protocol: 'instream' })
    }
    await clamd.idle()
  },
)

test('several hosts take turns, each on its own port; a dead one costs no message', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const clamds = [await realClamd(t), await realClamd(t)]
  const [first, second] = clamds.map(({ host, port }) => ({ host, port })) as [Address, Address]
  const old = await front(t, { clamd: first })
  const dead = `127.0.0.1:${await freePort()}`
  const live = [first, second, old.address].map(addressText)
  const server = await haraka(
    t,
    `host=${live[0]}, ${dead};${live[1]} ${live[2]}\nmax_pings=0\nhost_rest=5m\n`,
  )

  const asked: string[] = []
  for (let message = 0; message < 12; message++) {
    const { reply, told } = await post(server, mails.clean())
    assert.equal(reply.code, 250, reply.text)
    asked.push(String(told.note?.clamd))
  }
  // Once the dead one rests, at the latest after four messages, the others take turns strictly.
  const settled = asked.slice(6)
  for (const text of live) assert.equal(settled.filter((one) => one === text).length, 2, asked.join(' '))
  assert.deepEqual(settled.slice(0, 3), settled.slice(3))
  assert.equal(server.log.filter((line) => line.includes(`${dead} `) && line.includes('WARN')).length, 1)
  await old.idle()
})

test('a daemon that goes away and comes back', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await realClamd(t)
  const server = await haraka(t, `host=${clamd.host}:${clamd.port}\nmax_pings=0\nhost_rest=5m\n`)
  assert.equal((await post(server, mails.clean())).reply.code, 250)
  const usual = (await hasStream(clamd)) ? 'stream' : 'instream'
  await clamd.kill()
  assert.equal((await post(server, mails.clean())).reply.code, 451)
  await clamd.restart()
  // It rests, but there is no other one to ask.
  assert.deepEqual(await verdicts(server), both({ host: clamd.host, port: clamd.port }, usual))
})

for (const nodes of [0, 2]) {
  test(`the start-up check says one line an address and process, nodes=${nodes}`, bounded, async (t) => {
    const clamds = [await startFakeClamd(), await startFakeClamd({ protocols: ['INSTREAM'] })]
    t.after(() => Promise.all(clamds.map((clamd) => clamd.stop())))
    const dead = `127.0.0.1:${await freePort()}`
    const texts = clamds.map(({ address }) => addressText(address))
    const text = `host=${texts.join(' ')} ${dead}\nmax_pings=3\nping_interval=50ms\nself_test=off\n`
    const server = await haraka(t, text, { nodes })

    const processes = Math.max(nodes, 1)
    const about = (address: string) => server.log.filter((line) => line.includes(`clamd ${address} `))
    for (let from = 0, seen = 0; seen < processes; seen++) {
      const line = await server.waitForLog(/does not answer after 3 tries/, 30_000, from)
      assert.match(line, new RegExp(`\\[ERROR\\].*clamd ${dead} .*ECONNREFUSED`))
      from = server.log.indexOf(line, from) + 1
    }
    for (const [index, protocol] of ['stream', 'instream'].entries()) {
      const lines = about(texts[index] ?? '')
      assert.equal(lines.length, processes, lines.join('\n'))
      for (const line of lines) assert.match(line, new RegExp(`answers: ClamAV [^,]+, protocol ${protocol}$`))
    }
    assert.equal(about(dead).length, processes)

    // Every worker scans, and delivers or refuses.
    for (let message = 0; message < 6; message++) {
      const clean = await post(server, mails.clean())
      assert.equal(clean.reply.code, 250, clean.reply.text)
      assert.deepEqual(
        clean.delivered.map(({ message }) => ourHeaders(message)),
        [['X-MessageIsInfected: false']],
      )
      assert.equal((await post(server, mails.eicarBody())).reply.code, 550)
    }
    await Promise.all(clamds.map((clamd) => clamd.idle()))
  })
}

test(
  'mail is accepted while clamd is still down, and the check finds it when it comes',
  bounded,
  async (t) => {
    const port = await freePort()
    const server = await haraka(
      t,
      `host=127.0.0.1:${port}\nmax_pings=1000\nping_interval=100ms\nself_test=off\n[unscanned]\nerror=accept\n`,
    )
    const early = await post(server, mails.clean())
    assert.equal(early.reply.code, 250, early.reply.text)
    assert.deepEqual(
      early.delivered.map(({ message }) => ourHeaders(message)),
      [[]],
    )
    assert.ok(!server.log.some((line) => /clamd \S+ (answers|does not answer)/.test(line)))

    const clamd = await new FakeClamd({ port }).start()
    t.after(() => clamd.stop())
    await server.waitForLog(/clamd \S+ answers: .*protocol stream/)
    const late = await post(server, mails.clean())
    assert.deepEqual(
      late.delivered.map(({ message }) => ourHeaders(message)),
      [['X-MessageIsInfected: false']],
    )
    assert.deepEqual(clamd.commands.filter((name) => name === 'STREAM').length, 1)
  },
)

test('with max_pings=0 no clamd is asked before the first message', bounded, async (t) => {
  const clamd = await startFakeClamd()
  t.after(() => clamd.stop())
  const server = await haraka(t, `host=${addressText(clamd.address)}\nmax_pings=0\n`)
  assert.equal((await post(server, mails.clean())).reply.code, 250)
  assert.deepEqual(clamd.commands, ['STREAM'])
})
