// Ordinary attachments, laid out as real programs write them: clean with any scope, and their names are read. The same kinds
// with a password are encrypted. Through the scanner and a real clamd.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { Scanning } from '../support/clamd/scanning'
import { encryptedPdfs } from '../support/encrypted-pdfs'
import { archiveKinds, archiveOf } from '../support/made-archives'
import { sevenZipArchive } from '../support/seven-zip'
import { attached, inspected, mixed } from '../support/smtp/attachment-mails'
import { type Entry, record, zip } from '../support/zip-builder'

const skip = skipWithoutClamd()
let clamd: RealClamd
before(async () => {
  if (skip === false) clamd = await startClamd()
})
after(() => (skip === false ? clamd.stop() : undefined))

const xml = (root: string) =>
  `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<${root}>text</${root}>`
const longText = 'An ordinary line of text.\r\n'.repeat(400)
const picture = Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), Buffer.alloc(400, 7)])
const texts = { 'a.txt': longText, 'b.txt': 'short', 'c.txt': '', 'gr\u00fc\u00df.txt': longText }

/** Word and Excel leave room behind the first name, by an extra field of their own. */
function officeFile(folder: string): Buffer {
  const room = record([2, 0xa220], [2, 520], [2, 0x0028], Buffer.alloc(518))
  return zip([
    { name: '[Content_Types].xml', content: xml('Types'), flags: 6, localExtra: room },
    { name: '_rels/.rels', content: xml('Relationships'), flags: 6, localExtra: room },
    { name: `${folder}/document.xml`, content: xml('body').repeat(50), flags: 6 },
    { name: `${folder}/media/image1.png`, content: picture, method: 0, flags: 6 },
    { name: 'docProps/app.xml', content: xml('Properties'), flags: 6, localExtra: room },
  ])
}

/** LibreOffice, and programs for books: the type comes first and is not packed, the others have descriptors. */
function packageOf(type: string, ...more: readonly Entry[]): Buffer {
  return zip([
    { name: 'mimetype', content: type, method: 0, flags: 0x800 },
    { name: 'content.xml', content: xml('content').repeat(40), descriptor: true, flags: 0x800 },
    { name: 'Thumbnails/thumbnail.png', content: picture, method: 0, flags: 0x800 },
    { name: 'Configurations2/images/', content: '', method: 0, flags: 0x800 },
    ...more,
  ])
}
const manifest = (text: string): Entry => ({ name: 'META-INF/manifest.xml', content: text, descriptor: true })

/** Of Finder: descriptors everywhere, and a second file for what the file system knows. */
function finderArchive(): Buffer {
  const ux = record([2, 0x5855], [2, 12], Buffer.alloc(12, 9))
  const twice = Object.entries(texts).flatMap(([name, content]): Entry[] => [
    { name, content, descriptor: true, localExtra: ux, flags: 0x800 },
    {
      name: `__MACOSX/._${name}`,
      content: Buffer.from('0005160700020000', 'hex'),
      descriptor: true,
      localExtra: ux,
    },
  ])
  return zip([{ name: 'folder/', content: '', method: 0, localExtra: ux }, ...twice])
}

function javaArchive(): Buffer {
  const mark = record([2, 0xcafe], [2, 0])
  return zip([
    { name: 'META-INF/', content: '', descriptor: true, localExtra: mark, flags: 0x800 },
    {
      name: 'META-INF/MANIFEST.MF',
      content: 'Manifest-Version: 1.0\r\n\r\n',
      descriptor: true,
      flags: 0x800,
    },
    { name: 'a/B.class', content: Buffer.from('cafebabe00000034', 'hex'), descriptor: true, flags: 0x800 },
  ])
}

function androidPackage(): Buffer {
  const apk = zip([
    { name: 'classes.dex', content: longText },
    { name: 'resources.arsc', content: picture, method: 0 },
  ])
  const block = Buffer.concat([Buffer.alloc(4000, 3), Buffer.from('APK Sig Block 42')])
  const [at, end] = [apk.indexOf('PK\x01\x02'), apk.lastIndexOf('PK\x05\x06')]
  apk.writeUInt32LE(at + block.length, end + 16)
  return Buffer.concat([apk.subarray(0, at), block, apk.subarray(at)])
}

function pdf(version: string, ...objects: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([
    Buffer.from(`%PDF-${version}\n%\xe2\xe3\xcf\xd3\n`, 'latin1'),
    ...objects.map((one) => (typeof one === 'string' ? Buffer.from(`${one}\n`) : one)),
    Buffer.from('startxref\n15\n%%EOF\n'),
  ])
}
const catalog =
  '1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj'
const packed = (dictionary: string, content: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`3 0 obj\n<<${dictionary}/Filter/FlateDecode/Length ${content.length}>>\nstream\n`),
    content,
    Buffer.from('\nendstream\nendobj\n'),
  ])
const signature = `4 0 obj\n<</Type/Sig/SubFilter/adbe.pkcs7.detached/ByteRange[0 9 9 9]/Contents<${'30'.repeat(200)}>>>\nendobj`

const calendar = 'BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n'
const card = 'BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Sender\r\nEND:VCARD\r\n'
const forwarded = 'From: a@example.com\r\nSubject: inner\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
const iso = () => archiveOf('iso (Joliet)')

const files: Readonly<Record<string, () => Buffer | Promise<Buffer>>> = {
  docx: () => officeFile('word'),
  xlsx: () => officeFile('xl'),
  pptx: () => officeFile('ppt'),
  odt: () => packageOf('application/vnd.oasis.opendocument.text', manifest(xml('manifest:manifest'))),
  ods: () => packageOf('application/vnd.oasis.opendocument.spreadsheet', manifest(xml('manifest:manifest'))),
  epub: () =>
    packageOf('application/epub+zip', { name: 'META-INF/container.xml', content: xml('container') }),
  jar: javaArchive,
  apk: androidPackage,
  'zip of Windows': () => zip(Object.entries(texts).map(([name, content]) => ({ name, content }))),
  'zip of Finder': finderArchive,
  'zip in zip': () => zip([{ name: 'a.zip', content: finderArchive() }, 'b.txt']),
  'zip with documents': () =>
    zip([
      { name: 'a.pdf', content: pdf('1.4', catalog) },
      { name: 'a.docx', content: officeFile('word') },
      { name: 'a.msg', content: archiveOf('msg') },
    ]),
  'zip of 7-Zip': () => sevenZipArchive(texts, '-tzip'),
  '7z': () => sevenZipArchive(texts, '-t7z'),
  '7z, best': () => sevenZipArchive(texts, '-t7z', '-mx=9'),
  '7z, not solid': () => sevenZipArchive(texts, '-t7z', '-ms=off'),
  '7z, header as it is': () => sevenZipArchive(texts, '-t7z', '-mhc=off'),
  tgz: () => gzipSync(archiveOf('tar')),
  'gz of text': () => gzipSync(Buffer.from(longText)),
  'pdf 1.4': () => pdf('1.4', catalog, 'xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 1/Root 1 0 R>>'),
  'pdf 1.7 with object streams': () =>
    pdf(
      '1.7',
      packed('/Type/ObjStm/N 1/First 4', deflateSync('1 0 <</Type/Catalog>>')),
      packed('/Type/XRef/W[1 2 1]/Root 1 0 R', deflateSync(Buffer.alloc(40))),
    ),
  'pdf, linearized': () =>
    pdf('1.5', '9 0 obj\n<</Linearized 1/L 999/H[9 9]/O 9/E 99/N 1/T 99>>\nendobj', catalog),
  'pdf, signed': () => pdf('1.6', catalog, signature),
  rtf: () => Buffer.from('{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}\\f0 hello\\par}'),
  eml: () => Buffer.from(forwarded),
  ics: () => Buffer.from(calendar),
  vcf: () => Buffer.from(card),
  mp4: () =>
    Buffer.concat([
      Buffer.from('0000002066747970', 'hex'),
      Buffer.from('isom\0\0\x02\0isomiso2avc1mp41'),
      Buffer.alloc(500, 5),
    ]),
  heic: () =>
    Buffer.concat([
      Buffer.from('0000001866747970', 'hex'),
      Buffer.from('heic\0\0\0\0mif1heic'),
      Buffer.alloc(500, 5),
    ]),
  jpg: () => Buffer.concat([Buffer.from('ffd8ffe000104a46494600010100', 'hex'), Buffer.alloc(500, 5)]),
  png: () => picture,
  iso,
  ...Object.fromEntries(
    archiveKinds.filter((kind) => !kind.includes('encrypted')).map((kind) => [kind, () => archiveOf(kind)]),
  ),
}

const testfiles = '/usr/share/clamav-testfiles'
const ofDebian = [
  'clam.ole.doc',
  'clam.ppt',
  'clam.pdf',
  'clam.tnef',
  'clam.exe.rtf',
  'clam.cab',
  'clam.7z',
  'clam.zip',
]

function mailWith(name: string, content: Buffer): Buffer {
  return mixed([['Content-Type: text/plain'], 'hello'], attached(name, content))
}

async function isOrdinary(name: string, content: Buffer): Promise<void> {
  const mail = mailWith('a.bin', content)
  for (const scope of ['auto', 'all'] as const) {
    const scanning = new Scanning([clamd], { protocol: 'instream', sessions: true, scope })
    const verdict = await scanning.scan(mail).finally(() => scanning.destroy())
    const why = 'reason' in verdict ? `${verdict.reason}: ${verdict.text}` : verdict.outcome
    assert.equal(verdict.outcome, 'clean', `${name}, scan=${scope}: ${why}`)
  }
  const { denied, unreadable } = await inspected(mail, { masks: '*.nothing' })
  assert.deepEqual({ denied, unreadable }, { denied: null, unreadable: null }, name)
}

for (const [name, made] of Object.entries(files)) {
  test(`ordinary: ${name}`, { skip }, async () => isOrdinary(name, await made()))
}
for (const name of ofDebian) {
  const file = path.join(testfiles, name)
  test(`ordinary: ${name}`, { skip: skip || !existsSync(file) }, () => isOrdinary(name, readFileSync(file)))
}

/** What a program writes to its standard output, from a text; null: it is not installed. */
function madeBy(program: string, ...args: readonly string[]): Buffer | null {
  const folder = mkdtempSync(path.join(tmpdir(), 'ordinary-'))
  try {
    writeFileSync(path.join(folder, 'a.txt'), longText)
    const { error, stdout } = spawnSync(program, args, { cwd: folder, input: longText })
    return error ? null : stdout
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const programs: Readonly<Record<string, readonly [program: string, ...args: string[]]>> = {
  'zip of Info-ZIP': ['zip', '-q', '-', 'a.txt'],
  'zip of a stream': ['zip', '-q', '-', '-'],
  bz2: ['bzip2', '-c'],
  xz: ['xz', '-c'],
  zst: ['zstd', '-qc'],
  tar: ['tar', '-cf', '-', 'a.txt'],
}
for (const [name, [program, ...args]] of Object.entries(programs)) {
  test(`ordinary: ${name}, by the program`, { skip }, async (t) => {
    const content = madeBy(program, ...args)
    if (content === null) t.skip(`${program} is not installed`)
    else await isOrdinary(name, content)
  })
}

const password = '-psecret'
const compound = (stream: string, at: number) => {
  const content = Buffer.alloc(4096)
  content.write('d0cf11e0a1b11ae1', 'hex')
  content.write(stream, at, 'hex')
  return content
}
const encryptedPackage = () =>
  compound(`${Buffer.from('EncryptedPackage', 'utf16le').toString('hex').padEnd(128, '0')}220002`, 1024)
const secretEntry = '<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>'

const secrets: Readonly<Record<string, () => Buffer | Promise<Buffer>>> = {
  'zip, AES': () => sevenZipArchive(texts, '-tzip', password, '-mem=AES256'),
  'zip, ZipCrypto': () => sevenZipArchive(texts, '-tzip', password, '-mem=ZipCrypto'),
  '7z, packed header': () => sevenZipArchive(texts, '-t7z', password),
  '7z, names encrypted': () => sevenZipArchive(texts, '-t7z', password, '-mhe=on'),
  '7z, header as it is': () => sevenZipArchive(texts, '-t7z', password, '-mhc=off'),
  '7z in zip': async () => zip([{ name: 'a.7z', content: await sevenZipArchive(texts, '-t7z', password) }]),
  pdf: () => Buffer.from(encryptedPdfs['user-256'] ?? '', 'base64'),
  'pdf in zip': () =>
    zip([{ name: 'a.pdf', content: Buffer.from(encryptedPdfs['user-256'] ?? '', 'base64') }]),
  'docx, agile': encryptedPackage,
  'docx, agile, in zip': () => zip([{ name: 'a.docx', content: encryptedPackage() }]),
  'xls, RC4': () => compound(`0908100000060500${'00'.repeat(12)}2f003600`, 1024),
  odt: () => packageOf('application/vnd.oasis.opendocument.text', manifest(secretEntry)),
  'rar 4': () => archiveOf('rar 4, names encrypted'),
  'rar 5': () => archiveOf('rar 5, names encrypted'),
}
for (const [name, made] of Object.entries(secrets)) {
  test(`with a password: ${name}`, { skip }, async () => {
    const scanning = new Scanning([clamd], { protocol: 'instream', sessions: true, scope: 'auto' })
    const verdict = await scanning.scan(mailWith('a.bin', await made())).finally(() => scanning.destroy())
    assert.equal('reason' in verdict && verdict.reason, 'encrypted', JSON.stringify(verdict))
  })
}
