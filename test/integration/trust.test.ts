// Which address gets mail by what is proven of it, and when it has to find the test file first.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { ClamdClient } from '../../lib/clamd/client'
import { noFreePort } from '../../lib/clamd/protocol'
import { runSelfTest } from '../../lib/health/self-test'
import { HostPool } from '../../lib/hosts/host-pool'
import { system } from '../../lib/hosts/system'
import { Scanner } from '../../lib/scan/scanner'
import { clamdOrSkip, freePort } from '../support/clamd/clamd'
import type { FakeClamdOptions } from '../support/clamd/fake-clamd'
import { BufferMessage, runningTimers, Scanning, until } from '../support/clamd/scanning'
import {
  bounded,
  fake,
  harmlessSignatures,
  M,
  never,
  real,
  usual,
  verdictOn,
} from '../support/clamd/self-testing'
import { big, clean, eicarBody } from '../support/smtp/mails'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

test(
  'mail goes where it is scanned to the end, else it is too large; a virus is found up to the limit',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const small = await real(t, { MaxFileSize: '1M' })
    const large = await real(t)
    const scanning = new Scanning([small.address, large.address], { maxBytes: 4 * M })
    for (const { address } of [small, large]) {
      scanning.hosts.learn(address, {
        type: 'selfTested',
        selfTest: await runSelfTest(address, usual, connect, never),
      })
    }
    for (let i = 0; i < 4; i++) {
      const verdict = await scanning.scan(big(2 * M))
      assert.equal(verdict.outcome, 'clean', JSON.stringify(verdict))
      assert.equal(verdict.clamd, `127.0.0.1:${large.clamd.port}`)
    }
    const used = new Set(
      [await scanning.scan(clean()), await scanning.scan(clean())].map(({ clamd }) => clamd),
    )
    assert.equal(used.size, 2, 'smaller ones go to both')

    const alone = new Scanning([small.address], { maxBytes: 4 * M })
    alone.hosts.learn(small.address, {
      type: 'selfTested',
      selfTest: await runSelfTest(small.address, usual, connect, never),
    })
    const refused = await alone.scan(big(2 * M))
    assert.ok(refused.outcome === 'unscanned' && refused.reason === 'too_large')
    assert.match(refused.text, /proven to scan: 127\.0\.0\.1:\d+ scans \d+ bytes, this has \d+$/)
    assert.ok(refused.bytes > 2 * M)
    assert.equal((await alone.scan(clean())).outcome, 'clean')
  },
)

test(
  'an address that has failed, or is new, has to find the test file before it gets mail',
  bounded,
  async (t) => {
    const first = await fake(t, [])
    const second = await fake(t, [])
    const asked = (daemon: typeof first) => daemon.scans.length
    const scanning = new Scanning([first.address, second.address], {
      selfTest: true,
      restMs: 1,
      protocol: 'instream',
    })
    assert.equal((await scanning.scan(clean())).outcome, 'clean')
    assert.equal((await scanning.scan(clean())).outcome, 'clean')
    assert.deepEqual([asked(first), asked(second)], [2, 2], 'a test file and a message for each')
    for (let i = 0; i < 4; i++) await scanning.scan(clean())
    assert.deepEqual([asked(first), asked(second)], [4, 4], 'and no more test files')

    // It fails, and is back without signatures.
    await first.play((scan) => [
      { at: 'reply', do: 'answer', text: scan < 1 ? 'stream: Broken ERROR' : 'stream: OK' },
    ])
    for (let i = 0; i < 6; i++) {
      const verdict = await scanning.scan(eicarBody())
      assert.equal(verdict.outcome, 'infected', JSON.stringify(verdict))
    }
    assert.equal(scanning.hosts.states()[0]?.state, 'untrusted')
    // Nor is it believed when it is the only one.
    await second.stop()
    const verdict = await scanning.scan(eicarBody())
    assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error', JSON.stringify(verdict))
    assert.match(verdict.text, /gets no mail, because it does not find the EICAR test file/)
    assert.deepEqual(scanning.leftovers(), [])
  },
)

test(
  'an address that hangs when it is tried costs a message the limit for connecting',
  bounded,
  async (t) => {
    const daemon = await fake(t, [])
    const hung = await fake(t, [{ at: 'reply', do: 'stall' }])
    const scanning = new Scanning([hung.address, daemon.address], {
      selfTest: true,
      connectMs: 200,
      protocol: 'instream',
    })
    const verdict = await scanning.scan(clean())
    assert.deepEqual([verdict.outcome, verdict.clamd], ['clean', addressText(daemon.address)])
    assert.match(
      scanning.log.warnings.join(),
      /^127\.0\.0\.1:\d+: reply: test file: no verdict within 200 ms; scanned by 127\.0\.0\.1:\d+$/,
    )
  },
)

test('with none to trust mail is an error, not clean, and the text says why', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t, {}, harmlessSignatures(t).path)
  const scanning = new Scanning([address])
  scanning.hosts.learn(address, {
    type: 'selfTested',
    selfTest: await runSelfTest(address, usual, connect, never),
  })
  const verdict = await scanning.scan(clean())
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error')
  assert.match(verdict.text, /127\.0\.0\.1:\d+ gets no mail, because it does not find the EICAR test file/)
})

for (const [where, script] of [
  ['a new session', [{ at: 'last', do: 'close' }]],
  ['a kept session', [{ at: 'last', do: 'close' }]],
  ['STREAM, before its port', [{ at: 'port', do: 'close', on: 'both' }]],
] as const) {
  test(`who hangs up in ${where} has to find the test file before the message goes there once more`, async (t) => {
    let isBlind = false
    const daemon = await fake(t, [], {
      sessions: true,
      judge: (mail) => Promise.resolve(isBlind ? 'stream: OK' : verdictOn(mail)),
    })
    const isSession = !where.startsWith('STREAM')
    const scanning = new Scanning([daemon.address], {
      protocol: isSession ? 'instream' : 'auto',
      sessions: isSession,
      selfTest: true,
    })
    t.after(() => scanning.destroy())
    // The test file goes ahead of the first message, and from then on the address is vouched for.
    if (where !== 'a new session') assert.equal((await scanning.scan(clean())).outcome, 'clean')
    else
      scanning.hosts.learn(daemon.address, {
        type: 'selfTested',
        selfTest: await runSelfTest(daemon.address, usual, connect, never),
      })
    daemon.queue(script)
    isBlind = true
    const verdict = await scanning.scan(eicarBody())
    assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error', JSON.stringify(verdict))
    assert.match(verdict.text, /test file: not found/)
    assert.equal(scanning.hosts.states()[0]?.state, 'untrusted')
  })
}

for (const [where, script] of [
  ['stream', {}],
  ['a session', { sessions: true, protocols: ['INSTREAM'] }],
] as [string, FakeClamdOptions][]) {
  test(`who has lost what it had, ${where}, has to find the test file before the message goes there`, async (t) => {
    let isBlind = false
    const judge = (mail: Buffer) => Promise.resolve(isBlind ? 'stream: OK' : verdictOn(mail))
    const daemon = await fake(t, [], { judge, ...script })
    const scanning = new Scanning([daemon.address], { sessions: script.sessions ?? false, selfTest: true })
    t.after(() => scanning.destroy())
    for (let i = 0; i < 2; i++) assert.equal((await scanning.scan(eicarBody())).outcome, 'infected')
    isBlind = true
    daemon.protocols = ['INSTREAM']
    daemon.sessions = false
    if (script.sessions) await daemon.resetAll()
    const verdict = await scanning.scan(eicarBody())
    assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error', JSON.stringify(verdict))
    assert.match(verdict.text, /test file: not found/)
  })
}

test('a session that is refused by a daemon that says it has them is a reason to doubt', async (t) => {
  const daemon = await fake(t, [], { sessions: true, protocols: ['INSTREAM'] })
  const scanning = new Scanning([daemon.address], { protocol: 'instream', sessions: true, selfTest: true })
  t.after(() => scanning.destroy())
  daemon.sessions = false
  assert.equal((await scanning.scan(eicarBody())).outcome, 'infected')
  const asked = daemon.commands.filter((name) => name.endsWith('STREAM') || name === 'IDSESSION')
  // The test file, and once more when the session was refused.
  assert.deepEqual(asked, ['INSTREAM', 'IDSESSION', 'INSTREAM', 'INSTREAM'])
})

test('a daemon that hangs up on a message by INSTREAM, and finds the test file by it, is not asked for STREAM', async (t) => {
  const [first, second] = [await fake(t, [], { protocols: ['INSTREAM'] }), await fake(t, [])]
  const scanning = new Scanning([first.address, second.address], { selfTest: true })
  assert.equal((await scanning.scan(clean())).clamd, addressText(first.address))
  first.queue([{ at: 'last', do: 'reset' }])
  await scanning.scan(clean())
  const verdict = await scanning.scan(clean())
  assert.deepEqual([verdict.outcome, verdict.clamd], ['clean', addressText(second.address)])
  const learning = ['STREAM', 'INSTREAM']
  assert.deepEqual(first.commands, [...learning, ...learning, 'INSTREAM', 'INSTREAM'])
})

test('where others are no better, the test file may take longer than a connection', async (t) => {
  const daemon = await fake(t, [{ at: 'reply', do: 'wait', ms: 600 }])
  const dead = { host: '127.0.0.1', port: await freePort() }
  const scanning = new Scanning([dead, daemon.address], {
    protocol: 'instream',
    selfTest: true,
    connectMs: 300,
  })
  scanning.hosts.learn(dead, { type: 'doubted' })
  const verdict = await scanning.scan(clean())
  assert.equal(verdict.outcome, 'clean', JSON.stringify(verdict))
})

test('a test file that meets no free port is tried again like a message, and nobody is blamed', async (t) => {
  const daemon = await fake(t, [], { protocols: ['STREAM'] })
  await daemon.play((scan) => (scan < 3 ? [{ at: 'port', do: 'answer', text: noFreePort }] : []))
  const scanning = new Scanning([daemon.address], { selfTest: true })
  const verdict = await scanning.scan(eicarBody())
  assert.equal(verdict.outcome, 'infected', JSON.stringify(verdict))
  assert.equal(scanning.hosts.states()[0]?.state, 'up')
})

test('a daemon that is silent is sent the test file once, whatever the protocol', async (t) => {
  const daemon = await fake(t, [{ at: 'accept', do: 'stall' }])
  const other = await fake(t, [])
  const scanning = new Scanning([daemon.address, other.address], { selfTest: true, connectMs: 300 })
  assert.equal((await scanning.scan(clean())).clamd, addressText(other.address))
  assert.equal(daemon.connections, 1)
  assert.deepEqual(scanning.leftovers(), [])
})

for (const isBlind of [false, true]) {
  test(`a test file that was under way when the address failed vouches for nothing, ${isBlind ? 'blind' : 'well'} since`, async (t) => {
    let scans = 0
    const daemon = await fake(t, [], {
      judge: (mail) => Promise.resolve(scans++ > 0 && isBlind ? 'stream: OK' : verdictOn(mail)),
    })
    const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
    daemon.queue([{ at: 'reply', do: 'wait', ms: 200 }])
    const scanned = scanning.scan(eicarBody())
    await daemon.seen('INSTREAM')
    scanning.hosts.learn(daemon.address, { type: 'doubted' })
    assert.equal((await scanned).outcome, isBlind ? 'unscanned' : 'infected')
    assert.equal(daemon.scans.length, isBlind ? 2 : 3)
  })
}

test('an address that is found blind while its last test file is under way does not get the message', async (t) => {
  const daemon = await fake(t, [])
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
  const blind = { ...(await runSelfTest(daemon.address, usual, connect, never)), findsTestFile: false }
  const before = daemon.scans.length
  await daemon.play([{ at: 'reply', do: 'wait', ms: 50 }])
  const scanned = scanning.scan(eicarBody())
  for (const event of [{ type: 'doubted' }, { type: 'selfTested', selfTest: blind }] as const) {
    const asked = daemon.scans.length
    await until(() => daemon.scans.length > asked)
    scanning.hosts.learn(daemon.address, event)
  }
  const verdict = await scanned
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error', JSON.stringify(verdict))
  assert.equal(daemon.scans.length, before + 2)
})

test('a STREAM that is hung up on before its port is followed by INSTREAM, whatever the test file went by', async (t) => {
  const daemon = await fake(t, [])
  const scanning = new Scanning([daemon.address], { selfTest: true })
  assert.equal((await scanning.scan(clean())).protocol, 'stream')
  daemon.queue([{ at: 'port', do: 'close', on: 'both' }])
  const verdict = await scanning.scan(eicarBody())
  assert.deepEqual([verdict.outcome, verdict.protocol], ['infected', 'instream'], JSON.stringify(verdict))
})

test('an address that fails others all the while gets the message after its second test file', async (t) => {
  const daemon = await fake(t, [])
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
  await daemon.play([{ at: 'reply', do: 'wait', ms: 50 }])
  const scanned = scanning.scan(clean())
  for (let n = 0; n < 2; n++) {
    await until(() => daemon.scans.length > n)
    scanning.hosts.learn(daemon.address, { type: 'doubted' })
  }
  assert.equal((await scanned).outcome, 'clean')
  assert.equal(daemon.scans.length, 3)
  // It has failed since that one was sent.
  assert.equal((await scanning.scan(clean())).outcome, 'clean')
  assert.equal(daemon.scans.length, 5)
})

test('whose time is up while an address is still to be checked is told that', bounded, async () => {
  const host = { host: '127.0.0.1', port: 1 }
  const settings = { hosts: [host], restMs: 1000, resolveMs: 60_000, connectMs: 1000, maxConcurrent: 0 }
  const hosts = new HostPool(
    settings,
    system((text) => assert.fail(text)),
    60_000,
  )
  const scanner = new Scanner(
    { ...usual, protocol: 'auto', maxBytes: M, scanMs: 100, scope: 'message', signatures: [] },
    hosts,
    new ClamdClient(connect),
  )
  const log = { trace: () => undefined, warn: (text: string) => assert.fail(text) }
  const verdict = await scanner.scan(new BufferMessage(big(1000)), new AbortController().signal, log)
  assert.equal(verdict.outcome, 'unscanned')
  assert.equal(verdict.text, 'waiting for an address to be checked: no verdict within 100 ms')
})
