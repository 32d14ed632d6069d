// Mails that are made to cost: each repeats one form that some code loops over, to any size.
import { zip } from '../zip-builder'

const crlf = (...lines: readonly string[]) => lines.map((line) => `${line}\r\n`).join('')
const bytesOf = (text: string) => Buffer.from(text, 'latin1')

/** As often as fits. */
function filled(bytes: number, unit: string | ((index: number) => string)): string {
  if (typeof unit === 'string') return unit.repeat(Math.ceil(bytes / unit.length))
  const units: string[] = []
  for (let index = 0, length = 0; length < bytes; index++) {
    const one = unit(index)
    units.push(one)
    length += one.length
  }
  return units.join('')
}

const head = (...fields: readonly string[]) => crlf('Subject: test', 'MIME-Version: 1.0', ...fields, '')
const text =
  (unit: string | ((index: number) => string), type = 'text/plain; charset=x') =>
  (bytes: number) =>
    bytesOf(head(`Content-Type: ${type}`) + filled(bytes, unit))

function encoded(content: Buffer, type = 'application/octet-stream'): Buffer {
  const body = content.toString('base64').replace(/.{76}/g, '$&\r\n')
  return bytesOf(head(`Content-Type: ${type}`, 'Content-Transfer-Encoding: base64') + crlf(body))
}

/** Bytes of the content of a mail of that many. */
const contentBytes = (bytes: number) => Math.floor(bytes * 0.73)

const file =
  (unit: Buffer, start = Buffer.alloc(0), type?: string) =>
  (bytes: number) =>
    encoded(Buffer.concat([start, Buffer.alloc(Math.max(1, contentBytes(bytes) - start.length), unit)]), type)

const asn1 = (tag: number, content: Buffer) => {
  const length = Buffer.alloc(6)
  length[0] = tag
  length[1] = 0x84
  length.writeUInt32BE(content.length, 2)
  return Buffer.concat([length, content])
}

function signedData(content: Buffer): Buffer {
  const data = Buffer.from('06092a864886f70d010701', 'hex')
  const info = asn1(0x30, Buffer.concat([data, asn1(0xa0, content)]))
  const signed = asn1(0x30, Buffer.concat([Buffer.from('0201013100', 'hex'), info]))
  return asn1(0x30, Buffer.concat([Buffer.from('06092a864886f70d010702', 'hex'), asn1(0xa0, signed)]))
}

const cms = (pieces: (bytes: number) => Buffer) => (bytes: number) =>
  encoded(signedData(pieces(contentBytes(bytes))), 'application/pkcs7-mime')

const tnefStart = Buffer.from('789f3e220100', 'hex')

function tnefAttribute(id: number, value: Buffer): Buffer {
  const start = Buffer.alloc(9)
  start.writeUInt32LE(id, 1)
  start.writeUInt32LE(value.length, 5)
  return Buffer.concat([start, value, Buffer.alloc(2)])
}

function inOneAnother(bytes: number, wrap: (level: number) => string): Buffer {
  return bytesOf(head('Content-Type: multipart/mixed; boundary=b0') + filled(bytes, wrap))
}

const parts =
  (part: string | ((index: number) => string), type = 'multipart/mixed') =>
  (bytes: number) =>
    bytesOf(head(`Content-Type: ${type}; boundary=b`) + filled(bytes, part))

const header =
  (unit: string | ((index: number) => string), name = 'Content-Type: text/plain') =>
  (bytes: number) =>
    bytesOf(`Subject: test\r\n${name}${filled(bytes, unit)}\r\n\r\ntext\r\n`)

const zipped = (bytes: number, make: (count: number) => Buffer, entryBytes: number) =>
  encoded(make(Math.max(1, Math.floor(contentBytes(bytes) / entryBytes))), 'application/zip')

export const hostileMails: Readonly<Record<string, (bytes: number) => Buffer>> = {
  'CMS in pieces of one byte': cms((bytes) => asn1(0x24, Buffer.alloc(bytes, Buffer.from('040141', 'hex')))),
  'CMS in empty pieces': cms((bytes) => asn1(0x24, Buffer.alloc(bytes, Buffer.from('0400', 'hex')))),
  'CMS in pieces of pieces': cms((bytes) =>
    asn1(0x24, Buffer.alloc(bytes, Buffer.from('24032401002401', 'hex'))),
  ),
  'CMS of open lengths in one another': cms((bytes) =>
    Buffer.concat([
      Buffer.from('2480'.repeat(12), 'hex'),
      Buffer.alloc(bytes, Buffer.from('248004014100002480', 'hex')),
    ]),
  ),
  'CMS of many elements': cms((bytes) => Buffer.alloc(bytes, Buffer.from('0500', 'hex'))),
  'NULs and lone CRs': text('a\0b\rc\0\r'),
  'lone CRs': text('abcdefgh\r'),
  'only CRs': text('\r'),
  'CRs in front of LFs': text('\r\r\r\r\n'),
  'only NULs': text('\0'),
  'only LFs': text('\n'),
  'only blanks': text(' '),
  'blanks and tabs at line ends': text(`x${' \t'.repeat(40)}\r\n`),
  'begin-base64 lines': text('begin-base64 644 a\r\n'),
  'begin-base64 files': text('begin-base64 644 a\r\nQUJD\r\n====\r\n'),
  'begin-base64 files without end': text('begin-base64 644 a\r\nQUJDQUJDQUJDQUJDQUJDQUJD\r\n'),
  'begin lines': text('begin 644 a\r\n'),
  'begin lines and data': text('begin 644 a\r\n#86)C\r\n#86)C\r\nend\r\n'),
  'one uuencoded file': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain') + 'begin 644 a\r\n' + filled(bytes, `M${'86)C'.repeat(15)}\r\n`),
    ),
  'uuencoded lines of nothing': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain', 'Content-Transfer-Encoding: x-uuencode') + filled(bytes, '`\r\n'),
    ),
  'the word begin': text('begin '),
  'yEnc lines': text('=ybegin a\r\n'),
  'yEnc files': text('=ybegin line=1 size=1 name=a\r\nk\r\n=yend\r\n'),
  'one yEnc file': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain') + '=ybegin line=1 size=1 name=a\r\n' + filled(bytes, 'k=\x01lmno'),
    ),
  'BinHex lines': text('with BinHex\r\n:\r\n'),
  'BinHex files': text('(This file must be converted with BinHex 4.0)\r\n:"3)!6593e:\r\n'),
  'one BinHex file': (bytes) =>
    bytesOf(head('Content-Type: text/plain') + 'converted with BinHex\r\n:' + filled(bytes, '!N-$AAAA')),
  'BinHex of runs': (bytes) =>
    bytesOf(head('Content-Type: text/plain') + 'converted with BinHex\r\n:' + filled(bytes, 'm$r`')),
  'entries of a calendar': text('ATTACH;ENCODING=BASE64:QUJD\r\n', 'text/calendar'),
  'one entry of a calendar': (bytes) =>
    bytesOf(
      head('Content-Type: text/calendar') + 'BEGIN:VCARD\r\nPHOTO;ENCODING=B:' + filled(bytes, 'QUJD\r\n '),
    ),
  'entries of a calendar on one line': text('ATTACH;ENCODING=BASE64:QUJD;', 'text/calendar'),
  'entries of a calendar with one colon': (bytes) =>
    bytesOf(
      head('Content-Type: text/calendar') +
        'BEGIN:VCARD\r\n' +
        filled(bytes / 2, ';ENCODING=B') +
        ':' +
        filled(bytes / 2, 'QUJD'),
    ),
  'quotes in a calendar': text('ATTACH;ENCODING=B;X="', 'text/calendar'),
  'lines of a calendar without a colon': text('ATTACH;ENCODING=B\r\n', 'text/calendar'),
  'names in a calendar': (bytes) =>
    bytesOf(head('Content-Type: text/calendar') + 'BEGIN:VCARD\r\nATTACH' + filled(bytes, ';FILENAME=a')),
  'entries without data': (bytes) =>
    bytesOf(head('Content-Type: text/calendar') + 'BEGIN:VCARD\r\n' + filled(bytes, 'ENCODING=B ')),
  'folds of a calendar': (bytes) =>
    bytesOf(head('Content-Type: text/calendar') + 'BEGIN:VCARD' + filled(bytes, '\r\n x')),
  'one data address': (bytes) =>
    bytesOf(head('Content-Type: text/html') + 'data:;base64,' + filled(bytes, 'QUJD')),
  'one escaped data address': (bytes) =>
    bytesOf(head('Content-Type: text/html') + 'data:;base64,' + filled(bytes, '%51%55')),
  'data addresses': text('data:;base64,QUJD"', 'text/html'),
  'the word base64': text('base64 ', 'text/html'),
  'flowed lines': text('a b \r\n', 'text/plain; format=flowed'),
  'flowed lines without an end': text(' ', 'text/plain; format=flowed; delsp=yes'),
  'quoted-printable with CRs': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable') +
        filled(bytes, 'a=\r\r\nb'),
    ),
  'quoted-printable with blanks': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable') +
        filled(bytes, `=${' '.repeat(300)}x`),
    ),
  'quoted-printable of equals signs': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable') + filled(bytes, '='),
    ),
  'quoted-printable in one line': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable') + filled(bytes, '=41'),
    ),
  'quoted-printable, all oddities': (bytes) =>
    bytesOf(
      head('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable') +
        filled(bytes, '=4 = \r\n=4=\r\n1 \r\n=41'),
    ),
  'base64 in lines of one character': (bytes) =>
    bytesOf(
      head('Content-Type: application/x', 'Content-Transfer-Encoding: base64') + filled(bytes, 'Q\r\n'),
    ),
  'base64 with padding everywhere': (bytes) =>
    bytesOf(
      head('Content-Type: application/x', 'Content-Transfer-Encoding: base64') + filled(bytes, 'QQ==\r\n'),
    ),
  'base64 of all oddities': (bytes) =>
    bytesOf(
      head('Content-Type: application/x', 'Content-Transfer-Encoding: base64; x') +
        filled(bytes, 'QQ==_-*QUJD\r\n'),
    ),
  'base64 in one line': (bytes) =>
    bytesOf(head('Content-Type: application/x', 'Content-Transfer-Encoding: base64') + filled(bytes, 'QUJD')),
  'runs of base64': text('QUJDQUJDQUJDQUJDQUJD\r\n\r\ntext\r\n'),
  'TNEF attributes': file(tnefAttribute(0x0006800f, Buffer.from('a')), tnefStart, 'application/ms-tnef'),
  'empty TNEF attributes': file(tnefAttribute(0x0006800f, Buffer.alloc(0)), tnefStart, 'application/ms-tnef'),
  'TNEF properties': (bytes) =>
    encoded(
      Buffer.concat([
        tnefStart,
        tnefAttribute(
          0x00069005,
          Buffer.alloc(contentBytes(bytes), Buffer.from('020101370100000001000000', 'hex')),
        ),
      ]),
      'application/ms-tnef',
    ),
  'TNEF names in one another': (bytes) =>
    encoded(
      Buffer.concat([
        tnefStart,
        tnefAttribute(
          0x00069005,
          Buffer.alloc(contentBytes(bytes), Buffer.from('1f0004370100000000080000', 'hex')),
        ),
      ]),
      'application/ms-tnef',
    ),
  'TNEF names of nothing': file(tnefAttribute(0x00018010, Buffer.alloc(0)), tnefStart, 'application/ms-tnef'),
  'TNEF in TNEF': (bytes) => {
    let content = Buffer.alloc(contentBytes(bytes), 'x')
    for (let level = 0; level < 30; level++)
      content = Buffer.concat([tnefStart, tnefAttribute(0x0006800f, content)])
    return encoded(content, 'application/ms-tnef')
  },
  'entries of AppleSingle': (bytes) => {
    const entries = Math.min(0xffff, Math.floor(contentBytes(bytes) / 24))
    const start = Buffer.alloc(26)
    start.writeUInt32BE(0x00051600)
    start.writeUInt16BE(entries, 24)
    const entry = Buffer.alloc(12)
    entry.writeUInt32BE(1)
    entry.writeUInt32BE(0xffffffff, 8)
    const content = Buffer.concat([start, Buffer.alloc(12 * entries, entry), Buffer.alloc(12 * entries, 'x')])
    for (let at = 0; at < entries; at++) content.writeUInt32BE(at, 26 + 12 * at + 4)
    return encoded(content, 'application/applefile')
  },
  'UTF-16': file(Buffer.from('a\0b\0\r\0\n\0'), Buffer.from('fffe', 'hex'), 'text/plain; charset=utf-16'),
  'UTF-7': text('+AGEAYg-', 'text/plain; charset=utf-7'),
  EBCDIC: text('\x81\x82', 'text/plain; charset=cp037'),
  'charsets in pieces': header((i) => `;charset*${i}=utf-7`),
  'escape sequences': text('a\x1b(B', 'text/plain; charset=iso-2022-jp'),
  'escape characters': text('\x1b', 'text/plain; charset=iso-2022-jp'),
  'escape sequences among other bytes': text('\xff\x1b(B\xff\xff\xff', 'text/plain; charset=x'),
  tildes: text('~', 'text/plain; charset=hz'),
  'many charsets': text(
    'a',
    `text/plain; ${Array.from({ length: 8 }, (_, i) => `charset=cp${437 + i}`).join('; ')}`,
  ),
  'wide charsets': file(
    Buffer.from('a\0b\0'),
    Buffer.alloc(0),
    'text/plain; charset=utf-16; charset=utf-32; charset=utf-16le; charset=utf-32be',
  ),
  'empty parts': parts('--b\r\n\r\n'),
  'small parts': parts('--b\r\nContent-Type: text/plain\r\n\r\nabc\r\n'),
  'small parts, each another': parts((i) => `--b\r\nContent-Type: text/plain\r\n\r\nabc ${i}\r\n`),
  'small encoded parts, each another': parts(
    (i) =>
      `--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from(`abc ${i}`).toString('base64')}\r\n`,
  ),
  'parts of 2 kB, each another': parts(
    (i) =>
      `--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable;\r\n\r\n${`abc=20 ${i}\r\n`.repeat(150)}\r\n`,
  ),
  'parts of a digest': parts('--b\r\n\r\nSubject: a\r\n\r\ntext\r\n', 'multipart/digest'),
  'delimiters alone': parts('--b\r\n'),
  'closing delimiters': parts('--b--\r\n'),
  'lines of dashes': parts('-----\r\n'),
  'delimiters behind CRs': parts('x\r--b\rContent-Type: text/plain\r\r'),
  'delimiters behind CRs, of nobody': parts('\r--x'),
  'boundaries announced': text((i) => `boundary=b${i}\r\n`),
  'boundaries announced, and used': text((i) => `boundary=b${i % 64}x\r\nb${i % 64}x\r\n`),
  'one boundary everywhere': (bytes) =>
    bytesOf(head('Content-Type: multipart/mixed; boundary=abc') + filled(bytes, 'abc')),
  'the word boundary': text('boundary='),
  'the word Content': text('Content-'),
  'headers without end': text('X-A: b\r\n'),
  'content headers without end': text('Content-Type: a\r\n'),
  'blocks of headers': text('Content-A: b\r\n\r\n'),
  'blocks of headers, each another': text((i) => `Content-A: ${i}\r\n\r\n`),
  'fields with an equals sign': text('content=a\r\n\r\n'),
  'a long header': header('x'),
  'a header of folds': header('\r\n x'),
  'folds without text': header('\r\n '),
  'one parameter': header('x', 'Content-Type: text/plain; name='),
  parameters: header(';name=a'),
  'parameters in pieces': header((i) => `;name*${i}=a`),
  'boundaries of one header': header((i) => `;boundary=a${i}`, 'Content-Type: multipart/mixed'),
  'boundaries in pieces': header((i) => `;boundary*${i}=a`, 'Content-Type: multipart/mixed'),
  'quotes without end': header(';name="', 'Content-Type: multipart/mixed; boundary="'),
  'comments in one another': header('('),
  comments: header('(a)'),
  backslashes: header('\\'),
  'encoded words': header(' =?utf-8?q?a?=', 'Content-Type: text/plain; name='),
  'encoded words without end': header('=?utf-8?q?', 'Content-Transfer-Encoding: '),
  'encodings of one header': header('base64;', 'Content-Transfer-Encoding: '),
  'the word encoding in a header': header('encoding'),
  'content headers': header('\r\nContent-Type: text/plain; name=a; boundary=b'),
  'headers of parts at their bound': parts(
    (i) => `--b\r\nContent-Type: multipart/mixed; ${`boundary*${i}="a;`.repeat(1500)}\r\n\r\n`,
  ),
  'encodings of parts at their bound': parts(
    (i) => `--b\r\n${`Content-Transfer-Encoding: =?utf-8?q?base64?= (${i})\r\n`.repeat(500)}\r\nQUJD\r\n`,
  ),
  'names of parts at their bound': parts(
    (i) => `--b\r\nContent-Type: text/plain; ${'name*="=?utf-8?q?a?=;'.repeat(1500)}${i}\r\n\r\n`,
  ),
  'multiparts in one another': (bytes) =>
    inOneAnother(bytes, (i) => `--b${i}\r\nContent-Type: multipart/mixed; boundary=b${i + 1}\r\n\r\n`),
  'multiparts with one boundary': (bytes) =>
    inOneAnother(bytes, () => `--b0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n`),
  'messages in one another': (bytes) => bytesOf(filled(bytes, 'Content-Type: message/rfc822\r\n\r\n')),
  'encoded messages in one another': (bytes) => {
    let mail: Buffer = bytesOf('Subject: a\r\n\r\n' + 'x'.repeat(bytes / 100))
    while (mail.length < bytes) mail = encoded(mail, 'message/rfc822')
    return mail
  },
  'quoted-printable messages in one another': (bytes) => {
    let mail = 'Subject: a\r\n\r\n' + filled(bytes * 0.8, 'abcdefg hij\r\n')
    for (let level = 0; level < 40; level++)
      mail =
        head('Content-Type: message/rfc822', 'Content-Transfer-Encoding: quoted-printable') +
        mail.replace(/=/g, '=3D')
    return bytesOf(mail)
  },
  'messages side by side': parts(
    (i) =>
      `--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: ${i}\r\nContent-Type: text/plain\r\n\r\nabc\r\n`,
  ),
  'files like messages': parts(
    (i) =>
      `--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from(`Content-Type: text/plain\r\n\r\n${i}`).toString('base64')}\r\n`,
  ),
  'a message that looks like many': (bytes) =>
    encoded(bytesOf(filled(contentBytes(bytes), 'Content-Type: text/plain\r\n\r\nx\0\r')), 'message/rfc822'),
  'zip with many entries': (bytes) =>
    zipped(bytes, (count) => zip(Array.from({ length: count }, (_, i) => `${i}`)), 110),
  'zip headers alone': file(
    Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(26)]),
    Buffer.alloc(0),
    'application/zip',
  ),
  'zip ends alone': file(
    Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(18)]),
    Buffer.alloc(0),
    'application/zip',
  ),
  'zip directory alone': file(
    Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.alloc(42)]),
    Buffer.from('PK\x03\x04'),
    'application/zip',
  ),
  'zip marks': file(Buffer.from('PK'), Buffer.alloc(0), 'application/zip'),
  'zip with one large entry': (bytes) =>
    encoded(zip([{ name: 'a', content: Buffer.alloc(bytes * 4, 'x'), method: 8 }]), 'application/zip'),
  'zip in zip': (bytes) => {
    let content = zip([{ name: 'a', content: Buffer.alloc(contentBytes(bytes), 'x'), method: 0 }])
    for (let level = 0; level < 14; level++) content = zip([{ name: 'a.zip', content, method: 0 }])
    return encoded(content, 'application/zip')
  },
  'RAR blocks': file(
    Buffer.from('000073000000070000', 'hex'),
    Buffer.from('Rar!\x1a\x07\x00', 'latin1'),
    'application/x-rar',
  ),
  'RAR 5 blocks': file(
    Buffer.from('00000000020200', 'hex'),
    Buffer.from('Rar!\x1a\x07\x01\x00', 'latin1'),
    'application/x-rar',
  ),
  'RAR 5 records': (bytes) =>
    encoded(
      Buffer.concat([
        Buffer.from('Rar!\x1a\x07\x01\x00', 'latin1'),
        Buffer.from('00000000ffffff7f0201ffffff7f', 'hex'),
        Buffer.alloc(contentBytes(bytes), Buffer.from('0102', 'hex')),
      ]),
    ),
  'OLE marks': file(Buffer.from('EncryptedPackage', 'utf16le'), Buffer.from('d0cf11e0a1b11ae1', 'hex')),
  'empty comments in a page': text('<!---->', 'text/html'),
  'numbers of PDF objects': file(
    Buffer.from('21 0 obj '),
    Buffer.from('%PDF-1.4\n1 0 obj <<>>\n/Encrypt 1 0 R\n'),
  ),
  'PDF marks': file(Buffer.from('/Encrypt 1 trailer '), Buffer.from('%PDF-1.4\n')),
  'gzip in CMS': file(Buffer.from('3080060b2a864886f70d0109100109', 'hex')),
}
