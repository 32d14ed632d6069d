// Names that only some program shows: where the headers of a part are not quite headers, its delimiter is not quite one, or
// the file lies in something else. Two independent readers are asked, where they open the part at all.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { archiveOf } from '../../support/made-archives'
import {
  attached,
  base64,
  commonMasks,
  inspected,
  lines,
  mixed,
  raw,
  withHeaders,
} from '../../support/smtp/attachment-mails'
import { judge } from '../../support/smtp/judges'
import { ordinaryMails } from '../../support/smtp/ordinary-mails'
import { record } from '../../support/zip-builder'

const named = 'Content-Disposition: attachment; filename=evil.exe'
const payload = Buffer.from('the payload of the part')

/** Parts of a multipart by their lines, each with its delimiter. */
function withDelimiters(boundary: string, ...parts: readonly (readonly string[])[]): Buffer {
  return raw(
    lines('Subject: x', 'MIME-Version: 1.0', `Content-Type: multipart/mixed; boundary="${boundary}"`, ''),
    ...parts.map((part) => lines(...part)),
    lines(`--${boundary}--`),
  )
}

const file = [named, '', payload.toString()]
const long = 'b'.repeat(90)
const whole = { 'Content-Type': 'application/octet-stream;' }

/** What the readers open as well. */
const shown: Readonly<Record<string, Buffer>> = {
  'a parameter on a line that is not indented': mixed([
    [`Content-Type: ${whole['Content-Type']}`, 'name="evil.exe"'],
    payload.toString(),
  ]),
  'a blank in front of the first header': mixed([[` ${named}`], payload.toString()]),
  'a tab in front of the first header': mixed([[`\t${named}`], payload.toString()]),
  'an NBSP in front of a header': mixed([[`\xa0${named}`], payload.toString()]),
  'a byte order mark in front of a header': mixed([[`\xef\xbb\xbf${named}`], payload.toString()]),
  'only a description': mixed([['Content-Type: x/y', 'Content-Description: evil.exe'], payload.toString()]),
  'only a location': mixed([
    ['Content-Type: x/y', 'Content-Location: http://a.example/b/evil.exe?c'],
    payload.toString(),
  ]),
  'a delimiter with a tail': withDelimiters('bXYZ', ['--bXYZ', '', 'text'], ['--bXYZtail', ...file]),
  'a delimiter with a tail behind a blank': withDelimiters(
    'bXYZ',
    ['--bXYZ', '', 'text'],
    ['--bXYZ tail', ...file],
  ),
  'a delimiter cut to 70 characters': withDelimiters(
    long,
    [`--${long}`, '', 'text'],
    [`--${long.slice(0, 70)}`, ...file],
  ),
  'a delimiter behind other characters': withDelimiters('bXYZ', ['--bXYZ', '', 'text'], ['x--bXYZ', ...file]),
}

describe('in headers and delimiters', () => {
  for (const [what, mail] of Object.entries(shown)) {
    test(what, async () => {
      assert.equal((await inspected(mail)).denied?.mask, '*.exe')
      assert.notDeepEqual(await judge(mail, payload), [], 'no reader opens it')
    })
  }
})

const attribute = (id: number, value: Buffer) => record([1, 2], [4, id], [4, value.length], value, [2, 0])
const tnef = (...attributes: readonly Buffer[]) =>
  Buffer.concat([Buffer.from('789f3e220100', 'hex'), ...attributes])
const longName = (shift: number) =>
  tnef(
    attribute(
      0x00069005,
      Buffer.concat([
        Buffer.alloc(shift),
        record([2, 0x1f], [2, 0x3707], [4, 1], [4, 18]),
        Buffer.from('evil.exe\0', 'utf16le'),
      ]),
    ),
  )
/** ContentInfo, SignedData, version, algorithms, EncapsulatedContentInfo: each as long as what it holds. */
const der = (tag: number, ...pieces: readonly Buffer[]) => {
  const content = Buffer.concat(pieces)
  return Buffer.concat([Buffer.from([tag, 0x82, content.length >> 8, content.length & 255]), content])
}
const oid = (last: number) => Buffer.from(`06092a864886f70d0107${last.toString(16).padStart(2, '0')}`, 'hex')
const signed = (content: Buffer) =>
  der(
    0x30,
    oid(2),
    der(
      0xa0,
      der(0x30, Buffer.from('020101', 'hex'), der(0x31), der(0x30, oid(1), der(0xa0, der(0x04, content)))),
    ),
  )

const inside: Readonly<Record<string, Buffer>> = {
  'TNEF within TNEF': mixed(attached('winmail.dat', tnef(attribute(0x0006800f, longName(0))))),
  ...Object.fromEntries(
    [0, 1, 2, 3].map((shift) => [
      `a long name in TNEF, ${shift} bytes off`,
      mixed(attached('winmail.dat', longName(shift))),
    ]),
  ),
  'a message of Outlook': mixed(attached('a.msg', archiveOf('msg'))),
  'X-FILENAME in a calendar': mixed([
    ['Content-Type: text/calendar'],
    lines(
      'BEGIN:VCALENDAR',
      'ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILE',
      ' NAME="evil.exe":VGV4dA==',
      'END:VCALENDAR',
    ),
  ]),
  'FILENAME in a calendar': mixed([
    ['Content-Type: text/calendar'],
    lines(
      'BEGIN:VCALENDAR',
      'ATTACH;FILENAME=evil.exe;ENCODING=BASE64;VALUE=BINARY:VGV4dA==',
      'END:VCALENDAR',
    ),
  ]),
  'opaque signed data': mixed(attached('smime.p7m', signed(withHeaders(named)))),
  'begin-base64': mixed([
    ['Content-Type: text/plain'],
    lines('begin-base64 644 evil.exe', 'VGV4dA==', '===='),
  ]),
  yEnc: mixed([
    ['Content-Type: text/plain'],
    lines('=ybegin line=128 size=4 name=evil.exe', 'abcd', '=yend size=4'),
  ]),
  'a message in base64 that nobody names': mixed([
    ['Content-Type: application/octet-stream', 'Content-Transfer-Encoding: 7bit'],
    base64(withHeaders(named)),
  ]),
  'UTF-16 text with uuencode': mixed([
    ['Content-Type: text/plain; charset=utf-16le', 'Content-Transfer-Encoding: base64'],
    base64(Buffer.from(lines('begin 644 evil.exe', '#86)C', '`', 'end'), 'utf16le')),
  ]),
  'a package in a document': mixed(attached('a.bin', archiveOf('package in a document'))),
}

describe('in something else', () => {
  for (const [what, mail] of Object.entries(inside)) {
    test(what, async () => assert.equal((await inspected(mail)).denied?.mask, '*.exe'))
  }
})

describe('harmless neighbours', () => {
  const rows: Readonly<Record<string, Buffer>> = {
    'a description beside a name': mixed([
      [named.replace('evil.exe', 'a.txt'), 'Content-Description: evil.exe'],
      'text',
    ]),
    'a location that is a host': mixed([
      ['Content-Type: image/png', 'Content-Location: http://www.example.com/'],
      'x',
    ]),
    'a location beside a name': mixed([
      ['Content-Type: x/y; name=a.png', 'Content-Location: http://a.example/evil.exe'],
      'x',
    ]),
    'a text about headers': mixed([
      ['Content-Type: text/plain'],
      lines('Write', '', 'Content-Disposition: attachment;', ' filename=evil.exe', '', 'and so on'),
    ]),
    'a header that is not of the content': mixed([
      ['X-Note: see', ' name=evil.exe', 'Content-Type: text/plain'],
      'text',
    ]),
    'a text that begins like uuencode with base64': mixed([
      ['Content-Type: text/plain'],
      lines('begin-base64 644 evil.exe', 'is a line, see?'),
    ]),
    'a calendar that names a program': mixed([
      ['Content-Type: text/calendar'],
      lines('BEGIN:VCALENDAR', 'DESCRIPTION:run evil.exe', 'END:VCALENDAR'),
    ]),
  }
  for (const [what, mail] of Object.entries(rows)) {
    test(what, async () => {
      const { denied, unreadable } = await inspected(mail)
      assert.deepEqual({ denied, unreadable }, { denied: null, unreadable: null })
    })
  }
})

test('ordinary mails are let alone, and each is read to its end', async () => {
  const masks = `${commonMasks} type:executable type:script type:shortcut type:disk-image type:office-macro`
  for (const mail of ordinaryMails) {
    const { denied, unreadable } = await inspected(await mail.bytes(), { masks })
    assert.deepEqual({ denied, unreadable }, { denied: null, unreadable: null }, mail.name)
  }
})
