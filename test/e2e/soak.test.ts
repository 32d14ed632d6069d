// A short soak under chaos (test/soak): nothing infected delivered, nothing lost, nothing twice, nothing left open.
// `npm run soak` does the same for as long as one likes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reportText } from '../soak/report'
import { soak } from '../soak/soak'
import { clamdOrSkip } from '../support/clamd/clamd'

test('every message is accounted for while clamds fail', { timeout: 240_000 }, async (t) => {
  if (!clamdOrSkip(t)) return
  if (process.platform !== 'linux') {
    t.skip('counts descriptors in /proc')
    return
  }
  const report = await soak({ count: 150, forMs: 12_000, seed: 1 })
  t.diagnostic(reportText(report))
  assert.deepEqual(report.wrong, [])
  const delivered = [...report.ledger.counts().values()].reduce(
    (sum, row) => sum + (row.get('delivered') ?? 0),
    0,
  )
  assert.ok(delivered > report.ledger.size / 4, `only ${delivered} of ${report.ledger.size} were delivered`)
})
