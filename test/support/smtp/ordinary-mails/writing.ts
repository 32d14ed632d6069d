// How ordinary mail programs write mail: header blocks, parts and encodings, in CRLF and one character a byte (latin1).
import iconv from 'iconv-lite'
import { bytesOf, crlf, pieces, textOf } from '../odd-mails/form'

export { bytesOf, crlf, textOf }

/** A place of the mail that a payload can stand in; gives what stands there. */
export type Place = (name: string, ordinary: string | Buffer) => string

/** Header lines, the empty line and the body. */
export function entity(fields: readonly string[], body: string): string {
  return crlf(...fields, '') + body
}

/** What stands between the delimiters, with a note for old programs if the writer's program writes one. */
export function parts(boundary: string, entities: readonly string[], preamble = ''): string {
  return preamble + entities.map((part) => `--${boundary}\r\n${part}\r\n`).join('') + `--${boundary}--\r\n`
}

export function base64(content: string, length = 76): string {
  return crlf(...pieces(bytesOf(content).toString('base64'), length))
}

/** RFC 2045, 6.7, with lines of at most 76 characters. */
export function quotedPrintable(content: string): string {
  return content
    .split('\r\n')
    .map((line) => {
      const escaped = line.replace(/[^\t -<>-~]/g, (c) => hex(c)).replace(/[ \t]$/, (c) => hex(c))
      return (escaped.match(/(?:=[0-9A-F]{2}|[^=]){1,25}/g) ?? []).join('=\r\n')
    })
    .join('\r\n')
}

function hex(character: string): string {
  return `=${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
}

export function inCharset(text: string, charset: string): string {
  return textOf(iconv.encode(text, charset))
}

/** Who and what; programs put more in front and behind. */
export function envelope(subject: string, from = 'Sender <sender@example.com>'): string[] {
  return [
    `From: ${from}`,
    'To: Recipient <recipient@example.com>',
    `Subject: ${subject}`,
    'Date: Mon, 02 Jan 2023 10:00:00 +0100',
    'Message-ID: <20230102100000.1@example.com>',
  ]
}

export const mime = 'MIME-Version: 1.0'

/** A file part as most programs write it. */
export function file(type: string, name: string, content: string, disposition = 'attachment'): string {
  return entity(
    [
      `Content-Type: ${type}; name="${name}"`,
      `Content-Disposition: ${disposition}; filename="${name}"`,
      'Content-Transfer-Encoding: base64',
    ],
    base64(content),
  )
}

export function text(content: string, type = 'text/plain; charset=utf-8'): string {
  return entity([`Content-Type: ${type}`, 'Content-Transfer-Encoding: 7bit'], `${content}\r\n`)
}
