// What a real clamd cannot open, and is nevertheless fine with, is said to be closed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget } from '../../lib/mime/budget'
import { closedIn } from '../../lib/scan/readings/closed'
import { defaultReadingLimits } from '../../lib/scan/readings/limits'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { eicar } from '../support/eicar'
import { type Entry, zip } from '../support/zip-builder'

const bounded = { timeout: 120_000 }
const file: Entry = { name: 'eicar.com', content: eicar() }

async function isClosed(content: Buffer): Promise<boolean> {
  const budget = new Budget(defaultReadingLimits, new AbortController().signal)
  budget.enter()
  const { encrypted, limits } = await closedIn(content, null, budget)
  return encrypted !== null || limits !== null
}

test('any field of a header, changed: clamd finds the test file, or it is closed', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const archives = { plain: zip(['a', file]), descriptor: zip(['a', { ...file, descriptor: true }]) }
  const marks = { local: ['PK\x03\x04', 30], central: ['PK\x01\x02', 46], end: ['PK\x05\x06', 22] } as const
  const missed: string[] = []
  let found = 0
  for (const [name, archive] of Object.entries(archives)) {
    for (const [header, [mark, bytes]] of Object.entries(marks)) {
      const start = archive.lastIndexOf(mark)
      for (let at = 0; at < bytes; at++) {
        for (const value of [0, 1, 255]) {
          const changed = Buffer.from(archive)
          changed[start + at] = value
          if ((await clamd.scan(changed)).includes('FOUND')) found++
          else if (!(await isClosed(changed))) missed.push(`${name} ${header} ${at} ${value}`)
        }
      }
    }
  }
  assert.ok(found > 100, `${found} found`)
  assert.deepEqual(missed, [])
})
