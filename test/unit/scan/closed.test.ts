import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { deflateRawSync, gzipSync } from 'node:zlib'
import { tarEnd, tarFile } from '../../../lib/base/tar'
import type { SilentLimits } from '../../../lib/hosts/test-results'
import { Budget, type Limits } from '../../../lib/mime/budget'
import { type Closed, closedIn } from '../../../lib/scan/readings/closed'
import { isForgiven } from '../../../lib/scan/readings/closed-archives'
import { defaultReadingLimits } from '../../../lib/scan/readings/limits'
import { encryptedPdfs } from '../../support/encrypted-pdfs'
import { archiveOf } from '../../support/made-archives'
import { damaged, seeded } from '../../support/random'
import { sevenZipArchive } from '../../support/seven-zip'
import { type Entry, flag, record, zip } from '../../support/zip-builder'

const nothing: Closed = { encrypted: null, limits: null, members: [] }
const none: SilentLimits = {
  memberBytes: Infinity,
  totalBytes: Infinity,
  depth: Infinity,
  files: Infinity,
  opensRar: true,
}

async function closed(
  content: Buffer,
  limits: SilentLimits | null = null,
  bounds: Partial<Limits> = {},
): Promise<Closed> {
  const budget = new Budget({ ...defaultReadingLimits, ...bounds }, new AbortController().signal)
  budget.enter()
  return closedIn(content, limits, budget)
}

async function isLimits(content: Buffer, limits: RegExp, silent: SilentLimits | null = null): Promise<void> {
  const found = await closed(content, silent)
  assert.match(found.limits ?? 'nothing', limits)
  assert.equal(found.encrypted, null)
}

async function isEncrypted(content: Buffer, encrypted: RegExp): Promise<void> {
  const found = await closed(content)
  assert.match(found.encrypted ?? 'nothing', encrypted)
  assert.equal(found.limits, null)
}

const plain = zip(['one.txt', 'two.txt'])
const [central, local] = ['PK\x01\x02', 'PK\x03\x04'].map((mark) => Buffer.from(mark)) as [Buffer, Buffer]

/** With the number at that place of the last local or central header replaced. */
function changed(archive: Buffer, header: Buffer, at: number, bytes: number, value: number): Buffer {
  const result = Buffer.from(archive)
  result.writeUIntLE(value, result.lastIndexOf(header) + at, bytes)
  return result
}

function nestedZips(levels: number, method: number): Buffer {
  let content = plain
  for (let level = 1; level < levels; level++) content = zip([{ name: 'in.zip', content, method }])
  return content
}

function signedForAndroid(): Buffer {
  const block = Buffer.concat([Buffer.alloc(99), Buffer.from('APK Sig Block 42')])
  const at = plain.indexOf(central)
  const signed = Buffer.concat([plain.subarray(0, at), block, plain.subarray(at)])
  return changed(signed, Buffer.from('PK\x05\x06'), 16, 4, at + block.length)
}

test('content that is no archive has nothing to open', async () => {
  for (const content of [
    '',
    'P',
    'PK',
    'hello',
    '%PDF-1.4 /Encrypt',
    'PK\x03\x04'.repeat(3),
    '\0'.repeat(999),
  ])
    assert.deepEqual(await closed(Buffer.from(`text ${content}`)), nothing)
  assert.deepEqual(await closed(Buffer.alloc(0)), nothing)
  assert.deepEqual(await closed(readFileSync(process.execPath).subarray(0, 30_000_000)), nothing)
})

test('ordinary archives are open', async () => {
  const ordinary: Record<string, Buffer> = {
    deflated: plain,
    stored: zip([{ name: 'a', method: 0 }]),
    empty: zip([]),
    'a directory and an empty file': zip([
      { name: 'd/', content: '', method: 0 },
      { name: 'd/e', content: '', method: 0 },
      { name: 'd/f', content: '' },
    ]),
    'data descriptors': zip([
      { name: 'a', descriptor: true },
      { name: 'b', descriptor: true },
    ]),
    'zip64 directory': zip(['a', 'b'], { zip64: true }),
    'comment and rest': zip(['a'], { comment: Buffer.from('comment'), trailing: Buffer.alloc(99) }),
    'behind a program': zip(['a'], { prefix: Buffer.from('MZ program PK\x03\x04') }),
    'stored in one another': nestedZips(15, 0),
    'deflated in one another': nestedZips(15, 8),
    'signed for Android': signedForAndroid(),
  }
  for (const [name, archive] of Object.entries(ordinary))
    assert.deepEqual(await closed(archive), nothing, name)
})

const python = `
import io, sys, zipfile
class Pipe(io.RawIOBase):
    def writable(self): return True
    def write(self, data): return sys.stdout.buffer.write(data)
out = Pipe() if sys.argv[1] == 'pipe' else io.BytesIO()
with zipfile.ZipFile(out, 'w', int(sys.argv[2])) as z:
    z.writestr('dir/', '')
    z.writestr('empty', '')
    z.writestr('gr\\u00fc\\u00df.txt', 'hello ' * 5000)
    with z.open('large', 'w', force_zip64=sys.argv[1] == 'zip64') as f: f.write(b'x' * 70000)
if sys.argv[1] != 'pipe': sys.stdout.buffer.write(out.getvalue())
sys.stdout.buffer.flush()
`

function has(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined
}

test('archives of Python are open', { skip: !has('python3') }, async () => {
  const made = (kind: string, method: number) => execFileSync('python3', ['-c', python, kind, `${method}`])
  for (const kind of ['file', 'pipe'])
    for (const method of [0, 8, 12]) assert.deepEqual(await closed(made(kind, method)), nothing, kind)
  await isLimits(made('file', 14), /method 14/)
  // clamd takes 0xffffffff for the size, and passes over the entry.
  await isLimits(made('zip64', 8), /differ in size/)
})

test('archives of Info-ZIP and Java are open', { skip: !has('zip') || !has('jar') }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'closed-'))
  try {
    writeFileSync(join(folder, 'a.txt'), 'hello '.repeat(5000))
    const run = (program: string, ...args: string[]) =>
      execFileSync(program, args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] })
    run('jar', 'cf', 'a.jar', 'a.txt')
    run('jar', 'cf0', 'b.jar', 'a.txt')
    run('zip', '-q', 'c.zip', 'a.txt', 'a.jar')
    run('zip', '-q', '-0', 'd.zip', 'c.zip', 'b.jar')
    for (const name of ['a.jar', 'b.jar', 'c.zip', 'd.zip'])
      assert.deepEqual(await closed(readFileSync(join(folder, name))), nothing, name)
    assert.deepEqual(await closed(run('sh', '-c', 'cat a.txt | zip -q - -')), nothing)
    assert.deepEqual(await closed(run('zip', '-q', '-', 'c.zip', 'a.txt')), nothing)
    await isEncrypted(run('zip', '-q', '-P', 'secret', '-', 'a.txt'), /zip/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('encrypted entries show, however deep', async () => {
  const secret = zip(['a', { name: 'b', flags: flag.encrypted }])
  await isEncrypted(secret, /encrypted zip entry/)
  await isEncrypted(zip([{ name: 'a', method: 99, flags: flag.encrypted }]), /zip/)
  await isEncrypted(zip([{ name: 'a', flags: flag.encrypted | flag.strong }]), /zip/)
  await isEncrypted(zip(['b', { name: 'a', flags: flag.encrypted }], { prefix: Buffer.from('MZ') }), /zip/)
  await isEncrypted(zip([{ name: 'a', content: secret }]), /zip/)
  await isEncrypted(zip([{ name: 'a', content: secret, method: 0 }]), /zip/)
  await isEncrypted(
    zip([{ name: 'a', content: zip([{ name: 'b', content: secret }]), descriptor: true }]),
    /zip/,
  )
})

test('headers that differ are a limit', async () => {
  await isLimits(changed(plain, local, 6, 2, flag.encrypted), /encryption/)
  await isLimits(changed(plain, central, 8, 2, flag.encrypted), /encryption/)
  await isLimits(changed(plain, local, 8, 2, 0), /differ in method/)
  await isLimits(changed(plain, central, 10, 2, 77), /differ in method/)
  for (const size of [0, 3, 9999, 0xffffffff])
    await isLimits(changed(plain, local, 18, 4, size), /differ in size/)
  await isLimits(zip([{ name: 'a', method: 77 }]), /method 77/)
  await isLimits(zip([{ name: 'a', method: 12 }]), /zip archive \(damaged\)/)
  await isLimits(changed(plain, local, 28, 2, 1), /overlap|cannot be unpacked/)
})

test('an archive that clamd does not find its way through is a limit', async () => {
  await isLimits(zip(['a'], { end: false }), /without a directory/)
  await isLimits(zip(['a'], { end: false, central: false }), /without a directory/)
  await isLimits(zip(['a'], { claims: 2 }), /without a directory/)
  await isLimits(plain.subarray(0, -1), /without a directory/)
  await isLimits(changed(plain, Buffer.from('PK\x05\x06'), 16, 4, 7), /points elsewhere/)
  await isLimits(changed(plain, central, 42, 4, 3), /without a header/)
  await isLimits(changed(plain, local, 0, 4, 0), /without a header/)
  await isLimits(Buffer.concat([plain, plain]), /points elsewhere/)
  await isLimits(Buffer.concat([plain, zip([])]), /points elsewhere|outside the directory/)
  await isLimits(Buffer.concat([zip(['a', 'b'], { central: false, end: false }), plain]), /elsewhere/)
  await isLimits(zip([{ name: 'a', descriptor: true }], { prefix: Buffer.from('MZ') }), /unknown size/)
})

test('the last end record counts, also where its comment goes beyond the archive', async () => {
  const end = Buffer.from('PK\x05\x06')
  const locked = { name: 'a', flags: flag.encrypted }
  const second = changed(zip([locked], { prefix: plain }), end, 20, 2, 0xffff)
  const { encrypted, limits } = await closed(second)
  assert.deepEqual([encrypted, limits], ['encrypted zip entry', 'zip entry outside the directory'])
  assert.deepEqual(await closed(changed(plain, end, 20, 2, 0xffff)), nothing)
  // Chance bytes behind an archive in something else, or in front of one.
  const chance = Buffer.concat([end, Buffer.alloc(30, 0xff)])
  await isEncrypted(Buffer.concat([zip([locked], { prefix: Buffer.from('MZ') }), chance]), /zip/)
  await isEncrypted(zip([locked], { prefix: Buffer.concat([Buffer.from('MZ'), chance]) }), /zip/)
})

test('an entry that the directory does not have is a limit', async () => {
  const end = plain.indexOf('PK\x05\x06')
  const [first, second] = [plain.indexOf(central), plain.lastIndexOf(central)]
  const short = Buffer.concat([plain.subarray(0, second), plain.subarray(end)])
  short.writeUInt16LE(1, second + 10)
  short.writeUInt32LE(second - first, second + 12)
  await isLimits(short, /outside the directory/)
  // Shorter than it is: its content goes on where the directory has nothing.
  const long = zip([{ name: 'a', content: randomBytes(99), descriptor: true }])
  await isLimits(changed(long, central, 20, 4, 20), /bytes outside the entries/)
})

test('members up to the limit of clamd are open', async () => {
  const limits = (memberBytes: number | null) => ({ ...none, memberBytes })
  const of = (bytes: number, more: Partial<Entry> = {}) =>
    zip([{ name: 'a', content: Buffer.alloc(bytes), ...more }])
  for (const more of [{}, { method: 0 }, { descriptor: true }]) {
    assert.deepEqual(await closed(of(100_000, more), limits(100_000)), nothing)
    await isLimits(of(100_001, more), /more than 100000 bytes/, limits(100_000))
    assert.deepEqual(await closed(of(100_001, more), limits(Infinity)), nothing)
  }
  await isLimits(of(26 * 1024 * 1024 + 1), /26214400 bytes/, limits(null))
  // Both headers lie.
  const liar = changed(changed(of(100_001), local, 22, 4, 5), central, 24, 4, 5)
  await isLimits(liar, /more than 100000 bytes/, limits(100_000))
})

test('archives in one another are open up to the limit of clamd', async () => {
  for (const method of [0, 8]) {
    await isLimits(nestedZips(16, method), /more than 15 deep/)
    assert.deepEqual(await closed(nestedZips(3, method), { ...none, depth: 3 }), nothing)
    await isLimits(nestedZips(4, method), /more than 3 deep/, { ...none, depth: 3 })
    assert.deepEqual(await closed(nestedZips(20, method), none), nothing)
    // Our own bound.
    await isLimits(nestedZips(25, method), /more than 24 deep/, none)
  }
})

test('files of all archives count together', async () => {
  const inner = zip(['a', 'b', 'c'])
  const archive = zip([
    { name: 'x', content: inner },
    { name: 'y', content: inner, method: 0 },
  ])
  assert.deepEqual(await closed(archive, { ...none, files: 8 }), nothing)
  await isLimits(archive, /more than 7 files/, { ...none, files: 7 })
  await isLimits(zip(Array<string>(9901).fill('a')), /more than 9900 files/)
})

test('what exceeds our own bounds is a limit', async () => {
  const archive = zip([
    { name: 'a', content: zip([{ name: 'b', content: Buffer.alloc(9999) }], { comment: Buffer.alloc(999) }) },
  ])
  assert.match((await closed(archive, none, { inflatedBytes: 500 })).limits ?? '', /when unpacked/)
  assert.match((await closed(plain, none, { entries: 1 })).limits ?? '', /more than 1 entries/)
  assert.match((await closed(plain, none, { ms: -1 })).limits ?? '', /ms/)
})

const oleStart = Buffer.from('d0cf11e0a1b11ae1', 'hex')

function oleEntry(name: string, kind = 2): Buffer {
  const bytes = Buffer.from(name, 'utf16le')
  return record(bytes, Buffer.alloc(64 - bytes.length), [2, bytes.length + 2], [1, kind], Buffer.alloc(61))
}

test('encrypted Office documents show', async () => {
  const ole = (...entries: Buffer[]) => Buffer.concat([oleStart, Buffer.alloc(504), ...entries])
  assert.deepEqual(await closed(ole(oleEntry('WordDocument'))), nothing)
  assert.deepEqual(await closed(ole(Buffer.from('EncryptedPackage', 'utf16le'))), nothing)
  assert.deepEqual(await closed(ole(oleEntry('EncryptedPackage', 1))), nothing)
  const secret = ole(oleEntry('Root Entry', 5), oleEntry('EncryptionInfo'), oleEntry('EncryptedPackage'))
  await isEncrypted(secret, /Office/)
  await isEncrypted(zip([{ name: 'a.docx', content: secret }]), /Office/)
  await isEncrypted(zip([{ name: 'a.docx', content: secret, method: 0 }]), /Office/)
})

const userPdf = (name: string) => Buffer.from(encryptedPdfs[name] ?? '', 'base64')
const manyFiles = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [`file ${i}.txt`, 'hello '.repeat(i + 9)]),
)

test('encrypted 7z archives show, however their headers are written', async () => {
  for (const args of [[], ['-mhc=off'], ['-mhe=on'], ['-ms=off'], ['-mhc=off', '-m0=Copy']])
    await isEncrypted(await sevenZipArchive(manyFiles, '-t7z', '-psecret', ...args), /7z/)
  const secret = await sevenZipArchive(manyFiles, '-t7z', '-psecret')
  await isEncrypted(zip([{ name: 'a.7z', content: secret }]), /7z/)
  await isEncrypted(zip([{ name: 'a.7z', content: secret, method: 0 }]), /7z/)
  await isEncrypted(archiveOf('7z, encrypted'), /7z/)
})

test('7z archives of methods that clamd undoes are open, others are a limit', async () => {
  const made = (...args: string[]) => sevenZipArchive(manyFiles, '-t7z', ...args)
  const lzma = (filter: string) => made(`-m0=${filter}`, '-m1=LZMA2')
  for (const name of ['LZMA', 'LZMA2', 'PPMd', 'Copy'])
    assert.deepEqual(await closed(await made(`-m0=${name}`)), nothing, name)
  for (const more of [['-mx=9'], ['-mhc=off'], ['-ms=off']])
    assert.deepEqual(await closed(await made(...more)), nothing)
  assert.deepEqual(await closed(await lzma('BCJ')), nothing)
  for (const name of ['BZip2', 'Deflate', 'Deflate64']) await isLimits(await made(`-m0=${name}`), /method/)
  for (const name of ['ARM64', 'Delta:4', 'Swap4', 'ARMT']) await isLimits(await lzma(name), /method/)
  const archive = await made()
  await isLimits(archive, /file of more than 20 bytes/, { ...none, memberBytes: 20 })
  await isLimits(archive, /more than 19 files/, { ...none, files: 19 })
  await isLimits(archive.subarray(0, -20), /7z archive \(damaged\)/)
  await isLimits(zip([{ name: 'a', content: await made('-m0=BZip2') }]), /method BZip2/)
})

test('a document with a password shows in a zip archive as well', async () => {
  for (const method of [0, 8]) {
    const inZip = (name: string) => zip([{ name: 'a.pdf', content: userPdf(name), method }])
    await isEncrypted(inZip('user-256'), /PDF/)
    await isEncrypted(zip([{ name: 'in.zip', content: inZip('user-40'), method }]), /PDF/)
    const large = Buffer.concat([userPdf('user-256'), randomBytes(300_000)])
    await isEncrypted(zip([{ name: 'a.pdf', content: large, method }]), /PDF/)
    const open = Buffer.from('%PDF-1.4 ' + 'without a password '.repeat(99))
    assert.deepEqual(await closed(zip([{ name: 'a.pdf', content: open, method }])), nothing)
  }
})

test('OpenDocument files with a password show', async () => {
  const document = (manifest: string, method: number) =>
    zip([
      { name: 'mimetype', content: 'application/vnd.oasis.opendocument.text', method: 0 },
      { name: 'content.xml', content: 'x', method: 0 },
      { name: 'META-INF/manifest.xml', content: manifest, method },
    ])
  const entry = '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml">'
  for (const method of [0, 8]) {
    assert.deepEqual(await closed(document(`${entry}</manifest:file-entry>`, method)), nothing)
    const secret = `${entry}<manifest:encryption-data manifest:checksum-type="SHA1/1K"/></manifest:file-entry>`
    await isEncrypted(document(secret, method), /OpenDocument/)
    await isEncrypted(zip([{ name: 'a.odt', content: document(secret, method) }]), /OpenDocument/)
  }
})

test('encrypted RAR archives show', async () => {
  const start = Buffer.from('Rar!\x1a\x07\x00', 'latin1')
  const archive = (flags: number) => record([2, 0], [1, 0x73], [2, flags], [2, 13], Buffer.alloc(6))
  const file = (flags: number) =>
    record([2, 0], [1, 0x74], [2, 0x8000 | flags], [2, 33], [4, 5], Buffer.alloc(22), Buffer.alloc(5))
  const end = record([2, 0], [1, 0x7b], [2, 0], [2, 7])
  const rar = (...blocks: Buffer[]) => Buffer.concat([start, ...blocks, end])
  assert.deepEqual(await closed(rar(archive(0), file(0), file(0)), none), nothing)
  await isEncrypted(rar(archive(0x80)), /RAR/)
  await isEncrypted(rar(archive(0), file(0), file(4)), /RAR/)
  await isEncrypted(zip([{ name: 'a.rar', content: rar(archive(0x80)) }]), /RAR/)

  const start5 = Buffer.from('Rar!\x1a\x07\x01\x00', 'latin1')
  const block = (...bytes: number[]) => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes])
  const file5 = (...extra: number[]) =>
    Buffer.concat([block(2, 3, extra.length, 0x85, 0, 9, 9, 9, ...extra), Buffer.alloc(5)])
  const rar5 = (...blocks: Buffer[]) => Buffer.concat([start5, ...blocks, block(5, 0, 0)])
  // Five bytes of data, the number written in two bytes.
  assert.deepEqual(await closed(rar5(block(1, 0, 0), file5(2, 3, 0), file5()), none), nothing)
  await isLimits(rar5(block(1, 0, 0), file5(2, 3, 0), file5()), /^rar archive \(/)
  await isEncrypted(rar5(block(4, 0, 0)), /RAR/)
  await isEncrypted(rar5(block(1, 0, 0), file5(2, 3, 0), file5(2, 3, 0, 2, 1, 0)), /RAR/)
})

test('what is in a disc in a zip archive shows', async () => {
  const disc = Buffer.from(archiveOf('iso (Joliet)'))
  // LZ4, which nothing here opens.
  disc.write('04224d18', disc.indexOf('MZ evil'), 'hex')
  for (const method of [0, 8]) await isEncrypted(zip([{ name: 'a.iso', content: disc, method }]), /lz4/)
})

test('gz archives are looked into, all of their pieces', async () => {
  const lz4 = Buffer.from('04224d1864', 'hex')
  assert.deepEqual(await closed(gzipSync('hello')), nothing)
  await isEncrypted(gzipSync(lz4), /lz4/)
  await isEncrypted(Buffer.concat([gzipSync(lz4), gzipSync('hello')]), /lz4/)
  await isEncrypted(Buffer.concat([gzipSync(lz4.subarray(0, 3)), gzipSync(lz4.subarray(3))]), /lz4/)
  const many = Array.from({ length: 900 }, (_, i) => tarFile(`${i}.gz`, gzipSync(`hello ${i}`)))
  assert.deepEqual(await closed(Buffer.concat([...many, tarEnd])), nothing)
})

test('a program that has the mark of RAR in a table is no archive, and one may follow', async () => {
  const table = Buffer.from('Rar!\x1a\x07\x00 Rar!\x1a\x07\x01\x00 '.padEnd(500), 'latin1')
  const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')
  const program = Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(999, 7), table, png, gzipSync('hello')])
  assert.deepEqual(await closed(program), nothing)
  assert.deepEqual(await closed(zip([{ name: 'a', content: program, method: 0 }])), nothing)
  const { members } = await closed(Buffer.concat([program, archiveOf('rar 5')]))
  assert.equal(members.length, 1)
})

test('archives that nothing opens are as good as encrypted, wherever they are', async () => {
  const ace = Buffer.concat([Buffer.alloc(7, 1), Buffer.from('**ACE**'), Buffer.alloc(99)])
  await isEncrypted(ace, /^ace archive \(nothing here opens it\)$/)
  await isEncrypted(zip([{ name: 'a.ace', content: ace }]), /^ace archive/)
  await isEncrypted(Buffer.concat([Buffer.from('04224d18', 'hex'), Buffer.alloc(99)]), /^lz4 archive/)
})

test("clamd's OK holds where the library ran out of time, but not where an archive is for us to open", () => {
  const listing = { isEncrypted: false, methods: [], entries: 1, maxBytes: 1, totalBytes: 1 }
  const [slow, damaged] = ['it takes more than 4000 ms', 'damaged']
  const forgiven = (kind: string, by: 'clamd' | 'library', trouble: string | null, isListed = true) =>
    isForgiven({ kind, by }, { trouble, listing: isListed ? listing : null })
  for (const trouble of [slow, 'nothing is left of the time or the memory for archives', damaged]) {
    assert.ok(forgiven('bz2', 'clamd', trouble))
    assert.ok(!forgiven('zst', 'library', trouble))
  }
  assert.ok(forgiven('7z', 'clamd', slow))
  assert.ok(!forgiven('7z', 'clamd', slow, false), 'its methods are not known')
  assert.ok(!forgiven('7z', 'clamd', damaged))
  for (const trouble of ['encrypted', 'more than 67108864 bytes when unpacked'])
    assert.ok(!forgiven('tar', 'clamd', trouble))
})

test('no bytes make it throw', async () => {
  const random = seeded(7)
  const rar = Buffer.from('Rar!\x1a\x07\x00' + '\0\0\x73\x80\0\x0d\0'.repeat(9), 'latin1')
  const rar5 = Buffer.from('Rar!\x1a\x07\x01\x00' + '\0\0\0\0\x09\x02\x03\x04\x05\x06'.repeat(9), 'latin1')
  const valid = [
    plain,
    zip(['a', 'b'], { zip64: true }),
    nestedZips(3, 8),
    nestedZips(3, 0),
    zip([{ name: 'a', descriptor: true }], { prefix: Buffer.from('MZ') }),
    zip([{ name: 'a', content: rar, flags: flag.encrypted }]),
    rar,
    rar5,
    Buffer.concat([oleStart, oleEntry('EncryptedPackage')]),
    record(Buffer.from('377abcaf271c0004', 'hex'), [4, 0], [8, 5], [8, 9], Buffer.alloc(30)),
  ]
  for (const bytes of valid) {
    for (let length = 0; length < bytes.length; length++) await closed(bytes.subarray(0, length))
    for (let times = 0; times < 300; times++) {
      const flipped = Buffer.from(bytes)
      for (let flips = random(4); flips >= 0; flips--) flipped[random(flipped.length)] = random(256)
      await closed(flipped)
      await closed(damaged(bytes, random, valid))
    }
  }
  await closed(deflateRawSync(plain))
})

test('a RAR archive behind a program is unpacked where clamd does not open RAR, and not too deep', async () => {
  const program = Buffer.concat([Buffer.from('MZ of a program'), Buffer.alloc(9000, 7), archiveOf('rar 5')])
  const names = async (limits: SilentLimits) =>
    (await closed(program, limits)).members.map(({ name }) => name)
  assert.deepEqual(await names(none), [])
  assert.ok((await names({ ...none, opensRar: false })).length > 0)
  assert.deepEqual(await names({ ...none, opensRar: false, depth: 0 }), [])
})

test('as many files as a clamd looks into are not too many', async () => {
  const three = zip(['a', 'b', 'c'])
  assert.deepEqual(await closed(three, { ...none, files: 3 }), nothing)
  await isLimits(three, /more than 2 files/, { ...none, files: 2 })
})
