// What is said of a proof, in the log and by the command `check`: the same judgement, and the same advice.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClamdError } from '../../../lib/clamd/errors'
import { archivesOf, detectionOf, warnings } from '../../../lib/health/diagnosis'
import { aboutArchives, logLinesFor } from '../../../lib/health/log-lines'
import type { ArchiveLimit, ArchiveLimits, SelfTestResult } from '../../../lib/hosts/test-results'

const maxBytes = 25 * 1024 * 1024
const well: SelfTestResult = {
  findsTestFile: true,
  maxScannableBytes: maxBytes,
  coversMaxSize: true,
  missed: null,
  alarm: null,
  reportsLimits: true,
  probes: 4,
  sentBytes: maxBytes,
  ms: 505,
}
const untrusted: SelfTestResult = {
  ...well,
  findsTestFile: false,
  maxScannableBytes: null,
  missed: 'stream: OK',
}
const partly: SelfTestResult = {
  ...well,
  maxScannableBytes: 1_000_000,
  coversMaxSize: false,
  missed: 'stream: OK',
}
const odd: SelfTestResult = { ...well, alarm: { kind: 'found', text: 'All FOUND' }, reportsLimits: false }
const mute: SelfTestResult = { ...well, alarm: { kind: 'failed', text: 'reply: time-out' } }

test('what each proof comes to', () => {
  for (const [selfTest, kinds] of [
    [well, ['whole']],
    [{ ...well, maxScannableBytes: null, coversMaxSize: false }, ['finds']],
    [untrusted, ['untrusted']],
    [partly, ['partly']],
    [odd, ['whole', 'alarmed']],
    [mute, ['whole', 'mute']],
    [{ ...well, reportsLimits: null }, ['whole']],
  ] as const)
    assert.deepEqual(
      [detectionOf(selfTest, maxBytes), ...warnings(selfTest)].map(({ kind }) => kind),
      kinds,
    )
})

test('the log gives the advice that check gives', () => {
  for (const selfTest of [untrusted, partly, odd, mute]) {
    const log = logLinesFor(selfTest, null, null, maxBytes)
      .map(({ text }) => text)
      .join('\n')
    for (const { text, remedy } of [detectionOf(selfTest, maxBytes), ...warnings(selfTest)])
      if (remedy !== null)
        assert.ok(log.includes(text) && log.includes(remedy.slice(1)), `${log}\n${text}\n${remedy}`)
  }
})

test('the log lines that docs/guide/runbook.md looks for', () => {
  const lines = (selfTest: SelfTestResult, before: SelfTestResult | null = null) =>
    logLinesFor(selfTest, null, before, maxBytes).map(({ level, text }) => `${level} ${text}`)
  assert.deepEqual(lines(well), ['info scans to the end: EICAR found in 25MB (4 probes, 25MB, 505 ms)'])
  assert.match(
    lines(untrusted).join(),
    /^error gets no mail: it does not find the EICAR test file .*\(stream: OK\)/,
  )
  assert.match(lines(partly).join(), /^warn scans messages of up to 1000000 bytes .* max_size is 25MB/)
  assert.match(lines(partly).join(), /MaxFileSize .*26214400 .*MaxScanSize .*52428800 .*lower max_size/)
  assert.match(lines(odd)[1] ?? '', /^error finds something in a harmless mail: All FOUND\. /)
  const [silence] = aboutArchives(odd, null, maxBytes)
  assert.match(
    `${silence?.level} ${silence?.text}`,
    /^warn says OK where it stops at a limit .*AlertExceedsMax yes/,
  )
  assert.match(lines(mute)[1] ?? '', /^error gives no verdict on a harmless mail: reply: time-out\. /)
})

test('an unchanged result makes no log line', () => {
  const told = (selfTest: SelfTestResult, before: SelfTestResult) =>
    logLinesFor(selfTest, null, before, maxBytes).length
  for (const selfTest of [well, untrusted, partly, odd, mute])
    assert.equal(told(selfTest, { ...selfTest, ms: 1 }), 0)
  assert.equal(told({ ...partly, maxScannableBytes: 999_999 }, partly), 1)
  assert.equal(told(odd, well), 1)
  assert.equal(told(well, odd), 0)
  const failure = new ClamdError('port', 'none is free')
  assert.match(
    logLinesFor(well, failure, null, maxBytes)[1]?.text ?? '',
    /^gets mail by INSTREAM, because STREAM failed: /,
  )
  assert.deepEqual(logLinesFor(well, failure, well, maxBytes), [])
})

test('what is said of limits of archives', () => {
  const reported: ArchiveLimit = { upTo: null, beyond: 'reported' }
  const silentAt = (upTo: number): ArchiveLimit => ({ upTo, beyond: 'silent' })
  const told = (limits: Partial<ArchiveLimits>, reportsLimits: boolean | null = null) =>
    archivesOf(
      { ...well, reportsLimits },
      {
        memberBytes: reported,
        totalBytes: reported,
        depth: reported,
        files: reported,
        opensRar: true,
        ...limits,
      },
      maxBytes,
    ).map(({ kind, text, remedy }) => `${kind} ${text}${remedy === null ? '' : `. ${remedy}`}`)
  assert.deepEqual(told({}), [])
  assert.deepEqual(told({ opensRar: null }), [])
  assert.deepEqual(told({ opensRar: false }), ['opened does not open RAR archives, which are unpacked here'])
  assert.deepEqual(told({ memberBytes: { upTo: 100 * 1024 * 1024, beyond: 'unknown' } }), [
    'opened looks into archives: files of up to 100MB in them are scanned',
  ])
  assert.match(
    told({ memberBytes: silentAt(25 * 1024 * 1024) })[1] ?? '',
    /^silent .*: files larger than 25MB in an archive\. set MaxFileSize 104857600 or more and MaxScanSize 314572800 or more, in clamd\.conf$/,
  )
  assert.match(
    told({ depth: silentAt(15), files: silentAt(9900) }).join(),
    /: more than 15 archives in one another, more than 9900 files in an archive\. set AlertExceedsMax yes \(from 0\.101 on\), in clamd\.conf$/,
  )
  assert.match(
    told({ totalBytes: silentAt(90 * 1024 * 1024) }).join(),
    /: more than 90MB unpacked from a message\. set AlertExceedsMax yes \(from 0\.101 on\), in clamd\.conf$/,
  )
  assert.equal(told({ depth: { upTo: null, beyond: 'unknown' } }, false).length, 1)
  assert.deepEqual(archivesOf(untrusted, null, maxBytes), [])
})
