// How often a form is drawn, by measurement (test/readings/measure.ts --single).

/**
 * Forms that hide the payload from nearly every reader: drawn less often, or most of what clamd calls clean would be
 * what nobody can open.
 */
export const hiding: readonly string[] = [
  ...['PEM in text', 'a calendar attachment', 'a photo in a vCard', 'begin-base64 in text', 'text in UTF-7'],
  ...[
    'S/MIME, opaque, in pieces',
    'S/MIME, opaque, twice',
    'S/MIME, opaque',
    'S/MIME, opaque, as octet stream',
  ],
  ...['base64 of quoted-printable', 'base64 twice', 'base64, named quoted-printable', 'base64, not named'],
  ...['base64: a header in front', 'quoted-printable, named 7bit', 'quoted-printable, named base64'],
  ...['quoted-printable, not named', 'x-uuencode without begin', 'Content-Encoding for the encoding'],
  ...['a fold inside the name', 'indented by a blank', 'two dashes in the name', 'underscores in the name'],
  ...['X- in front of the encoding', 'no colon', 'an equals sign for the colon', 'missing', 'empty'],
  ...['base64', 'x-uuencode', 'quoted-printable with soft breaks', 'uuencoded, then quoted-printable'],
  ...['a blank behind the dashes', 'a blank in front', 'a mark of quoting in front', 'an empty line for it'],
  ...['cut short', 'dashes and text behind', 'in quotes', 'no dashes in front', 'one dash in front'],
  ...['text in front', 'the part behind the close, without delimiter', 'two dashes behind'],
  ...['CR', 'CR CR LF', 'LF CR', 'CR behind the header', 'a NUL before each'],
]

/** Forms that alone make clamd call a mail clean that readers open: drawn more often. */
export const telling: readonly string[] = [
  ...[
    'signed',
    'signed by PGP',
    'signed, in upper case',
    'parallel',
    'no multipart',
    'a backslash',
    'no slash',
  ],
  ...['a second type behind', 'a second type behind a comma', 'text in front', 'text/plain with a boundary'],
  ...['application with a boundary', 'message with a boundary', 'the outer one with dashes behind'],
  ...['a tab behind', 'a form feed behind', 'a preamble with headers', 'text behind', 'a dash behind'],
  ...['a blank before the colon of the encoding', 'blanks before every colon', 'a tab before the colon'],
  ...['many blanks before the colon', 'two folds behind the colon', 'a fold before the colon'],
  ...['a fold behind the value', 'a line of blanks in front of the encoding', 'another type behind'],
  ...['no empty line behind', 'a semicolon at the end of a field in front'],
  ...['a name without closing quote', 'a name without opening quote', 'a name with a quote'],
  ...['a name with an escaped quote', 'no closing quote', 'an escaped quote', 'a quote too many'],
  ...['a semicolon behind', 'delivery status', 'disposition notification', 'an unknown message'],
  ...['external body', 'partial', 'global', 'news', 'an unknown one', 'http', 'feedback report'],
  ...['qp: soft breaks with a blank', 'qp: soft breaks with blanks and tabs', 'qp: soft breaks with a CR'],
  ...['base64: padding in front, on the same line', 'base64: padding within a line'],
  ...['base64: padding at the line ends', 'base64: padding between two files'],
  ...['base64: padding between three', 'base64: one sign of padding too few'],
  ...['base64: padding with blanks within', 'base64: begins with a lone character'],
  ...[
    'text in UTF-16LE',
    'text in UTF-16BE',
    'text in UTF-16',
    'text in UTF-32',
    'HTML in UTF-16',
    'flowed text',
  ],
  ...['uuencode, begin with three digits more', 'uuencode, begin without name'],
]

export function oddsOf(form: string): number {
  return hiding.includes(form) ? 1 : telling.includes(form) ? 18 : 6
}
