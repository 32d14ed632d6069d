// Archives that clamd passes over, and says OK: the files in them are scanned. Through the scanner and a real clamd.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { tarEnd, tarFile } from '../../lib/base/tar'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { Scanning } from '../support/clamd/scanning'
import { archiveKinds, archiveOf } from '../support/made-archives'
import { sevenZipArchive } from '../support/seven-zip'
import { attached, mixed } from '../support/smtp/attachment-mails'
import { zip } from '../support/zip-builder'

const skip = skipWithoutClamd()
const databaseDirectory = mkdtempSync(join(tmpdir(), 'signatures-'))
// Only at the beginning of a file: not in the bytes of an archive.
const signature = (text: string) => `0:0:${Buffer.from(text).toString('hex')}`
writeFileSync(
  join(databaseDirectory, 'test.ndb'),
  `Evil-Test:${signature('MZ evil')}\nDeep-Test:${signature('MZ deep')}\n`,
)

let clamd: RealClamd
let scanning: Scanning
before(async () => {
  if (skip !== false) return
  clamd = await startClamd({ databaseDirectory })
  scanning = new Scanning([{ host: clamd.host, port: clamd.port }], {
    protocol: 'instream',
    sessions: true,
    scope: 'auto',
  })
})
after(async () => {
  if (skip === false) await clamd.stop()
  rmSync(databaseDirectory, { recursive: true })
})

const scan = (name: string, content: Buffer) => scanning.scan(mixed(attached(name, content)))

const withEvil = archiveKinds.filter((kind) => !/encrypted|macros/.test(kind))
for (const kind of withEvil) {
  test(`a virus in ${kind} is found`, { skip }, async () => {
    const verdict = await scan('a.bin', archiveOf(kind))
    assert.equal(verdict.outcome, 'infected', JSON.stringify(verdict))
  })
}

const tar = (name: string, content: Buffer) => Buffer.concat([tarFile(name, content), tarEnd])
const rar = archiveOf('rar 5')
const wrapped: Readonly<Record<string, () => Buffer | Promise<Buffer>>> = {
  zip: () => zip([{ name: 'a.rar', content: rar }]),
  'zip, stored': () => zip([{ name: 'a.rar', content: rar, method: 0 }]),
  'zip in zip': () => zip([{ name: 'a.zip', content: zip([{ name: 'a.rar', content: rar }]) }]),
  'a tar': () => tar('a.rar', rar),
  'tar.gz': () => gzipSync(tar('a.rar', rar)),
  '7z': () => sevenZipArchive({ 'a.rar': rar }, '-t7z'),
  'a program': () => Buffer.concat([Buffer.from('MZ of a program'), Buffer.alloc(9000, 7), rar]),
  'a gz, behind it': () => Buffer.concat([gzipSync('harmless'), rar]),
  'a zip, behind it': () => Buffer.concat([zip(['a.txt']), rar]),
  'a 7z, behind it': async () =>
    Buffer.concat([await sevenZipArchive({ 'a.txt': Buffer.from('a') }, '-t7z'), rar]),
  'an Office document, behind it': () => Buffer.concat([archiveOf('macros in a document'), rar]),
}
for (const [name, content] of Object.entries(wrapped)) {
  test(`a virus in RAR in ${name} is found`, { skip }, async () => {
    const verdict = await scan('a.bin', await content())
    assert.equal(verdict.outcome, 'infected', JSON.stringify(verdict))
    assert.match(verdict.part ?? '', /rar/)
  })
}

const evil = Buffer.from('MZ evil')
const program = Buffer.concat([Buffer.from('MZ of a program'), Buffer.alloc(70_000, 7)])
const selfExtracting = Buffer.concat([program, rar])
/** As before POSIX: without `ustar`. */
function oldTar(name: string, content: Buffer): Buffer {
  const archive = tar(name, content)
  archive.fill(0, 257, 265)
  archive.write(' '.repeat(8), 148)
  const sum = archive.subarray(0, 512).reduce((all, byte) => all + byte, 0)
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return archive
}
function arFile(name: string, content: Buffer): Buffer {
  const fields = [name.padEnd(16), '0'.padEnd(12), '0'.padEnd(12), '100644'.padEnd(8)].join('')
  return Buffer.concat([
    Buffer.from(`${fields}${String(content.length).padEnd(10)}\`\n`),
    content,
    Buffer.alloc(content.length & 1),
  ])
}
const debianPackage = (control: Buffer, data: Buffer) =>
  Buffer.concat([
    Buffer.from('!<arch>\n'),
    arFile('debian-binary', Buffer.from('2.0\n')),
    arFile('control.tar.gz', gzipSync(control)),
    arFile('data.tar.gz', gzipSync(data)),
  ])
function inCapitals(name: string, document: Buffer): Buffer {
  const [from, to] = [name, name.toUpperCase()].map((text) => Buffer.from(text, 'utf16le')) as [
    Buffer,
    Buffer,
  ]
  const changed = Buffer.from(document)
  to.copy(changed, changed.indexOf(from))
  return changed
}
const skippedFrame = Buffer.from('502a4d1804000000aabbccdd', 'hex')
const hidden: Readonly<Record<string, () => Buffer | Promise<Buffer>>> = {
  'the scripts of a Debian package': () => debianPackage(tar('postinst', evil), tar('a', Buffer.from('a'))),
  'a tar whose first name is long': () => tar(`${'d'.repeat(40)}/${'n'.repeat(50)}.rar`, rar),
  'a tar without a mark': () => oldTar('a.rar', rar),
  'a tar under another name': () => tar('a.dat', rar),
  'a 7z under another name': () => sevenZipArchive({ 'a.dat': rar }, '-t7z'),
  'a program in a zip': () => zip([{ name: 'setup.exe', content: selfExtracting }]),
  'a program in a tar': () => tar('setup.exe', selfExtracting),
  'a program in a 7z': () => sevenZipArchive({ 'setup.exe': selfExtracting }, '-t7z'),
  'a picture': () => Buffer.concat([Buffer.from('ffd8ffe000104a464946', 'hex'), Buffer.alloc(500, 9), rar]),
  'a text': () => Buffer.concat([Buffer.from('text '), rar]),
  'a large file in a 7z': () =>
    sevenZipArchive({ 'a.jpg': Buffer.concat([Buffer.alloc(48 * 1024 - 3, 9), rar]) }, '-t7z'),
  'a package whose name is in capitals': () => inCapitals('Ole10Native', archiveOf('package in a document')),
  'zst behind a frame that is skipped': () => Buffer.concat([skippedFrame, archiveOf('tar.zst')]),
}
for (const [where, content] of Object.entries(hidden)) {
  test(`a virus in ${where} is found`, { skip }, async () => {
    const verdict = await scan('a.bin', await content())
    assert.equal(verdict.outcome, 'infected', JSON.stringify(verdict))
  })
}

test('an encrypted archive in one that clamd opens is encrypted', { skip }, async () => {
  const closed = archiveOf('rar 5, names encrypted')
  for (const content of [gzipSync(tar('a.rar', closed)), tar('a.rar', closed)]) {
    const verdict = await scan('a.tgz', content)
    assert.deepEqual([verdict.outcome, 'reason' in verdict && verdict.reason], ['unscanned', 'encrypted'])
  }
})
