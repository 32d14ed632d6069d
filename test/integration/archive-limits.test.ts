// How far a real clamd looks into archives, and whether it says so where it stops.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { findArchiveLimits } from '../../lib/health/archive-limits'
import type { ArchiveLimits } from '../../lib/hosts/test-results'
import { clamdOrSkip } from '../support/clamd/clamd'
import { runningTimers, Scanning, until } from '../support/clamd/scanning'
import { bounded, fake, M, never, real, selfTestsIn, usual, watching } from '../support/clamd/self-testing'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

const reported = { upTo: null, beyond: 'reported' } as const
const silentAt = (upTo: number) => ({ upTo, beyond: 'silent' }) as const

const configs: [name: string, config: Record<string, string>, limits: ArchiveLimits][] = [
  [
    'high limits, told of',
    { AlertExceedsMax: 'yes' },
    {
      memberBytes: { upTo: 16 * M, beyond: 'unknown' },
      totalBytes: { upTo: 240 * M, beyond: 'unknown' },
      depth: reported,
      files: reported,
      opensRar: false,
    },
  ],
  [
    "Debian's defaults, not told of",
    { MaxFileSize: '7M', MaxScanSize: '100M' },
    {
      memberBytes: silentAt(4 * M),
      totalBytes: silentAt(90 * M),
      depth: silentAt(15),
      files: silentAt(9900),
      opensRar: false,
    },
  ],
  [
    'a low MaxFileSize, which clamd never tells of',
    { MaxFileSize: '7M', AlertExceedsMax: 'yes' },
    {
      memberBytes: silentAt(4 * M),
      totalBytes: { upTo: 240 * M, beyond: 'unknown' },
      depth: reported,
      files: reported,
      opensRar: false,
    },
  ],
  [
    'low limits',
    { MaxFileSize: '4M', MaxRecursion: '6', MaxFiles: '300' },
    {
      memberBytes: silentAt(4 * M),
      totalBytes: { upTo: 240 * M, beyond: 'unknown' },
      depth: silentAt(4),
      files: silentAt(250),
      opensRar: false,
    },
  ],
]
for (const [name, config, expected] of configs) {
  test(name, bounded, async (t) => {
    if (!clamdOrSkip(t)) return
    const { address } = await real(t, config)
    const said: string[] = []
    const limits = await findArchiveLimits(address, usual, connect, never, (text) => said.push(text))
    assert.deepEqual(limits, expected, said.join('\n'))
    assert.ok(said.length <= 7 + 6 + 18 + 7 + 1, said.join('\n'))
  })
}

test('the log names once what is silent, and messages know of it', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t, { MaxFileSize: '1M' })
  const { watch, told, lines } = watching(t, [address])
  const scanning = new Scanning([address])
  watch.run('at once')
  await until(() => told.some(({ type }) => type === 'archivesTested'))
  await until(() => lines.some((line) => line.includes('says OK where it stops')))
  const silences = lines.filter((line) =>
    /^warn clamd \S+ says OK where it stops .*files larger than 1MB .*15 archives .*9900 files .*; nothing beyond it is scanned\. Set AlertExceedsMax yes .*MaxFileSize \d+ /.test(
      line,
    ),
  )
  assert.equal(silences.length, 1, lines.join('\n'))
  for (const event of told) scanning.hosts.learn(address, event)
  const lease = await scanning.hosts.take(new Set(), never)
  assert.deepEqual(lease?.silentLimits, {
    memberBytes: M,
    totalBytes: 240 * M,
    depth: 15,
    files: 9900,
    opensRar: false,
  })
  const known = watch
    .known()
    .flatMap(([, event]) => (event.type === 'archivesTested' ? [event.archives] : []))
  assert.equal(known[0]?.files.upTo, 9900)
})

test('who asks while limits of archives are looked for is told of the proof', bounded, async (t) => {
  const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
  await daemon.play((scan) => (scan < 4 ? [] : [{ at: 'reply', do: 'stall' }]))
  const { watch, told } = watching(t, [daemon.address])
  watch.run('at once')
  await until(() => selfTestsIn(told).length > 0 && daemon.scans.length > 4)
  assert.equal(selfTestsIn(watch.known().map(([, event]) => event))[0]?.selfTest.coversMaxSize, true)
})

test('a daemon that does not say is not known, and is not asked again and again', bounded, async (t) => {
  const daemon = await fake(t, [{ at: 'reply', do: 'answer', text: 'stream: Broken ERROR' }])
  const limits = await findArchiveLimits(daemon.address, usual, connect, never)
  const unknown = { upTo: null, beyond: 'unknown' }
  assert.deepEqual(limits, {
    memberBytes: unknown,
    totalBytes: unknown,
    depth: unknown,
    files: unknown,
    opensRar: null,
  })
  assert.equal(daemon.scans.length, 1)
  const stop = new AbortController()
  await daemon.play([{ at: 'reply', do: 'stall' }])
  const asked = findArchiveLimits(daemon.address, usual, connect, stop.signal)
  await daemon.seen('INSTREAM')
  stop.abort(new Error('stopped'))
  await assert.rejects(asked, /stopped/)
})
