// Tricks with the names of MIME parts: every case is a whole message, read in chunks of several sizes.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fittingMask } from '../../../lib/attachments/masks'
import { displayForms, nameForLog } from '../../../lib/attachments/normalize'
import {
  base64,
  inspected,
  lines,
  masksOf,
  mixed,
  raw,
  withHeaders,
} from '../../support/smtp/attachment-mails'

const type = 'Content-Type: application/octet-stream'
const disposition = 'Content-Disposition: attachment'
const word = (text: string, charset = 'utf-8') => `=?${charset}?B?${Buffer.from(text).toString('base64')}?=`

/** A multipart/mixed message whose Content-Type header is written out. */
function withType(value: string, ...body: string[]): Buffer {
  return raw(lines('Subject: test', `Content-Type: ${value}`, '', ...body))
}

const evil = [`${disposition}; filename="evil.exe"`, '', 'text']

const denied: Record<string, Buffer> = {
  'Content-Name, which old programs write': withHeaders(type, 'Content-Name: evil.exe'),
  'words of unpadded base64, each by itself': withHeaders(
    `${disposition}; filename="=?utf-8?B?ZXZpbA?= =?utf-8?B?LmV4ZQ?="`,
  ),
  'base64 that goes on behind its padding': withHeaders(
    `${disposition}; filename="=?utf-8?B?ZXZpbA==LmV4ZQ==?="`,
  ),
  'a word that leaves its charset shifted': withHeaders(
    `${disposition}; filename="=?iso-2022-jp?Q?=1B$BF|?= =?iso-2022-jp?Q?.exe?="`,
  ),
  'a word in one that does not end': withHeaders(`${disposition}; filename="=?utf-8?Q?x =?utf-8?Q?=2Eexe?="`),
  'a word without a charset': withHeaders(`${disposition}; filename="=??B?ZXZpbC5leGU=?="`),
  'a charset that is not that of the bytes': withHeaders(`${disposition}; filename*=utf-16''evil.exe`),
  'a charset with dots in it': withHeaders(`${disposition}; filename*=u.t.f.16''evil.exe`),
  'a comma behind the token': withHeaders(`${disposition}; filename=evil.exe,x`),
  'a bracket behind the token': withHeaders(`${disposition}; filename=evil.exe[1`),
  'quotes behind the token': withHeaders(`${disposition}; filename=evil.exe"x"`),
  'text behind a piece': withHeaders(`${disposition}; filename*0="evil."; filename*1=exe junk`),
  'a charset in front of each piece': withHeaders(
    `${disposition}; filename*0*=utf-8''evil.; filename*1*=utf-8''exe`,
  ),
  'a space in front of the star': withHeaders(`${disposition}; filename *=utf-8''evil%2Eexe`),
  'a byte behind it that is no UTF-8': withHeaders(`${disposition}; filename*=utf-8''evil.exe%FF`),
  'a byte in it that is no UTF-8': withHeaders(`${disposition}; filename*=utf-8''evil.e%FFxe`),
  'a message that says it is in base64, and is not': raw(
    lines('Content-Type: message/rfc822', 'Content-Transfer-Encoding: base64', '', ...evil),
  ),
  'a message and a multipart at once': raw(
    lines('Content-Type: message/rfc822', 'Content-Type: multipart/mixed; boundary=q', '', ...evil),
  ),
  'a line of one space, and then the delimiter': raw(
    lines('Content-Type: multipart/mixed; boundary=q', ' ', '--q', ...evil),
  ),
  'a form feed, and then the delimiter': raw(
    lines('Content-Type: multipart/mixed; boundary=q', '\f', '--q', ...evil),
  ),
  'filename in quotes': withHeaders(`${disposition}; filename="evil.exe"`),
  'filename without quotes': withHeaders(`${disposition}; filename=evil.exe`),
  'name of Content-Type': withHeaders(`${type}; name="evil.exe"`),
  'name in Content-Disposition': withHeaders(`${disposition}; name="evil.exe"`),
  'filename in Content-Type': withHeaders(`${type}; filename="evil.exe"`),
  'capitals everywhere': withHeaders('CONTENT-DISPOSITION: ATTACHMENT; FILENAME="EVIL.EXE"'),
  'name and filename differ, filename bad': withHeaders(
    `${type}; name="a.txt"`,
    `${disposition}; filename="evil.exe"`,
  ),
  'name and filename differ, name bad': withHeaders(
    `${type}; name="evil.exe"`,
    `${disposition}; filename="a.txt"`,
  ),
  'two Content-Disposition headers, the second bad': withHeaders(
    `${disposition}; filename="a.txt"`,
    `${disposition}; filename="evil.exe"`,
  ),
  'two Content-Disposition headers, the first bad': withHeaders(
    `${disposition}; filename="evil.exe"`,
    `${disposition}; filename="a.txt"`,
  ),
  'two Content-Type headers': withHeaders(`${type}; name="a.txt"`, `${type}; name="evil.exe"`),
  'filename twice in one header': withHeaders(`${disposition}; filename="a.txt"; filename="evil.exe"`),
  'filename twice, the first bad': withHeaders(`${disposition}; filename="evil.exe"; filename="a.txt"`),
  'inline text part with a name': withHeaders('Content-Type: text/plain; name="evil.exe"'),
  'inline disposition': withHeaders('Content-Disposition: inline; filename="evil.exe"'),
  'folded between parameters': withHeaders(`${disposition};`, '\tfilename="evil.exe"'),
  'folded inside the name': withHeaders(`${disposition}; filename="evil.`, ' exe"'),
  'folded after the equals sign': withHeaders(`${disposition}; filename=`, ' "evil.exe"'),
  'folded by a line of white space': withHeaders(`${disposition};`, ' ', ' filename="evil.exe"'),
  'space before the colon': withHeaders('Content-Disposition : attachment; filename="evil.exe"'),
  'a fold before the colon': withHeaders('Content-Disposition', ' : attachment; filename="evil.exe"'),
  'a no-break space before the colon': withHeaders(
    'Content-Disposition\xa0: attachment; filename="evil.exe"',
  ),
  'no space after the colon': withHeaders('Content-Disposition:attachment;filename=evil.exe'),
  'spaces around the equals sign': withHeaders(`${disposition}; filename = "evil.exe"`),
  'no type before the parameters': withHeaders('Content-Disposition: filename="evil.exe"'),
  'missing semicolon': withHeaders(`${disposition} filename="evil.exe"`),
  'spaces without quotes': withHeaders(`${disposition}; filename=my evil file.exe`),
  'text behind an unquoted name': withHeaders(`${disposition}; filename=evil.exe and more`),
  'quotes that do not close': withHeaders(`${disposition}; filename="evil.exe`),
  'quotes that do not close, another parameter': withHeaders(`${disposition}; filename="evil.exe; size=3`),
  'an earlier parameter with open quotes': withHeaders(`${disposition}; x="y; filename=evil.exe`),
  'single quotes': withHeaders(`${disposition}; filename='evil.exe'`),
  'quotes within': withHeaders(`${disposition}; filename="evil".exe`),
  'quotes within, and text behind them': withHeaders(`${disposition}; filename="ev"il.exe" trailing`),
  'an escaped semicolon without quotes': withHeaders(`${disposition}; filename=a\\;b.exe; size=3`),
  'escaped quotes': withHeaders(`${disposition}; filename="\\"evil.exe\\""`),
  'escaped letters': withHeaders(`${disposition}; filename="evil.e\\xe"`),
  'path of Windows': withHeaders(`${disposition}; filename="C:\\temp\\evil.exe"`),
  'path with slashes and a trailing one': withHeaders(`${disposition}; filename="/tmp/evil.exe/"`),
  'comment before the value': withHeaders(`${disposition}; filename=(comment) "evil.exe"`),
  'comment behind the value': withHeaders(`${disposition}; filename=evil.exe (a comment)`),
  'comment between name and equals sign': withHeaders(`${disposition}; filename (x) = (y) evil.exe`),
  'comment in the middle of a name': withHeaders(`${disposition}; filename=evil.(c)exe`),
  'comment with an escaped parenthesis': withHeaders(`${disposition}; (\\)) filename (x)=evil.exe`),
  'RFC 2231': withHeaders(`${disposition}; filename*=utf-8''evil%2Eexe`),
  'RFC 2231 with language': withHeaders(`${disposition}; filename*=iso-8859-1'en'%E9vil%2eexe`),
  'RFC 2231 in quotes': withHeaders(`${disposition}; filename*="utf-8''evil%2Eexe"`),
  'RFC 2231 without charset': withHeaders(`${disposition}; filename*=evil%2Eexe`),
  'RFC 2231 with an unknown charset': withHeaders(`${disposition}; filename*=x-none''evil%2Eexe`),
  'RFC 2231 of name': withHeaders(`${type}; name*=utf-8''evil%2Eexe`),
  'RFC 2231 beside a harmless filename': withHeaders(
    `${disposition}; filename="a.txt"; filename*=utf-8''evil.exe`,
  ),
  'RFC 2231 beside a bad filename': withHeaders(
    `${disposition}; filename*=utf-8''a.txt; filename="evil.exe"`,
  ),
  'RFC 2231 in UTF-16': withHeaders(`${disposition}; filename*=utf-16be''%00e%00.%00e%00x%00e`),
  continuations: withHeaders(`${disposition}; filename*0="evil"; filename*1=".exe"`),
  'continuations out of order': withHeaders(`${disposition}; filename*1=".exe"; filename*0="evil"`),
  'continuations, encoded and not': withHeaders(
    `${disposition}; filename*0*=utf-8''ev%69l; filename*1=.ex; filename*2*=%65`,
  ),
  'continuations without a first': withHeaders(`${disposition}; filename*1="evil"; filename*2=".exe"`),
  'continuations with a gap': withHeaders(`${disposition}; filename*0="evil.exe"; filename*2=".txt"`),
  'continuations with a gap before the end': withHeaders(
    `${disposition}; filename*0="evil"; filename*2=".exe"`,
  ),
  'continuations with a number twice': withHeaders(
    `${disposition}; filename*0=evil; filename*1=.exe; filename*1=.txt`,
  ),
  'continuations with a number twice, the last bad': withHeaders(
    `${disposition}; filename*0=evil; filename*1=.txt; filename*1=.exe`,
  ),
  'continuations of more than ten': withHeaders(
    `${disposition}; ${Array.from('evilinvoice.exe', (letter, i) => `filename*${i}=${letter}`).join('; ')}`,
  ),
  'continuations of name, with zeros': withHeaders(`${type}; name*00="evil."; name*01="exe"`),
  'continuations with an encoded word across': withHeaders(
    `${disposition}; filename*0="=?utf-8?Q?evil=2"; filename*1="Eexe?="`,
  ),
  'two stars': withHeaders(`${disposition}; filename**=utf-8''evil%2Eexe`),
  'two stars behind a number': withHeaders(`${disposition}; filename*0**=utf-8''evil.exe`),
  'a number below zero': withHeaders(`${disposition}; filename*-1="evil.exe"`),
  'a number with a sign': withHeaders(`${disposition}; filename*+0="evil.exe"`),
  'a number in sixteens': withHeaders(`${disposition}; filename*0x0="evil.exe"`),
  'a number with a dot': withHeaders(`${disposition}; filename*0.="evil.exe"`),
  'a number of very many digits': withHeaders(`${disposition}; filename*${'0'.repeat(60)}="evil.exe"`),
  'a space behind the star': withHeaders(`${disposition}; filename* 0="evil.exe"`),
  'a number that no counter holds, at the end for some': withHeaders(
    `${disposition}; filename*0="evil"; filename*4294967297=".exe"; filename*1=".txt"`,
  ),
  'a zero in front of the last number': withHeaders(
    `${disposition}; filename*0="evil"; filename*1=".exe"; filename*02=".txt"`,
  ),
  'a zero in front of a number in the middle': withHeaders(
    `${disposition}; filename*0="evil"; filename*01=".txt"; filename*1=".exe"`,
  ),
  'a space in front of the last number': withHeaders(
    `${disposition}; filename*0="evil"; filename*1=".exe"; filename* 2=".txt"`,
  ),
  'percent-encoding without a charset at the end': withHeaders(
    `${disposition}; filename*0="evil"; filename*1=".exe"; filename*2*="''.txt"`,
  ),
  'two series, the second longer': withHeaders(
    `${disposition}; filename*0="evil"; filename*1=".exe"; filename*0="sa"; filename*1="fe"; filename*2=".txt"`,
  ),
  'two series in capitals and not, the first bad': withHeaders(
    `${disposition}; filename*0="evil"; filename*1=".exe"; FILENAME*0="sa"; FILENAME*1="fe"; FILENAME*2=".txt"`,
  ),
  'two series in capitals and not, the second bad': withHeaders(
    `${disposition}; FILENAME*0="sa"; FILENAME*1="fe"; FILENAME*2=".txt"; filename*0="evil"; filename*1=".exe"`,
  ),
  'a series behind a comma': withHeaders(
    `${disposition}; filename*0="evil"; filename*1=".exe", filename*0="sa";filename*1="fe";filename*2=".txt"`,
  ),
  'a piece without a semicolon in front of it': withHeaders(
    `${disposition}; filename*0="evil"; filename*1=".exe" filename*2=".txt"`,
  ),
  'two series put together as they come': withHeaders(
    `${disposition}; filename*0="a"; filename*1="b"; filename*2=".txt"; filename*0="evil"; filename*1=".exe"`,
  ),
  'encoded word, base64': withHeaders(`${disposition}; filename="${word('evil.exe')}"`),
  'encoded word, quoted': withHeaders(`${disposition}; filename="=?utf-8?Q?evil=2Eexe?="`),
  'encoded word without quotes': withHeaders(`${disposition}; filename==?utf-8?Q?evil=2Eexe?=`),
  'encoded word of name': withHeaders(`${type}; name="${word('evil.exe')}"`),
  'encoded words in two lines': withHeaders(`${disposition}; filename="${word('ev')}`, ` ${word('il.exe')}"`),
  'encoded words of both kinds': withHeaders(`${disposition}; filename="${word('evil.')} =?utf-8?Q?exe?="`),
  'encoded words cut in groups': withHeaders(
    `${disposition}; filename="=?utf-8?B?ZXZpb?= =?utf-8?B?C5leGU=?="`,
  ),
  'encoded word beside plain text': withHeaders(`${disposition}; filename="${word('evil')}.exe"`),
  'encoded word without an end': withHeaders(`${disposition}; filename="=?utf-8?Q?evil=2Eexe"`),
  'encoded word with spaces': withHeaders(`${disposition}; filename="=?utf-8?Q?my evil=2Eexe?="`),
  'encoded word with spaces around the charset': withHeaders(
    `${disposition}; filename="=? utf-8 ?Q?evil=2Eexe?="`,
  ),
  'encoded word with language': withHeaders(`${disposition}; filename="=?utf-8*en?Q?evil=2Eexe?="`),
  'encoded word with quotes in it': withHeaders(`${disposition}; filename="=?utf-8?Q?a"evil=2Eexe?="`),
  'encoded word that holds the parameter': withHeaders(`${disposition}; ${word('filename="evil.exe"')}`),
  'encoded word in UTF-7': withHeaders(`${disposition}; filename="=?utf-7?Q?evil+AC4-exe?="`),
  'encoded word in UTF-16': withHeaders(`${disposition}; filename="=?utf-16le?B?LgBlAHgAZQA=?="`),
  'encoded word in ISO-2022-JP': withHeaders(
    `${disposition}; filename="=?iso-2022-jp?B?GyRCRnxLXBsoQi5leGU=?="`,
  ),
  'encoded word in Shift_JIS with wide letters': withHeaders(
    `${disposition}; filename="=?shift_jis?B?gUSChYKYgoU=?="`,
  ),
  'encoded word in KOI8-R': withHeaders(`${disposition}; filename="=?koi8-r?Q?=C1.exe?="`),
  'encoded word in an unknown charset': withHeaders(`${disposition}; filename="=?x-none?Q?evil=2Eexe?="`),
  'encoded word in ISO-2022-KR': withHeaders(
    `${disposition}; filename="=?iso-2022-kr?B?${Buffer.from('evil.e\x1b$)Cxe').toString('base64')}?="`,
  ),
  'encoded word in ISO-2022-KR, with wide letters': withHeaders(
    `${disposition}; filename="=?iso-2022-kr?B?${Buffer.from('\x1b$)Cevil.\x0e#e#x#e\x0f').toString('base64')}?="`,
  ),
  'encoded word in ISO-2022-KR, read by a program without it': withHeaders(
    `${disposition}; filename="=?iso-2022-kr?B?${Buffer.from('evil.\x0eexe').toString('base64')}?="`,
  ),
  'encoded word in a charset that is not known, beside others': withHeaders(
    `${disposition}; filename="=?x-none?Q?=D7=C9?= =?iso-8859-1?Q?=E9.exe?="`,
  ),
  'percent-encoding in a plain parameter': withHeaders(`${disposition}; filename="evil%2Eexe"`),
  'raw UTF-8': withHeaders(`${disposition}; filename="\xc3\xa9vil.exe"`),
  'raw UTF-8, wide letters': withHeaders(
    `${disposition}; filename="${Buffer.from('evil．ｅｘｅ').toString('latin1')}"`,
  ),
  'raw Latin-1': withHeaders(`${disposition}; filename="\xe9vil.exe"`),
  'trailing dot': withHeaders(`${disposition}; filename="evil.exe."`),
  'trailing dots and spaces': withHeaders(`${disposition}; filename="evil.exe . . "`),
  'trailing no-break space': withHeaders(`${disposition}; filename="evil.exe\xc2\xa0"`),
  'alternate data stream': withHeaders(`${disposition}; filename="evil.exe::$DATA"`),
  'right-to-left override': withHeaders(`${disposition}; filename*=utf-8''photo%E2%80%AEgpj.exe`),
  'right-to-left override in the extension': withHeaders(
    `${disposition}; filename*=utf-8''evil.e%E2%80%AExe`,
  ),
  'zero-width space in the extension': withHeaders(`${disposition}; filename*=utf-8''evil.e%E2%80%8Bxe`),
  'soft hyphen in the extension': withHeaders(`${disposition}; filename*=utf-8''evil.e%C2%ADxe`),
  'one-dot leader': withHeaders(`${disposition}; filename*=utf-8''evil%E2%80%A4exe`),
  'variation selector': withHeaders(`${disposition}; filename*=utf-8''evil.exe%EF%B8%8F`),
  'NUL at the end': withHeaders(`${disposition}; filename="evil.exe\0.txt"`),
  'NUL within': withHeaders(`${disposition}; filename="evil.e\0xe"`),
  'control character within': withHeaders(`${disposition}; filename="evil.e\x08xe"`),
  'tab within': withHeaders(`${disposition}; filename="evil.exe\t"`),
  'carriage return before the header': withHeaders(`X-A: b\r${disposition}; filename="evil.exe"`),
  'a NUL in a very long name': withHeaders(
    `${disposition}; filename*0*=utf-8''evil.exe%00; filename*1=${'A'.repeat(800)}; filename*2=${'A'.repeat(800)}.txt`,
  ),
  'a multipart whose lines end in carriage returns': raw(
    lines('Content-Type: multipart/mixed; boundary=b', ''),
    lines(
      '--b',
      'Content-Type: text/plain',
      '',
      'hello',
      '--b',
      `${disposition}; filename="evil.exe"`,
      '',
      'MZ',
      '--b--',
    ).replaceAll('\r\n', '\r'),
  ),
  'a delimiter behind a carriage return': raw(
    lines('Content-Type: multipart/mixed; boundary=b', '', '--b', '', `hello\r--b`),
    lines(`${disposition}; filename="evil.exe"`, '', 'MZ', '--b--'),
  ),
  'many delimiters behind carriage returns': raw(
    lines('Content-Type: multipart/mixed; boundary=b', '', '--b', ''),
    `${'\r--b\rA: b\r\r'.repeat(1000)}\r--b\r${disposition}; filename="evil.exe"\r\r`,
  ),
  'a control character before multipart': raw(
    lines(
      'Content-Type: \x1fmultipart/mixed; boundary=b',
      '',
      '--b',
      `${disposition}; filename="evil.exe"`,
      '',
      'MZ',
    ),
  ),
  'a character of 8 bits in multipart': raw(
    lines(
      'Content-Type: multi\xadpart/mixed; boundary=b',
      '',
      '--b',
      `${disposition}; filename="evil.exe"`,
      '',
      'MZ',
    ),
  ),
  'carriage return in the name': withHeaders(`${disposition}; filename="evil.e\rxe"`),
  'the message itself': raw(lines('Subject: x', `${disposition}; filename="evil.exe"`, '', 'text')),
  'no blank line after the headers': raw(lines(`${disposition}; filename="evil.exe"`)),
  'multipart/alternative': withType(
    'multipart/alternative; boundary=b',
    ...['--b', 'Content-Type: text/plain', '', 'x'],
    ...['--b', ...evil, '--b--'],
  ),
  'nested multipart': withType(
    'multipart/mixed; boundary=a',
    ...['--a', 'Content-Type: multipart/related; boundary=b', '', '--b', ...evil, '--b--', '--a--'],
  ),
  'nested multipart that does not end': withType(
    'multipart/mixed; boundary=a',
    ...['--a', 'Content-Type: multipart/related; boundary=b', '', '--b', '', 'x', '--a', ...evil, '--a--'],
  ),
  'part of an inner multipart behind the outer delimiter': withType(
    'multipart/mixed; boundary=a',
    ...['--a', 'Content-Type: multipart/related; boundary=b', '', '--b', '', 'x'],
    ...['--a', 'Content-Type: text/plain', '', 'x', '--b', ...evil, '--a--'],
  ),
  'message/rfc822': withType(
    'multipart/mixed; boundary=a',
    ...['--a', 'Content-Type: message/rfc822', '', 'Subject: inner', ...evil, '--a--'],
  ),
  'multipart in message/rfc822': withType(
    'multipart/mixed; boundary=a',
    ...['--a', 'Content-Type: message/rfc822', '', 'Content-Type: multipart/mixed; boundary=b', ''],
    ...['--b', ...evil, '--b--', '--a--'],
  ),
  'message/rfc822 in base64': mixed([
    ['Content-Type: message/rfc822', 'Content-Transfer-Encoding: base64'],
    base64(withHeaders(`${disposition}; filename="evil.exe"`)),
  ]),
  'message attached as a file': mixed([
    [`${type}; name="forwarded.eml"`, 'Content-Transfer-Encoding: base64'],
    base64(withHeaders(`${disposition}; filename="evil.exe"`)),
  ]),
  'multipart in base64': mixed([
    ['Content-Type: multipart/mixed; boundary=c', 'Content-Transfer-Encoding: base64'],
    base64(Buffer.from(lines('--c', ...evil, '--c--'))),
  ]),
  'part of a digest': withType('multipart/digest; boundary=a', '--a', '', 'Subject: inner', ...evil, '--a--'),
  'missing boundary': withType('multipart/mixed', '--a', ...evil, '--a--'),
  'wrong boundary': withType('multipart/mixed; boundary=b', '--a', ...evil, '--a--'),
  'boundary twice, the first holds': withType('multipart/mixed; boundary=a; boundary=b', '--a', ...evil),
  'boundary twice, the second holds': withType('multipart/mixed; boundary=a; boundary=b', '--b', ...evil),
  'boundaries in two headers': withType(
    `multipart/mixed; boundary=a\r\nContent-Type: multipart/mixed; boundary=b`,
    ...['--b', ...evil],
  ),
  'boundary with spaces, no quotes': withType('multipart/mixed; boundary=a b', '--a b', ...evil),
  'boundary with a comment': withType('multipart/mixed; boundary=(x) a (y)', '--a', ...evil),
  'boundary in pieces': withType('multipart/mixed; boundary*0=a; boundary*1=b', '--ab', ...evil),
  'boundary encoded': withType("multipart/mixed; boundary*=us-ascii''a%62", '--ab', ...evil),
  'delimiter with spaces behind it': withType('multipart/mixed; boundary=a', '--a  ', ...evil),
  'between delimiters of a multipart that is closed': withType(
    'multipart/mixed; boundary=a',
    ...['--a', 'Content-Type: multipart/mixed; boundary=b', '', '--b', '', 'x', '--b--', '--a', '', 'text'],
    ...['--b', `${disposition}; filename="evil.exe"`, '--b', 'X: y', '', 'x', '--a--'],
  ),
  'part after the closing delimiter': withType('multipart/mixed; boundary=a', '--a--', '--a', ...evil),
  'delimiter within a header section': withType('multipart/mixed; boundary=a', '--a', 'X: y', '--a', ...evil),
  'header section cut off by a delimiter': withType(
    'multipart/mixed; boundary=a',
    ...['--a', `${disposition}; filename=evil.exe`, '--a', '', 'text'],
  ),
  'body that ends without a line end': withType('multipart/mixed; boundary=a', '--a', ...evil).subarray(
    0,
    -8,
  ),
  uuencode: mixed([['Content-Type: text/plain'], lines('Hello,', 'begin 644 evil.exe', '#86)C', '`', 'end')]),
  'the second of two files in uuencode, the first without an end': mixed([
    ['Content-Type: text/plain'],
    lines('begin 644 a.txt', '#86)C', 'begin 644 evil.exe', '#86)C', '`', 'end'),
  ]),
  'uuencode in base64': mixed([
    ['Content-Type: text/plain', 'Content-Transfer-Encoding: base64'],
    base64(Buffer.from(lines('begin 0755 my evil.exe', '#86)C', '`', 'end'))),
  ]),
  'uuencode in a message without MIME': raw(
    lines('Subject: x', '', 'begin 666 evil.exe', '#86)C', '`', 'end'),
  ),
  'uuencode with tabs': raw(lines('Subject: x', '', 'begin\t644\tevil.exe', '#86)C', '`', 'end')),
  'uuencode with the whole mode of the file': raw(
    lines('Subject: x', '', 'begin 0100644 evil.exe', '#86)C', '`', 'end'),
  ),
  'uuencode with an empty line behind its beginning': raw(
    lines('Subject: x', '', 'begin 644 evil.exe', '', '#86)C', '`', 'end'),
  ),
  'uuencode in a type that is none': raw(
    lines('Content-Type: garbage', '', 'begin 644 evil.exe', '#86)C', '`', 'end'),
  ),
  'uuencode with a soft break in its name, and blanks behind that': mixed([
    ['Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable'],
    lines('begin 644 ev=\t \t', 'il.exe', '#86)C', '`', 'end'),
  ]),
  'uuencode in a multipart without a boundary': raw(
    lines('Content-Type: multipart/mixed', '', 'hello', 'begin 644 evil.exe', '#86)C', '`', 'end'),
  ),
  'uuencode in front of the parts': withType(
    'multipart/mixed; boundary=a',
    ...['begin 644 evil.exe', '#86)C', '`', 'end', '--a', '', 'x', '--a--'],
  ),
  'uuencode behind the parts': withType(
    'multipart/mixed; boundary=a',
    ...['--a', '', 'x', '--a--', 'begin 644 evil.exe', '#86)C', '`', 'end'],
  ),
  TNEF: mixed([
    ['Content-Type: application/ms-tnef; name="winmail.dat"', 'Content-Transfer-Encoding: base64'],
    base64(tnef(attribute(0x00018010, Buffer.from('evil.exe\0')))),
  ]),
  'TNEF, the long name only': mixed([
    ['Content-Type: application/ms-tnef; name="winmail.dat"', 'Content-Transfer-Encoding: base64'],
    base64(
      tnef(
        attribute(0x00018010, Buffer.from('EVIL~1.TXT\0')),
        attribute(0x00069005, longName('long evil.exe\0')),
      ),
    ),
  ]),
}

function tnef(...attributes: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from('789f3e220100', 'hex'), ...attributes])
}

function attribute(id: number, value: Buffer): Buffer {
  const head = Buffer.alloc(9, 2)
  head.writeUInt32LE(id, 1)
  head.writeUInt32LE(value.length, 5)
  return Buffer.concat([head, value, Buffer.alloc(2)])
}

function longName(name: string): Buffer {
  const bytes = Buffer.from(name, 'utf16le')
  const head = Buffer.alloc(16)
  head.writeUInt32LE(1, 0)
  head.writeUInt32LE(0x3707001f, 4)
  head.writeUInt32LE(1, 8)
  head.writeUInt32LE(bytes.length, 12)
  return Buffer.concat([head, bytes])
}

const harmless: Record<string, Buffer> = {
  'a boundary and a comment': withType('multipart/mixed; boundary=b (a comment)', '--b', '', 'text', '--b--'),
  'a boundary, and another in a comment': withType(
    'multipart/mixed; boundary=b (was; boundary=c)',
    ...['--b', '', 'text', '--b--'],
  ),
  'a boundary with a backslash': withType(
    'multipart/mixed; boundary="b\\_1"',
    '--b_1',
    '',
    'text',
    '--b_1--',
  ),
  'a boundary with a backslash that stays': withType(
    'multipart/mixed; boundary="b\\_1"',
    ...['--b\\_1', '', 'text', '--b\\_1--'],
  ),
  'no attachment': raw(lines('Subject: evil.exe', '', 'text')),
  'a plain name': withHeaders(`${disposition}; filename="invoice.pdf"`),
  'an accented name': withHeaders(`${disposition}; filename*=utf-8''r%C3%A9sum%C3%A9.pdf`),
  'a long name in pieces, plain and encoded': withHeaders(
    `${disposition}; filename*0="minutes of the meeting on example"; filename*1=".com and others.pdf";`,
    ` filename*0*=utf-8''minutes%20of%20the%20meeting%20on%20example; filename*1*=.com%20and%20others.pdf`,
  ),
  'pieces of which some are encoded': withHeaders(
    `${disposition}; filename*0*=utf-8''r%C3%A9sum%C3%A9%20of%20example; filename*1=.com; filename*2*=%20and%20others.pdf`,
  ),
  'pieces of which all but the last fit a mask': withHeaders(
    `${disposition}; filename*0="setup"; filename*1=".exe"; filename*2=".pdf"`,
  ),
  'names in charsets that are not known': withHeaders(
    ...['x-unknown', 'unknown-8bit', 'default', 'utf8mb4', 'us-asci', ''].flatMap((charset) => [
      `${disposition}; filename="=?${charset}?Q?=CF=D4=DE=C5=D4_K.pdf?="; filename*=${charset}'ru'%CF%D4%DE%A5%89K.pdf`,
      `${disposition}; filename="=?${charset}?B?${Buffer.from('résumé').toString('base64')}?="`,
    ]),
  ),
  'a mask in the middle': withHeaders(`${disposition}; filename="evil.exe.txt"`),
  'a mask without its dot': withHeaders(`${disposition}; filename="myexe"`),
  'a mask in the path': withHeaders(`${disposition}; filename="/sites/example.com/report.pdf"`),
  'a semicolon and a word': withHeaders(`${disposition}; filename="AT&amp;T.pdf"`),
  'a harmless name behind a description': withHeaders('Content-Description: evil.exe', `${type}; name=a.txt`),
  'a part without a name': withHeaders(`${type}; charset=x.exe`),
  'a URL as location': withHeaders('Content-Location: http://example.com', `${type}; name=a.htm`),
  'carriage returns and dashes in text': mixed([
    ['Content-Type: text/plain'],
    lines('10 %\r20 %\r100 %', `\r--x\r${disposition}; filename="evil.exe"`, '\r--', '\r\r--'),
  ]),
  'a parameter that ends in name': withHeaders(`${type}; x-name="evil.exe"; surname=evil.exe`),
  'text that quotes a message': mixed([
    ['Content-Type: text/plain'],
    lines('--x', `${disposition}; filename="evil.exe"`, '', 'text', '--x--'),
  ]),
  'text that begins like uuencode': mixed([
    ['Content-Type: text/plain'],
    lines('begin 100 evil.exe', 'and so on'),
  ]),
  'uuencode with a harmless name, wherever it stands': withType(
    'multipart/mixed; boundary=a',
    ...[
      'begin 644 a.txt',
      '',
      '#86)C',
      '`',
      'end',
      '--a',
      '',
      'x',
      '--a--',
      'begin 644 a.txt',
      '#86)C',
      'end',
    ],
  ),
  'text that begins like uuencode, and empty lines': mixed([
    ['Content-Type: text/plain'],
    lines('begin 644 evil.exe', '', '', 'AND SO ON', '', 'begin 644 evil.exe', '', 'and so on'),
  ]),
  'text in capitals behind a beginning and an empty line': mixed([
    ['Content-Type: text/plain'],
    lines('begin 1200 on example.exe', '', 'SALES', 'begin 644 evil.exe', '', '12:00 BREAK'),
  ]),
  'text called uuencode': mixed([
    ['Content-Type: text/plain', 'Content-Transfer-Encoding: x-uuencode'],
    lines('Please begin with setup.exe,', 'begin with setup.exe', 'and so on'),
  ]),
  'text that speaks of beginning': mixed([['Content-Type: text/plain'], lines('begin 1 evil.exe', '#86)C')]),
  'a signature': mixed([['Content-Type: text/plain'], lines('-- ', `${disposition}; filename=evil.exe`)]),
  'a report with quoted headers': mixed([
    ['Content-Type: text/rfc822-headers'],
    lines('Subject: x', `${disposition}; filename="evil.exe"`),
  ]),
  'headers only in base64 text': mixed([
    ['Content-Type: text/plain', 'Content-Transfer-Encoding: base64'],
    base64(Buffer.from(lines('--=_b', `${disposition}; filename="evil.exe"`))),
  ]),
}

const chunkings = [65_536, 1, 13]

describe('names that must be found', () => {
  for (const [what, message] of Object.entries(denied)) {
    test(what, async () => {
      for (const chunkBytes of chunkings) {
        const { denied: found } = await inspected(message, { chunkBytes })
        assert.equal(found?.mask, '*.exe', `in chunks of ${chunkBytes} bytes`)
      }
    })
  }
})

describe('messages that must pass', () => {
  for (const [what, message] of Object.entries(harmless)) {
    test(what, async () => {
      for (const chunkBytes of chunkings) {
        const { denied: found, unreadable } = await inspected(message, { chunkBytes })
        assert.deepEqual({ found, unreadable }, { found: null, unreadable: null })
      }
    })
  }
})

test('none of the cases is denied by a mask that fits none of the names', async () => {
  for (const [what, message] of Object.entries(denied)) {
    const { denied: found, names } = await inspected(message, { masks: '*.zzz' })
    assert.equal(found, null, what)
    assert.notEqual(names.length, 0, what)
  }
})

test('the outcome says which mask and which name', async () => {
  const message = mixed(
    [['Content-Type: text/plain']],
    [[`${disposition}; filename="=?utf-8?Q?=E2=80=AEevil=2Eexe?="`]],
  )
  const { denied: found, names } = await inspected(message)
  assert.deepEqual(found, { mask: '*.exe', name: 'evil.exe' })
  assert.deepEqual(names, ['evil.exe'])
})

test('separators of lines and paragraphs hide no name', async () => {
  for (const separator of ['\u2028', '\u2029']) {
    const message = withHeaders(`${disposition}; filename="${word(`evil.ex${separator}e`)}"`)
    assert.equal((await inspected(message)).denied?.mask, '*.exe')
  }
})

test('a backslash in quotes escapes for some and parts a path for others', async () => {
  const path = withHeaders(`${disposition}; filename="C:\\temp\\evil.exe"`)
  const escaped = withHeaders(`${disposition}; filename="e\\vil.exe"`)
  assert.equal((await inspected(path, { masks: 'evil.exe' })).denied?.mask, 'evil.exe')
  assert.equal((await inspected(escaped, { masks: 'evil.exe' })).denied?.mask, 'evil.exe')
})

describe('masks', () => {
  const fits = (masks: string, name: string) =>
    fittingMask(masksOf(masks), {
      names: [...displayForms(name)],
      types: new Set(),
      contentTypes: [],
      kinds: [],
    })?.text ?? null

  test('as in James, the whole name counts and not the extension', () => {
    assert.equal(fits('*.exe *.com', 'report for example.com'), '*.com')
  })

  test('exact names, prefixes, wildcards within', () => {
    assert.equal(fits('invoice.doc', 'INVOICE.doc'), 'invoice.doc')
    assert.equal(fits('invoice.doc', 'my invoice.doc'), null)
    assert.equal(fits('setup*', 'Setup-1.bin'), 'setup*')
    assert.equal(fits('a*b*.d?c', 'aXbYb.doc'), 'a*b*.d?c')
    assert.equal(fits('a*b*.d?c', 'aXc.doc'), null)
    assert.equal(fits('*', 'anything'), '*')
    assert.equal(fits('.*+', 'xx'), null)
  })

  test('separated by spaces and commas, in capitals or not', () => {
    assert.deepEqual(
      masksOf(' *.EXE,*.com ,, *.bat\n').map(({ text }) => text),
      ['*.EXE', '*.com', '*.bat'],
    )
    assert.equal(fits('*.EXE', 'evil.exe'), '*.EXE')
    assert.deepEqual(masksOf(''), [])
  })

  test('a mask of many stars costs little on a long name', () => {
    const mask = `${'*a'.repeat(30)}b`
    assert.equal(fits(mask, 'a'.repeat(1000)), null)
  })
})

test('a name for the log is one printable line of at most 255 characters', () => {
  assert.equal(nameForLog('a\nb\u202e\u0007c'), 'a bc')
  assert.equal(nameForLog('a\u2028b\u2029c'), 'abc')
  assert.equal(nameForLog('x'.repeat(5000)).length, 255)
  assert.equal(nameForLog('x'.repeat(256)), `${'x'.repeat(254)}…`)
  assert.equal(nameForLog('x'.repeat(255)), 'x'.repeat(255))
})
