// What VERSION says of a daemon, and when its signatures are too old.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ageText, parseVersion, staleSignatures, versionText } from '../../../lib/clamd/version'

const dayMs = 86_400_000

test('release, number and date, in our own time zone', () => {
  const line = 'ClamAV 1.4.6/27500/Sun Nov 22 08:00:00 2026'
  const engine = parseVersion(line)
  const builtMs = new Date(2026, 10, 22, 8).getTime()
  assert.deepEqual(engine, { release: 'ClamAV 1.4.6', signatures: { number: 27500, builtMs }, line })
  assert.equal(versionText(engine), 'ClamAV 1.4.6/27500')
  assert.deepEqual(parseVersion('ClamAV 0.90.1/2500/Thu Feb  1 23:59:58 2007')?.signatures, {
    number: 2500,
    builtMs: new Date(2007, 1, 1, 23, 59, 58).getTime(),
  })
})

test('a daemon without daily signatures, or one that says something else, has no age', () => {
  for (const line of [
    'ClamAV 1.4.6',
    'ClamAV 1.4.6/',
    'ClamAV 1.4.6/27500',
    'ClamAV 1.4.6/27500/',
    'ClamAV 1.4.6/27500/yesterday',
    'ClamAV 1.4.6/27500/Sun Nov 22 08:00:00 2026 and more',
    'ClamAV 1.4.6/27500/Sun Foo 22 08:00:00 2026',
    'ClamAV 1.4.6/-1/Sun Nov 22 08:00:00 2026',
  ]) {
    const engine = parseVersion(line)
    assert.equal(engine?.signatures, null, line)
    assert.equal(versionText(engine), 'ClamAV 1.4.6')
    assert.equal(staleSignatures(engine, Date.now() + 1e12, 1), null)
  }
  assert.equal(parseVersion(null), null)
  assert.equal(versionText(null), null)
})

test('what is said is printable and not long', () => {
  const engine = parseVersion(`ClamAV \u001b[31m${'x'.repeat(1000)}/1/\r\n`)
  assert.match(engine?.release ?? '', /^[\x20-\x7e]{1,128}$/)
  assert.match(engine?.line ?? '', /^[\x20-\x7e]{1,128}$/)
})

test('too old is older than the limit, and 0 is no limit', () => {
  const engine = parseVersion('ClamAV 1.4.6/27500/Sun Nov 22 08:00:00 2026')
  const built = engine?.signatures?.builtMs ?? NaN
  assert.equal(staleSignatures(engine, built + 3 * dayMs, 3 * dayMs), null)
  assert.equal(staleSignatures(engine, built + 3 * dayMs + 1, 3 * dayMs), 'signatures 27500 are 3 days old')
  assert.equal(staleSignatures(engine, built + 400 * dayMs, 0), null)
  assert.equal(staleSignatures(engine, built - dayMs, 1), null, 'a clock that is behind')
  assert.deepEqual(
    [0, 1, 47, 48, 71, 72].map((hours) => ageText(hours * 3_600_000)),
    ['0 hours', '1 hour', '47 hours', '2 days', '2 days', '3 days'],
  )
})
