// Archives damaged in the ways that fool readers of archives: cut, bits turned, offsets and counts falsified or
// swapped. Whatever is done, work and memory stay within bounds, nothing is thrown, and a denied name whose header is
// still whole is seen, or the archive is called unreadable.
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { zipNames } from '../../lib/attachments/archives/zip'
import { Budget, defaultLimits } from '../../lib/mime/budget'
import { attached, inspected, mixed } from '../support/smtp/attachment-mails'
import { flag, record, unicodePath, zip } from '../support/zip-builder'
import { zipQuine } from '../support/zip-quine'
import { fuzz } from './chance'

const evil = 'evil.exe'
const inner = zip(['a.txt', evil])
const corpus = [
  zip(['a.txt', evil, 'b.txt']),
  zip([{ name: evil, flags: flag.utf8, descriptor: true }], { zip64: true }),
  zip([{ name: 'stored.zip', content: inner, method: 0 }, 'z.txt']),
  zip([{ name: 'deflated.zip', content: inner }]),
  zip([{ name: 'a.txt', localExtra: unicodePath(evil) }], { comment: Buffer.from('PK\x05\x06 comment') }),
  zip([{ name: 'bomb.zip', content: Buffer.concat([inner, Buffer.alloc(300_000)]) }, evil]),
  zip([evil], { prefix: Buffer.from('MZ\x90\0'.repeat(20), 'latin1'), trailing: Buffer.from('PK\x03\x04') }),
  zip(Array.from({ length: 60 }, (_, i) => `${i}.txt`).concat(evil)),
  zipQuine(),
]

const place = fc.nat(4000)
const extremes = [
  0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff, 0x0403_4b50, 0x0201_4b50, 0x0605_4b50,
]
const mutation = fc.oneof(
  fc.record({ do: fc.constant('cut' as const), at: place }),
  fc.record({ do: fc.constant('behead' as const), at: place }),
  fc.record({ do: fc.constant('turn' as const), at: place, bit: fc.nat(7) }),
  fc.record({ do: fc.constant('swap' as const), at: place, with: place, bytes: fc.constantFrom(2, 4, 46) }),
  fc.record({
    do: fc.constant('set' as const),
    at: place,
    bytes: fc.constantFrom(2, 4),
    to: fc.constantFrom(...extremes),
  }),
  fc.record({ do: fc.constant('double' as const), at: place, to: place }),
)
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never

function mutated(bytes: Buffer, how: Mutation): Buffer {
  const copy = Buffer.from(bytes)
  const at = how.at % (copy.length + 1)
  switch (how.do) {
    case 'cut':
      return copy.subarray(0, at)
    case 'behead':
      return copy.subarray(at)
    case 'turn':
      if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << how.bit)
      return copy
    case 'swap': {
      const other = how.with % (copy.length + 1)
      bytes.copy(copy, at, other, other + how.bytes)
      bytes.copy(copy, other, at, at + how.bytes)
      return copy.subarray(0, bytes.length)
    }
    case 'set':
      if (at + how.bytes <= copy.length) record([how.bytes, how.to % 2 ** (8 * how.bytes)]).copy(copy, at)
      return copy
    case 'double':
      return Buffer.concat([copy, copy.subarray(at, how.to % (copy.length + 1))])
  }
}

const limits = { ...defaultLimits, entries: 200, inflatedBytes: 400_000 }
/** Of processor time for one input of some kilobytes; far more than any takes, far less than an attack would. */
const maxCpuMs = 1000

/** Whether a local header with that name is still one, from its signature to the name. */
function hasWholeHeader(archive: Buffer): boolean {
  for (let at = archive.indexOf(evil); at >= 0; at = archive.indexOf(evil, at + 1)) {
    const from = at - 30
    if (from < 0 || archive.readUInt32LE(from) !== 0x04034b50) continue
    if (archive.readUInt16LE(from + 26) === evil.length) return true
  }
  return false
}

const damage = fc.tuple(fc.constantFrom(...corpus), fc.array(mutation, { minLength: 1, maxLength: 4 }))
const damagedBy = (bytes: Buffer, mutations: readonly Mutation[]) => mutations.reduce(mutated, bytes)

fuzz(
  'a damaged archive',
  0.5,
  fc.asyncProperty(damage, async ([bytes, mutations]) => {
    const archive = damagedBy(bytes, mutations)
    const budget = new Budget(limits, new AbortController().signal, () => 0)
    const before = process.cpuUsage()
    budget.enter()
    let isSeen = false
    let names = 0
    for await (const finding of zipNames(archive, budget)) {
      if ('name' in finding) names++
      isSeen ||=
        'unreadable' in finding ||
        ('name' in finding && finding.name.some((reading) => reading.endsWith(evil)))
    }
    const { user, system } = process.cpuUsage(before)
    assert.ok((user + system) / 1000 < maxCpuMs, `${user + system} microseconds`)
    assert.ok(names <= 2 * limits.entries && budget.inflatable >= 0)
    if (hasWholeHeader(archive)) assert.ok(isSeen, 'a name was passed over')
  }),
)

fuzz(
  'a damaged archive as an attachment',
  0.1,
  fc.asyncProperty(damage, async ([bytes, mutations]) => {
    const archive = damagedBy(bytes, mutations)
    const { denied, unreadable } = await inspected(mixed(attached('a.zip', archive)), { limits })
    if (hasWholeHeader(archive)) assert.ok(denied ?? unreadable, 'a name was passed over')
  }),
)
