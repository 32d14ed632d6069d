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
}
for (const [name, content] of Object.entries(wrapped)) {
  test(`a virus in RAR in ${name} is found`, { skip }, async () => {
    const verdict = await scan('a.bin', await content())
    assert.equal(verdict.outcome, 'infected', JSON.stringify(verdict))
    assert.match(verdict.part ?? '', /rar/)
  })
}

test('an encrypted archive in one that clamd opens is encrypted', { skip }, async () => {
  const closed = archiveOf('rar 5, names encrypted')
  for (const content of [gzipSync(tar('a.rar', closed)), tar('a.rar', closed)]) {
    const verdict = await scan('a.tgz', content)
    assert.deepEqual([verdict.outcome, 'reason' in verdict && verdict.reason], ['unscanned', 'encrypted'])
  }
})
