// What a soak says of the memory and descriptors of a worker that grow while mail comes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { growthOf, type Sample } from '../../soak/growth'
import type { ResourceUsage } from '../../soak/resource-usage'

const mib = 1024 * 1024
const steady: ResourceUsage = {
  pid: 1,
  sockets: 10,
  descriptors: 40,
  timers: 3,
  heapBytes: 60 * mib,
  externalBytes: 10 * mib,
  rssBytes: 150 * mib,
}

/** One a minute, of two workers; only the second one changes. */
const samples = (count: number, usageAt: (minute: number) => Partial<ResourceUsage>): Sample[] =>
  Array.from({ length: count }, (_, minute) => ({
    atMs: minute * 60_000,
    usages: [steady, { ...steady, pid: 2, ...usageAt(minute) }],
  }))

test('what comes and goes is no growth, and neither is the growth at the beginning', () => {
  const busy = (minute: number) => ({
    externalBytes: (minute % 3 === 0 ? 60 : 10) * mib,
    rssBytes: (minute < 8 ? 60 + 20 * minute : 220) * mib,
  })
  assert.deepEqual(growthOf(samples(24, busy)), [])
})

test('steady growth of one worker is named', () => {
  const leak = (minute: number) => ({ rssBytes: (150 + 10 * minute) * mib, descriptors: 40 + 2 * minute })
  const wrong = growthOf(samples(24, leak))
  assert.equal(wrong.length, 2, wrong.join('\n'))
  assert.match(wrong[0] ?? '', /^worker 2: descriptors grows, from \d+ to \d+$/)
  assert.match(wrong[1] ?? '', /^worker 2: rssBytes grows, from /)
})

test('a few samples prove nothing', () => {
  assert.deepEqual(growthOf(samples(6, (minute) => ({ rssBytes: minute * 1000 * mib }))), [])
})
