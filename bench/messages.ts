// The mail that is sent: each one new to clamd, which remembers clean content by whole messages and by parts. So every
// message has a Received line, a Message-ID and attachment bytes of its own.
import { randomBytes, randomUUID } from 'node:crypto'
import { eicar } from '../test/support/eicar'
import { zip } from '../test/support/zip-builder'

/**
 * What the attachment is: random bytes, an archive with random bytes in it, or random bytes and then EICAR. `odd`: random
 * bytes, in a mail that is not plain although all read it alike.
 */
export type Kind = 'plain' | 'zip' | 'infected' | 'odd'

const lineBytes = 76
const lineEnd = '\r\n'

/** A message of about `bytes` bytes with one large attachment in base64; no line begins with a dot. */
export function uniqueMessage(bytes: number, kind: Kind = 'plain'): Buffer {
  const id = randomUUID()
  const boundary = `=_${id}`
  const name = kind === 'zip' ? 'report.zip' : 'report.bin'
  const head = [
    `Received: from client.example.com (client.example.com [192.0.2.1]) by relay.example.com id ${id};`,
    '\tMon, 02 Jan 2023 10:00:00 +0000',
    'From: Sender <sender@example.com>',
    'To: Recipient <recipient@example.com>',
    'Subject: With an attachment',
    'Date: Mon, 02 Jan 2023 10:00:00 +0000',
    `Message-ID: <${id}@example.com>`,
    'MIME-Version: 1.0',
    `Content-Type: multipart/mixed${kind === 'odd' ? ' (odd)' : ''}; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain',
    '',
    'See the attachment.',
    `--${boundary}`,
    `Content-Type: application/octet-stream; name="${name}"`,
    'Content-Transfer-Encoding: base64',
    `Content-Disposition: attachment; filename="${name}"`,
    '',
    '',
  ].join(lineEnd)
  const virus = kind === 'infected' ? `--${boundary}${lineEnd.repeat(2)}${eicar()}${lineEnd}` : ''
  const tail = `${virus}--${boundary}--${lineEnd}`
  const lines = Math.max(4, Math.round((bytes - head.length - tail.length) / (lineBytes + lineEnd.length)))
  // By chance, random bytes begin like a program or like a header; none of a known type begins so.
  const content = randomBytes((lines * lineBytes * 3) / 4).fill(0xff, 0, 4)
  const file = kind === 'zip' ? archive(content) : content
  return Buffer.concat([Buffer.from(head), base64Lines(file), Buffer.from(tail)])
}

/** The file's name inside takes as many bytes of content away as the archive's own records need. */
function archive(content: Buffer): Buffer {
  const own = zip([{ name: 'report.csv', content: '', method: 0 }]).length
  return zip([{ name: 'report.csv', content: content.subarray(own), method: 0 }])
}

function base64Lines(content: Buffer): Buffer {
  const text = Buffer.from(content.toString('base64'), 'latin1')
  const lines = Math.ceil(text.length / lineBytes)
  const wrapped = Buffer.allocUnsafe(text.length + lines * lineEnd.length)
  for (let line = 0, at = 0; line < lines; line++) {
    at += text.copy(wrapped, at, line * lineBytes, (line + 1) * lineBytes)
    at += wrapped.write(lineEnd, at, 'latin1')
  }
  return wrapped
}
