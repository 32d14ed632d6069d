// Names in zip archives, as attachments of whole messages: tricks, harmless names beside them, and the cost.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Sighting } from '../../../lib/attachments/archives/sighting'
import { zipNames } from '../../../lib/attachments/archives/zip'
import { Budget, defaultLimits, type Limits } from '../../../lib/mime/budget'
import { attached, base64, inspected, lines, mixed, raw } from '../../support/smtp/attachment-mails'
import { type Entry, flag, record, unicodePath, zip } from '../../support/zip-builder'
import { zipQuine } from '../../support/zip-quine'

const evil = zip(['readme.txt', 'evil.exe'])
const docx = zip(['[Content_Types].xml', '_rels/.rels', 'word/document.xml', 'docProps/app.xml'])

function inMail(content: Buffer, name = 'archive.zip'): Buffer {
  return mixed([['Content-Type: text/plain'], 'hello'], attached(name, content))
}

/** `inner` so many archives deep, all of them deflated. */
function wrapped(inner: Buffer, times: number): Buffer {
  return times === 0 ? inner : wrapped(zip([{ name: `level${times}.zip`, content: inner }]), times - 1)
}

async function findings(content: Buffer, limits: Partial<Limits> = {}) {
  const budget = new Budget({ ...defaultLimits, ...limits }, new AbortController().signal)
  budget.enter()
  const all: Sighting[] = []
  for await (const finding of zipNames(content, budget)) all.push(finding)
  const names = all.flatMap((finding) => ('name' in finding ? [finding.name[0]] : []))
  const unreadable = all.flatMap((finding) => ('unreadable' in finding ? [finding.unreadable] : []))
  return { names, unreadable, budget }
}

function quotedPrintable(bytes: Buffer): string {
  const pairs = bytes.toString('hex').toUpperCase().replace(/../g, '=$&')
  return pairs.replace(/.{72}/g, '$&=\r\n')
}

function uuencoded(bytes: Buffer): string {
  const rows: string[] = []
  for (let at = 0; at < bytes.length; at += 45) {
    const row = bytes.subarray(at, at + 45)
    const padded = Buffer.concat([row, Buffer.alloc((3 - (row.length % 3)) % 3)])
    const digits = Array.from(padded.toString('base64'), (digit) => {
      const value = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.indexOf(digit)
      return String.fromCharCode(value === 0 ? 0x60 : value + 32)
    })
    rows.push(String.fromCharCode(row.length + 32) + digits.join(''))
  }
  return lines(...rows, '`', 'end')
}

const part = (encoding: string, body: string | Buffer, type = 'application/zip') =>
  mixed([[`Content-Type: ${type}; name=a.dat`, `Content-Transfer-Encoding: ${encoding}`], body])

const evilAt = (position: 'local' | 'central'): Entry =>
  position === 'local'
    ? { name: 'evil.exe', centralName: 'a.txt' }
    : { name: 'a.txt', centralName: 'evil.exe' }

const denied: Record<string, Buffer> = {
  'a bad name': inMail(evil),
  'capitals inside the archive': inMail(zip(['EVIL.EXE'])),
  'another extension': inMail(evil, 'archive.dat'),
  'a picture by its type': part('base64', base64(evil), 'image/jpeg'),
  'no name at all': mixed([['Content-Transfer-Encoding: base64'], base64(evil)]),
  'the message itself is the archive': raw(
    lines('Content-Type: application/zip', 'Content-Transfer-Encoding: base64', ''),
    base64(evil),
  ),
  'in a folder': inMail(zip(['a/b/evil.exe'])),
  'in a folder of Windows': inMail(zip(['a\\evil.exe'])),
  'beside an accented name in cp437': inMail(
    zip([Buffer.from('r\x82sum\x82.txt', 'latin1'), 'evil.exe'].map(named)),
  ),
  'an accented bad name': inMail(zip([{ name: 'évil.exe', flags: flag.utf8 }])),
  'a bad name in wide letters': inMail(zip([{ name: 'evil．ｅｘｅ', flags: flag.utf8 }])),
  'wide letters, not declared': inMail(zip(['evil．ｅｘｅ'])),
  'a trailing dot and space': inMail(zip(['evil.exe. '])),
  'a right-to-left override': inMail(zip(['photo\u202egpj.exe'])),
  'a NUL in the name': inMail(zip(['evil.exe\0.txt'])),
  'a NUL in a very long name': inMail(zip([`evil.exe\0${'A'.repeat(1100)}.txt`])),
  'a path before a NUL in a very long name': inMail(
    zip([`${'d/'.repeat(1100)}evil.exe\0${'A'.repeat(1100)}`]),
  ),
  'more spaces than a name may be long': inMail(zip([`evil.exe${' '.repeat(1100)}`])),
  'dots that stand for the same place': inMail(zip([{ name: 'evil.exe/././.', content: 'MZ' }])),
  'more slashes than anybody writes': inMail(zip([{ name: `evil.exe${'/'.repeat(100)}`, content: 'MZ' }])),
  'a Unicode path in the local header': inMail(zip([{ name: 'a.txt', localExtra: unicodePath('evil.exe') }])),
  'a Unicode path in the directory': inMail(zip([{ name: 'a.txt', centralExtra: unicodePath('evil.exe') }])),
  'a Unicode path behind other fields': inMail(
    zip([{ name: 'a.txt', localExtra: record([2, 0x5455], [2, 1], [1, 0], unicodePath('evil.exe')) }]),
  ),
  'only the local header says it': inMail(zip([evilAt('local')])),
  'only the directory says it': inMail(zip([evilAt('central')])),
  'no directory': inMail(zip(['evil.exe'], { central: false, end: false })),
  'no local headers': inMail(zip(['a.txt', 'evil.exe'], { local: false })),
  'a directory of another archive': inMail(
    Buffer.concat([zip(['evil.exe'], { central: false, end: false }), zip(['a.txt'])]),
  ),
  'two archives in a row': inMail(Buffer.concat([zip(['a.txt']), evil])),
  'trailing junk': inMail(zip(['evil.exe'], { trailing: Buffer.alloc(70_000, 'x') })),
  'a comment that holds an end record': inMail(
    zip(['evil.exe'], { comment: zip([], { local: false, central: false }) }),
  ),
  'a prefix': inMail(zip(['evil.exe'], { prefix: Buffer.from('MZ'.repeat(5000)) }), 'setup.dat'),
  'a prefix of one byte': inMail(zip(['evil.exe'], { prefix: Buffer.from('x') })),
  'a prefix with pointers that do not count it': inMail(Buffer.concat([Buffer.alloc(999, 1), evil])),
  ...Object.fromEntries(
    Object.entries({
      'a method that does not exist': { localMethod: 999 },
      'no name': { localName: '' },
      'a very long name': { localName: 'x'.repeat(5000) },
    }).map(([what, odd]) => [
      `a prefix, and ${what} in the local header`,
      inMail(zip([{ name: 'evil.exe', ...odd }], { prefix: Buffer.from('#!/bin/sh\n') })),
    ]),
  ),
  'a prefix, a method that does not exist, and nested': inMail(
    zip([{ name: 'inner.zip', content: evil, localMethod: 999 }], { prefix: Buffer.from('#!/bin/sh\n') }),
  ),
  'the mark of a split archive': inMail(Buffer.concat([record([4, 0x08074b50]), evil])),
  'the tail is lost': inMail(evil.subarray(0, -40)),
  'data descriptors': inMail(
    zip([
      { name: 'a.txt', descriptor: true },
      { name: 'evil.exe', descriptor: true },
    ]),
  ),
  zip64: inMail(zip(['a.txt', 'evil.exe'], { zip64: true })),
  'encrypted entries': inMail(zip([{ name: 'evil.exe', flags: flag.encrypted }])),
  'an unknown method': inMail(zip([{ name: 'evil.exe', method: 14 }])),
  'a folder with content': inMail(zip([{ name: 'evil.exe/', content: 'MZ' }])),
  'nested, deflated': inMail(wrapped(evil, 1)),
  'nested, stored': inMail(zip([{ name: 'inner.zip', content: evil, method: 0 }])),
  'nested under another extension': inMail(zip([{ name: 'inner.jpg', content: evil }])),
  'nested with a data descriptor': inMail(zip([{ name: 'inner.zip', content: evil, descriptor: true }])),
  'nested behind a prefix': inMail(
    zip([{ name: 'inner.zip', content: Buffer.concat([Buffer.from('junk'), evil]) }]),
  ),
  'nested as deep as the limit': inMail(wrapped(evil, 4)),
  'nested, stored, deeper than the limit': inMail(
    Array.from({ length: 9 }).reduce<Buffer>(
      (inner) => zip([{ name: 'a.zip', content: inner, method: 0 }]),
      evil,
    ),
  ),
  'nested, called stored but deflated': inMail(
    zip([{ name: 'inner.zip', content: deflateRawSync(evil), method: 0 }]),
  ),
  'nested, behind blocks of nothing': inMail(
    zip([{ name: 'a.dat', method: 12, content: Buffer.concat([emptyBlocks(2000), deflateRawSync(evil)]) }]),
  ),
  'nested in a truncated archive': inMail(
    wrapped(zip(['evil.exe', 'b', 'c', 'd', 'e']), 1).subarray(0, -150),
  ),
  'quoted-printable': part('quoted-printable', quotedPrintable(evil)),
  'base64 that begins with dashes': part(
    'base64',
    `--${base64(zip(['evil.exe'], { central: false, end: false }))}`,
  ),
  '8bit': part('8bit', evil),
  binary: part('binary', evil),
  'no encoding named': mixed([['Content-Type: application/zip'], evil]),
  'an encoding with a comment': part('base64 (as ever)', base64(evil)),
  'an encoding with a comment in it': part('ba(x)se64', base64(evil)),
  'an encoding in an encoded word': part('=?us-ascii?b?YmFzZTY0?=', base64(evil)),
  'two encodings, the first holds': mixed([
    ['Content-Transfer-Encoding: base64', 'Content-Transfer-Encoding: 7bit'],
    base64(evil),
  ]),
  'two encodings, the second holds': mixed([
    ['Content-Transfer-Encoding: 7bit', 'Content-Transfer-Encoding: base64'],
    base64(evil),
  ]),
  'an encoding whose name is folded before the colon': mixed([
    ['Content-Transfer-Encoding', ' : base64'],
    base64(evil),
  ]),
  'base64 in one line': part('base64', evil.toString('base64')),
  'base64 with characters to skip': part('base64', base64(evil).replace(/.{5}/g, '$&-_ !*')),
  'base64 padded in the middle': part('base64', base64(evil.subarray(0, 34)) + base64(evil.subarray(34))),
  'base64 with lines of dashes in it': part('base64', base64(evil).replace(/\r\n/g, '\r\n--_-_\r\n')),
  'an archive in uuencode': mixed([['Content-Type: text/plain'], lines('begin 644 a.dat') + uuencoded(evil)]),
  ...Object.fromEntries(
    [
      'begin 644',
      'begin 9 a.dat',
      'begin 0100644 a.dat',
      'begin 644\ta.dat',
      'begin',
      'begin 644 a.dat\r\n\r\n',
    ].map((first) => [
      `an archive that is called uuencode behind ${JSON.stringify(first)}`,
      part('x-uuencode', lines(first) + uuencoded(evil)),
    ]),
  ),
  'an archive in a message in base64': mixed([
    ['Content-Type: message/rfc822', 'Content-Transfer-Encoding: base64'],
    base64(inMail(evil)),
  ]),
  'the second of two archives': mixed(attached('a.zip', docx), attached('b.zip', evil)),
}

function named(name: string | Buffer): Entry {
  return { name }
}

/** Stored blocks of deflate without content: nothing comes out of them. */
function emptyBlocks(count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => Buffer.from('000000ffff', 'hex')))
}

const harmless: Record<string, Buffer> = {
  'a docx': inMail(docx, 'letter.docx'),
  'an empty archive': inMail(zip([])),
  'trailing junk': inMail(zip(['a.txt'], { trailing: randomBytes(1000) })),
  'a prefix': inMail(zip(['a.txt'], { prefix: Buffer.from('#!/bin/sh\n'.repeat(100)) })),
  'a prefix with pointers that do not count it': inMail(
    Buffer.concat([Buffer.alloc(999, 1), zip(['a.txt'])]),
  ),
  'the tail is lost': inMail(zip(['a.txt', 'b.txt']).subarray(0, -50)),
  'only half of it arrived': inMail(
    zip(['a', { name: 'b', content: randomBytes(5000), method: 0 }]).subarray(0, 2000),
  ),
  'an accented name': inMail(zip([{ name: 'résumé.pdf', flags: flag.utf8 }])),
  'an accented name in cp437': inMail(zip([named(Buffer.from('r\x82sum\x82.pdf', 'latin1'))])),
  'a comment': inMail(zip(['a.txt'], { comment: Buffer.from('evil.exe') })),
  'a folder called like a site': inMail(
    zip([{ name: 'example.com/', content: '' }, 'example.com/index.html']),
  ),
  'the bad name in a file': inMail(zip([{ name: 'a.txt', content: 'evil.exe' }])),
  'encrypted entries': inMail(
    zip([{ name: 'a.pdf', flags: flag.encrypted, content: randomBytes(99), method: 99 }]),
  ),
  zip64: inMail(zip(['a.txt'], { zip64: true })),
  'data descriptors': inMail(zip([{ name: 'a.txt', descriptor: true }])),
  'a stored nested archive': inMail(zip([{ name: 'b.zip', content: zip(['a.txt']), method: 0 }])),
  'a docx in an archive in an archive': inMail(wrapped(docx, 2)),
  'something else called zip, inside': inMail(zip([{ name: 'b.zip', content: 'not an archive at all' }])),
  'something else called zip': inMail(Buffer.from('not an archive at all'), 'a.zip'),
  'text that begins with PK': inMail(Buffer.from('PK is short for many things'), 'a.txt'),
  'a program with the constants of headers in it': inMail(
    Buffer.concat([
      Buffer.from('MZ'),
      record([4, 0x0403_4b50], [2, 20], [2, 0xffff], [2, 8], Buffer.alloc(16, 1), [2, 9], [2, 0]),
      record(Buffer.alloc(9, 1), [4, 0x0201_4b50], Buffer.alloc(60, 0xff)),
    ]),
    'unzip.bin',
  ),
  'a program with the constants of ends in it': inMail(
    Buffer.concat([
      Buffer.from('MZ'),
      record([4, 0x0403_4b50], Buffer.alloc(22), [2, 9], [2, 0], Buffer.alloc(9, 1)),
      record([4, 0x0605_4b50], [4, 0], [2, 7], [2, 7], [4, 20], [4, 3], [2, 0]),
    ]),
    'unzip.bin',
  ),
  'such a program in TNEF': inMail(
    Buffer.concat([
      Buffer.from('789f3e220100', 'hex'),
      record([4, 0x0605_4b50], [4, 0], [2, 7], [2, 7], [4, 20], [4, 3], [2, 0]),
    ]),
    'winmail.dat',
  ),
  'a program that ends in such a constant': inMail(
    Buffer.concat([Buffer.from('MZ'), record([4, 0x0403_4b50], Buffer.alloc(22), [2, 99], [2, 0])]),
    'unzip.bin',
  ),
  'random bytes': inMail(randomBytes(100_000), 'a.bin'),
  'an entry that cannot be unpacked': inMail(zip([{ name: 'a.jpg', method: 12, content: randomBytes(200) }])),
}

const unreadable: Record<string, [Buffer, RegExp]> = {
  'nothing but a signature': [inMail(Buffer.from('PK\x03\x04')), /part 2 \(archive\.zip\): it is damaged/],
  'cut off in the first name': [inMail(evil.subarray(0, 34)), /damaged/],
  'a first header that makes no sense': [inMail(Buffer.from(`PK\x03\x04${'\0'.repeat(60)}`)), /damaged/],
  'encrypted names': [inMail(zip([{ name: '0', flags: flag.masked }])), /its names are encrypted/],
  'encrypted names behind a prefix': [
    inMail(
      zip([{ name: '0', version: 62, flags: flag.encrypted | flag.strong | flag.masked }], {
        prefix: Buffer.from('MZ'),
      }),
    ),
    /its names are encrypted/,
  ],
  'fewer entries than claimed, behind a prefix': [
    inMail(zip(['a.txt'], { claims: 3, prefix: Buffer.from('MZ') })),
    /3 entries, of which 1/,
  ],
  'a directory that is not to be seen': [
    inMail(zip(['a.txt', 'b.txt'], { local: false, central: false })),
    /2 entries, of which 0 can be seen/,
  ],
  'fewer entries than claimed': [inMail(zip(['a.txt'], { claims: 3 })), /3 entries, of which 1/],
  'deeper than the limit': [
    inMail(wrapped(docx, 5)),
    /^part 2 \(archive\.zip\) > level1\.zip > level2\.zip > .* > level5\.zip: archives are nested more than 5 deep$/,
  ],
  'an encrypted archive inside': [
    inMail(zip([{ name: 'b.zip', flags: flag.encrypted, content: Buffer.alloc(50, 0xff), method: 99 }])),
    /archive\.zip\) > b\.zip: it is encrypted/,
  ],
  'an archive inside, packed in another way': [
    inMail(zip([{ name: 'b.zip', method: 12, content: Buffer.alloc(50, 0xff) }])),
    /cannot be unpacked/,
  ],
  'a damaged archive inside': [inMail(damagedInside()), /inner\.zip: it is damaged/],
}

/** A nested archive whose deflated stream goes on with a block of a kind that does not exist. */
function damagedInside(): Buffer {
  const inner = zip([{ name: 'a.bin', content: randomBytes(3000), method: 0 }])
  const packed = deflateRawSync(inner, { finishFlush: constants.Z_SYNC_FLUSH })
  return zip([{ name: 'inner.zip', method: 12, content: Buffer.concat([packed, Buffer.from([0b111])]) }])
}

/** A block of one byte costs as much as a whole one: the time is not what is tested. */
const limits = { ms: Infinity }

describe('names in archives that must be found', () => {
  for (const [what, message] of Object.entries(denied)) {
    test(what, async () => {
      for (const chunkBytes of [65_536, 1, 13]) {
        const { denied: found } = await inspected(message, { chunkBytes, limits })
        assert.equal(found?.mask, '*.exe', `in chunks of ${chunkBytes} bytes`)
      }
    })
  }
})

describe('archives that must pass', () => {
  for (const [what, message] of Object.entries(harmless)) {
    test(what, async () => {
      for (const chunkBytes of [65_536, 1, 13]) {
        const { denied: found, unreadable: why } = await inspected(message, { chunkBytes, limits })
        assert.deepEqual({ found, why }, { found: null, why: null }, `in chunks of ${chunkBytes} bytes`)
      }
    })
  }
})

describe('archives that cannot be read', () => {
  for (const [what, [message, why]] of Object.entries(unreadable)) {
    test(what, async () => {
      const outcome = await inspected(message)
      assert.equal(outcome.denied, null)
      assert.match(outcome.unreadable ?? '', why)
    })
  }

  test('a bad name counts for more', async () => {
    const { denied: found } = await inspected(inMail(zip(['a.txt', 'evil.exe'], { claims: 9 })))
    assert.equal(found?.mask, '*.exe')
  })
})

test('the outcome says which name, and names every archive around it', async () => {
  const { denied: found, names } = await inspected(inMail(wrapped(evil, 2)))
  assert.deepEqual(found, { mask: '*.exe', name: 'evil.exe' })
  assert.deepEqual(names, ['archive.zip', 'level1.zip', 'level2.zip', 'readme.txt', 'evil.exe'])
})

test('archives are left alone when they are not asked for', async () => {
  const outcome = await inspected(inMail(evil), { insideArchives: false })
  assert.deepEqual(outcome, { denied: null, unreadable: null, names: ['archive.zip'] })
  const inTnef = Buffer.concat([Buffer.from('789f3e220100', 'hex'), evil])
  assert.equal((await inspected(inMail(inTnef), { insideArchives: false })).denied, null)
  assert.equal((await inspected(inMail(inTnef))).denied?.name, 'evil.exe')
})

describe('what an archive may cost', () => {
  test('a bomb inflates to no more than the limit', async () => {
    const bomb = zip([{ name: 'b.zip', content: Buffer.concat([docx, Buffer.alloc(20_000_000)]) }])
    const { unreadable: why, budget } = await findings(bomb, { inflatedBytes: 1_000_000 })
    assert.deepEqual(why, ['more than 1000000 bytes when unpacked'])
    assert.equal(budget.inflatable, 0)
  })

  test('many small bombs share one limit', async () => {
    const inner = Buffer.concat([docx, Buffer.alloc(300_000)])
    const bombs = zip(Array.from({ length: 50 }, (_, i) => ({ name: `${i}.zip`, content: inner })))
    const { unreadable: why, budget, names } = await findings(bombs, { inflatedBytes: 1_000_000 })
    assert.deepEqual(why, ['more than 1000000 bytes when unpacked'])
    assert.equal(budget.inflatable, 0)
    assert.ok(names.length < 30, `${names.length} names`)
  })

  test('a bomb that is no archive is not inflated', async () => {
    const { unreadable: why, budget } = await findings(
      zip([{ name: 'zeros', content: Buffer.alloc(20_000_000) }]),
    )
    assert.deepEqual(why, [])
    assert.equal(budget.inflatable, defaultLimits.inflatedBytes)
  })

  test('entries that overlap on one nested archive are paid for one by one', async () => {
    const kernel = zip([{ name: 'k.zip', content: Buffer.concat([docx, Buffer.alloc(100_000)]) }])
    const first = kernel.subarray(0, kernel.indexOf('k.zip') + 5)
    // Every header says that its content is what follows the last of them.
    const headers = Array.from({ length: 100 }, (_, i) => {
      const copy = Buffer.from(first)
      copy.writeUInt16LE((99 - i) * first.length, 28)
      return copy
    })
    const { budget, unreadable: why } = await findings(
      Buffer.concat([...headers, kernel.subarray(first.length)]),
      { inflatedBytes: 1_000_000 },
    )
    assert.equal(budget.inflatable, 0)
    assert.deepEqual(why, ['more than 1000000 bytes when unpacked'])
  })

  test('an archive of 50,000 entries is given up at the limit', async () => {
    const many = zip(Array.from({ length: 50_000 }, (_, i) => ({ name: `${i}`, content: '', method: 0 })))
    const { unreadable: why, names } = await findings(many, { ms: 60_000 })
    assert.deepEqual(why, ['more than 20000 entries'])
    assert.equal(names.length, 40_000)
  })

  test('entries of all nested archives count together', async () => {
    const inner = zip(Array.from({ length: 300 }, (_, i) => `${i}`))
    const { unreadable: why } = await findings(
      zip(['a.zip', 'b.zip', 'c.zip'].map((name) => ({ name, content: inner }))),
      { entries: 500 },
    )
    assert.deepEqual(why, ['more than 500 entries'])
  })

  test('the archive that contains itself does so', () => {
    assert.deepEqual(inflateRawSync(zipQuine().subarray(35)), zipQuine())
  })

  test('an archive that contains itself ends at the depth limit', async () => {
    const { unreadable: why, names } = await findings(zipQuine())
    assert.deepEqual(new Set(why), new Set(['archives are nested more than 5 deep']))
    assert.ok(names.length <= 10, `${names.length} names`)
  })

  test('every archive of a message draws on the same budget', async () => {
    const inner = zip([{ name: 'b.zip', content: Buffer.concat([docx, Buffer.alloc(400_000)]) }])
    const message = mixed(...['a', 'b', 'c'].map((name) => attached(`${name}.zip`, inner)))
    const { unreadable: why } = await inspected(message, { limits: { inflatedBytes: 1_000_000 } })
    assert.equal(why, 'part 3 (c.zip): more than 1000000 bytes when unpacked')
  })

  test('time is checked between entries', async () => {
    let now = 0
    const budget = new Budget({ ...defaultLimits, ms: 100 }, new AbortController().signal, () => now++)
    budget.enter()
    const seen: Sighting[] = []
    for await (const finding of zipNames(zip(Array.from({ length: 1000 }, (_, i) => `${i}`)), budget)) {
      seen.push(finding)
    }
    assert.deepEqual(seen.at(-1), { unreadable: 'more than 100 ms', within: [] })
    assert.ok(seen.length < 110, `${seen.length} names`)
  })

  test('time outside of archives does not count', () => {
    let now = 0
    const budget = new Budget({ ...defaultLimits, ms: 100 }, new AbortController().signal, () => now)
    for (let i = 0; i < 10; i++) {
      budget.enter()
      now += 10
      budget.leave()
      now += 1000
    }
    budget.checkTime()
    budget.enter()
    now += 1
    assert.throws(() => budget.checkTime(), /more than 100 ms/)
  })

  test('an end record counts whose comment goes beyond the archive, if there is a directory', async () => {
    const cut = (archive: Buffer) => {
      archive.writeUInt16LE(0xffff, archive.lastIndexOf('PK\x05\x06') + 20)
      return archive
    }
    const claimed = cut(zip(['b.txt'], { prefix: zip(['a.txt']), claims: 5 }))
    assert.deepEqual((await findings(claimed)).unreadable, ['it has 5 entries, of which 2 can be seen'])
    const chance = cut(Buffer.concat([zip(['a.txt']), zip([], { claims: 5 })]))
    assert.deepEqual((await findings(chance)).unreadable, [])
  })

  test('signatures without end and without meaning are given up in time', async () => {
    let now = 0
    const budget = new Budget({ ...defaultLimits, ms: 100 }, new AbortController().signal, () => now++)
    budget.enter()
    const seen: Sighting[] = []
    for await (const finding of zipNames(Buffer.alloc(2_000_000, 'PK'), budget)) seen.push(finding)
    assert.deepEqual(seen, [{ unreadable: 'more than 100 ms', within: [] }])
  })

  test('an abort ends a search that finds nothing', async () => {
    let now = 0
    const budget = new Budget(
      defaultLimits,
      AbortSignal.abort(new Error('client is gone')),
      () => (now += 20),
    )
    budget.enter()
    await assert.rejects(zipNames(Buffer.alloc(200_000, 'PK'), budget).next(), /client is gone/)
  })

  test('no more of an attachment is held than the limit', async () => {
    const large = zip([{ name: 'a.bin', content: randomBytes(50_000), method: 0 }, 'evil.exe'])
    const { denied: found, unreadable: why } = await inspected(inMail(large), {
      limits: { heldBytes: 20_000 },
    })
    assert.equal(found, null)
    assert.equal(why, 'part 2 (archive.zip): more than 20000 bytes of archives')
  })
})
