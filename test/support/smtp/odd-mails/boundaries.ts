// Boundaries: their text, how Content-Type names them, and the delimiter lines in the body.
import { crlf, type Forms, pieces } from './form'

/** The text of the boundary, from how deep the multipart stands and from the boundary of the multipart around it. */
export const boundaryTexts: Forms<(level: number, outer: string) => string> = {
  usual: (level) => `=_part_${level}`,
  'with dashes in front': (level) => `----=_NextPart_${level}`,
  'with dashes behind': (level) => `b${level}--`,
  'only dashes': (level) => '-'.repeat(level + 1),
  'one character': (level) => 'abcdefghijklmnopqrstuvwxyz'.charAt(level % 26),
  'a digit': (level) => String(level),
  empty: () => '',
  'with a blank inside': (level) => `a b${level}`,
  'with a blank behind': (level) => `ab${level} `,
  'with a tab inside': (level) => `a\tb${level}`,
  '70 characters': (level) => `${'b'.repeat(68)}${10 + level}`,
  '71 characters': (level) => `${'b'.repeat(69)}${10 + level}`,
  '200 characters': (level) => `${'b'.repeat(198)}${10 + level}`,
  '1100 characters': (level) => `${'b'.repeat(1098)}${10 + level}`,
  '5000 characters': (level) => `${'b'.repeat(4998)}${10 + level}`,
  'allowed punctuation': (level) => `'()+_,-./:=?${level}`,
  'other punctuation': (level) => `!#$%&*;<>@[]^{}|~${level}`,
  'a star or a percent sign': (level) => `b*0%${level}`,
  'the word boundary=': (level) => `boundary=${level}`,
  'eight-bit': (level) => `gr\xfc\xdfe${level}`,
  'a backslash': (level) => `a\\b${level}`,
  'a quote': (level) => `a"b${level}`,
  'a semicolon': (level) => `a;b${level}`,
  'a comment': (level) => `a(c)b${level}`,
  'the outer one, longer': (level, outer) => `${outer}x${level}`,
  'the outer one, shorter': (level, outer) => outer.slice(0, -1) || `s${level}`,
  'the same as the outer one': (_, outer) => outer,
  'the outer one with dashes behind': (_, outer) => `${outer}--`,
  'the outer one in another case': (_, outer) => outer.toUpperCase(),
  'an encoded word': (level) => `=?us-ascii?Q?b${level}?=`,
}

/** The parameters of Content-Type, with what stands in front of each. */
export const boundaryParameters: Forms<(boundary: string) => string> = {
  usual: (b) => `; boundary="${b}"`,
  unquoted: (b) => `; boundary=${b}`,
  'on a line of its own': (b) => `;\r\n\tboundary="${b}"`,
  'on the third line': (b) => `;\r\n charset=utf-8;\r\n boundary="${b}"`,
  'name and value on two lines': (b) => `; boundary=\r\n "${b}"`,
  'blanks around the sign': (b) => `; boundary = "${b}"`,
  'a tab before the sign': (b) => `; boundary\t="${b}"`,
  'in upper case': (b) => `; BOUNDARY="${b}"`,
  'a comment behind': (b) => `; boundary="${b}" (comment)`,
  'a comment in front': (b) => `; (comment) boundary="${b}"`,
  'a comment before the value': (b) => `; boundary=(comment)"${b}"`,
  'a comment before the sign': (b) => `; boundary(comment)="${b}"`,
  'a comment with a boundary in front': (b) => ` (; boundary=zz); boundary="${b}"`,
  'no semicolon': (b) => ` boundary="${b}"`,
  'a comma': (b) => `, boundary="${b}"`,
  'two semicolons': (b) => `;; boundary="${b}"`,
  'a semicolon behind': (b) => `; boundary="${b}";`,
  'unquoted, a semicolon behind': (b) => `; boundary=${b};`,
  'unquoted, text behind': (b) => `; boundary=${b} zz`,
  'unquoted, a parameter behind': (b) => `; boundary=${b}; charset=utf-8`,
  'text behind the quotes': (b) => `; boundary="${b}"zz`,
  'single quotes': (b) => `; boundary='${b}'`,
  'angle brackets': (b) => `; boundary=<${b}>`,
  'no closing quote': (b) => `; boundary="${b}`,
  'no opening quote': (b) => `; boundary=${b}"`,
  'an escape in quotes': (b) => `; boundary="\\${b}"`,
  'escaped quotes around': (b) => `; boundary=\\"${b}\\"`,
  'quotes twice': (b) => `; boundary=""${b}""`,
  'a blank inside the quotes, in front': (b) => `; boundary=" ${b}"`,
  'a blank inside the quotes, behind': (b) => `; boundary="${b} "`,
  'folded inside the quotes': (b) => `; boundary="${b.slice(0, 2)}\r\n ${b.slice(2)}"`,
  'folded behind the quotes': (b) => `; boundary="${b}"\r\n \r\n`.trimEnd(),
  'a value with a boundary in front': (b) => `; x="boundary=zz"; boundary="${b}"`,
  'a quoted semicolon and boundary in front': (b) => `; x="; boundary=zz"; boundary="${b}"`,
  'an escaped quote in a value in front': (b) => `; x="a\\"; boundary=zz; y=\\"b"; boundary="${b}"`,
  'a longer name in front': (b) => `; xboundary="zz"; boundary="${b}"`,
  'a name that begins alike in front': (b) => `; boundary2="zz"; boundary="${b}"`,
  'a value without a name in front': (b) => `; zz; boundary="${b}"`,
  'parameters in front': (b) => `; charset="utf-8"; type="text/plain"; boundary="${b}"`,
  'many parameters in front': (b) =>
    `${Array.from({ length: 60 }, (_, i) => `;\r\n p${i}="v"`).join('')};\r\n boundary="${b}"`,
  '300 parameters in front': (b) => `${';p=v'.repeat(300)}; boundary="${b}"`,
  'a long parameter in front': (b) => `; x="${'x'.repeat(970)}"; boundary="${b}"`,
  'a very long parameter in front': (b) => `; x="${'x'.repeat(9000)}"; boundary="${b}"`,
  'a long parameter on a line in front': (b) => `;\r\n x="${'x'.repeat(2000)}";\r\n boundary="${b}"`,
  'twice, the other one first': (b) => `; boundary="zz"; boundary="${b}"`,
  'twice, the other one last': (b) => `; boundary="${b}"; boundary="zz"`,
  'twice, in another case': (b) => `; Boundary="zz"; boundary="${b}"`,
  'twice, an empty one first': (b) => `; boundary=""; boundary="${b}"`,
  'twice, an empty one last': (b) => `; boundary="${b}"; boundary=""`,
  'RFC 2231, one piece': (b) => `; boundary*0="${b}"`,
  'RFC 2231, two pieces': (b) => `; boundary*0="${b.slice(0, 3)}"; boundary*1="${b.slice(3)}"`,
  'RFC 2231, pieces in another order': (b) => `; boundary*1="${b.slice(3)}"; boundary*0="${b.slice(0, 3)}"`,
  'RFC 2231, many pieces': (b) =>
    pieces(b, Math.ceil(b.length / 12) || 1)
      .map((piece, i) => `;\r\n boundary*${i}="${piece}"`)
      .join(''),
  'RFC 2231, a character set': (b) => `; boundary*=us-ascii'en'${percent(b)}`,
  'RFC 2231, no character set': (b) => `; boundary*=''${percent(b)}`,
  'RFC 2231, pieces with a character set': (b) =>
    `; boundary*0*=us-ascii''${percent(b.slice(0, 3))}; boundary*1="${b.slice(3)}"`,
  'RFC 2231, and the other one plainly': (b) => `; boundary*0="${b}"; boundary="zz"`,
  'plainly, and the other one by RFC 2231': (b) => `; boundary="${b}"; boundary*0="zz"`,
  'an encoded word': (b) => `; boundary="=?us-ascii?Q?${b.replaceAll('=', '=3D')}?="`,
  'a NUL behind': (b) => `; boundary="${b}"\0`,
  'a NUL in the name': (b) => `; boun\0dary="${b}"`,
  'a vertical tab before the name': (b) => `;\vboundary="${b}"`,
  'a CR before the name': (b) => `;\r boundary="${b}"`,
  'a missing sign': (b) => `; boundary "${b}"`,
  'a colon for the sign': (b) => `; boundary: "${b}"`,
  missing: () => '',
}

function percent(text: string): string {
  return Buffer.from(text, 'latin1').reduce((all, byte) => `${all}%${byte.toString(16).padStart(2, '0')}`, '')
}

/** The body of a multipart from its boundary, the one around it, its parts (header and body) and which of them counts. */
export type Delimiters = (boundary: string, parts: readonly string[], at: number, outer: string) => string

/** Every part with the same delimiter lines. */
function lined(open: (boundary: string) => string, close: (boundary: string) => string): Delimiters {
  return (b, parts) => parts.map((part) => `${open(b)}${part}\r\n`).join('') + close(b)
}

/** In a part of its own in front of the one that counts: a program that cuts lines there sees a close delimiter. */
function closeWithin(length: number): Delimiters {
  return (b, parts, at) => {
    const long = `Content-Type: text/plain\r\n\r\n${'x'.repeat(length)}--${b}--`
    return ordinary(b, [...parts.slice(0, at), long, ...parts.slice(at)], at, '')
  }
}

const ordinary = lined(
  (b) => `--${b}\r\n`,
  (b) => `--${b}--\r\n`,
)

/** Only the delimiter in front of the part that counts is odd. */
function oddDelimiter(line: (boundary: string, outer: string) => string): Delimiters {
  return (b, parts, at, outer) =>
    parts.map((part, i) => `${i === at ? line(b, outer) : `--${b}\r\n`}${part}\r\n`).join('') + `--${b}--\r\n`
}

export const delimiters: Forms<Delimiters> = {
  usual: (...args) => `This is a multi-part message in MIME format.\r\n\r\n${ordinary(...args)}`,
  'no preamble': ordinary,
  'an empty line in front': (...args) => `\r\n${ordinary(...args)}`,
  'a blank behind': oddDelimiter((b) => `--${b} \r\n`),
  'a tab behind': oddDelimiter((b) => `--${b}\t\r\n`),
  'many blanks behind': oddDelimiter((b) => `--${b}${' '.repeat(2000)}\r\n`),
  'text behind': oddDelimiter((b) => `--${b}zz\r\n`),
  'a blank and text behind': oddDelimiter((b) => `--${b} zz\r\n`),
  'a comment behind': oddDelimiter((b) => `--${b} (c)\r\n`),
  'a semicolon behind': oddDelimiter((b) => `--${b};\r\n`),
  'a dash behind': oddDelimiter((b) => `--${b}-\r\n`),
  'dashes and text behind': oddDelimiter((b) => `--${b}--zz\r\n`),
  'blanks and dashes behind': oddDelimiter((b) => `--${b} --\r\n`),
  'two dashes behind': oddDelimiter((b) => `--${b}--\r\n`),
  'a NUL behind': oddDelimiter((b) => `--${b}\0\r\n`),
  'a form feed behind': oddDelimiter((b) => `--${b}\f\r\n`),
  'a CR behind': oddDelimiter((b) => `--${b}\r\r\n`),
  'a blank in front': oddDelimiter((b) => ` --${b}\r\n`),
  'text in front': oddDelimiter((b) => `zz--${b}\r\n`),
  'a NUL in front': oddDelimiter((b) => `\0--${b}\r\n`),
  'a mark of quoting in front': oddDelimiter((b) => `> --${b}\r\n`),
  'one dash in front': oddDelimiter((b) => `-${b}\r\n`),
  'no dashes in front': oddDelimiter((b) => `${b}\r\n`),
  'three dashes in front': oddDelimiter((b) => `---${b}\r\n`),
  'a blank behind the dashes': oddDelimiter((b) => `-- ${b}\r\n`),
  'in upper case': oddDelimiter((b) => `--${b.toUpperCase()}\r\n`),
  'in quotes': oddDelimiter((b) => `--"${b}"\r\n`),
  'cut short': oddDelimiter((b) => `--${b.slice(0, -1)}\r\n`),
  twice: oddDelimiter((b) => `--${b}\r\n--${b}\r\n`),
  'twice, an empty line between': oddDelimiter((b) => `--${b}\r\n\r\n--${b}\r\n`),
  'LF alone behind': oddDelimiter((b) => `--${b}\n`),
  'LF alone in front': oddDelimiter((b) => `\n--${b}\n`),
  'CR alone behind': oddDelimiter((b) => `--${b}\r`),
  'CR alone in front': oddDelimiter((b) => `text\r--${b}\r\n`),
  'CR LF LF behind': oddDelimiter((b) => `--${b}\r\n\n`),
  'the outer one': oddDelimiter((_, outer) => `--${outer}\r\n`),
  'the outer one, then this': oddDelimiter((b, outer) => `--${outer}\r\n\r\ntext\r\n--${b}\r\n`),
  'the outer close, then this': oddDelimiter((b, outer) => `--${outer}--\r\n--${b}\r\n`),
  'the outer one after, this after that': (b, parts, at, outer) =>
    ordinary(b, parts, at, outer) + `--${outer}\r\n\r\ntext\r\n`,
  missing: oddDelimiter(() => ''),
  'an empty line for it': oddDelimiter(() => '\r\n'),
  'not closed': lined(
    (b) => `--${b}\r\n`,
    () => '',
  ),
  'closed by one dash': lined(
    (b) => `--${b}\r\n`,
    (b) => `--${b}-\r\n`,
  ),
  'closed with a blank between': lined(
    (b) => `--${b}\r\n`,
    (b) => `--${b} --\r\n`,
  ),
  'closed by a delimiter': lined(
    (b) => `--${b}\r\n`,
    (b) => `--${b}\r\n`,
  ),
  'no line end after the close': lined(
    (b) => `--${b}\r\n`,
    (b) => `--${b}--`,
  ),
  'the body runs into the next delimiter': (b, parts) =>
    parts.map((part) => `--${b}\r\n${part}`).join('') + `--${b}--\r\n`,
  'an empty line before each': lined(
    (b) => `\r\n\r\n--${b}\r\n`,
    (b) => `\r\n--${b}--\r\n`,
  ),
  'closed in front of everything': (...args) => `--${args[0]}--\r\n\r\n${ordinary(...args)}`,
  'closed in the middle, parts behind': (b, parts, at) =>
    ordinary(b, parts.slice(0, at), at, '') + ordinary(b, parts.slice(at), at, ''),
  'the part behind the close, without delimiter': (b, parts, at) =>
    ordinary(
      b,
      parts.filter((_, i) => i !== at),
      at,
      '',
    ) + (parts[at] ?? ''),
  'the part in the preamble': (b, parts, at) =>
    (parts[at] ?? '') +
    `\r\n` +
    ordinary(b, parts.length > 1 ? parts.filter((_, i) => i !== at) : [crlf('', 'text')], at, ''),
  'a long preamble': (...args) => `${crlf(...Array<string>(400).fill('x'.repeat(78)))}${ordinary(...args)}`,
  'a preamble with headers': (...args) =>
    `Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\n${ordinary(...args)}`,
  'a close at 998 of a long line': closeWithin(998),
  'a close at 999 of a long line': closeWithin(999),
  'a close at 1000 of a long line': closeWithin(1000),
  'a close at 1023 of a long line': closeWithin(1023),
  'a close at 4096 of a long line': closeWithin(4096),
  'a close at 8192 of a long line': closeWithin(8192),
  'delimiter lines in the preamble': (...args) => `--zz\r\n--${args[0]}zz\r\n${ordinary(...args)}`,
  'an epilogue with parts of others': (...args) => `${ordinary(...args)}--zz\r\n\r\ntext\r\n--zz--\r\n`,
}
