// Transfer encodings: how a body is written, and how Content-Transfer-Encoding names it.
import { bytesOf, crlf, type Forms, pieces, textOf } from './form'

export interface Encoded {
  /** What Content-Transfer-Encoding says; `null`: no such header. */
  readonly token: string | null
  readonly body: string
}

export type Encode = (content: string) => Encoded

const inBase64 = (content: string) => bytesOf(content).toString('base64')
const lines = (text: string, length = 76) => crlf(...pieces(text, length))

function base64(write: (encoded: string, content: string) => string): Encode {
  return (content) => ({ token: 'base64', body: write(inBase64(content), content) })
}

/** Pieces whose lengths are no multiples of three, each padded. */
function paddedPieces(content: string): string[] {
  return pieces(content, 22).map(inBase64)
}

function quotedPrintable(write: (content: string) => string): Encode {
  return (content) => ({ token: 'quoted-printable', body: write(content) })
}

const hex = (character: string) => character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')
const escaped = (content: string, what: RegExp) => content.replace(what, (c) => `=${hex(c)}`)
const needful = /[^\t\r\n -<>-~]/g
const everything = /[^]/g

/** Soft breaks every 20 characters, with this between the sign and the line end. */
function broken(content: string, between = '', end = '\r\n'): string {
  const escapes = escaped(content, needful).match(/(?:=..|[^=]){1,20}/gs) ?? []
  return `${escapes.join(`=${between}${end}`)}\r\n`
}

export function uuencoded(content: string, begin = 'begin 644 test.bin'): string {
  const digit = (n: number) => String.fromCharCode(n === 0 ? 96 : n + 32)
  const rows = pieces(content, 45).map((row) => {
    const triples = pieces(row, 3).map((triple) => {
      const [a = 0, b = 0, c = 0] = bytesOf(triple)
      return [a >> 2, ((a & 3) << 4) | (b >> 4), ((b & 15) << 2) | (c >> 6), c & 63].map(digit).join('')
    })
    return digit(row.length) + triples.join('')
  })
  return crlf(begin, ...rows, '`', 'end')
}

function plain(token: string | null): Encode {
  return (content) => ({ token, body: `${content}\r\n` })
}

export const encodings: Forms<Encode> = {
  usual: base64((text) => lines(text)),
  '7bit': plain('7bit'),
  '8bit': plain('8bit'),
  binary: plain('binary'),
  'none named': plain(null),
  'none named, text before and behind': (c) => ({ token: null, body: crlf('text', c, 'text') }),
  'quoted-printable': quotedPrintable((c) => `${escaped(c, needful)}\r\n`),
  'qp: every character': quotedPrintable((c) =>
    lines(escaped(c, everything), 75).replaceAll('\r\n', '=\r\n'),
  ),
  'qp: some characters': quotedPrintable((c) => `${escaped(c, /[A-Z]/g)}\r\n`),
  'qp: lower-case hex': quotedPrintable((c) => `${escaped(c, everything).toLowerCase()}\r\n`),
  'qp: soft breaks': quotedPrintable((c) => broken(c)),
  'qp: soft breaks with a blank': quotedPrintable((c) => broken(c, ' ')),
  'qp: soft breaks with blanks and tabs': quotedPrintable((c) => broken(c, ' \t  ')),
  'qp: soft breaks with many blanks': quotedPrintable((c) => broken(c, ' '.repeat(300))),
  'qp: soft breaks with more blanks than a line may have': quotedPrintable((c) =>
    broken(c, ' '.repeat(1500)),
  ),
  'qp: soft breaks with a CR': quotedPrintable((c) => broken(c, '\r')),
  'qp: soft breaks with a CR and text': quotedPrintable((c) => broken(c, '\r text')),
  'qp: soft breaks with a vertical tab': quotedPrintable((c) => broken(c, '\v')),
  'qp: soft breaks with a NUL': quotedPrintable((c) => broken(c, '\0')),
  'qp: soft breaks by LF': quotedPrintable((c) => broken(c, '', '\n')),
  'qp: soft breaks by CR': quotedPrintable((c) => broken(c, '', '\r')),
  'qp: soft breaks twice': quotedPrintable((c) => broken(c, '\r\n=')),
  'qp: a soft break at every character': quotedPrintable((c) => pieces(c, 1).join('=\r\n')),
  'qp: an escape across a soft break': quotedPrintable(
    (c) => `=\r\n${escaped(c, everything).replaceAll('=4', '=4=\r\n')}`,
  ),
  'qp: broken escapes in front': quotedPrintable((c) => `=ZZ =4 =\t= =\r\n${escaped(c, /[A-Z]/g)}\r\n`),
  'qp: an escape of a line end within': quotedPrintable((c) => `text=0D=0A${escaped(c, /[A-Z]/g)}=0D=0A`),
  'qp: a long line': quotedPrintable((c) => `${'x'.repeat(2000)}${escaped(c, everything)}\r\n`),
  'qp: blanks at the line end': quotedPrintable((c) => `${escaped(c, /[A-Z]/g)}   \r\n`),
  'qp: no line end at the end': quotedPrintable((c) => escaped(c, /[A-Z]/g)),
  'qp: a sign at the end': quotedPrintable((c) => `${escaped(c, /[A-Z]/g)}=`),
  'qp: eight-bit text in front': quotedPrintable((c) => `\xe4\xf6\xfc ${escaped(c, /[A-Z]/g)}\r\n`),
  'base64: one line': base64((text) => `${text}\r\n`),
  'base64: lines of 61': base64((text) => lines(text, 61)),
  'base64: lines of 7': base64((text) => lines(text, 7)),
  'base64: lines of 1': base64((text) => lines(text, 1)),
  'base64: lines of 3 and 5 by turns': base64((text) =>
    crlf(...pieces(text, 8).flatMap((row) => [row.slice(0, 3), row.slice(3)])),
  ),
  'base64: a long line': base64((_, content) => `${inBase64('x'.repeat(3000) + content)}\r\n`),
  'base64: no line end at the end': base64((text) => lines(text).trimEnd()),
  'base64: lines end in LF': base64((text) => lines(text, 40).replaceAll('\r\n', '\n')),
  'base64: lines end in CR': base64((text) => lines(text, 40).replaceAll('\r\n', '\r')),
  'base64: blanks between all': base64((text) => lines(pieces(text, 1).join(' '))),
  'base64: blanks at the line ends': base64((text) => lines(text, 40).replaceAll('\r\n', '  \r\n')),
  'base64: indented': base64((text) => lines(text, 40).replace(/^(?=.)/gm, '  ')),
  'base64: indented by tabs': base64((text) => lines(text, 40).replace(/^(?=.)/gm, '\t')),
  'base64: empty lines within': base64((text) => lines(text, 20).replaceAll('\r\n', '\r\n\r\n')),
  'base64: empty lines in front': base64((text) => `\r\n\r\n\r\n${lines(text)}`),
  'base64: garbage between all': base64((text) => lines(pieces(text, 1).join('*'))),
  'base64: garbage in each line': base64((text) => lines(text, 20).replaceAll('\r\n', '!@#\r\n')),
  'base64: eight-bit garbage': base64((text) => pieces(text, 3).join('\xe4') + '\r\n'),
  'base64: NULs between': base64((text) => pieces(text, 7).join('\0') + '\r\n'),
  'base64: dashes and dots between': base64((text) => pieces(text, 5).join('-.') + '\r\n'),
  'base64: line of garbage in front': base64((text) => crlf('***', ...pieces(text, 76))),
  'base64: text line in front': base64((text) => crlf('Here comes the file:', ...pieces(text, 76))),
  'base64: a header in front': base64((text) => crlf('X-Note: zz', '', ...pieces(text, 76))),
  'base64: text line behind': base64((text) => crlf(...pieces(text, 76), '', 'That was the file.')),
  'base64: a dot line behind': base64((text) => crlf(...pieces(text, 76), '.')),
  'base64: alphabet of addresses': base64((text) => lines(text.replaceAll('+', '-').replaceAll('/', '_'))),
  'base64: no padding': base64((text) => lines(text.replace(/=+$/, ''))),
  'base64: too much padding': base64((text) => lines(text.replace(/=+$/, '') + '====')),
  'base64: padding and more behind': base64((text) => crlf(...pieces(text, 76), '====', 'QUJD')),
  'base64: padding in front': base64((text) => crlf('====', ...pieces(text, 76))),
  'base64: padding in front, on the same line': base64((text) => lines(`QQ==${text}`)),
  'base64: padding within a line': base64((_, c) => `${paddedPieces(c).join('')}\r\n`),
  'base64: padding at the line ends': base64((_, c) => crlf(...paddedPieces(c))),
  'base64: padding within, after text': base64((_, c) => crlf(...paddedPieces(`a${c}`))),
  'base64: padding with blanks within': base64((_, c) => `${paddedPieces(c).join(' ')}\r\n`),
  'base64: padding between two files': base64((_, c) => `${inBase64('first')}\r\n${lines(inBase64(c))}`),
  'base64: padding between three': base64((_, c) => lines(inBase64('a') + inBase64('bc') + inBase64(c), 60)),
  'base64: one sign of padding too few': base64((_, c) =>
    crlf(inBase64('a').slice(0, -1), ...pieces(inBase64(c), 76)),
  ),
  'base64: one character left over': base64((text) => lines(`${text.replace(/=+$/, '')}A`)),
  'base64: begins with a lone character': base64((text) => crlf('A===', ...pieces(text, 76))),
  'base64: NUL bytes in front': base64((_, c) => lines(inBase64('\0'.repeat(3) + c))),
  'base64: a byte order mark in front': base64((_, c) => lines(inBase64(`\xef\xbb\xbf${c}`))),
  'base64: 60 kB in front': base64((_, c) => lines(inBase64('x'.repeat(60_000) + c))),
  'base64: marks of quoting': base64((text) => crlf(...pieces(text, 40).map((row) => `> ${row}`))),
  'base64 twice': base64((text) => lines(Buffer.from(lines(text)).toString('base64'))),
  'base64 of quoted-printable': base64((_, c) => lines(inBase64(escaped(c, everything)))),
  'base64, named 7bit': (c) => ({ token: '7bit', body: lines(inBase64(c)) }),
  'base64, not named': (c) => ({ token: null, body: lines(inBase64(c)) }),
  'base64, named quoted-printable': (c) => ({ token: 'quoted-printable', body: lines(inBase64(c)) }),
  'base64, named x-zz': (c) => ({ token: 'x-zz', body: lines(inBase64(c)) }),
  'base64, named uuencode': (c) => ({ token: 'x-uuencode', body: lines(inBase64(c)) }),
  'quoted-printable, named base64': (c) => ({ token: 'base64', body: `${escaped(c, everything)}\r\n` }),
  'quoted-printable, named 7bit': (c) => ({ token: '7bit', body: `${escaped(c, everything)}\r\n` }),
  'quoted-printable, not named': (c) => ({ token: null, body: `${escaped(c, everything)}\r\n` }),
  'raw, named base64': plain('base64'),
  'raw, named quoted-printable': plain('quoted-printable'),
  'raw, named x-uuencode': plain('x-uuencode'),
  'raw, named x-zz': plain('x-zz'),
  'raw, named x-gzip': plain('x-gzip'),
  'x-uuencode': (c) => ({ token: 'x-uuencode', body: uuencoded(c) }),
  'x-uue': (c) => ({ token: 'x-uue', body: uuencoded(c) }),
  uuencode: (c) => ({ token: 'uuencode', body: uuencoded(c) }),
  'x-uu': (c) => ({ token: 'x-uu', body: uuencoded(c) }),
  'x-uuencode behind begin-base64': (c) => ({
    token: 'x-uuencode',
    body: uuencoded(c, 'begin-base64 644 test.bin'),
  }),
  'x-uuencode without begin': (c) => ({
    token: 'x-uuencode',
    body: uuencoded(c).split('\r\n').slice(1).join('\r\n'),
  }),
  'uuencoded, named 7bit': (c) => ({ token: '7bit', body: uuencoded(c) }),
  'uuencoded, named base64': (c) => ({ token: 'base64', body: uuencoded(c) }),
  'uuencoded, then quoted-printable': (c) => ({
    token: 'quoted-printable',
    body: escaped(uuencoded(c), /[^\r\n -<>-~]/g),
  }),
  'uuencoded, then base64': (c) => ({ token: 'base64', body: lines(inBase64(uuencoded(c))) }),
  'yEnc, named x-yencode': (c) => ({ token: 'x-yencode', body: yEncoded(c) }),
}

/** One part, one line. */
export function yEncoded(content: string): string {
  const coded = bytesOf(content).map((byte) => (byte + 42) & 255)
  const written = textOf(Buffer.from(coded)).replace(
    /[\0\t\n\r=.]/g,
    (c) => `=${String.fromCharCode((c.charCodeAt(0) + 64) & 255)}`,
  )
  return crlf(
    `=ybegin line=128 size=${content.length} name=test.bin`,
    ...pieces(written, 128),
    `=yend size=${content.length}`,
  )
}

/** How the header names the encoding. */
export const tokens: Forms<(token: string) => string | null> = {
  usual: (t) => t,
  missing: () => null,
  empty: () => '',
  'in upper case': (t) => t.toUpperCase(),
  'in mixed case': (t) => t.replace(/./g, (c, i: number) => (i % 2 ? c.toUpperCase() : c)),
  'a comment behind': (t) => `${t} (c)`,
  'a comment right behind': (t) => `${t}(c)`,
  'a comment in front': (t) => `(c) ${t}`,
  'in quotes': (t) => `"${t}"`,
  'in single quotes': (t) => `'${t}'`,
  'in angle brackets': (t) => `<${t}>`,
  'a semicolon behind': (t) => `${t};`,
  'a parameter behind': (t) => `${t}; charset=utf-8`,
  'a comma behind': (t) => `${t},`,
  'a dot behind': (t) => `${t}.`,
  'a colon in front': (t) => `: ${t}`,
  'a second one behind': (t) => `${t} 7bit`,
  'a second one behind a comma': (t) => `${t}, 7bit`,
  'a second one in front': (t) => `7bit ${t}`,
  'a second one in front of a semicolon': (t) => `7bit; ${t}`,
  'text right behind': (t) => `${t}x`,
  'text right in front': (t) => `x${t}`,
  'x- in front': (t) => `x-${t}`,
  'a blank within': (t) => `${t.slice(0, 4)} ${t.slice(4)}`,
  'a dash within': (t) => `${t.slice(0, 4)}-${t.slice(4)}`,
  'an underscore for the dash': (t) => t.replaceAll('-', '_'),
  'no dash': (t) => t.replaceAll('-', ''),
  'cut short': (t) => t.slice(0, -1),
  'the first letter alone': (t) => t.slice(0, 1),
  'folded in front': (t) => `\r\n ${t}`,
  'folded within': (t) => `${t.slice(0, 4)}\r\n ${t.slice(4)}`,
  'folded behind': (t) => `${t}\r\n zz`,
  'tabs around': (t) => `\t${t}\t`,
  'a vertical tab in front': (t) => `\v${t}`,
  'a NUL within': (t) => `${t.slice(0, 4)}\0${t.slice(4)}`,
  'a NUL behind': (t) => `${t}\0`,
  'a CR behind': (t) => `${t}\r`,
  'an encoded word': (t) => `=?us-ascii?Q?${t}?=`,
  'RFC 2231': (t) => `*=us-ascii''${t}`,
  'an eight-bit letter behind': (t) => `${t}\xe4`,
  'a no-break space behind': (t) => `${t}\xa0`,
}

/** The encoding of a multipart or a message: its body as it is, or really encoded. */
export const wholeEncodings: Forms<Encode> = {
  usual: (body) => ({ token: null, body }),
  '7bit': (body) => ({ token: '7bit', body }),
  '8bit': (body) => ({ token: '8bit', body }),
  binary: (body) => ({ token: 'binary', body }),
  'base64 in name only': (body) => ({ token: 'base64', body }),
  'quoted-printable in name only': (body) => ({ token: 'quoted-printable', body }),
  'x-uuencode in name only': (body) => ({ token: 'x-uuencode', body }),
  'x-zz in name only': (body) => ({ token: 'x-zz', body }),
  base64: (body) => ({ token: 'base64', body: lines(inBase64(body)) }),
  'quoted-printable': (body) => ({ token: 'quoted-printable', body: escaped(body, needful) }),
  'quoted-printable with soft breaks': (body) => ({ token: 'quoted-printable', body: broken(body) }),
  'x-uuencode': (body) => ({ token: 'x-uuencode', body: uuencoded(body, 'begin 644 test.eml') }),
  'base64, not named': (body) => ({ token: null, body: lines(inBase64(body)) }),
}
