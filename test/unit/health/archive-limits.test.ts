// How much of what a clamd unpacks it scans, as a fake one shows that counts like the real one.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { gunzipSync, inflateRawSync } from 'node:zlib'
import { library } from '../../../lib/attachments/archives/library'
import { zipHeaders } from '../../../lib/attachments/archives/zip-headers'
import { findArchiveLimits } from '../../../lib/health/archive-limits'
import { rar } from '../../../lib/health/archives'
import { silentLimits } from '../../../lib/hosts/test-results'
import { bounded, fake, M, never, usual } from '../../support/clamd/self-testing'
import { eicar } from '../../support/eicar'

/** The archive in a test mail, and the one in that. */
function unpacked(mail: Buffer): Buffer {
  const [, base64 = ''] = /filename="total\.zip"\r\n\r\n([^-]*)\r\n--/.exec(mail.toString('latin1')) ?? []
  const outer = Buffer.from(base64, 'base64')
  const [header] = zipHeaders(outer)
  assert.ok(header?.kind === 'local')
  return inflateRawSync(outer.subarray(header.contentAt, header.contentAt + header.packedBytes))
}

/** Sizes of all members by the directory. */
function sizesIn(archive: Buffer): number[] {
  return [...zipHeaders(archive)].flatMap((header) =>
    header?.kind === 'central' ? [header.unpackedBytes] : [],
  )
}

/** @param beyond what it says where it stops */
async function limitOf(
  t: Parameters<typeof fake>[0],
  maxBytes: number,
  beyond: string,
  large = 'Eicar FOUND',
) {
  const asked: number[] = []
  const judge = (mail: Buffer) => {
    if (mail.includes('name="large.zip"')) return Promise.resolve(`stream: ${large}`)
    if (!mail.includes('name="total.zip"')) return Promise.resolve('stream: OK')
    const sizes = sizesIn(unpacked(mail))
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    asked.push(Math.round(bytes / M))
    assert.ok(Math.max(...sizes) <= 4 * M)
    assert.ok(mail.length < 30_000, `${mail.length}`)
    return Promise.resolve(`stream: ${bytes <= maxBytes ? 'Eicar-Test-Signature FOUND' : beyond}`)
  }
  const daemon = await fake(t, [], { judge })
  const limits = await findArchiveLimits(daemon.address, usual, connect, never)
  return { limits, asked, silent: silentLimits(limits)?.totalBytes }
}

test('totals are tried from above until the test file is found', bounded, async (t) => {
  const debian = await limitOf(t, 100 * M, 'OK')
  assert.deepEqual(debian.asked, [240, 90])
  assert.deepEqual(debian.limits.totalBytes, { upTo: 90 * M, beyond: 'silent' })
  assert.equal(debian.silent, 90 * M)

  const usual = await limitOf(t, 400 * M, 'OK')
  assert.deepEqual(usual.asked, [240])
  assert.deepEqual(usual.limits.totalBytes, { upTo: 240 * M, beyond: 'unknown' })

  const none = await limitOf(t, 1, 'OK')
  assert.deepEqual(none.asked, [240, 90, 45, 20, 10, 5])
  assert.equal(none.silent, 0)
})

test('a clamd that reports the total has no silent limit', bounded, async (t) => {
  const { limits, asked, silent } = await limitOf(
    t,
    100 * M,
    'Heuristics.Limits.Exceeded.MaxScanSize FOUND',
    'Heuristics.Limits.Exceeded.MaxFileSize FOUND',
  )
  assert.deepEqual(asked, [240])
  assert.deepEqual(limits.totalBytes, { upTo: null, beyond: 'reported' })
  assert.equal(silent, Infinity)
})

test('where no size of a file was found, the members are small', bounded, async (t) => {
  const { asked } = await limitOf(t, 240.5 * M, 'OK', 'OK')
  assert.deepEqual(asked, [240])
})

test('after a mail without a verdict, nothing is known of the total', bounded, async (t) => {
  const { limits, asked } = await limitOf(t, 1, 'OK', 'broken ERROR')
  assert.deepEqual(asked, [])
  assert.deepEqual(limits.totalBytes, { upTo: null, beyond: 'unknown' })
})

test('the RAR archive is sound', async () => {
  const archive = new Uint8Array(rar())
  const request = { archive, maxEntries: 10, keep: 'files' as const, maxBytes: 1000 }
  const { members, trouble } = await library.open(
    request,
    60_000,
    new AbortController().signal,
    () => undefined,
  )
  assert.equal(trouble, null)
  assert.deepEqual(
    members.map(({ bytes }) => gunzipSync(bytes).toString()),
    [eicar()],
  )
})
