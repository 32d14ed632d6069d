// What is plain: what ordinary programs write, however it is cut into blocks. What is not, and why: one form at a time,
// each an ordinary mail otherwise.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlainCheck, type PlainResult } from '../../../lib/mime/plain/plain-check'

function check(mail: string, blockBytes = mail.length): PlainResult {
  const bytes = Buffer.from(mail, 'latin1')
  const check = new PlainCheck()
  for (let at = 0; at < bytes.length; at += blockBytes) check.write(bytes.subarray(at, at + blockBytes))
  return check.end()
}

const crlf = (...lines: string[]) => lines.map((line) => `${line}\r\n`).join('')
const head = crlf('From: a@example.com', 'Subject: test', 'MIME-Version: 1.0')
const base64 = (content: string | Buffer) =>
  Buffer.from(content)
    .toString('base64')
    .replace(/.{1,76}/g, '$&\r\n')
const text = crlf('Content-Type: text/plain; charset=utf-8', '', 'Hello')
const encodedText = text.replace('\r\n\r\n', '\r\nContent-Transfer-Encoding: 8bit\r\n\r\n')
const file = (body: string, type = 'application/octet-stream; name="a.bin"', encoding = 'base64') =>
  `Content-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}`
const ordinaryFile = file(base64('x'.repeat(300)))
const multipart = (
  parts: string[],
  how: { readonly type?: string; readonly boundary?: string; readonly parameter?: string } = {},
) => {
  const { type = 'multipart/mixed', boundary = '=_b', parameter = `boundary="${boundary}"` } = how
  const delimited = parts.map((part) => `--${boundary}\r\n${part}`).join('')
  return `Content-Type: ${type}; ${parameter}\r\n\r\n${delimited}--${boundary}--\r\n`
}
const mixed = (...parts: string[]) => head + multipart([text, ...parts])
const attached = (body: string, type?: string, encoding?: string) => mixed(file(body, type, encoding))
const message = (inner: string) => `Content-Type: message/rfc822\r\n\r\n${head}${inner}`
const parameters = (count: number) => Array.from({ length: count }, (_, at) => `a${at}=b;\r\n `).join('')
const nested = (times: number): string =>
  times === 0 ? ordinaryFile : multipart([nested(times - 1)], { boundary: `b${times}x` })

const textWith = (...lines: string[]) => head + crlf('Content-Type: text/plain', '', ...lines)

const plain: Record<string, string> = {
  'a text': head + text,
  'no MIME at all': crlf('Subject: test', '', 'Hello', '', '-- ', 'the sender'),
  'an empty body': `${head}\r\n`,
  'a text in base64': head + file(base64('Hello '.repeat(50)), 'text/plain; charset="UTF-8"'),
  'HTML in quoted-printable':
    head + file(crlf('<p class=3D"x">Gr=C3=BC=C3=9Fe=', '</p>'), 'text/html', 'quoted-printable'),
  'an attachment': mixed(ordinaryFile),
  'two attachments': mixed(ordinaryFile, ordinaryFile),
  'an empty attachment': attached(''),
  'an attachment of whole lines': attached(base64('x'.repeat(57 * 3))),
  'a delimiter as long as the line of base64': mixed(file('QUJD\r\n'), file('QUJDQUJD\r\n')).replaceAll(
    '=_b',
    '=_b___',
  ),
  'an empty line behind base64': attached(`${base64('x'.repeat(100))}\r\n`),
  'a preamble and an epilogue':
    head +
    multipart([ordinaryFile]).replace(
      '\r\n\r\n',
      '\r\n\r\nThis is a multi-part message in MIME format.\r\n',
    ) +
    crlf('', '_____', 'The list'),
  'an alternative in a related in a mixed': mixed(
    multipart([multipart([text, text], { type: 'multipart/alternative', boundary: 'in_b' }), ordinaryFile], {
      type: 'multipart/related; type="multipart/alternative"',
      boundary: 'out_b',
    }),
    ordinaryFile,
  ),
  'text in Japanese': textWith('\x1b$B$3$s\x1b(B, Taro \x1b$B$5$s\x1b(B', 'Hello').replace(
    'text/plain',
    'text/plain; charset=iso-2022-jp',
  ),
  'text in colours': textWith('\x1b[1mHello\x1b[0m'),
  'a message in one, and an encoding in the inner one': mixed(
    message(multipart([text, message(encodedText)], { boundary: 'in_b' })),
  ),
  'a message as the whole mail': head + message(text),
  'a boundary without quotes': head + multipart([text], { parameter: 'boundary=b1_x', boundary: 'b1_x' }),
  'a forwarded message': mixed(message(multipart([text, ordinaryFile], { boundary: 'other_b' }))),
  'eight levels': head + nested(8),
  'lines of dashes in text': mixed(
    crlf('Content-Type: text/plain', '', 'Hello', '--', '-- ', '-----Original Message-----'),
  ),
  'a header of the mail that ends in a semicolon': `X-Note: a;\r\n${mixed(ordinaryFile)}`,
  'the word begin': head + crlf('', 'begin: with this', 'beginning with that', 'begin', 'Begin at nine.'),
  'a signed text, inline': head + crlf('', '-----BEGIN PGP SIGNED MESSAGE-----', 'Hello'),
  'a header line of 998 bytes': `X-A: ${'x'.repeat(993)}\r\n${head}${text}`,
  'a long folded header':
    crlf(`References: <a@example.com>`, ...Array<string>(40).fill(`\t<${'a'.repeat(60)}@example.com>`)) +
    head +
    text,
  'a name as encoded words': attached(
    base64('x'),
    'application/pdf; name="=?utf-8?Q?R=C3=A9sum=C3=A9?=\r\n =?utf-8?Q?.pdf?="',
  ),
  'an invitation': mixed(
    file(
      crlf('BEGIN:VCALENDAR', 'ATTACH:https://example.com/', 'END:VCALENDAR'),
      'text/calendar; charset=utf-8',
      '7bit',
    ),
  ),
  'a bounce':
    head +
    multipart(
      [
        text,
        crlf('Content-Type: message/delivery-status', '', 'Reporting-MTA: dns; mx.example.com', ''),
        message(encodedText),
      ],
      { type: 'multipart/report; report-type=delivery-status' },
    ),
}

for (const [name, mail] of Object.entries(plain)) {
  test(`plain: ${name}`, () => {
    for (const blockBytes of [mail.length, 1, 7, 64])
      assert.equal(check(mail, blockBytes).oddity, null, String(blockBytes))
  })
}

const body = base64('x'.repeat(300))

const odd: Record<string, readonly (readonly [form: string, mail: string])[]> = {
  'a NUL': [['in text', textWith('a\0b')]],
  'LF without CR': [
    ['in text', textWith('a\nb')],
    ['behind a line end', textWith('a', '\n')],
    ['in base64', attached(body.replace('\r\n', '\n'))],
  ],
  'CR without LF': [
    ['in text', textWith('a\rb')],
    ['two of them', textWith('a\r')],
  ],
  'a line end within a header line': [['CR', head.replace('test', 'a\rb') + text]],
  'a long line': [
    ['in text', textWith('x '.repeat(500))],
    ['in headers', `X-A: ${'x'.repeat(994)}\r\n${head}${text}`],
  ],
  'no line end at the end': [['', `${head}\r\nHello`]],
  'headers without end': [['', head]],
  'a line that is no header': [
    ['a blank before the colon', head + text.replace('Type:', 'Type :')],
    ['a From line', `From a@example.com\r\n${head}${text}`],
    ['a delimiter', mixed('Content-Type: text/plain\r\n', text)],
    ['no name', `: x\r\n${head}${text}`],
  ],
  'a fold without text': [['', head + crlf('Content-Type: text/plain', ' ', '', 'Hello')]],
  'a name like that of a content header': [
    ['underscores', head + text.replace('Content-Type', 'Content_Type')],
    ['Content-Encoding', `Content-Encoding: base64\r\n${head}${text}`],
  ],
  'Content-Type twice': [['', `Content-Type: text/plain\r\n${head}${text}`]],
  'an empty content-type': [['', head + crlf('Content-Type:', '', 'Hello')]],
  'Content-Type': [
    ['no slash', head + crlf('Content-Type: text', '', 'Hello')],
    ['a semicolon behind', head + crlf('Content-Type: text/plain;', '', 'Hello')],
    ['a comment', head + crlf('Content-Type: text/plain (c)', '', 'Hello')],
    ['an open quote', head + crlf('Content-Type: text/plain; name="a', '', 'Hello')],
    ['an escape', head + crlf('Content-Type: text/plain; name="a\\"b"', '', 'Hello')],
    ['no semicolon', head + multipart([text], { parameter: 'charset=x boundary="=_b"' })],
  ],
  'Content-Transfer-Encoding': [
    ['unknown', attached(body, undefined, 'x-zz')],
    ['a comment', attached(body, undefined, 'base64 (c)')],
    ['a blank behind', attached(body, undefined, 'base64 ')],
    ['two', attached(body, undefined, 'base64, 7bit')],
    ['a fold behind', attached(body, undefined, 'base64\r\n x')],
  ],
  'Content-Disposition': [['unknown', mixed(`Content-Disposition: x\r\n${ordinaryFile}`)]],
  'a header that ends in a semicolon': [['of a part', mixed(`X-Note: a;\r\n${text}`)]],
  'a message with an odd first header': [
    ['another name', mixed(message(text).replace('From:', 'X-From:'))],
    ['no blank', mixed(message(text).replace('From: ', 'From:'))],
    ['a tab', mixed(message(text).replace('From: ', 'From:\t'))],
    ['a fold', mixed(message(text).replace('From: ', 'From:\r\n '))],
  ],
  'a message without an encoding': [
    ['one', mixed(message(text))],
    [
      'of parts, with 7bit',
      mixed(message(multipart([text, file('a\r\n', 'text/html', '7bit')], { boundary: 'in_b' }))),
    ],
    ['in one that has one', mixed(message(multipart([ordinaryFile, message(text)], { boundary: 'in_b' })))],
    ['between files', mixed(ordinaryFile, message(text), ordinaryFile)],
    ['whose part has one', mixed(`Content-Transfer-Encoding: 8bit\r\n${message(text)}`)],
  ],
  'a body like headers': [
    ['', mixed(crlf('Content-Type: text/plain', '', 'Contents of this mail'))],
    ['behind empty lines', mixed(crlf('Content-Type: text/plain', '', '', ' ', '', 'Contents of this mail'))],
  ],
  'many parameters': [
    ['of a multipart', head + multipart([text], { parameter: `${parameters(256)}boundary="=_b"` })],
    ['of a file', attached(body, `application/octet-stream; ${parameters(100)}name=a`)],
    [
      'of a disposition',
      mixed(`Content-Disposition: inline; ${parameters(100)}filename=a\r\n${ordinaryFile}`),
    ],
  ],
  'a file in lines of text': [
    ['in quoted-printable', attached('PK=03=04=\r\n=0A\r\nx\r\n', 'text/plain', 'quoted-printable')],
    ['a program', attached('MZ=90=00\r\n\r\n=00\r\n', 'image/png', 'quoted-printable')],
    ['as it is', attached('%PDF-1.4\r\nx\r\n', 'application/pdf', '7bit')],
    ['of one line', attached('xyz\r\n', 'application/pgp-keys', '7bit')],
    ['of any type', attached('a\r\nb\r\n', 'application/octet-stream', '8bit')],
  ],
  'loose bits behind base64': [
    ['of two digits', attached('QUJDQR==\r\n')],
    ['of three', attached('QUJDQUJ=\r\n')],
  ],
  'an odd escape in text': [
    ['to ASCII from ASCII', textWith('X5O\x1b(B!P%')],
    ['there and back', textWith('X5O\x1b$B\x1b(B!P%')],
    ['to Roman letters', textWith('X5O\x1b(J!P%')],
    ['another', textWith('X5O\x1b$(D!P%')],
  ],
  delsp: [['', attached('a \r\nb\r\n', 'text/plain; format=flowed; delsp=yes', '7bit')]],
  'an encoding without a type': [['', mixed(`Content-Transfer-Encoding: base64\r\n\r\n${body}`)]],
  'an encoded multipart': [['', `${head}Content-Transfer-Encoding: base64\r\n${multipart([text])}`]],
  'an encoded message': [['', mixed(`Content-Transfer-Encoding: base64\r\n${message(text)}`)]],
  boundary: [
    ['none', head + multipart([text], { parameter: 'charset=x' })],
    ['two', head + multipart([text], { parameter: 'boundary="zz"; boundary="=_b"' })],
    ['within a value', head + multipart([text], { parameter: 'x="boundary=zz"; boundary="=_b"' })],
    ['a blank', head + multipart([text], { boundary: 'a b' })],
    ['brackets', head + multipart([text], { boundary: 'a(c)b' })],
    ['71 characters', head + multipart([text], { boundary: 'b'.repeat(71) })],
    ['dashes behind', head + multipart([text], { boundary: 'b--' })],
  ],
  'parameters of a multipart': [['', head + multipart([text], { parameter: 'boundary*0="=_b"' })]],
  'boundaries alike': [
    ['longer', mixed(multipart([text], { boundary: '=_b2' }))],
    ['another case', mixed(multipart([text], { boundary: '=_B' }))],
  ],
  'a boundary of no multipart': [['', attached(body, 'text/plain; boundary="=_c"')]],
  'multipart/signed': [['', head + multipart([text, text], { type: 'multipart/signed' })]],
  'multipart/x-zz': [['', head + multipart([text], { type: 'multipart/x-zz' })]],
  'message/partial': [['', mixed(crlf('Content-Type: message/partial; id=a; number=1', '', 'Hello'))]],
  'a line like a delimiter': [
    ['a blank behind', mixed(ordinaryFile).replace('--=_b\r\n', '--=_b \r\n')],
    [
      'a tail',
      mixed(text).replace(
        /--=_b\r\n(?=Content-Type: text\/plain; charset=utf-8\r\n\r\nHello\r\n--=_b--)/,
        '--=_bzz\r\n',
      ),
    ],
    ['of the multipart around', mixed(multipart([text], { boundary: 'in_b' }).replace('--in_b--\r\n', ''))],
    ['behind a comment', mixed(crlf('Content-Type: text/plain', '', '(c)--=_b'))],
  ],
  'dashes between parts': [['', mixed(ordinaryFile) + crlf('--=_b', '', 'Hello')]],
  'odd text between parts': [
    ['headers', head + multipart([text]).replace('\r\n\r\n', '\r\n\r\nContent-Type: text/plain\r\n\r\n')],
    ['uuencode', mixed(ordinaryFile) + crlf('begin 644 a')],
  ],
  'a multipart without parts': [['', head + multipart([])]],
  'a multipart without end': [['', mixed(ordinaryFile).replace('--=_b--\r\n', '')]],
  'too deep': [['', head + nested(9)]],
  'many parts': [['', mixed(...Array<string>(501).fill(text))]],
  'many short lines': [['', textWith(...Array<string>(20_000).fill(''))]],
  'many lines of dashes': [['', textWith(...Array<string>(2500).fill('--'))]],
  'length of a base64 line': [
    ['a longer one', attached(`QUJD\r\nQUJDQUJD\r\n`)],
    ['no groups of four', attached('QUJDQ\r\n')],
  ],
  'text behind base64': [
    ['padding within', attached('QQ==\r\nQUJD\r\n')],
    ['a shorter line within', attached('QUJDQUJD\r\nQUJD\r\nQUJDQUJD\r\n')],
    ['an empty line within', attached('QUJD\r\n\r\nQUJD\r\n')],
  ],
  'no base64': [
    ['padding within a line', attached('QQ==QUJD\r\n')],
    ['blanks', attached('QU JDQU \r\n')],
    ['the alphabet of addresses', attached('QU-_\r\n')],
    ['in a line among many', attached(body.replace('eHh4', 'e*h4'))],
  ],
  'blanks behind quoted-printable': [
    ['a blank', attached('a \r\n', 'text/plain', 'quoted-printable')],
    ['a tab', attached('a\t\r\n', 'text/plain', 'quoted-printable')],
  ],
  'a broken escape': [
    ['no digits', attached('a=ZZ\r\n', 'text/plain', 'quoted-printable')],
    ['a soft break with a blank', attached('a= \r\nb\r\n', 'text/plain', 'quoted-printable')],
  ],
  'a soft break at the end': [['', attached('a=\r\n', 'text/plain', 'quoted-printable')]],
  'eight-bit quoted-printable': [['', attached('\xe4\r\n', 'text/plain', 'quoted-printable')]],
  'uuencode in text': [
    ['plain', textWith('begin 644 a.bin')],
    ['begin-base64', textWith('Hello', 'begin-base64 644 a.bin')],
    ['in upper case', textWith('BEGIN 644 a.bin')],
    ['in quoted-printable', attached('be=67in 64=\r\n4 a\r\n', 'text/plain', 'quoted-printable')],
    ['in base64', attached(base64(crlf('Hello', 'begin 644 a.bin')), 'text/plain')],
    ['behind a soft break', attached('Hello=\r\nbegin 644 a\r\n', 'text/plain', 'quoted-printable')],
    ['behind 60 kB', textWith(...Array<string>(1000).fill('x '.repeat(30)), 'begin 644 a.bin')],
  ],
  'yEnc in text': [['', textWith('=ybegin line=128 size=4 name=a')]],
  'BinHex in text': [['', textWith('(This file must be converted with BinHex 4.0)')]],
  'base64 in text': [['', textWith('QUJD'.repeat(19))]],
  'headers in text': [
    ['', textWith('Hello', 'Content-Type: text/html')],
    [
      'behind a soft break',
      attached('=58=\r\nContent-Transfer-Encoding: base64\r\n', 'text/plain', 'quoted-printable'),
    ],
  ],
  'a file in a calendar': [
    ['of vCard 2.1', attached(crlf('PHOTO;JPEG;BASE64:QUJD'), 'text/x-vcard', '7bit')],
    ['by its name', attached(crlf('ATTACH;ENCODING=B:QUJD'), 'text/plain; name="a.ICS"', '7bit')],
    [
      'by the name of its file',
      mixed(
        `Content-Disposition: attachment; filename=a.vcf\r\n${file(crlf('PHOTO;ENCODING=B:QUJD'), 'application/octet-stream', '7bit')}`,
      ),
    ],
    ['', attached(crlf('BEGIN:VCALENDAR', 'ATTACH;ENCO', ' DING=BASE64:QUJD'), 'text/calendar', '7bit')],
  ],
  charset: [
    ['UTF-16', attached(body, 'text/plain; charset=utf-16')],
    ['UTF-7', attached('a\r\n', 'text/plain; charset=utf-7', '7bit')],
    ['two', attached(body, 'text/plain; charset=utf-8; charset=utf-8')],
  ],
  'an unknown type': [['', attached(body, 'zz/y')]],
  'application/ms-tnef': [['', attached(body, 'application/ms-tnef')]],
  TNEF: [['by its content', attached(base64(Buffer.from('789f3e220100', 'hex')))]],
  'a file of a Mac': [
    ['AppleSingle', attached(base64(Buffer.from(`00051600${'00'.repeat(60)}`, 'hex')))],
    ['MacBinary', attached(base64(`\0\x05a.exe${'\0'.repeat(200)}`))],
  ],
  'application/macbinary': [['', attached(body, 'application/macbinary')]],
  'S/MIME': [
    ['by its content', attached(base64(Buffer.from('3080 06092a864886f70d010702'.replace(' ', ''), 'hex')))],
    ['with a length in many bytes', attached(base64(Buffer.from(`3087${'00'.repeat(80)}`, 'hex')))],
  ],
  'the name of a container': [['', attached(body, 'application/octet-stream; name="a.eml"')]],
  'a file like a message': [['', attached(base64(head + text))]],
}

for (const [why, forms] of Object.entries(odd)) {
  for (const [form, mail] of forms) {
    test(`not plain: ${why}${form && `, ${form}`}`, () => {
      for (const blockBytes of [mail.length, 64, 1])
        assert.equal(check(mail, blockBytes).oddity, why, String(blockBytes))
    })
  }
}

test('what is closed is told, in plain messages and others', () => {
  const pgp = textWith('Hello', '-----BEGIN PGP MESSAGE-----', 'xyz')
  assert.deepEqual([check(pgp).oddity, check(pgp).encrypted], [null, 'PGP message'])
  const parts = head + multipart([text, text], { type: 'multipart/encrypted' })
  assert.equal(check(parts).encrypted, 'multipart/encrypted')
  const smime = attached(body, 'application/pkcs7-mime; smime-type=enveloped-data')
  assert.equal(check(smime).encrypted, 'S/MIME enveloped data')
  assert.equal(check(textWith('> -----BEGIN PGP MESSAGE-----')).encrypted, null)
})

test('containers are told by how parts begin', () => {
  const zip = base64(Buffer.from('504b030414000000', 'hex'))
  assert.equal(check(attached(zip)).hasContainers, true)
  assert.equal(check(attached(body)).hasContainers, false)
})
