// Which of Haraka's limits do not go with the settings.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesLimit, inactivityLimit, limitConflicts } from '../../../lib/haraka/limits'
import type { ScanSettings } from '../../../lib/scan/message-scan'

const scan = { maxBytes: 1000, scanMs: 60_000 } as ScanSettings
const fits = { takesLarger: false, mayBeUnfinished: false, mayBreakOff: false }

test('limits that agree, and each conflict by itself', () => {
  const seen = { bytes: 1000, inactivityMs: 60_001 }
  assert.deepEqual(limitConflicts(scan, seen), fits)
  assert.deepEqual(limitConflicts(scan, { bytes: null, inactivityMs: null }), fits)
  for (const bytes of [0, 1001]) {
    assert.deepEqual(limitConflicts(scan, { ...seen, bytes }), { ...fits, takesLarger: true })
  }
  assert.deepEqual(limitConflicts(scan, { ...seen, inactivityMs: 60_000 }), { ...fits, mayBreakOff: true })
  const long = { ...scan, scanMs: 120_000 }
  assert.deepEqual(limitConflicts(long, { bytes: null, inactivityMs: null }), {
    ...fits,
    mayBeUnfinished: true,
  })
})

test("limits are read from Haraka's files as Haraka takes them", () => {
  assert.deepEqual([undefined, null, '', 0, '25M', '500', 500].map(bytesLimit), [
    null,
    null,
    0,
    0,
    0,
    500,
    500,
  ])
  assert.deepEqual(
    [undefined, null, '', 0, 'x', '45', 45].map(inactivityLimit),
    [300_000, 300_000, 300_000, 300_000, 300_000, 45_000, 45_000],
  )
})
