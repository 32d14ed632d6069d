// The mail that is sent: each one new to clamd, which remembers clean content by whole messages and by parts. So every
// message has a Received line, a Message-ID and attachment bytes of its own.
import { randomBytes, randomUUID } from 'node:crypto'

const lineBytes = 76
const lineEnd = '\r\n'

/** A message of about `bytes` bytes with one attachment in base64; no line begins with a dot. */
export function uniqueMessage(bytes: number, attachmentName = 'random.bin'): Buffer {
  const id = randomUUID()
  const boundary = `=_${id}`
  const head = [
    `Received: from client.example.com (client.example.com [192.0.2.1]) by relay.example.com id ${id};`,
    '\tMon, 02 Jan 2023 10:00:00 +0000',
    'From: Sender <sender@example.com>',
    'To: Recipient <recipient@example.com>',
    'Subject: With an attachment',
    'Date: Mon, 02 Jan 2023 10:00:00 +0000',
    `Message-ID: <${id}@example.com>`,
    'MIME-Version: 1.0',
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain',
    '',
    'See the attachment.',
    `--${boundary}`,
    `Content-Type: application/octet-stream; name="${attachmentName}"`,
    'Content-Transfer-Encoding: base64',
    `Content-Disposition: attachment; filename="${attachmentName}"`,
    '',
    '',
  ].join(lineEnd)
  const tail = `${lineEnd}--${boundary}--${lineEnd}`
  const lines = Math.max(1, Math.round((bytes - head.length - tail.length) / (lineBytes + lineEnd.length)))
  return Buffer.concat([Buffer.from(head), base64Lines(lines), Buffer.from(tail)])
}

function base64Lines(lines: number): Buffer {
  const text = Buffer.from(randomBytes((lines * lineBytes * 3) / 4).toString('base64'), 'latin1')
  const wrapped = Buffer.allocUnsafe(lines * (lineBytes + lineEnd.length))
  for (let line = 0; line < lines; line++) {
    const at = line * (lineBytes + lineEnd.length)
    text.copy(wrapped, at, line * lineBytes, (line + 1) * lineBytes)
    wrapped.write(lineEnd, at + lineBytes, 'latin1')
  }
  return wrapped
}
