// Header blocks, the line ends of the whole mail, and what stands in front of it.
import { crlf, type Forms } from './form'

export type Field = readonly [name: string, value: string]

/** The block with the empty line behind it, or with what stands there instead. */
export type HeaderBlock = (fields: readonly Field[]) => string

const line = ([name, value]: Field) => `${name}: ${value}\r\n`
const block = (fields: readonly Field[]) => fields.map(line).join('')

function isField(name: string): (field: Field) => boolean {
  return (field) => field[0].toLowerCase() === name.toLowerCase()
}

const isType = isField('Content-Type')
const isEncoding = isField('Content-Transfer-Encoding')
const says = (field: Field) => isType(field) || isEncoding(field)

/** Some fields written in another way. */
function written(applies: (field: Field) => boolean, write: (field: Field) => string): HeaderBlock {
  return (fields) => fields.map((field) => (applies(field) ? write(field) : line(field))).join('') + '\r\n'
}

/** Something in front of the block or between it and the body. */
function around(front: string, end = '\r\n'): HeaderBlock {
  return (fields) => `${front}${block(fields)}${end}`
}

/** A second field of the same name, in front of the block or behind it. */
function doubled(field: Field, place: 'front' | 'behind'): HeaderBlock {
  return (fields) =>
    place === 'front' ? `${line(field)}${block(fields)}\r\n` : `${block(fields)}${line(field)}\r\n`
}

const type = 'Content-Type'
const encoding = 'Content-Transfer-Encoding'

export const headerBlocks: Forms<HeaderBlock> = {
  usual: (fields) => `${block(fields)}\r\n`,
  'a blank before the colon of the type': written(isType, ([n, v]) => `${n} : ${v}\r\n`),
  'a blank before the colon of the encoding': written(isEncoding, ([n, v]) => `${n} : ${v}\r\n`),
  'blanks before every colon': written(
    () => true,
    ([n, v]) => `${n} : ${v}\r\n`,
  ),
  'a tab before the colon': written(says, ([n, v]) => `${n}\t: ${v}\r\n`),
  'many blanks before the colon': written(says, ([n, v]) => `${n}${' '.repeat(40)}: ${v}\r\n`),
  'no blank behind the colon': written(says, ([n, v]) => `${n}:${v}\r\n`),
  'a tab behind the colon': written(says, ([n, v]) => `${n}:\t${v}\r\n`),
  'two colons': written(says, ([n, v]) => `${n}:: ${v}\r\n`),
  'no colon': written(says, ([n, v]) => `${n} ${v}\r\n`),
  'an equals sign for the colon': written(says, ([n, v]) => `${n}= ${v}\r\n`),
  'a fold behind the colon': written(says, ([n, v]) => `${n}:\r\n ${v}\r\n`),
  'a fold behind the colon, by tab': written(says, ([n, v]) => `${n}:\r\n\t${v}\r\n`),
  'two folds behind the colon': written(says, ([n, v]) => `${n}:\r\n \r\n ${v}\r\n`),
  'a fold before the colon': written(says, ([n, v]) => `${n}\r\n : ${v}\r\n`),
  'a fold inside the name': written(says, ([n, v]) => `${n.slice(0, 8)}\r\n ${n.slice(8)}: ${v}\r\n`),
  'a fold by LF alone': written(says, ([n, v]) => `${n}:\n ${v}\r\n`),
  'a fold by CR alone': written(says, ([n, v]) => `${n}:\r ${v}\r\n`),
  'a fold without blank': written(says, ([n, v]) => `${n}:\r\n${v}\r\n`),
  'parameters on lines that are not indented': written(
    says,
    ([n, v]) => `${n}: ${v.replace(/; ?/g, ';\r\n')}\r\n`,
  ),
  'parameters on lines of their own': written(says, ([n, v]) => `${n}: ${v.replace(/; ?/g, '\r\n ; ')}\r\n`),
  'a fold behind the value': written(says, ([n, v]) => `${n}: ${v}\r\n \r\n`),
  'many blanks behind the value': written(says, ([n, v]) => `${n}: ${v}${' '.repeat(900)}\r\n`),
  'in upper case': written(says, ([n, v]) => `${n.toUpperCase()}: ${v}\r\n`),
  'in lower case': written(says, ([n, v]) => `${n.toLowerCase()}: ${v}\r\n`),
  'indented by a blank': written(says, ([n, v]) => ` ${n}: ${v}\r\n`),
  'a comment behind': written(says, ([n, v]) => `${n}: ${v} (comment)\r\n`),
  'a comment in front': written(says, ([n, v]) => `${n}: (comment) ${v}\r\n`),
  'nested comments in front': written(says, ([n, v]) => `${n}: (a (b) \\) c) ${v}\r\n`),
  'a NUL behind the value': written(says, ([n, v]) => `${n}: ${v}\0\r\n`),
  'a NUL in front of the value': written(says, ([n, v]) => `${n}: \0${v}\r\n`),
  'a NUL inside the name': written(says, ([n, v]) => `${n.slice(0, 8)}\0${n.slice(8)}: ${v}\r\n`),
  'a NUL in front of the name': written(says, ([n, v]) => `\0${n}: ${v}\r\n`),
  'an eight-bit letter in front of the value': written(says, ([n, v]) => `${n}: \xe4${v}\r\n`),
  'a no-break space in front of the value': written(says, ([n, v]) => `${n}: \xa0${v}\r\n`),
  'underscores in the name': written(says, ([n, v]) => `${n.replaceAll('-', '_')}: ${v}\r\n`),
  'two dashes in the name': written(says, ([n, v]) => `${n.replace('-', '--')}: ${v}\r\n`),
  'X- in front of the encoding': written(isEncoding, ([n, v]) => `X-${n}: ${v}\r\n`),
  'Content-Encoding for the encoding': written(isEncoding, ([, v]) => `Content-Encoding: ${v}\r\n`),
  'the encoding in front of the type': (fields) =>
    block([...fields.filter(isEncoding), ...fields.filter((field) => !isEncoding(field))]) + '\r\n',
  'the value as an encoded word': written(says, ([n, v]) => `${n}: =?us-ascii?Q?${encodedWord(v)}?=\r\n`),
  'another type in front': doubled([type, 'text/plain'], 'front'),
  'another type behind': doubled([type, 'text/plain'], 'behind'),
  'another multipart in front': doubled([type, 'multipart/mixed; boundary="zz"'], 'front'),
  'another multipart behind': doubled([type, 'multipart/mixed; boundary="zz"'], 'behind'),
  'an empty type in front': doubled([type, ''], 'front'),
  'an empty type behind': doubled([type, ''], 'behind'),
  'another encoding in front': doubled([encoding, '7bit'], 'front'),
  'another encoding behind': doubled([encoding, '7bit'], 'behind'),
  'quoted-printable in front': doubled([encoding, 'quoted-printable'], 'front'),
  'quoted-printable behind': doubled([encoding, 'quoted-printable'], 'behind'),
  'base64 in front': doubled([encoding, 'base64'], 'front'),
  'base64 behind': doubled([encoding, 'base64'], 'behind'),
  'an unknown encoding in front': doubled([encoding, 'x-zz'], 'front'),
  'an unknown encoding behind': doubled([encoding, 'x-zz'], 'behind'),
  'everything twice': (fields) => `${block(fields)}${block(fields)}\r\n`,
  'a line that is no field in front': around('This is no field\r\n'),
  'a line that is no field behind': around('', 'This is no field\r\n\r\n'),
  'lines that are no fields between': written(says, (field) => `no field\r\n${line(field)}`),
  'an empty line in front': around('\r\n'),
  'an empty line in front of the type': written(isType, (field) => `\r\n${line(field)}`),
  'an empty line in front of the encoding': written(isEncoding, (field) => `\r\n${line(field)}`),
  'a line of blanks in front': around('  \r\n'),
  'a line of blanks in front of the type': written(isType, (field) => ` \r\n${line(field)}`),
  'a line of blanks in front of the encoding': written(isEncoding, (field) => ` \t\r\n${line(field)}`),
  'a byte order mark in front': around('\xef\xbb\xbf'),
  'a From line in front': around('From sender@example.com Mon Jan  2 10:00:00 2023\r\n'),
  'a quoted From line in front': around('>From sender@example.com Mon Jan  2 10:00:00 2023\r\n'),
  'an open quote in a field in front': around('Content-Description: 5" nails\r\n'),
  'an open quote in a field of another kind in front': around('X-Note: 5" nails\r\n'),
  'an open comment in a field in front': around('Content-Description: (nails\r\n'),
  'a backslash at the end of a field in front': around('Content-Description: nails\\\r\n'),
  'a semicolon at the end of a field in front': around('Content-Description: nails;\r\n'),
  'a comma at the end of a field in front': around('Content-Description: nails,\r\n'),
  'an equals sign at the end of a field in front': around('Content-Description: nails=\r\n'),
  'an empty field in front': around('Content-Description:\r\n'),
  'an open quote in a field behind': around('', 'Content-Description: 5" nails\r\n\r\n'),
  'a lone colon in front': around(': zz\r\n'),
  'a continuation in front': around(' zz\r\n'),
  'a long field in front': around(`X-Long: ${'x'.repeat(1200)}\r\n`),
  'a very long field in front': around(`X-Long: ${'x'.repeat(70_000)}\r\n`),
  'a long folded field in front': around(
    `X-Long: x\r\n${crlf(...Array<string>(300).fill(` ${'x'.repeat(70)}`))}`,
  ),
  'a field of 300 kB in front': around(crlf(...Array<string>(4200).fill(` ${'x'.repeat(70)}`)).slice(1)),
  'many fields in front': around(crlf(...Array.from({ length: 1200 }, (_, i) => `X-${i}: x`))),
  '6000 fields in front': around(crlf(...Array.from({ length: 6000 }, (_, i) => `X-${i}: x`))),
  'a field of 998 characters, then the type': longLine(998),
  'a field of 1000 characters, then the type': longLine(1000),
  'a field of 1022 characters, then the type': longLine(1022),
  'a header with a delimiter': around('X-Delimiter:\r\n --=_part_0\r\n'),
  'no empty line behind': around('', ''),
  'blanks for the empty line': around('', '  \r\n'),
  'a tab for the empty line': around('', '\t\r\n'),
  'LF for the empty line': around('', '\n'),
  'CR for the empty line': around('', '\r'),
  'CR CR LF for the empty line': around('', '\r\r\n'),
  'LF CR for the empty line': around('', '\n\r'),
  'a NUL for the empty line': around('', '\0\r\n'),
  'two empty lines behind': around('', '\r\n\r\n'),
  'the lines end in LF': (fields) => `${block(fields).replaceAll('\r\n', '\n')}\n`,
  'the lines end in CR': (fields) => `${block(fields).replaceAll('\r\n', '\r')}\r`,
  'the lines end in CR CR LF': (fields) => `${block(fields).replaceAll('\r\n', '\r\r\n')}\r\r\n`,
  'the lines end in CR LF by turns with LF': (fields) =>
    fields.map((field, i) => (i % 2 ? line(field) : line(field).replaceAll('\r\n', '\n'))).join('') + '\r\n',
  'a CR in front of the type': written(isType, (field) => `X-Note: a\r${line(field)}`),
  'a CR in front of the encoding': written(isEncoding, (field) => `X-Note: a\r${line(field)}`),
  'an LF in front of the encoding': written(isEncoding, (field) => `X-Note: a\n${line(field)}`),
}

function encodedWord(value: string): string {
  return value.replace(/[=?_ ]/g, (c) => `=${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** A program that cuts lines there sees a field more. */
function longLine(length: number): HeaderBlock {
  return around(`${'X-Long: '.padEnd(length, 'x')}Content-Type: text/plain\r\n`)
}

/** MIME-Version, or what stands there instead. */
export const versions: Forms<readonly Field[]> = {
  usual: [['MIME-Version', '1.0']],
  missing: [],
  'another version': [['MIME-Version', '2.0']],
  empty: [['MIME-Version', '']],
  'with comments': [['Mime-Version', '(a) 1 (b) . (c) 0']],
  twice: [
    ['MIME-Version', '1.0'],
    ['MIME-Version', '1.0'],
  ],
}

/** The other fields of the whole mail. */
export const envelopes: Forms<readonly Field[]> = {
  usual: [
    ['From', 'Sender <sender@example.com>'],
    ['To', 'Recipient <recipient@example.com>'],
    ['Subject', 'test'],
    ['Date', 'Mon, 02 Jan 2023 10:00:00 +0000'],
    ['Message-ID', '<odd@example.com>'],
  ],
  none: [],
  'unknown ones first': [
    ['X-Foo', 'bar'],
    ['X-Spam', 'no'],
    ['From', 'sender@example.com'],
  ],
  'only one': [['Subject', 'test']],
  'none that clamd knows a mail by': [
    ['DKIM-Signature', 'v=1; a=rsa-sha256; d=example.com; s=a; h=from; bh=YQ==; b=YQ=='],
    ['Reply-To', 'sender@example.com'],
    ['Subject', 'test'],
  ],
  'a type in the subject': [
    ['From', 'sender@example.com'],
    ['Subject', 'Content-Type: text/plain'],
  ],
}

/** What is done with the whole mail in the end. */
export const lineEnds: Forms<(mail: string) => string> = {
  usual: (mail) => mail,
  LF: (mail) => mail.replaceAll('\r\n', '\n'),
  CR: (mail) => mail.replaceAll('\r\n', '\r'),
  'CR CR LF': (mail) => mail.replaceAll('\r\n', '\r\r\n'),
  'LF CR': (mail) => mail.replaceAll('\r\n', '\n\r'),
  'CR LF and LF by turns': (mail) => byTurns(mail, ['\r\n', '\n']),
  'CR LF and CR by turns': (mail) => byTurns(mail, ['\r\n', '\r']),
  'CR LF, LF and CR by turns': (mail) => byTurns(mail, ['\r\n', '\n', '\r', '\r\n', '\r\r\n']),
  'LF behind the header': (mail) => afterHeader(mail, (body) => body.replaceAll('\r\n', '\n')),
  'CR behind the header': (mail) => afterHeader(mail, (body) => body.replaceAll('\r\n', '\r')),
  'none at the end': (mail) => mail.replace(/[\r\n]+$/, ''),
  'a NUL before each': (mail) => mail.replaceAll('\r\n', '\0\r\n'),
  'a lone dot at the end': (mail) => `${mail}.\r\n`,
}

function byTurns(mail: string, ends: readonly string[]): string {
  let turn = 0
  return mail.replaceAll('\r\n', () => ends[turn++ % ends.length] ?? '')
}

function afterHeader(mail: string, change: (body: string) => string): string {
  const end = mail.indexOf('\r\n\r\n')
  return end < 0 ? mail : mail.slice(0, end + 4) + change(mail.slice(end + 4))
}
