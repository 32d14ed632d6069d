// What a file is by its content, attached by itself or in an archive; and which items of deny and allow go by that.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { typesOf } from '../../../lib/attachments/file-types'
import { parseMasks } from '../../../lib/attachments/masks'
import { Invalid } from '../../../lib/base/invalid'
import { archiveOf } from '../../support/made-archives'
import { seeded } from '../../support/random'
import {
  attached,
  base64,
  behindClosedMultipart,
  inspected,
  lines,
  mixed,
  type PartSpec,
} from '../../support/smtp/attachment-mails'
import { zip } from '../../support/zip-builder'

const program = Buffer.from(`MZ${'\0'.repeat(100)}`)
const html = Buffer.from('\ufeff \n<!DOCTYPE html><html><script>')
const document = (...names: readonly string[]) =>
  zip(
    ['[Content_Types].xml', 'word/document.xml', ...names].map((name) => ({
      name,
      content: Buffer.from('x'),
    })),
  )

const typed: Readonly<Record<string, readonly [Buffer, ...string[]]>> = {
  'a program of Windows': [program, 'executable', 'pe'],
  'a program of Linux': [Buffer.from('\x7fELF\x02'), 'executable', 'elf'],
  'a program of macOS': [Buffer.from('cffaedfe07000001', 'hex'), 'executable', 'macho'],
  'a class of Java': [Buffer.from('cafebabe00000034', 'hex'), 'executable', 'class'],
  'a script': [Buffer.from('#!/bin/sh\n'), 'script', 'shebang'],
  'a batch file': [Buffer.from('@ECHO OFF\r\n'), 'script', 'bat'],
  'a script that is encoded': [Buffer.from('#@~^AAAA=='), 'script', 'encoded-script'],
  'an HTML application': [Buffer.from('<html><hta:application id=a>'), 'script', 'hta'],
  'a shortcut': [Buffer.from('4c0000000114020000000000c000000000000046', 'hex'), 'shortcut', 'lnk'],
  'a shortcut of the web': [Buffer.from('[InternetShortcut]\r\nURL=file://x'), 'shortcut', 'url'],
  'the same in UTF-16': [Buffer.from('\ufeff[InternetShortcut]\r\n', 'utf16le'), 'shortcut', 'url'],
  'an image of a disk': [archiveOf('img'), 'disk-image', 'img'],
  'an image of a CD': [archiveOf('iso (Joliet)'), 'disk-image', 'iso'],
  'a UDF image': [archiveOf('udf'), 'disk-image', 'udf'],
  'a VHD': [archiveOf('vhd'), 'disk-image', 'vhd'],
  'a VHDX': [archiveOf('vhdx'), 'disk-image', 'vhdx'],
  'a rar archive': [archiveOf('rar 5'), 'archive', 'rar'],
  'a tar archive without a mark': [archiveOf('tar without a mark'), 'archive', 'tar'],
  'macros in an old document': [archiveOf('macros in a document'), 'office-macro', 'ole'],
  'macros in a new document': [document('word/vbaProject.bin'), 'office-macro'],
  'a page': [html, 'html'],
  'a picture with script': [Buffer.from('<?xml version="1.0"?><svg onload="x">'), 'svg'],
  'a notebook': [Buffer.from('e4525c7b8cd8a74daeb15378d02996d3', 'hex'), 'one'],
}

describe('type: goes by content', () => {
  for (const [what, [content, ...types]] of Object.entries(typed)) {
    test(what, async () => {
      for (const type of types) {
        const masks = `type:${type}`
        for (const insideArchives of [true, false].slice(0, what === 'macros in a new document' ? 1 : 2)) {
          const { denied } = await inspected(mixed(attached('a.txt', content)), { masks, insideArchives })
          assert.equal(denied?.mask, masks)
        }
        for (const packed of [zip([{ name: 'b', content }]), zip([{ name: 'b', content, method: 0 }])])
          assert.equal((await inspected(mixed(attached('a.txt', packed)), { masks })).denied?.mask, masks)
      }
    })
  }

  test('what a text begins with may be repeated, in any order, and nothing costs more than its length', () => {
    const beginnings = [
      '<!---->',
      '<!--',
      '-->',
      '<?xml >',
      '<!DOCTYPE svg>',
      '#\n',
      ' ',
      '\n',
      '<hta:',
      '<key>',
      '<plist',
    ]
    const random = seeded(1)
    const mixes = Array.from({ length: 200 }, () => {
      const units = Array.from({ length: 1 + random(4) }, () => beginnings[random(beginnings.length)] ?? '')
      return units.join('').repeat(1000)
    })
    const before = process.cpuUsage()
    for (const text of [...beginnings.map((one) => one.repeat(1000)), ...mixes]) typesOf(Buffer.from(text))
    const { user, system } = process.cpuUsage(before)
    // One that doubles with each repetition never ends.
    assert.ok((user + system) / 1000 < 10_000)
  })

  test('in every kind of archive', async () => {
    for (const kind of ['7z', 'tar.xz', 'rar 4', 'xz', 'msg', 'package in a document', 'vhdx'])
      assert.equal(
        (await inspected(mixed(attached('a', archiveOf(kind))), { masks: 'type:pe' })).denied?.mask,
        'type:pe',
        kind,
      )
  })

  test('in a message that may be read otherwise', async () => {
    const odd = mixed([
      ['Content-Type: application/octet-stream', 'Content-Transfer-Encoding: 7bit'],
      base64(program),
    ])
    assert.equal((await inspected(odd, { masks: 'type:executable' })).denied?.mask, 'type:executable')
  })
})

describe('type: leaves alone', () => {
  const rows: Readonly<Record<string, PartSpec>> = {
    'the page that a mail is': [['Content-Type: text/html'], html.toString('latin1')],
    'a text about programs': [['Content-Type: text/plain'], 'MZ is the mark of a program'],
    'a text': attached('a.txt', Buffer.from('hello')),
    'a picture': attached('a.png', Buffer.from('89504e470d0a1a0a', 'hex')),
    'a document': attached('a.docx', document()),
  }
  for (const [what, part] of Object.entries(rows)) {
    test(what, async () => {
      const masks = 'type:html type:script type:shortcut type:disk-image type:office-macro type:elf'
      assert.equal((await inspected(mixed(part), { masks })).denied, null)
    })
  }
})

describe('items say more', () => {
  const evil = zip(['evil.exe'])
  const rows: readonly (readonly [
    what: string,
    mail: Buffer,
    masks: string,
    allow: string,
    denied: string | null,
  ])[] = [
    ['an exception', mixed(attached('setup.exe', program)), '*.exe type:pe', 'setup.exe', null],
    ['an exception for another name', mixed(attached('evil.exe', program)), '*.exe', 'setup.exe', '*.exe'],
    [
      'an exception inside documents',
      mixed(attached('a.docx', document('word/embeddings/oleObject1.exe'))),
      '*.exe',
      'in:docx oleObject*.exe',
      null,
    ],
    [
      'and none outside',
      mixed(attached('oleObject1.exe', program)),
      '*.exe',
      'in:docx oleObject*.exe',
      '*.exe',
    ],
    [
      'an exception for a type inside documents',
      mixed(
        attached('a.docx', zip([{ name: '[Content_Types].xml' }, { name: 'word/a.bin', content: program }])),
      ),
      'type:pe',
      'in:docx type:pe',
      null,
    ],
    ['a mask for archives alone', mixed(attached('evil.exe', program)), 'in:archive *.exe', '', null],
    ['and in one', mixed(attached('a', evil)), 'in:archive *.exe', '', 'in:archive *.exe'],
    ['a mask for one kind of archive', mixed(attached('a', evil)), 'in:rar *.exe', '', null],
    [
      'a mask for disk images, and in one',
      mixed(attached('a', archiveOf('iso (Joliet)'))),
      'in:disk-image *.exe',
      '',
      'in:disk-image *.exe',
    ],
    ['and in one of that kind', mixed(attached('a', archiveOf('rar 5'))), 'in:rar *.exe', '', 'in:rar *.exe'],
    [
      'a regular expression',
      mixed(attached('invoice 7.EXE', program)),
      '/^invoice [0-9]+[.](exe|scr)$/',
      '',
      '/^invoice [0-9]+[.](exe|scr)$/',
    ],
    [
      'that does not fit',
      mixed(attached('my invoice 7.exe', program)),
      '/^invoice [0-9]+[.](exe|scr)$/',
      '',
      null,
    ],
    [
      'a Content-Type',
      mixed([['Content-Type: Application/X-MSDownload'], 'x']),
      'content-type:application/x-ms*',
      '',
      'content-type:application/x-ms*',
    ],
    [
      'another Content-Type',
      mixed([['Content-Type: text/plain'], 'x']),
      'content-type:application/x-ms*',
      '',
      null,
    ],
    [
      'a Content-Type behind a delimiter of a multipart that is closed',
      behindClosedMultipart('Content-Type: application/x-msdownload'),
      'content-type:application/x-ms*',
      '',
      'content-type:application/x-ms*',
    ],
    [
      'text that begins like a program',
      mixed([['Content-Type: text/plain'], 'MZ 12 is ready\r\n']),
      'type:executable',
      '',
      null,
    ],
    [
      'a Content-Type and an exception by name',
      mixed([['Content-Type: application/x-msdownload; name=a.dll'], 'x']),
      'content-type:application/x-msdownload',
      'a.dll',
      null,
    ],
  ]
  for (const [what, mail, masks, allow, denied] of rows) {
    test(what, async () =>
      assert.equal((await inspected(mail, { masks, allow })).denied?.mask ?? null, denied),
    )
  }

  test('a regular expression takes time in proportion to the name', async () => {
    const mail = mixed([
      lines(`Content-Type: x/y; name="${'a'.repeat(1000)}b"`)
        .trim()
        .split('\r\n'),
    ])
    assert.equal((await inspected(mail, { masks: '/^(a+)+$/' })).denied, null)
  })
})

describe('an item that is wrong is told with what is wrong', () => {
  const rows: Readonly<Record<string, RegExp>> = {
    'type:exe': /^type:exe is no known type$/,
    'in:docx': /^in:docx needs a mask behind it$/,
    'in:docx in:zip *.exe': /^in:docx needs a mask behind it$/,
    'in:box *.exe': /^in:box is no kind of archive$/,
    'in:script *.exe': /^in:script is no kind of archive$/,
    'in:pe *.exe': /^in:pe is no kind of archive$/,
    'content-type:exe': /^content-type:exe: a Content-Type is TYPE\/SUBTYPE$/,
    '/(a/': /^\/\(a\/: error parsing regexp: missing closing \)/,
    '/(?=a)/': /invalid or unsupported Perl syntax/,
    '/(a)\\1/': /invalid escape sequence/,
    '/a': /^\/a: a regular expression ends in \/$/,
    '*.com .exe': /^did you mean \*\.exe\?$/,
  }
  for (const [setting, why] of Object.entries(rows)) {
    test(setting, () => {
      const parsed = parseMasks(setting)
      assert.ok(parsed instanceof Invalid)
      assert.match(parsed.why, why)
    })
  }
})
