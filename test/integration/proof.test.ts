// What a clamd is proven to scan, by a real one with lowered limits, over both protocols.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { after, test } from 'node:test'
import { measure } from '../../lib/base/measure'
import { receivedLine } from '../../lib/clamd/protocol'
import { runSelfTest } from '../../lib/health/self-test'
import { minProbeBytes, testFileMail } from '../../lib/health/test-mails'
import { clamdOrSkip } from '../support/clamd/clamd'
import type { Script } from '../support/clamd/fake-clamd'
import { runningTimers, Scanning, until } from '../support/clamd/scanning'
import {
  bounded,
  fake,
  front,
  harmlessSignatures,
  M,
  never,
  real,
  selfTestsIn,
  usual,
  watching,
} from '../support/clamd/self-testing'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

test('a probe has the size that was asked for, to the byte, and each is another one', async () => {
  const sizes = [minProbeBytes, 1, 2, 70, 100, 131, 1000, 5000, 65_536, 100_001]
  for (const size of sizes.map((more, index) => (index === 0 ? more : minProbeBytes + more))) {
    assert.equal((await measure(testFileMail(size), never)) + receivedLine.length, size)
  }
  assert.throws(() => testFileMail(minProbeBytes - 1), RangeError)
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
      const selfTest = await runSelfTest(where, { ...usual, protocol }, connect, never)
      assert.equal(selfTest.findsTestFile, true)
      assert.equal(selfTest.coversMaxSize, limit === usual.maxBytes)
      const found = selfTest.maxScannableBytes ?? 0
      // Ten halvings of what lies between, and the headers of the parts.
      assert.ok(found <= limit * 1.02 && found >= limit - usual.maxBytes / 1024 - 1, `${protocol}: ${found}`)
      assert.ok(
        selfTest.probes <= 4 + 20 && selfTest.sentBytes <= 12 * usual.maxBytes,
        JSON.stringify(selfTest),
      )
      if (selfTest.coversMaxSize) assert.deepEqual([selfTest.probes, selfTest.missed], [4, null])
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
    const { maxScannableBytes } = await runSelfTest(address, usual, connect, never)
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
    const inside = await scanning.scan(mail((maxScannableBytes ?? 0) * 0.95))
    assert.equal(inside.outcome, 'infected')
    const beyond = await scanning.scan(mail(1.5 * M))
    assert.equal(
      beyond.outcome,
      'clean',
      'then MaxScanSize counts otherwise by now: see docs/guide/clamd-conf.md',
    )
  },
)

test('without a signature for EICAR, or with ScanMail off, there is no trust', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const empty = await real(t, {}, harmlessSignatures(t).path)
  const blind = await real(t, { ScanMail: 'no' })
  for (const { address } of [empty, blind]) {
    const selfTest = await runSelfTest(address, usual, connect, never)
    const { findsTestFile, maxScannableBytes, coversMaxSize, missed, probes } = selfTest
    assert.deepEqual(
      [findsTestFile, maxScannableBytes, coversMaxSize, missed, probes],
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
    await until(() => selfTestsIn(told).length > 0)
    const selfTest = selfTestsIn(told).at(-1)?.selfTest
    assert.deepEqual([selfTest?.findsTestFile, selfTest?.reportsLimits, selfTest?.alarm], [true, tells, null])
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
  await until(() => selfTestsIn(told).length > 0)
  const selfTest = selfTestsIn(told).at(-1)?.selfTest
  assert.deepEqual(selfTest?.alarm, { kind: 'found', text: 'Eicar-and-all FOUND' })
  assert.equal(selfTest.reportsLimits, null)
  assert.equal(selfTest.probes, 3, 'and not again by the other protocol')
  assert.match(lines.join(), /error clamd \S+ finds something in a harmless mail: Eicar-and-all FOUND\./)
})

test('STREAM by which no harmless mail is clean gives way to INSTREAM', bounded, async (t) => {
  const daemon = await fake(t, [], { protocols: ['STREAM', 'INSTREAM'] })
  const { watch, told, lines } = watching(t, [daemon.address], { selfTest: 'eicar' })
  await daemon.play((scan) =>
    scan === 0 || scan > 2 ? [] : [{ at: 'reply', do: 'answer', text: 'stream: OK\nstream: OK' }],
  )
  watch.run('at once')
  await until(() => selfTestsIn(told).length > 0)
  const last = selfTestsIn(told).at(-1)
  assert.deepEqual([last?.selfTest.alarm, last?.protocol], [null, 'instream'])
  assert.match(
    lines.join(),
    /info clamd \S+ gets mail by INSTREAM, because STREAM failed: reply: reply to a harmless mail: /,
  )

  const broken = await fake(t, [{ at: 'reply', do: 'stall' }], { protocols: ['INSTREAM'] })
  await broken.play((scan) =>
    scan === 0 ? [] : [{ at: 'reply', do: 'answer', text: "stream: Can't open ERROR" }],
  )
  const other = watching(t, [broken.address], { selfTest: 'eicar' })
  other.watch.run('at once')
  await until(() => selfTestsIn(other.told).length > 0)
  assert.equal(selfTestsIn(other.told).at(-1)?.selfTest.alarm?.kind, 'failed')
  assert.match(
    other.lines.join(),
    /error clamd \S+ gives no verdict on a harmless mail: reply: stream: Can't open/,
  )
})

test('self_test=eicar sends three small probes; a limit known before needs two more', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t, { MaxFileSize: '1M' })
  const small = await runSelfTest(address, { ...usual, depth: 'eicar' }, connect, never)
  assert.deepEqual([small.findsTestFile, small.maxScannableBytes, small.probes], [true, null, 3])
  assert.ok(small.sentBytes < 8192, String(small.sentBytes))
  const tiny = await runSelfTest(address, { ...usual, maxBytes: 100 }, connect, never)
  assert.deepEqual([tiny.coversMaxSize, tiny.maxScannableBytes, tiny.probes], [true, 100, 3])
  const again = await runSelfTest(address, { ...usual, provenBefore: 1_000_000 }, connect, never)
  assert.deepEqual([again.maxScannableBytes, again.probes], [1_000_000, 5])
  const worse = await runSelfTest(address, { ...usual, provenBefore: 2 * M }, connect, never)
  assert.ok((worse.maxScannableBytes ?? 0) <= M && worse.probes === 15, JSON.stringify(worse))
})

test(
  'a daemon that goes away in the middle, behind something that stays, has no limit',
  bounded,
  async (t) => {
    const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
    const small = 3
    // All breaks off from the largest probe on: what is found in nothing has no limit.
    await daemon.play((scan) => (scan < small ? [] : [{ at: 'first', do: 'close' }]))
    await assert.rejects(runSelfTest(daemon.address, usual, connect, never), { name: 'ClamdError' })
    // It is back while the limit is looked for: another time all of it is found.
    await daemon.play((scan) => (scan < small || scan >= small + 6 ? [] : [{ at: 'first', do: 'close' }]))
    await assert.rejects(runSelfTest(daemon.address, usual, connect, never), /at one time and not at another/)
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
      await assert.rejects(runSelfTest(daemon.address, settings, connect, never), { name: 'ClamdError' })
    }
  })
}

test('the EICAR string stands in no file that is shipped or compiled', () => {
  const root = path.resolve(__dirname, '../..')
  const shipped = ['lib', 'bin', 'config', 'docs', 'examples', 'dist', 'index.ts', 'README.md', 'SECURITY.md']
  const files = shipped.flatMap((name) => filesBelow(path.join(root, name)))
  assert.ok(files.some((file) => file.endsWith('lib/health/test-mails.ts')))
  for (const file of files) assert.ok(!readFileSync(file, 'latin1').includes('EICAR-STANDARD'), file)
})

function filesBelow(place: string): string[] {
  if (!statSync(place).isDirectory()) return [place]
  return readdirSync(place).flatMap((name) => filesBelow(path.join(place, name)))
}
