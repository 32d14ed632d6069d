// Sample messages, as they would be in a file: CRLF line ends, dots not stuffed. Each call makes another message with
// a Message-ID of its own, because clamd remembers what it has scanned.
import { randomBytes, randomUUID } from 'node:crypto'
import { eicar, oddMarker, phishingMarker } from '../eicar'

type Headers = readonly string[]

const text = ['Content-Type: text/plain; charset=utf-8']

function headers(subject: string, more: Headers = text): string {
  const lines = [
    'From: Sender <sender@example.com>',
    'To: Recipient <recipient@example.com>',
    `Subject: ${subject}`,
    'Date: Mon, 02 Jan 2023 10:00:00 +0000',
    `Message-ID: <${randomUUID()}@example.com>`,
    'MIME-Version: 1.0',
    ...more,
  ]
  return lines.map((line) => `${line}\r\n`).join('')
}

function mail(subject: string, body: string, more?: Headers): Buffer {
  return Buffer.from(`${headers(subject, more)}\r\n${body}`)
}

function base64Lines(bytes: Buffer): string {
  return bytes.toString('base64').replace(/.{1,76}/g, '$&\r\n')
}

export interface Attachment {
  name: string
  content: Buffer | string
  type?: string
}

/** A text part and the given attachments in base64. */
export function withAttachments(...attachments: Attachment[]): Buffer {
  const boundary = `=_${randomUUID()}`
  const parts = attachments.map(({ name, content, type = 'application/octet-stream' }) =>
    [
      `--${boundary}`,
      `Content-Type: ${type}; name="${name}"`,
      'Content-Transfer-Encoding: base64',
      `Content-Disposition: attachment; filename="${name}"`,
      '',
      base64Lines(Buffer.from(content)),
    ].join('\r\n'),
  )
  const first = `--${boundary}\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n`
  const body = `${first}${parts.join('')}--${boundary}--\r\n`
  return mail('With attachments', body, [`Content-Type: multipart/mixed; boundary="${boundary}"`])
}

export function clean(): Buffer {
  return mail('Clean', 'Nothing to see here.\r\n')
}

export function eicarAttachment(): Buffer {
  return withAttachments({ name: 'test.txt', content: eicar() })
}

export function eicarBody(): Buffer {
  return mail('EICAR as the body', `${eicar()}\r\n`)
}

/** Fires under `phishingMarker.name`, which the shipped rules tag. */
export function phishing(): Buffer {
  return mail('Marker', `Before ${phishingMarker.text} after.\r\n`)
}

/** Fires under the awkward `oddMarker.name`. */
export function oddlyNamed(): Buffer {
  return mail('Marker', `Before ${oddMarker.text} after.\r\n`)
}

/** UTF-8, Latin-1 and every byte that is neither CR, LF nor NUL, unencoded. */
export function eightBit(): Buffer {
  const bytes = Array.from({ length: 255 }, (_, index) => index + 1).filter(
    (byte) => byte !== 10 && byte !== 13,
  )
  return Buffer.concat([mail('8bit', 'na\u00efve \u20ac\r\n'), Buffer.from(bytes), Buffer.from('\r\n')])
}

/** Headers and the empty line, nothing after it. */
export function emptyBody(): Buffer {
  return mail('Empty body', '')
}

/** Headers without the empty line that ends them. */
export function headersOnly(): Buffer {
  return Buffer.from(headers('Headers only'))
}

/** Headers that run into text without an empty line between them. */
export function noHeaderEnd(): Buffer {
  return Buffer.from(`${headers('No end of the headers')}This line is no header.\r\nNor is this.\r\n`)
}

/** No header at all, not even the empty line. */
export function bodyOnly(): Buffer {
  return Buffer.from(`Only text ${randomUUID()}\r\nand more text.\r\n`)
}

/** Lines that begin with dots, a single dot among them. */
export function dotLines(): Buffer {
  return mail('Dots', ['.', '..', '.x', '..x', '...', 'x.', ' .', '.', ''].join('\r\n'))
}

/** A last line without its line end, which SMTP adds. */
export function noFinalNewline(): Buffer {
  return mail('No final newline', 'First line.\r\nLast line')
}

/** Lines of 990 bytes and CRLF, the longest that Haraka leaves alone. */
export function longLines(): Buffer {
  return mail('Long lines', `${'x'.repeat(989)}y\r\n`.repeat(20))
}

/** At least `bytes` bytes of unique, incompressible base64 in one attachment. */
export function big(bytes: number): Buffer {
  return withAttachments({ name: 'random.bin', content: randomBytes(Math.ceil((bytes * 76 * 3) / (78 * 4))) })
}

/** EICAR's test file as the last attachment, behind one of at least `bytes` bytes. */
export function eicarBehind(bytes: number): Buffer {
  const padding = randomBytes(Math.ceil((bytes * 76 * 3) / (78 * 4)))
  return withAttachments({ name: 'random.bin', content: padding }, { name: 'test.txt', content: eicar() })
}

/** Every spelling of a forged verdict, one header (with its continuation lines) each. */
export const forgedSpellings: readonly string[] = [
  'X-MessageIsInfected: false',
  'X-MessageIsInfected : false',
  'X-MessageIsInfected\t: false',
  'X-MessageIsInfected:false',
  'X-MessageIsInfected:\r\n false',
  'X-MessageIsInfected:\r\n\tfalse\r\n\ttrue',
  'X-MESSAGEISINFECTED: FALSE',
  'x-messageisinfected: true',
  'X-MessageIsInfected: true',
]

/** The same of the header that `details_header` writes. */
export const forgedStatusSpellings: readonly string[] = [
  'X-Virus-Status: clean',
  'x-virus-status : infected (Forged)',
]

/** A clean message with the given forged headers, by default all, first, last and among its own. */
export function forged(spellings: readonly string[] = forgedSpellings): Buffer {
  const own = headers('Forged').split('\r\n').slice(0, -1)
  const mixed = spellings.flatMap((line, index) => [line, own[index] ?? `X-Kept-${index}: kept`])
  const lines = [...mixed, ...own.slice(spellings.length), ...spellings.slice(0, 1)]
  return Buffer.from(
    `${lines.join('\r\n')}\r\n\r\nX-MessageIsInfected: false\r\nThat line is body, and stays.\r\n`,
  )
}
