// What is said of a proof, in the log and by the command `check`: the same judgement, and the same advice.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Failure } from '../../../lib/clamd/errors'
import { oddities, sightOf } from '../../../lib/health/diagnosis'
import { newsOf } from '../../../lib/health/log-lines'
import type { Proof } from '../../../lib/hosts/host-state'

const maxBytes = 25 * 1024 * 1024
const well: Proof = {
  findsTestFile: true,
  provenBytes: maxBytes,
  provesMaxBytes: true,
  missed: null,
  alarm: null,
  tellsLimits: true,
  probes: 4,
  sentBytes: maxBytes,
  ms: 505,
}
const blind: Proof = { ...well, findsTestFile: false, provenBytes: null, missed: 'stream: OK' }
const partly: Proof = { ...well, provenBytes: 1_000_000, provesMaxBytes: false, missed: 'stream: OK' }
const odd: Proof = { ...well, alarm: { kind: 'found', text: 'All FOUND' }, tellsLimits: false }
const mute: Proof = { ...well, alarm: { kind: 'failed', text: 'reply: time-out' } }

test('what each proof comes to', () => {
  for (const [proof, kinds] of [
    [well, ['whole']],
    [{ ...well, provenBytes: null, provesMaxBytes: false }, ['finds']],
    [blind, ['blind']],
    [partly, ['partly']],
    [odd, ['whole', 'alarmed', 'silent']],
    [mute, ['whole', 'mute']],
    [{ ...well, tellsLimits: null }, ['whole']],
  ] as const)
    assert.deepEqual(
      [sightOf(proof, maxBytes), ...oddities(proof)].map(({ kind }) => kind),
      kinds,
    )
})

test('the log gives the advice that check gives', () => {
  for (const proof of [blind, partly, odd, mute]) {
    const log = newsOf(proof, null, null, maxBytes)
      .map(({ text }) => text)
      .join('\n')
    for (const { text, remedy } of [sightOf(proof, maxBytes), ...oddities(proof)])
      if (remedy !== null)
        assert.ok(log.includes(text) && log.includes(remedy.slice(1)), `${log}\n${text}\n${remedy}`)
  }
})

test('the lines of docs/operations.md', () => {
  const lines = (proof: Proof, before: Proof | null = null) =>
    newsOf(proof, null, before, maxBytes).map(({ level, text }) => `${level} ${text}`)
  assert.deepEqual(lines(well), ['info scans to the end: EICAR found in 25MB (4 probes, 25MB, 505 ms)'])
  assert.match(
    lines(blind).join(),
    /^error gets no mail: it does not find the EICAR test file .*\(stream: OK\)/,
  )
  assert.match(lines(partly).join(), /^warn scans messages of up to 1000000 bytes .* max_size is 25MB/)
  assert.match(lines(partly).join(), /MaxFileSize .*26214400 .*MaxScanSize .*52428800 .*lower max_size/)
  assert.match(lines(odd)[1] ?? '', /^error finds something in a harmless mail: All FOUND\. /)
  assert.match(lines(odd)[2] ?? '', /^warn says OK where it stops at a limit .*AlertExceedsMax yes/)
  assert.match(lines(mute)[1] ?? '', /^error comes to no verdict on a harmless mail: reply: time-out\. /)
})

test('what is as before is no news', () => {
  const told = (proof: Proof, before: Proof) => newsOf(proof, null, before, maxBytes).length
  for (const proof of [well, blind, partly, odd, mute]) assert.equal(told(proof, { ...proof, ms: 1 }), 0)
  assert.equal(told({ ...partly, provenBytes: 999_999 }, partly), 1)
  assert.equal(told(odd, well), 2)
  assert.equal(told(well, odd), 0)
  const failure = new Failure('port', 'none is free')
  assert.match(newsOf(well, failure, null, maxBytes)[1]?.text ?? '', /^gets mail by INSTREAM, STREAM came /)
  assert.deepEqual(newsOf(well, failure, well, maxBytes), [])
})
