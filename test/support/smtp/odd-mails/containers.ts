// What a part may hold instead of the payload itself: forms that some programs unpack without being told by MIME.
import { uuencoded, yEncoded } from './encodings'
import { bytesOf, crlf, type Forms, pieces, textOf } from './form'

export interface Held {
  readonly content: string
  /** Content-Type, where the part's own would say something else. */
  readonly type?: string
  /** Programs show it as text, and convert its character set, only where it is no attachment. */
  readonly isText?: true
  /** The form of `encodings` that stands for the usual one, because base64 would hide the container. */
  readonly encoding?: string
}

const inBase64 = (content: string, length = 76) =>
  crlf(...pieces(bytesOf(content).toString('base64'), length))

function text(content: string): Held {
  return { content, type: 'text/plain; charset=us-ascii', encoding: '7bit', isText: true }
}

function utf16(payload: string, bigEndian: boolean): string {
  const bytes = Buffer.from(`\ufefftext ${payload} text`, 'utf16le')
  return textOf(bigEndian ? bytes.swap16() : bytes)
}

function converted(type: string, content: string): Held {
  return { content, type, isText: true }
}

function utf32(payload: string): string {
  return `\xff\xfe\0\0${payload.replace(/[^]/g, '$&\0\0\0')}`
}

function utf7(payload: string): string {
  const shifted = Buffer.from(payload, 'utf16le').swap16().toString('base64').replace(/=+$/, '')
  return `text +${shifted}- text`
}

export const containers: Forms<(payload: string) => Held> = {
  usual: (content) => ({ content }),
  'text in front of it': (payload) => ({ content: `text\r\n${payload}` }),
  '10 kB in front of it': (payload) => ({ content: 'x'.repeat(10_000) + payload }),
  'uuencode in text': (payload) => text(crlf('text') + uuencoded(payload) + crlf('text')),
  'uuencode without text': (payload) => text(uuencoded(payload)),
  'uuencode, begin with three digits more': (payload) => text(uuencoded(payload, 'begin 100644 test.bin')),
  'uuencode, begin with blanks': (payload) => text(uuencoded(payload, 'begin  644  test.bin')),
  'uuencode, begin without name': (payload) => text(uuencoded(payload, 'begin 644')),
  'uuencode, begin in upper case': (payload) => text(uuencoded(payload, 'BEGIN 644 test.bin')),
  'uuencode without end': (payload) => text(uuencoded(payload).replace('end\r\n', '')),
  'uuencode, blanks for the grave accents': (payload) => text(uuencoded(payload).replaceAll('`', ' ')),
  'uuencode twice': (payload) => text(uuencoded('first') + uuencoded(payload)),
  'uuencode after a begin in text': (payload) => text(crlf('begin now, not later', '') + uuencoded(payload)),
  'begin-base64 in text': (payload) =>
    text(crlf('text', 'begin-base64 644 test.bin') + inBase64(payload) + crlf('====', 'text')),
  'yEnc in text': (payload) => ({ ...text(yEncoded(payload)), encoding: '8bit' }),
  'BinHex in text': (payload) => text(binHex(payload)),
  'BinHex as its type': (payload) => ({
    ...text(binHex(payload)),
    type: 'application/mac-binhex40; name="test.hqx"',
  }),
  'PEM in text': (payload) =>
    text(crlf('-----BEGIN PKCS7-----') + inBase64(payload, 64) + crlf('-----END PKCS7-----')),
  'a whole mail in text': (payload) => text(`${crlf('--- Forwarded message ---')}${base64Mail(payload)}`),
  'a mailbox': (payload) => ({
    content: `From a@example.com Mon Jan  2 10:00:00 2023\r\nSubject: a\r\n\r\ntext\r\n\r\nFrom b@example.com Mon Jan  2 10:00:00 2023\r\n${base64Mail(payload)}`,
    type: 'application/mbox; name="test.mbox"',
  }),
  'a calendar attachment': (payload) => ({
    content: crlf(
      'BEGIN:VCALENDAR',
      'VERSION:2.0',
      'PRODID:-//example//EN',
      'BEGIN:VEVENT',
      'UID:1@example.com',
      'DTSTAMP:20230102T100000Z',
      ...folded(
        `ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=test.bin:${bytesOf(payload).toString('base64')}`,
      ),
      'END:VEVENT',
      'END:VCALENDAR',
    ),
    type: 'text/calendar; method=REQUEST; charset=utf-8',
    encoding: '8bit',
  }),
  'a photo in a vCard': (payload) => ({
    content: crlf(
      'BEGIN:VCARD',
      'VERSION:3.0',
      'FN:Sender',
      ...folded(`PHOTO;ENCODING=b;TYPE=JPEG:${bytesOf(payload).toString('base64')}`),
      'END:VCARD',
    ),
    type: 'text/vcard; charset=utf-8',
    encoding: '8bit',
  }),
  'a calendar attachment, in mixed case': (payload) =>
    calendar(`aTTACH;eNCODING = "bASE64";vALUE=bINARY:${bytesOf(payload).toString('base64')}`),
  'a calendar attachment behind a colon in quotes': (payload) =>
    calendar(
      `ATTACH;ENCODING=BASE64;VALUE=BINARY;ALTREP="cid:x":${bytesOf(payload).toString('base64')}`,
      2000,
    ),
  'a calendar attachment behind many parameters': (payload) =>
    calendar(`ATTACH;ENCODING=BASE64;X-A=${'x'.repeat(3000)}:${bytesOf(payload).toString('base64')}`),
  'a calendar attachment, 80 kB of text in front': (payload) => {
    const held = calendar(`ATTACH;VALUE=BINARY:${bytesOf(payload).toString('base64')}`)
    return { ...held, content: 'text\r\n'.repeat(14_000) + held.content }
  },
  'a photo without a name of its encoding': (payload) => ({
    ...calendar(''),
    content: crlf(
      'BEGIN:VCARD',
      'VERSION:2.1',
      `PHOTO;JPEG;BASE64:${bytesOf(payload).toString('base64')}`,
      '',
      'END:VCARD',
    ),
  }),
  'a data: address in HTML, in upper case': (payload) => ({
    content: `<a href="DATA:application/octet-stream;BASE64,${bytesOf(payload).toString('base64')}">x</a>\r\n`,
    type: 'text/html; charset=utf-8',
    encoding: '8bit',
  }),
  'a data: address in HTML': (payload) => ({
    content: crlf(
      '<html><body>',
      `<a download="test.bin" href="data:application/octet-stream;base64,${bytesOf(payload).toString('base64')}">x</a>`,
      '</body></html>',
    ),
    type: 'text/html; charset=utf-8',
    encoding: '8bit',
  }),
  'text in UTF-16LE': (payload) => converted('text/plain; charset=utf-16le', utf16(payload, false)),
  'text in UTF-16BE': (payload) => converted('text/plain; charset=utf-16be', utf16(payload, true)),
  'text in UTF-16': (payload) => converted('text/plain; charset=utf-16', utf16(payload, false)),
  'text in UTF-32': (payload) => converted('text/plain; charset=utf-32le', utf32(payload)),
  'HTML in UTF-16': (payload) => converted('text/html; charset=utf-16', utf16(payload, false)),
  'flowed text': (payload) => ({
    ...text(crlf(...pieces(payload, 20).map((piece) => `${piece} `), 'text')),
    type: 'text/plain; charset=us-ascii; format=flowed; delsp=yes',
  }),
  'text in UTF-7': (payload) => ({ ...text(crlf(utf7(payload))), type: 'text/plain; charset=utf-7' }),
  ...Object.fromEntries(
    [
      'unicode-1-1-utf-7',
      'csUnicode11UTF7',
      'u7',
      '"ut\\f-7"',
      "us-ascii; charset*=us-ascii''utf-7",
      'us-ascii; charset*0=ut; charset*1=f-7',
    ].map((name) => [
      `text in UTF-7, called ${name}`,
      (payload: string) => ({ ...text(crlf(utf7(payload))), type: `text/plain; charset=${name}` }),
    ]),
  ),
  'text in UTF-16, called ISO-10646-UCS-2': (payload) =>
    converted('text/plain; charset=ISO-10646-UCS-2', utf16(payload, true).slice(2)),
  'text with escape sequences of ISO-2022-JP': (payload) => ({
    ...text(crlf(`text ${pieces(payload, 6).join('\x1b(B')} text`)),
    type: 'text/plain; charset=iso-2022-jp-2',
  }),
  'text with escape sequences, of which the charset has none': (payload) =>
    text(crlf(`text ${pieces(payload, 6).join('\x1b$B\x1b(B')} text`)),
  'text with escape sequences of HZ': (payload) => ({
    ...text(crlf(`text ${pieces(payload, 6).join('~{~}')} text`)),
    type: 'text/plain; charset=HZ-GB-2312',
  }),
  TNEF: (payload) => ({ content: tnef(payload), type: 'application/ms-tnef; name="winmail.dat"' }),
  'TNEF in TNEF': (payload) => ({
    content: tnef(tnef(payload), 'winmail.dat'),
    type: 'application/ms-tnef; name="winmail.dat"',
  }),
  'a mail in TNEF': (payload) => ({
    content: tnef(base64Mail(payload), 'test.eml'),
    type: 'application/ms-tnef; name="winmail.dat"',
  }),
  'TNEF as octet stream': (payload) => ({ content: tnef(base64Mail(payload), 'test.eml') }),
  'S/MIME, opaque': (payload) => ({ content: signedData(base64Entity(payload)), type: smime }),
  'S/MIME, opaque, in pieces': (payload) => ({
    content: signedDataInPieces(base64Entity(payload)),
    type: smime,
  }),
  'S/MIME, opaque, zeros in front of lengths': (payload) => ({
    content: signedData(hidden(payload), 60),
    type: smime,
  }),
  AppleSingle: (payload) => ({
    content: appleSingle(hidden(payload)),
    type: 'application/applefile; name="test.bin"',
  }),
  MacBinary: (payload) => ({
    content: macBinary(hidden(payload)),
    type: 'application/macbinary; name="test.bin"',
  }),
  'a mail as a file, its headers in mixed case': (payload) => ({
    content: base64Mail(payload).replaceAll('Content', 'COntent').replaceAll('Encoding', 'ENcoding'),
    type: 'application/octet-stream; name="test.eml"',
  }),
  'a mail as a file, NULs in its headers': (payload) => ({
    content: base64Mail(payload).replaceAll('Content', 'Con\0tent').replaceAll('Encoding', 'Enco\0ding'),
    type: 'application/octet-stream; name="test.eml"',
  }),
  'S/MIME, opaque, as octet stream': (payload) => ({
    content: signedData(base64Entity(payload)),
    type: 'application/octet-stream; name="smime.p7m"',
  }),
  'S/MIME, opaque, twice': (payload) => ({
    content: signedData(
      `${crlf(`Content-Type: ${smime}`, 'Content-Transfer-Encoding: base64', '')}${inBase64(signedData(base64Entity(payload)))}`,
    ),
    type: smime,
  }),
  'S/MIME, opaque, quoted-printable inside': (payload) => ({
    content: signedData(
      crlf('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable', '') +
        payload.replace(/[A-Z]/g, (c) => `=${c.charCodeAt(0).toString(16).toUpperCase()}`),
    ),
    type: smime,
  }),
}

const smime = 'application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"'

function base64Entity(payload: string): string {
  return (
    crlf('Content-Type: application/octet-stream; name="test.bin"', 'Content-Transfer-Encoding: base64', '') +
    inBase64(payload)
  )
}

function base64Mail(payload: string): string {
  return crlf('From: sender@example.com', 'Subject: inner', 'MIME-Version: 1.0') + base64Entity(payload)
}

function calendar(line: string, length?: number): Held {
  return {
    content: crlf('BEGIN:VCALENDAR', `X-A:${'-, '.repeat(90)}`, ...folded(line, length), 'END:VCALENDAR'),
    type: 'text/calendar; charset=utf-8',
    encoding: '8bit',
  }
}

/** A content line of iCalendar and vCard. */
function folded(line: string, length = 74): string[] {
  return pieces(line, length).map((piece, i) => (i === 0 ? piece : ` ${piece}`))
}

const binHexDigits = '!"#$%&\'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr'

/** BinHex 4.0: name, lengths, data fork, resource fork (empty), each with its CRC, in run-length code. */
function binHex(payload: string): string {
  const name = 'test.bin'
  const head = Buffer.concat([
    Buffer.from([name.length]),
    bytesOf(`${name}\0TEXTtest`),
    Buffer.from([0, 0]),
    uint32be(payload.length),
    uint32be(0),
  ])
  const withCrc = (bytes: Buffer) => Buffer.concat([bytes, uint16be(crc16(bytes))])
  const bytes = Buffer.concat([head, bytesOf(payload), Buffer.alloc(0)].map(withCrc))
  const escaped = textOf(bytes).replaceAll('\x90', '\x90\0')
  const bits = [...bytesOf(escaped)].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const digits = pieces(bits, 6).map((six) => binHexDigits.charAt(parseInt(six.padEnd(6, '0'), 2)))
  const rows = pieces(`:${digits.join('')}:`, 64)
  return crlf('(This file must be converted with BinHex 4.0)', '', ...rows)
}

/** CRC-CCITT as BinHex counts it: from zero, over the data alone. */
function crc16(bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff
  }
  return crc
}

/** A TNEF stream with one attachment (MS-OXTNEF). */
function tnef(content: string, name = 'test.bin'): string {
  const attribute = (level: number, id: number, data: Buffer) =>
    Buffer.concat([
      Buffer.from([level]),
      uint32le(id),
      uint32le(data.length),
      data,
      uint16le(data.reduce((sum, byte) => (sum + byte) & 0xffff, 0)),
    ])
  return textOf(
    Buffer.concat([
      uint32le(0x223e_9f78),
      uint16le(1),
      attribute(1, 0x0008_9006, uint32le(0x0001_0000)),
      attribute(2, 0x0006_9002, Buffer.concat([uint16le(1), Buffer.alloc(12, 0xff)])),
      attribute(2, 0x0001_8010, bytesOf(`${name}\0`)),
      attribute(2, 0x0006_800f, bytesOf(content)),
    ]),
  )
}

/** Nobody finds it who does not look at the beginning of this: the long name keeps UTF-16 from being guessed. */
function hidden(payload: string): string {
  return tnef(utf16(payload, false), 'n'.repeat(3000))
}

/** An AppleSingle file (RFC 1740): a name and the data fork. */
function appleSingle(content: string): string {
  const name = bytesOf('test.eml')
  const entry = (id: number, at: number, length: number) =>
    Buffer.concat([id, at, length].map((value) => uint32be(value)))
  const start = 26 + 2 * 12
  return textOf(
    Buffer.concat([
      uint32be(0x0005_1600),
      uint32be(0x0002_0000),
      Buffer.alloc(16),
      uint16be(2),
      entry(3, start, name.length),
      entry(1, start + name.length, content.length),
      name,
      bytesOf(content),
    ]),
  )
}

function macBinary(content: string): string {
  const header = Buffer.alloc(128)
  header.write('\x08test.eml', 1, 'latin1')
  header.write('TEXTtest', 65, 'latin1')
  header.writeUInt32BE(content.length, 83)
  return textOf(header) + content + '\0'.repeat(127 - ((content.length + 127) % 128))
}

/** One DER element. */
function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const length =
    content.length < 0x80
      ? Buffer.from([content.length])
      : Buffer.concat([Buffer.from([0x84]), uint32be(content.length)])
  return Buffer.concat([Buffer.from([tag]), length, content])
}

/** The same with zeros in front of its length, which makes it BER. */
function padded(zeros: number, tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const length = Buffer.concat([Buffer.from([0x84 + zeros]), Buffer.alloc(zeros), uint32be(content.length)])
  return Buffer.concat([Buffer.from([tag]), length, content])
}

/** One element of indefinite length. */
function ber(tag: number, ...contents: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from([tag, 0x80]), ...contents, Buffer.alloc(2)])
}

const sequence = 0x30
const set = 0x31
const explicit = 0xa0
const octets = 0x04
const signedDataId = Buffer.from('06092a864886f70d010702', 'hex')
const dataId = Buffer.from('06092a864886f70d010701', 'hex')
const version = Buffer.from('020101', 'hex')

/**
 * CMS SignedData without signers, as a certificate bag has none either; its content is the MIME entity.
 * @param zeros in front of each length
 */
function signedData(entity: string, zeros = 0): string {
  const element = zeros === 0 ? der : padded.bind(null, zeros)
  const content = element(sequence, dataId, element(explicit, element(octets, bytesOf(entity))))
  return textOf(
    element(
      sequence,
      signedDataId,
      element(explicit, element(sequence, version, der(set), content, der(set))),
    ),
  )
}

/** The same in indefinite lengths, the content in octet strings of 40 bytes: what streaming programs write. */
function signedDataInPieces(entity: string): string {
  const strings = pieces(entity, 40).map((piece) => der(octets, bytesOf(piece)))
  const content = ber(sequence, dataId, ber(explicit, ber(octets | 0x20, ...strings)))
  return textOf(
    ber(sequence, signedDataId, ber(explicit, ber(sequence, version, der(set), content, der(set)))),
  )
}

function uint16be(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function uint16le(value: number): Buffer {
  return uint16be(value).swap16()
}

function uint32be(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function uint32le(value: number): Buffer {
  return uint32be(value).swap32()
}
