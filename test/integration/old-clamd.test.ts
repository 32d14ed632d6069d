// STREAM by a real clamd that has it, the last of which is 0.103.12: `CLAMD=/path/to/clamd`. Other releases skip this file;
// for them stream-front.ts speaks STREAM.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Verdict } from '../../lib/policy/verdict'
import { clamdOrSkip, hasStream, type RealClamd, startClamd } from '../support/clamd/clamd'
import { Scanning, type ScanningOptions, until } from '../support/clamd/scanning'
import { eicarName } from '../support/eicar'
import { big, clean, eicarAttachment, eicarBehind } from '../support/smtp/mails'

const bounded = { timeout: 120_000 }

/** null: the test is skipped. */
async function oldClamd(
  t: TestContext,
  config: Record<string, string | number> = {},
): Promise<RealClamd | null> {
  if (!clamdOrSkip(t)) return null
  const clamd = await startClamd({ config: { AlertExceedsMax: 'yes', ...config } })
  t.after(() => clamd.stop())
  if (await hasStream(clamd)) return clamd
  t.skip('this clamd has no STREAM')
  return null
}

function scanningOf(clamds: readonly RealClamd[], options: ScanningOptions = {}): Scanning {
  const hosts = clamds.map(({ host, port }) => ({ host, port }))
  return new Scanning(hosts, { selfTest: true, ...options })
}

const told = (verdict: Verdict) =>
  verdict.outcome === 'infected' ? verdict.virus : verdict.outcome === 'clean' ? 'clean' : verdict.reason
const textOf = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.text : '')

for (const protocol of ['auto', 'stream'] as const) {
  test(`${protocol}: clean, infected, and infected at the end of a large message`, bounded, async (t) => {
    const clamd = await oldClamd(t)
    if (!clamd) return
    const scanning = scanningOf([clamd], { protocol })
    const verdicts = [clean(), eicarAttachment(), eicarBehind(3_000_000)].map((mail) => scanning.scan(mail))
    const ended = await Promise.all(verdicts)
    assert.deepEqual(ended.map(told), ['clean', eicarName, eicarName], ended.map(textOf).join('\n'))
    assert.deepEqual(
      ended.map((verdict) => verdict.protocol),
      ['stream', 'stream', 'stream'],
    )
    assert.deepEqual(scanning.leftovers(), [])
  })
}

test('over StreamMaxLength clamd cuts in silence: never clean', bounded, async (t) => {
  const clamd = await oldClamd(t, { StreamMaxLength: '1M' })
  if (!clamd) return
  for (const selfTest of [true, false]) {
    const scanning = scanningOf([clamd], { protocol: 'stream', selfTest })
    for (const mail of [big(3_000_000), eicarBehind(3_000_000), big(1_200_000)]) {
      const verdict = await scanning.scan(mail)
      assert.equal(
        verdict.outcome,
        'unscanned',
        `${told(verdict)}, ${mail.length} bytes, self test ${selfTest}`,
      )
    }
    assert.equal(told(await scanning.scan(big(500_000))), 'clean')
    assert.deepEqual(scanning.leftovers(), [])
  }
})

test('many at a time, with fewer threads and data ports than messages', bounded, async (t) => {
  const clamd = await oldClamd(t, { MaxThreads: 3, StreamMinPort: 21_800, StreamMaxPort: 21_801 })
  if (!clamd) return
  const scanning = scanningOf([clamd], { protocol: 'stream', scanMs: 60_000 })
  const mails = Array.from({ length: 40 }, (_, i) => (i % 4 === 0 ? eicarAttachment() : big(50_000 + i)))
  const verdicts = await Promise.all(mails.map((mail) => scanning.scan(mail)))
  const wanted = mails.map((_, i) => (i % 4 === 0 ? eicarName : 'clean'))
  const texts = [...new Set(verdicts.map(textOf))].join('\n')
  assert.deepEqual(verdicts.map(told), wanted, texts)
  assert.deepEqual(scanning.leftovers(), [])
})

test(
  'killed with messages in its hands, and started again: no verdict, then the right one',
  bounded,
  async (t) => {
    const clamd = await oldClamd(t)
    if (!clamd) return
    const scanning = scanningOf([clamd], { protocol: 'stream', scanMs: 20_000 })
    assert.equal(told(await scanning.scan(clean())), 'clean')
    clamd.pause()
    const scanned = Promise.all(
      [big(4_000_000), eicarAttachment(), clean()].map((mail) => scanning.scan(mail)),
    )
    await until(() => scanning.sockets.filter(({ destroyed }) => !destroyed).length >= 3)
    await clamd.kill()
    assert.deepEqual((await scanned).map(told), ['error', 'error', 'error'])
    await clamd.restart()
    const after = await Promise.all([clean(), eicarAttachment()].map((mail) => scanning.scan(mail)))
    assert.deepEqual(after.map(told), ['clean', eicarName], after.map(textOf).join('\n'))
    assert.deepEqual(scanning.leftovers(), [])
  },
)

for (const concurrent of ['yes', 'no']) {
  test(`a reload under load, ConcurrentDatabaseReload ${concurrent}`, bounded, async (t) => {
    // Without IdleTimeout it waits half a minute for its threads before it loads.
    const clamd = await oldClamd(t, { ConcurrentDatabaseReload: concurrent, IdleTimeout: 2 })
    if (!clamd) return
    const scanning = scanningOf([clamd], { protocol: 'stream', scanMs: 60_000 })
    assert.equal(told(await scanning.scan(clean())), 'clean')
    const scans: Promise<Verdict>[] = []
    for (let i = 0; i < 20; i++) {
      scans.push(scanning.scan(i % 2 === 0 ? eicarAttachment() : big(20_000 + i)))
      if (i === 5) assert.equal(await clamd.ask('nRELOAD\n'), 'RELOADING')
    }
    const verdicts = await Promise.all(scans)
    const wanted = verdicts.map((_, i) => (i % 2 === 0 ? eicarName : 'clean'))
    assert.deepEqual(verdicts.map(told), wanted, [...new Set(verdicts.map(textOf))].join('\n'))
    assert.deepEqual(scanning.leftovers(), [])
  })
}
