// What clamd unpacks in one scan counts together: of a content by itself, and of a plain message in all of its parts.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { deflateRawSync, gzipSync } from 'node:zlib'
import { tarEnd, tarFile } from '../../../lib/base/tar'
import type { SilentLimits } from '../../../lib/hosts/test-results'
import { Budget } from '../../../lib/mime/budget'
import { closedIn } from '../../../lib/scan/readings/closed'
import { defaultReadingLimits } from '../../../lib/scan/readings/limits'
import type { Content } from '../../../lib/scan/readings/readings'
import { ScanTotal } from '../../../lib/scan/readings/scan-total'
import { type Contents, type Scope, secondLook } from '../../../lib/scan/second-look'
import { archiveOf } from '../../support/made-archives'
import { plainCheck, sourceOf } from '../../support/readings'
import { sevenZipArchive } from '../../support/seven-zip'
import { type Attachment, withAttachments } from '../../support/smtp/mails'
import { type Entry, zip } from '../../support/zip-builder'

const M = 1024 * 1024

function upTo(totalBytes: number | null): SilentLimits {
  return { memberBytes: 25 * M, totalBytes, depth: Infinity, files: Infinity, opensRar: false }
}

/** Counts how often something was inflated by itself. */
class CountingBudget extends Budget {
  inflated = 0
  override async offTheClock<T>(wait: () => Promise<T>): Promise<T> {
    this.inflated++
    return super.offTheClock(wait)
  }
}

function budget(): CountingBudget {
  return new CountingBudget({ ...defaultReadingLimits, ms: 60_000 }, new AbortController().signal, () => 0)
}

async function reached(content: Buffer, totalBytes: number | null): Promise<string | null> {
  const one = budget()
  one.enter()
  return (await closedIn(content, upTo(totalBytes), one)).limits
}

/** Up to its own bytes and these it is open, and beyond it is a limit. */
async function counts(content: Buffer, unpackedBytes: number): Promise<void> {
  const bytes = content.length + unpackedBytes
  assert.equal(await reached(content, bytes), null)
  assert.equal(await reached(content, bytes - 1), `more than ${bytes - 1} bytes with all that is unpacked`)
}

const bzip2 = `
import io, sys, zipfile
b = io.BytesIO()
with zipfile.ZipFile(b, 'w', zipfile.ZIP_BZIP2) as z:
    z.writestr('a.txt', 'a' * 1500)
    z.writestr('b.txt', 'b' * 1500)
sys.stdout.buffer.write(b.getvalue())
`

function has(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined
}

const letters = (letter: string, bytes = 100_000) => Buffer.alloc(bytes, letter)
const entry = (letter: string, more: Partial<Entry> = {}): Entry => ({
  name: `${letter}.txt`,
  content: letters(letter),
  ...more,
})
const three = zip(['a', 'b', 'c'].map((letter) => entry(letter)))

test('members of a zip archive count together', async () => {
  await counts(three, 300_000)
  await counts(zip(['a', 'b'].map((letter) => entry(letter, { method: 0 }))), 200_000)
  await counts(zip([entry('a', { descriptor: true }), entry('b', { method: 0 })]), 200_000)
  // So small that they are inflated to see what they are.
  await counts(zip([entry('a', { content: letters('a', 9) }), entry('b')]), 100_009)
  await counts(zip([{ name: 'a', content: randomBytes(1000) }, entry('b')]), 101_000)
})

test('what a clamd without a known limit surely unpacks is 90 MiB', async () => {
  const large = (letter: string) => entry(letter, { content: letters(letter, 24 * M) })
  const archive = zip(['a', 'b', 'c', 'd'].map(large))
  assert.equal(await reached(archive, null), 'more than 94371840 bytes with all that is unpacked')
  assert.equal(await reached(archive, Infinity), null)
  assert.equal(await reached(zip(['a', 'b', 'c'].map(large)), null), null)
})

test('archives in one another count, and what is in them', async () => {
  for (const method of [0, 8]) {
    await counts(zip([{ name: 'in.zip', content: three, method }, entry('d')]), three.length + 400_000)
    const deep = zip([{ name: 'in.zip', content: three, method }])
    await counts(zip([{ name: 'deep.zip', content: deep, method }]), deep.length + three.length + 300_000)
  }
})

test('sizes that are false count as what comes out', async () => {
  const liar = Buffer.from(three)
  const claimAt = { 'PK\x03\x04': 22, 'PK\x01\x02': 24 }
  for (const [mark, at] of Object.entries(claimAt))
    for (let from = liar.indexOf(mark); from >= 0; from = liar.indexOf(mark, from + 1))
      liar.writeUInt32LE(5, from + at)
  await counts(liar, 300_000)
  const claims = zip([{ name: 'a', content: letters('a', 10) }])
  claims.writeUInt32LE(1_000_000, claims.indexOf('PK\x03\x04') + 22)
  claims.writeUInt32LE(1_000_000, claims.indexOf('PK\x01\x02') + 24)
  await counts(claims, 10)
})

test('sizes of members that are not deflated have to be true', { skip: !has('python3') }, async () => {
  const packed = execFileSync('python3', ['-c', bzip2])
  await counts(packed, 3000)
  for (const bytes of [5, 1400, 2000]) {
    const liar = Buffer.from(packed)
    liar.writeUInt32LE(bytes, liar.indexOf('PK\x03\x04') + 22)
    liar.writeUInt32LE(bytes, liar.indexOf('PK\x01\x02') + 24)
    for (const content of [
      liar,
      zip([{ name: 'a', content: liar }]),
      Buffer.concat([Buffer.from('MZ'), liar]),
    ])
      assert.equal(await reached(content, null), 'zip archive (damaged)', `${bytes}`)
  }
})

test('archives that 7-Zip opens count what they say, or what comes out', async () => {
  const files = { 'a.txt': letters('a'), 'b.txt': letters('b'), 'c.txt': letters('c') }
  const tar = Buffer.concat([
    ...Object.entries(files).map(([name, content]) => tarFile(name, content)),
    tarEnd,
  ])
  await counts(tar, 300_000)
  await counts(gzipSync(tar), tar.length + 300_000)
  const large = Buffer.concat([tarFile('random', randomBytes(100_000)), tar])
  await counts(gzipSync(large), large.length + 400_000)
  await counts(await sevenZipArchive(files, '-t7z', '-m0=LZMA2'), 300_000)
  await counts(zip([{ name: 'a.tgz', content: gzipSync(tar) }]), gzipSync(tar).length + tar.length + 300_000)
})

test('files that clamd scans by themselves count there', async () => {
  const inRar = archiveOf('rar 5')
  assert.equal(await reached(inRar, inRar.length), null)
  const others = zip(['d', 'e', 'f'].map((letter) => entry(letter)))
  const archive = await sevenZipArchive({ 'a.zip': three, 'b.zip': others }, '-twim')
  const group = three.length + others.length
  assert.equal(await reached(archive, group + 600_000 + 8 * 1024), null)
  assert.match((await reached(archive, group + 600_000)) ?? '', /^more than/)
})

test('nothing more is inflated than it takes to know', async () => {
  const inflated = async (content: Buffer, totalBytes: number | null) => {
    const one = budget()
    one.enter()
    assert.equal((await closedIn(content, upTo(totalBytes), one)).limits, null)
    return one.inflated
  }
  const member = (bytes: number, index: number): Entry => ({ name: `${index}`, content: randomBytes(bytes) })
  const document = zip([entry('a'), ...Array.from({ length: 8 }, (_, index) => member(9000, index))])
  assert.equal(await inflated(document, null), 0, 'an ordinary document')
  assert.equal(await inflated(document, Infinity), 0)
  const tight = document.length + 9000 + 1032 * 7 * 9100
  assert.equal(await inflated(document, tight), 1, 'one of its largest')
  const many = zip(Array.from({ length: 300 }, (_, index) => member(400, index)))
  assert.equal(await inflated(many, many.length + 300 * 400), 0, 'all of it was seen')
})

test('a total counts deflated files once, however often they are in it', async () => {
  const packed = deflateRawSync(letters('a'))
  const [part, whole, one] = [new ScanTotal(200_000), new ScanTotal(200_000), budget()]
  one.enter()
  part.addDeflated(packed)
  whole.addAll(part)
  whole.addAll(part)
  assert.equal(await whole.excess(one), null)
  assert.equal(one.inflated, 1)
  whole.addAll(part)
  assert.equal(await whole.excess(one), 'more than 200000 bytes with all that is unpacked')
  assert.equal(one.inflated, 1)
  const plain = new ScanTotal(1)
  plain.add(2)
  assert.equal(await plain.excess(one), null, 'that is for the self test to know')
})

interface LookOptions {
  readonly scope?: Scope
  readonly parts?: Contents
}

async function look(mail: Buffer, totalBytes: number, { scope = 'auto', parts }: LookOptions = {}) {
  const sent: Content[] = []
  const { insight } = await secondLook(
    {
      message: sourceOf(mail),
      plain: plainCheck(mail),
      parts: parts ?? null,
      scope,
      maxBytes: 25 * M,
      silentLimits: upTo(totalBytes),
      signatures: [],
      budget: budget(),
    },
    (content) => {
      sent.push(content)
      return Promise.resolve({ reply: { kind: 'clean' } })
    },
  )
  return { incompleteBecause: insight.incompleteBecause, oddity: insight.oddity, sent: sent.length }
}

const zipped = (name: string, ...of: readonly string[]): Attachment => ({
  name: `${name}.zip`,
  content: zip(of.map((letter) => entry(letter))),
  type: 'application/zip',
})
const [ab, cd] = [zipped('one', 'a', 'b'), zipped('two', 'c', 'd')]
const sizeOf = (...all: Attachment[]) => all.reduce((sum, { content }) => sum + content.length, 0)
/** The text in front. */
const textBytes = Buffer.byteLength('See the attachment.')

test('contents of a plain message count together, and with the message', async () => {
  const mail = withAttachments(ab, cd)
  const all = mail.length + textBytes + sizeOf(ab, cd) + 400_000
  assert.deepEqual(await look(mail, all), { incompleteBecause: null, oddity: null, sent: 0 })
  assert.match(
    (await look(mail, all - 1)).incompleteBecause ?? '',
    /^part 3 \(base64\): more than \d+ bytes with/,
  )
})

test('and one in a message in the message', async () => {
  const inner = withAttachments(cd).toString('latin1')
  const end = `\r\n--outer\r\nContent-Type: message/rfc822\r\n\r\n${inner}--outer--\r\n`
  const head =
    'From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n'
  const attached = `--outer\r\nContent-Type: application/zip; name=one.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n`
  const base64 = Buffer.from(ab.content).toString('base64').replace(/.{76}/g, '$&\r\n')
  const mail = Buffer.from(`${head}${attached}${base64}${end}`, 'latin1')
  const over = await look(mail, 350_000)
  assert.equal(over.oddity, null)
  assert.match(over.incompleteBecause ?? '', /more than 350000 bytes/)
  assert.equal((await look(mail, 450_000)).incompleteBecause, null)
})

test('of a message that is not plain, each content counts by itself, for clamd scans each', async () => {
  const mail = Buffer.from(
    withAttachments(ab, cd).toString('latin1').replace('multipart/mixed', 'multipart/signed'),
    'latin1',
  )
  const most = Math.max(sizeOf(ab), sizeOf(cd)) + 200_000
  const open = await look(mail, most)
  assert.notEqual(open.oddity, null)
  assert.equal(open.incompleteBecause, null)
  assert.match((await look(mail, most - 1)).incompleteBecause ?? '', /more than \d+ bytes with/)
  assert.equal((await look(withAttachments(ab, cd), most, { scope: 'all' })).incompleteBecause, null)
})

test('of a message that was taken apart, what was left in it counts together', async () => {
  const mail = withAttachments(ab, cd)
  const parts = (isScanned: boolean): Contents => ({
    async *contents() {
      for (const { name, content } of [ab, cd]) yield { name, bytes: Buffer.from(content), isScanned }
      await Promise.resolve()
    },
    summary: { encrypted: null, incompleteBecause: null, parts: 3 },
  })
  assert.equal((await look(mail, 300_000, { parts: parts(false) })).incompleteBecause, null)
  assert.match(
    (await look(mail, 300_000, { parts: parts(true) })).incompleteBecause ?? '',
    /^two\.zip: more than 300000/,
  )
})
