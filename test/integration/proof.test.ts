// What a clamd is proven to scan, by a real one with lowered limits, over both protocols; what follows from it for
// mail; and that all of it is kept true while daemons change.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { addressText, type Address } from '../../lib/address'
import { measure } from '../../lib/measure'
import { headLine, noFreePort } from '../../lib/clamd/protocol'
import { Hosts } from '../../lib/hosts'
import type { AddressFacts } from '../../lib/known-address'
import { leastProbeBytes, testFileMail } from '../../lib/proof/mails'
import { prove, type ProveSettings } from '../../lib/proof/prove'
import { Watch, type WatchSettings } from '../../lib/proof/watch'
import { Scanner } from '../../lib/scanner'
import { world } from '../../lib/world'
import { clamdOrSkip, freePort, startClamd, type ClamdOptions } from '../support/clamd'
import { eicar, eicarName, testSignatures } from '../support/eicar'
import { withStranger } from '../support/fault-table'
import { startFakeClamd, type FakeClamdOptions, type Script } from '../support/fake-clamd'
import { big, clean, eicarBody } from '../support/mails'
import { TemporaryDirectory } from '../support/process'
import { BufferMessage, runningTimers, Scanning, settled, until } from '../support/scanning'
import { startStreamFront, type FrontBehaviour } from '../support/stream-front'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

const M = 1024 * 1024
const bounded = { timeout: 60_000 }
const never = new AbortController().signal

const usual: ProveSettings = {
  depth: 'full',
  protocol: 'instream',
  maxBytes: 4 * M,
  bufferBytes: 8192,
  connectMs: 5000,
  scanMs: 30_000,
}

async function real(t: TestContext, config: ClamdOptions['config'] = {}, databaseDirectory?: string) {
  const clamd = await startClamd({ config, ...(databaseDirectory !== undefined && { databaseDirectory }) })
  t.after(() => clamd.stop())
  return { clamd, address: { host: clamd.host, port: clamd.port } }
}

async function front(t: TestContext, behaviour: FrontBehaviour) {
  const started = await startStreamFront(behaviour)
  t.after(() => started.stop())
  return started
}

async function fake(t: TestContext, script: Script, options: FakeClamdOptions = {}) {
  const daemon = await startFakeClamd(options)
  t.after(() => daemon.stop())
  await daemon.play(script)
  return daemon
}

/** As a daemon with signatures says it. */
function verdictOn(mail: Buffer): string {
  const isInfected =
    mail.includes(eicar()) || mail.includes(Buffer.from(eicar()).toString('base64').slice(0, 60))
  return isInfected ? `stream: ${eicarName} FOUND` : 'stream: OK'
}

/** Signatures, but none for EICAR. */
function harmlessSignatures(t: TestContext): TemporaryDirectory {
  const directory = new TemporaryDirectory('signatures')
  t.after(() => directory.remove())
  writeFileSync(
    path.join(directory.path, 'other.ndb'),
    `Harmless:0:*:${Buffer.from('never seen').toString('hex')}\n`,
  )
  return directory
}

test('a probe has the size that was asked for, to the byte, and each is another one', async () => {
  const sizes = [leastProbeBytes, 1, 2, 70, 100, 131, 1000, 5000, 65_536, 100_001]
  for (const size of sizes.map((more, index) => (index === 0 ? more : leastProbeBytes + more))) {
    assert.equal((await measure(testFileMail(size), never)) + headLine.length, size)
  }
  assert.throws(() => testFileMail(leastProbeBytes - 1), RangeError)
})

/** clamd.conf, what max_size is, and the largest message that such a clamd scans to the end. */
const lowered: [name: string, config: Record<string, string>, limit: number][] = [
  ['limits as high as max_size', { StreamMaxLength: '4M', MaxFileSize: '4M', MaxScanSize: '9M' }, 4 * M],
  ['StreamMaxLength', { StreamMaxLength: '1M' }, M],
  ['MaxFileSize', { MaxFileSize: '1M' }, M],
  // The mail and its parts together are what is counted.
  ['MaxScanSize', { MaxScanSize: '2M' }, M],
  ['MaxScanSize, which is told', { MaxScanSize: '2M', AlertExceedsMax: 'yes' }, M],
]
for (const [name, config, limit] of lowered) {
  test(`what is proven with ${name}`, bounded, async (t) => {
    if (!clamdOrSkip(t)) return
    const { address } = await real(t, config)
    const streamMaxLength = config.StreamMaxLength === '1M' ? M : 25 * M
    const old = await front(t, { clamd: address, streamMaxLength })
    for (const [protocol, where] of [
      ['instream', address],
      ['stream', old.address],
    ] as const) {
      const proof = await prove(where, { ...usual, protocol }, connect, never)
      assert.equal(proof.findsTestFile, true)
      assert.equal(proof.provesMaxBytes, limit === usual.maxBytes)
      const found = proof.provenBytes ?? 0
      // Ten halvings of what lies between, and the headers of the parts.
      assert.ok(found <= limit * 1.02 && found >= limit - usual.maxBytes / 1024 - 1, `${protocol}: ${found}`)
      assert.ok(proof.probes <= 4 + 20 && proof.sentBytes <= 12 * usual.maxBytes, JSON.stringify(proof))
      if (proof.provesMaxBytes) assert.deepEqual([proof.probes, proof.missed], [4, null])
    }
    await old.idle()
  })
}

test(
  'only what is really scanned is proven: an attachment that MaxScanSize leaves out is not',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const { address } = await real(t, { MaxScanSize: '2M' })
    const { provenBytes } = await prove(address, usual, connect, never)
    const scanning = new Scanning([address])
    // The virus is in a part that is as large as the rest of the mail, and clamd says OK.
    const mail = (bytes: number) =>
      Buffer.concat([
        Buffer.from('MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n'),
        Buffer.from('Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n'),
        Buffer.from(
          Buffer.concat([
            Buffer.from(String(Math.random())),
            Buffer.alloc(Math.floor(bytes * 0.73) - 60, 'padding\r\n'),
            Buffer.from('harmless-phishing-marker-7c41'),
          ])
            .toString('base64')
            .replace(/.{76}/g, '$&\r\n'),
        ),
        Buffer.from('\r\n--b--\r\n'),
      ])
    const inside = await scanning.scan(mail((provenBytes ?? 0) * 0.95))
    assert.equal(inside.outcome, 'infected')
    const beyond = await scanning.scan(mail(1.5 * M))
    assert.equal(beyond.outcome, 'clean', 'then MaxScanSize counts otherwise by now: see docs/operations.md')
  },
)

test('without a signature for EICAR, or with ScanMail off, there is no trust', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const empty = await real(t, {}, harmlessSignatures(t).path)
  const blind = await real(t, { ScanMail: 'no' })
  for (const { address } of [empty, blind]) {
    const proof = await prove(address, usual, connect, never)
    const { findsTestFile, provenBytes, provesMaxBytes, missed, probes } = proof
    assert.deepEqual(
      [findsTestFile, provenBytes, provesMaxBytes, missed, probes],
      [false, null, false, 'stream: OK', 1],
    )
  }
})

test('whether clamd says so when it stops at a limit of its own', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  for (const [config, tells] of [
    [{}, false],
    [{ AlertExceedsMax: 'yes' }, true],
    [{ AlertExceedsMax: 'yes', MaxRecursion: '100' }, true],
  ] as const) {
    const { address } = await real(t, config)
    const { watch, told, lines } = watching(t, [address], { selfTest: 'eicar' })
    watch.run('at once')
    await until(() => told.some(({ proof }) => proof))
    const proof = told.at(-1)?.proof
    assert.deepEqual([proof?.findsTestFile, proof?.tellsLimits, proof?.alarm], [true, tells, null])
    const warned = lines.filter((line) =>
      /^warn clamd \S+ says OK where it stops .*AlertExceedsMax yes/.test(line),
    )
    assert.equal(warned.length, tells ? 0 : 1)
  }
})

test('a clamd that finds something in everything is told of', bounded, async (t) => {
  const daemon = await fake(t, [{ at: 'reply', do: 'answer', text: 'stream: Eicar-and-all FOUND' }])
  const { watch, told, lines } = watching(t, [daemon.address], { selfTest: 'eicar' })
  watch.run('at once')
  await until(() => told.some(({ proof }) => proof))
  const proof = told.at(-1)?.proof
  assert.deepEqual(proof?.alarm, { kind: 'found', text: 'Eicar-and-all FOUND' })
  assert.equal(proof.tellsLimits, null)
  assert.equal(proof.probes, 3, 'and not again by the other protocol')
  assert.match(lines.join(), /error clamd \S+ finds something in a harmless mail: Eicar-and-all FOUND\./)
})

test('STREAM by which no harmless mail is clean gives way to INSTREAM', bounded, async (t) => {
  const daemon = await fake(t, [], { protocols: ['STREAM', 'INSTREAM'] })
  const { watch, told, lines } = watching(t, [daemon.address], { selfTest: 'eicar' })
  await daemon.play((scan) =>
    scan === 0 || scan > 2 ? [] : [{ at: 'reply', do: 'answer', text: 'stream: OK\nstream: OK' }],
  )
  watch.run('at once')
  await until(() => told.some(({ proof }) => proof))
  assert.deepEqual([told.at(-1)?.proof?.alarm, told.at(-1)?.provenProtocol], [null, 'instream'])
  assert.match(
    lines.join(),
    /info clamd \S+ gets mail by INSTREAM, STREAM came to nothing: reply: a harmless mail comes to: /,
  )

  const broken = await fake(t, [{ at: 'reply', do: 'stall' }], { protocols: ['INSTREAM'] })
  await broken.play((scan) =>
    scan === 0 ? [] : [{ at: 'reply', do: 'answer', text: "stream: Can't open ERROR" }],
  )
  const other = watching(t, [broken.address], { selfTest: 'eicar' })
  other.watch.run('at once')
  await until(() => other.told.some(({ proof }) => proof))
  assert.equal(other.told.at(-1)?.proof?.alarm?.kind, 'failed')
  assert.match(
    other.lines.join(),
    /error clamd \S+ comes to no verdict on a harmless mail: reply: stream: Can't open/,
  )
})

test('self_test=eicar sends three small probes; a limit known before needs two more', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t, { MaxFileSize: '1M' })
  const small = await prove(address, { ...usual, depth: 'eicar' }, connect, never)
  assert.deepEqual([small.findsTestFile, small.provenBytes, small.probes], [true, null, 3])
  assert.ok(small.sentBytes < 8192, String(small.sentBytes))
  const tiny = await prove(address, { ...usual, maxBytes: 100 }, connect, never)
  assert.deepEqual([tiny.provesMaxBytes, tiny.provenBytes, tiny.probes], [true, 100, 3])
  const again = await prove(address, { ...usual, provenBefore: 1_000_000 }, connect, never)
  assert.deepEqual([again.provenBytes, again.probes], [1_000_000, 5])
  const worse = await prove(address, { ...usual, provenBefore: 2 * M }, connect, never)
  assert.ok((worse.provenBytes ?? 0) <= M && worse.probes === 15, JSON.stringify(worse))
})

test(
  'a daemon that goes away in the middle, behind something that stays, has no limit',
  bounded,
  async (t) => {
    const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
    const small = 3
    // All breaks off from the largest probe on: what is found in nothing has no limit.
    await daemon.play((scan) => (scan < small ? [] : [{ at: 'first', do: 'close' }]))
    await assert.rejects(prove(daemon.address, usual, connect, never), { name: 'Failure' })
    // It is back while the limit is looked for: another time all of it is found.
    await daemon.play((scan) => (scan < small || scan >= small + 6 ? [] : [{ at: 'first', do: 'close' }]))
    await assert.rejects(prove(daemon.address, usual, connect, never), /at one time and not at another/)
  },
)

const troubles: Record<string, Script> = {
  'an error': [{ at: 'reply', do: 'answer', text: "stream: Can't allocate memory ERROR" }],
  'a hang-up': [{ at: 'first', do: 'close', on: 'command' }],
  silence: [{ at: 'reply', do: 'stall' }],
  garbage: [{ at: 'reply', do: 'garbage', bytes: 6000 }],
  'nobody there': [],
}
for (const [name, script] of Object.entries(troubles)) {
  test(`${name} proves nothing`, bounded, async (t) => {
    const daemon = await fake(t, script)
    if (script.length === 0) await daemon.play([{ at: 'connect', do: 'refuse' }] as never)
    for (const protocol of ['stream', 'instream'] as const) {
      const settings = { ...usual, protocol, scanMs: 300 }
      await assert.rejects(prove(daemon.address, settings, connect, never), { name: 'Failure' })
    }
  })
}

test(
  'mail goes where it is scanned to the end, else it is too large; a virus is found up to the limit',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const small = await real(t, { MaxFileSize: '1M' })
    const large = await real(t)
    const scanning = new Scanning([small.address, large.address], { maxBytes: 4 * M })
    for (const { address } of [small, large]) {
      scanning.hosts.learn(address, { proof: await prove(address, usual, connect, never) })
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
    alone.hosts.learn(small.address, { proof: await prove(small.address, usual, connect, never) })
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
    assert.match(verdict.text, /gets no mail, for it does not find the EICAR test file/)
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
      /^127\.0\.0\.1:\d+: reply: test file: no verdict within 200 ms$/,
    )
  },
)

test('with none to trust mail is an error, not clean, and the text says why', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t, {}, harmlessSignatures(t).path)
  const scanning = new Scanning([address])
  scanning.hosts.learn(address, { proof: await prove(address, usual, connect, never) })
  const verdict = await scanning.scan(clean())
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error')
  assert.match(verdict.text, /127\.0\.0\.1:\d+ gets no mail, for it does not find the EICAR test file/)
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
    else scanning.hosts.learn(daemon.address, { proof: await prove(daemon.address, usual, connect, never) })
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
  scanning.hosts.learn(dead, { isDoubted: true })
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
    scanning.hosts.learn(daemon.address, { isDoubted: true })
    assert.equal((await scanned).outcome, isBlind ? 'unscanned' : 'infected')
    assert.equal(daemon.scans.length, isBlind ? 2 : 3)
  })
}

test('an address that is found blind while its last test file is under way does not get the message', async (t) => {
  const daemon = await fake(t, [])
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
  const blind = { ...(await prove(daemon.address, usual, connect, never)), findsTestFile: false }
  const before = daemon.scans.length
  await daemon.play([{ at: 'reply', do: 'wait', ms: 50 }])
  const scanned = scanning.scan(eicarBody())
  for (const facts of [{ isDoubted: true }, { proof: blind }] as const) {
    const asked = daemon.scans.length
    await until(() => daemon.scans.length > asked)
    scanning.hosts.learn(daemon.address, facts)
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
    scanning.hosts.learn(daemon.address, { isDoubted: true })
  }
  assert.equal((await scanned).outcome, 'clean')
  assert.equal(daemon.scans.length, 3)
  // It has failed since that one was sent.
  assert.equal((await scanning.scan(clean())).outcome, 'clean')
  assert.equal(daemon.scans.length, 5)
})

/** A watch that is under way, with what it told and logged. */
function watching(t: TestContext, addresses: Address[], more: Partial<WatchSettings> = {}, everyMs?: number) {
  const stop = new AbortController()
  t.after(() => stop.abort())
  const told: AddressFacts[] = []
  const lines: string[] = []
  const line = (level: string) => (text: string) => void lines.push(`${level} ${text}`)
  const world = { dateMs: Date.now(), now: () => performance.now(), sockets: [] as Socket[] }
  const watch = new Watch(
    {
      ...usual,
      selfTest: 'full',
      maxSignatureAgeMs: 0,
      pingIntervalMs: 1,
      protocol: 'auto',
      maxBytes: M,
      ...more,
    },
    {
      connect: (options) => {
        const socket = connect(options)
        world.sockets.push(socket)
        return socket
      },
      now: () => world.now(),
      date: () => world.dateMs,
      log: { trace: () => undefined, info: line('info'), warn: line('warn'), error: line('error') },
      addresses: () => Promise.resolve(addresses),
      tell: (_, facts) => void told.push(facts),
    },
    stop.signal,
    everyMs,
  )
  return { watch, told, lines, world, stop }
}

test('an address without signatures is tried again until they come', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const directory = harmlessSignatures(t)
  const { clamd, address } = await real(t, {}, directory.path)
  const { watch, told, lines } = watching(t, [address])
  watch.run('at once')
  await until(() => told.some(({ proof }) => proof?.findsTestFile === false))
  assert.match(lines.join(), /^error clamd 127\.0\.0\.1:\d+ gets no mail: .*EICAR.*self_test=off/)
  testSignatures(directory.path)
  await clamd.restart()
  await until(() => told.some(({ proof }) => proof?.provesMaxBytes === true), 30_000)
  assert.match(
    lines.join('\n'),
    /^info clamd 127\.0\.0\.1:\d+ scans to the end: EICAR found in 1MB \(4 probes/m,
  )
  assert.equal(lines.filter((line) => line.startsWith('error')).length, 1, 'said once')
  assert.equal(watch.known().length, 1)
})

test(
  'VERSION is read again and again; only another one is proven again; age is told once a day',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const { address } = await real(t)
    const daemon = await front(t, { clamd: address, engine: '0.103.12/27500/Sun Nov 22 08:00:00 2020' })
    const { watch, told, lines, world } = watching(t, [daemon.address], { maxSignatureAgeMs: 86_400_000 }, 1)
    const warnings = () => lines.filter((line) => /^warn .*days old/.test(line))
    const asked = (count: number) =>
      until(() => daemon.commands.filter((name) => name === 'VERSIONCOMMANDS').length >= count)
    watch.run('at once')
    const proofs = () => new Set(told.flatMap(({ proof }) => proof ?? [])).size
    await asked(3)
    await until(() => daemon.scans >= 4 + 2)
    assert.equal(proofs(), 1, 'the test file alone is sent again')
    assert.equal(told.find(({ engine }) => engine)?.engine?.signatures?.number, 27500)
    assert.equal(warnings().length, 1)
    assert.match(warnings()[0] ?? '', /signatures 27500 are \d+ days old .*freshclam/)

    world.dateMs += 86_400_000
    await until(() => warnings().length === 2)
    daemon.become({ engine: '0.103.12/27501/Mon Nov 23 08:00:00 2020' })
    await until(() => told.some(({ engine }) => engine?.signatures?.number === 27501))
    await until(() => proofs() === 2)
  },
)

test(
  'an address that is back is looked at before its hour; a daemon that cannot be asked is no reason to distrust',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const { address } = await real(t)
    const daemon = await front(t, { clamd: address })
    const { watch, told } = watching(t, [daemon.address])
    watch.run('at once')
    await until(() => told.some(({ proof }) => proof?.provesMaxBytes === true))
    daemon.become({ engine: '0.103.13' })
    watch.heard(daemon.address, 'back')
    await until(() => daemon.scans === 8)

    const gone = watching(t, [{ host: '127.0.0.1', port: 1 }])
    gone.watch.run('at once')
    await until(() => gone.told.length > 0)
    assert.deepEqual(gone.told[0], { proof: null })
  },
)

test('a daemon that mail found blind is looked at at once, and every ping_interval while it cannot be asked', async (t) => {
  const daemon = await fake(t, [])
  const { watch, told, world } = watching(t, [daemon.address])
  watch.run('at once')
  await until(() => told.some(({ proof }) => proof?.findsTestFile === true))
  assert.equal(watch.known()[0]?.[1].isDoubted, undefined)
  await daemon.play([{ at: 'connect', do: 'refuse' }])
  let time = performance.now()
  world.now = () => time
  let seen = world.sockets.length
  watch.heard(daemon.address, 'untrusted')
  for (let look = 0; look < 5; look++) {
    await until(() => world.sockets.length > seen)
    const [socket] = world.sockets.slice(seen)
    if (socket && !socket.closed) await new Promise((resolve) => socket.once('close', resolve))
    await settled()
    seen = world.sockets.length
    time += 1000
  }
  assert.equal(watch.known()[0]?.[1].isDoubted, true, 'who comes later is told')
})

test('what mail hears during a look has the address looked at again, before its hour', async (t) => {
  const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
  const { watch, told } = watching(t, [daemon.address], { selfTest: 'eicar' })
  daemon.queue([{ at: 'reply', do: 'wait', ms: 200 }])
  watch.run('at once')
  await daemon.seen('INSTREAM')
  daemon.version = 'ClamAV 1.5.0/27501/Sun Nov 23 09:00:00 2025'
  watch.heard(daemon.address, 'back')
  await until(() => told.some(({ engine }) => engine?.line.startsWith('ClamAV 1.5.0')))
})

for (const news of ['doubted', 'back'] as const) {
  test(`an address that is ${news} is looked at before its hour`, async (t) => {
    const daemon = await fake(t, [])
    const { watch, told } = watching(t, [daemon.address], { selfTest: 'eicar' })
    watch.run('at once')
    await until(() => told.some(({ proof }) => proof?.findsTestFile === true))
    const before = told.length
    watch.heard(daemon.address, news)
    await until(() => told.length > before)
  })
}

test('an address that finds the test file again gets mail, though its size cannot be proven', async (t) => {
  let isBlind = true
  const daemon = await fake(t, [], {
    judge: (mail) => {
      if (mail.length > 100_000) return Promise.resolve("stream: Can't allocate memory ERROR")
      return Promise.resolve(isBlind ? 'stream: OK' : verdictOn(mail))
    },
  })
  const hosts = new Hosts(
    { hosts: [daemon.address], restMs: 1, resolveMs: 60_000, connectMs: 5000, maxConcurrent: 0 },
    world(() => undefined),
  )
  await hosts.addresses(never)
  const { watch, told } = watching(t, [daemon.address])
  const state = () => {
    for (const facts of told.splice(0)) hosts.learn(daemon.address, facts)
    return hosts.states()[0]?.state
  }
  watch.run('at once')
  await until(() => state() === 'untrusted')
  isBlind = false
  await until(() => state() === 'up')
})

test('what a daemon did not tell in time is not taken from it, and asked again', async (t) => {
  const daemon = await fake(t, [], { sessions: true })
  daemon.answers.VERSIONCOMMANDS = [{ do: 'stall' }]
  const { watch, told } = watching(t, [daemon.address], { selfTest: 'off', connectMs: 200 })
  watch.run('at once')
  await until(() => told.length > 0)
  delete daemon.answers.VERSIONCOMMANDS
  await until(() => told.some(({ hasSessions }) => hasSessions === true))
  daemon.answers.VERSIONCOMMANDS = [{ do: 'stall' }]
  const before = told.length
  watch.heard(daemon.address, 'back')
  await until(() => told.length > before)
  assert.ok(told.slice(before).every(({ hasSessions }) => hasSessions !== false))
})

test('STREAM with closed data ports is proven by INSTREAM, as mail is scanned', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t)
  const daemon = await front(t, { clamd: address, instream: true, dataPort: 'refuse' })
  const { watch, told } = watching(t, [daemon.address])
  watch.run('at once')
  await until(() => told.some(({ proof }) => proof?.provesMaxBytes === true))
  assert.equal(told.at(-1)?.provenProtocol, 'instream')
})

test('STREAM whose data port something else answers at is proven by INSTREAM', bounded, async (t) => {
  const daemon = await fake(t, [], { acceptMs: 10_000 })
  await withStranger(
    (socket) => socket.end(),
    async (port) => {
      await daemon.play([{ at: 'port', do: 'say', text: `PORT ${port}` }])
      const { watch, told } = watching(t, [daemon.address], { connectMs: 200 })
      watch.run('at once')
      await until(() => told.some(({ proof }) => proof?.provesMaxBytes === true))
      assert.equal(told.at(-1)?.provenProtocol, 'instream')
    },
  )
})

test(
  'STREAM that never comes to a verdict is proven by INSTREAM, where there is that',
  bounded,
  async (t) => {
    const daemon = await fake(t, [], { protocols: ['STREAM', 'INSTREAM'] })
    const { watch, told } = watching(t, [daemon.address], { scanMs: 300, selfTest: 'eicar' })
    await daemon.play((scan) =>
      scan === 0
        ? [{ at: 'reply', do: 'stall' }]
        : [{ at: 'reply', do: 'answer', text: 'stream: Eicar FOUND' }],
    )
    watch.run('at once')
    await until(() => told.some(({ proof }) => proof?.findsTestFile === true))
    assert.equal(told.at(-1)?.provenProtocol, 'instream')
  },
)

test('whose time is up while an address is still to be checked is told that', bounded, async () => {
  const host = { host: '127.0.0.1', port: 1 }
  const settings = { hosts: [host], restMs: 1000, resolveMs: 60_000, connectMs: 1000, maxConcurrent: 0 }
  const hosts = new Hosts(
    settings,
    world((text) => assert.fail(text)),
    60_000,
  )
  const scanner = new Scanner({ ...usual, protocol: 'auto', maxBytes: M, scanMs: 100 }, hosts, connect)
  const log = { trace: () => undefined, warn: (text: string) => assert.fail(text) }
  const verdict = await scanner.scan(new BufferMessage(big(1000)), new AbortController().signal, log)
  assert.equal(verdict.outcome, 'unscanned')
  assert.equal(verdict.text, 'waiting for an address to be checked: no verdict within 100 ms')
})

test('an end in the middle of a probe leaves nothing behind', bounded, async (t) => {
  const daemon = await fake(t, [{ at: 'first', do: 'freeze' }])
  const { watch, stop, lines, told } = watching(t, [daemon.address])
  watch.run('at once')
  await until(() => daemon.scans.length === 1)
  stop.abort()
  await daemon.idle()
  assert.deepEqual(lines, [])
  assert.ok(told.every(({ proof }) => proof === undefined))
})

test('the EICAR string stands in no file that is shipped', () => {
  const source = readFileSync(path.resolve(__dirname, '../../lib/proof/probe.ts'), 'latin1')
  assert.doesNotMatch(source, /EICAR-STANDARD/)
})
