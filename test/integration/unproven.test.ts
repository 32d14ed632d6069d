// Addresses of which nothing was proven yet, and messages of all sizes: each has to be preceded by a proof of its own.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { clamdOrSkip } from '../support/clamd/clamd'
import { BufferMessage, runningTimers, Scanning, settled, until } from '../support/clamd/scanning'
import { bounded, fake, M, real, verdictOn } from '../support/clamd/self-testing'
import { big, clean, eicarBehind } from '../support/smtp/mails'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

test('what a clamd looks into is scanned there, what is larger is not sent there', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t, { MaxFileSize: '3M', MaxScanSize: '50M' })
  const scanning = new Scanning([address], { selfTest: true, maxBytes: 10 * M })
  for (const [bytes, outcome] of [
    [8 * M, 'too_large'],
    [2.5 * M, 'infected'],
    [3.5 * M, 'too_large'],
    [2.7 * M, 'infected'],
    [1000, 'infected'],
  ] as const) {
    const verdict = await scanning.scan(eicarBehind(bytes))
    assert.equal(verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome, outcome)
  }
  assert.equal((await scanning.scan(big(2 * M))).outcome, 'clean')
  assert.deepEqual(scanning.leftovers(), [])
})

test('a larger message goes on to an address that scans it', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const small = await real(t, { MaxFileSize: '3M', MaxScanSize: '50M' })
  const large = await real(t)
  const scanning = new Scanning([small.address, large.address], { selfTest: true, maxBytes: 10 * M })
  for (let i = 0; i < 3; i++) {
    const verdict = await scanning.scan(eicarBehind(5 * M))
    assert.deepEqual([verdict.outcome, verdict.clamd], ['infected', `127.0.0.1:${large.address.port}`])
  }
})

test(
  'a clamd that comes back with lower limits is found out before it gets what it does not scan',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const config: Record<string, string> = {}
    const { clamd, address } = await real(t, config)
    const scanning = new Scanning([address], { selfTest: true, maxBytes: 10 * M, restMs: 1 })
    assert.equal((await scanning.scan(eicarBehind(5 * M))).outcome, 'infected')
    await clamd.kill()
    assert.equal((await scanning.scan(clean())).outcome, 'unscanned')
    config.MaxFileSize = '3M'
    await clamd.restart()
    const verdict = await scanning.scan(eicarBehind(5 * M))
    assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'too_large', JSON.stringify(verdict))
  },
)

test('many messages that need the same proof share one, and what is proven costs nothing more', async (t) => {
  const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
  await daemon.play((scan) => (scan < 2 ? [{ at: 'reply', do: 'wait', ms: 100 }] : []))
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
  const size = 300_000
  const verdicts = await Promise.all(Array.from({ length: 8 }, () => scanning.scan(big(size))))
  for (const { outcome } of verdicts) assert.equal(outcome, 'clean')
  assert.equal(daemon.scans.length, 2 + 8, 'the least test file, and one of half a megabyte')
  assert.ok(daemon.scans.some((scan) => scan.size === 512 * 1024))
  await scanning.scan(big(400_000))
  assert.equal(daemon.scans.length, 2 + 9)
  await scanning.scan(big(600_000))
  assert.equal(daemon.scans.length, 2 + 9 + 2)
})

test('a proof goes on for those who still wait when the message that began it has gone', async (t) => {
  const daemon = await fake(t, [{ at: 'reply', do: 'wait', ms: 200 }])
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
  const gone = new AbortController()
  const first = scanning.scan(clean(), gone.signal)
  await daemon.seen('INSTREAM')
  const second = scanning.scan(clean())
  await settled()
  gone.abort()
  assert.equal((await first).outcome, 'unscanned')
  await daemon.play([])
  assert.equal((await second).outcome, 'clean')
  assert.equal(daemon.scans.length, 2, 'one test file and one message')
  assert.deepEqual(scanning.leftovers(), [])
})

test('a proof for which nobody waits any more is broken off', async (t) => {
  const daemon = await fake(t, [{ at: 'reply', do: 'stall' }])
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
  const gone = new AbortController()
  const scans = [scanning.scan(clean(), gone.signal), scanning.scan(clean(), gone.signal)]
  await daemon.seen('INSTREAM')
  await settled()
  gone.abort()
  for (const { outcome } of await Promise.all(scans)) assert.equal(outcome, 'unscanned')
  await until(() => daemon.open === 0)
  assert.deepEqual(scanning.leftovers(), [])
})

test('a proof that does not come about in time defers the message, whatever its size', async (t) => {
  // The least test file is found at once, a larger one never ends.
  const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
  await daemon.play((scan) => (scan === 0 ? [] : [{ at: 'reply', do: 'stall' }]))
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true, scanMs: 400 })
  const verdict = await scanning.scan(eicarBehind(100_000))
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'timeout', JSON.stringify(verdict))
  assert.equal(daemon.scans.length, 2, 'and not the message')
})

test(
  'an address that is new after names were looked up again has to show what it scans',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const small = await real(t, { MaxFileSize: '3M', MaxScanSize: '50M', TCPAddr: '127.0.0.1' })
    let now = 0
    let found = ['127.0.0.2']
    const scanning = new Scanning([{ name: 'clamd.test', port: small.address.port }], {
      selfTest: true,
      maxBytes: 10 * M,
      resolveMs: 1000,
      lookup: () => Promise.resolve(found),
      now: () => now,
    })
    assert.equal((await scanning.scan(clean())).outcome, 'unscanned')
    found = ['127.0.0.1']
    now += 2000
    await scanning.scan(clean())
    const verdict = await scanning.scan(eicarBehind(5 * M))
    assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'too_large', JSON.stringify(verdict))
  },
)

test('a daemon that breaks off at its limit is told from one that has gone', async (t) => {
  const daemon = await fake(t, [], {
    protocols: ['INSTREAM'],
    judge: (mail) =>
      Promise.resolve(mail.length > 200_000 ? 'INSTREAM size limit exceeded. ERROR' : verdictOn(mail)),
  })
  const scanning = new Scanning([daemon.address], { protocol: 'instream', selfTest: true })
  const verdict = await scanning.scan(new BufferMessage(big(300_000)))
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'too_large', JSON.stringify(verdict))
  assert.match(verdict.text, /more than any clamd is proven to scan: .*scans \d+ bytes, this has \d+$/)
  assert.equal((await scanning.scan(big(150_000))).outcome, 'clean')
})
