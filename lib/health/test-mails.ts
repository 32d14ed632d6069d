/*
 * Contents of the test mails. Every part is unique, because clamd does not scan again what it has found clean.
 */

import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { receivedLine } from '../clamd/protocol'
import { Probe, type Stretch } from './padded-mail'

/** The 68 bytes of the EICAR test file, assembled here so that no scanner reports this source file. */
export function testFile(): Buffer {
  const words = ['EICAR', 'STANDARD', 'ANTIVIRUS', 'TEST', 'FILE!']
  return Buffer.from(['X5O!P%@AP[4\\PZX54(P^)7CC)7}', words.join('-'), 'H+H*'].join('$'))
}

/** Maximum size of the last padding part, below that of the test file. */
const lastPartBytes = 64

/** Exceeds the highest MaxRecursion, which is 100. */
const nestedLevels = 110

const idBytes = 12

export function newId(): string {
  return randomBytes(idBytes).toString('hex')
}

function lines(...all: readonly string[]): Buffer {
  return Buffer.from(all.join('\r\n'))
}

function headers(id: string, contentType: string): readonly string[] {
  return [
    'From: <clamav-stream@localhost>',
    'To: <clamav-stream@localhost>',
    `Subject: self test ${id}`,
    `Message-ID: <${id}@localhost>`,
    'MIME-Version: 1.0',
    `Content-Type: ${contentType}`,
  ]
}

function attachment(name: string, content: Buffer): readonly string[] {
  return [
    `Content-Type: application/octet-stream; name="${name}"`,
    'Content-Transfer-Encoding: base64',
    `Content-Disposition: attachment; filename="${name}"`,
    '',
    ...(content.toString('base64').match(/.{1,76}/g) ?? []),
  ]
}

/** The mail without its padding. */
function framework(id: string): Readonly<Record<'top' | 'between' | 'last', Buffer>> {
  return {
    top: lines(...headers(id, `multipart/mixed; boundary="${id}"`), ''),
    between: lines('', `--${id}`, 'Content-Type: application/octet-stream', '', ''),
    last: lines('', `--${id}`, ...attachment('eicar.com', testFile()), `--${id}--`, ''),
  }
}

/** Size of a test mail without padding, with our Received line. */
export const minProbeBytes = Object.values(framework('0'.repeat(2 * idBytes))).reduce(
  (sum, { length }, index) => (index === 1 ? sum : sum + length),
  receivedLine.length,
)

/** Sizes of parts that fill `bytes`: each is half of the rest; the last two are equal. */
function halves(bytes: number, headerBytes: number): number[] {
  const count = 1 + Math.ceil(Math.log2(Math.max(1, bytes / lastPartBytes)))
  let left = bytes - count * headerBytes
  const sizes = []
  for (let part = 1; part <= count && left > 0; part++) {
    const size = part === count ? left : Math.ceil(left / 2)
    sizes.push(size)
    left -= size
  }
  return sizes
}

/**
 * A mail with the EICAR test file as its last attachment, after padding.
 *
 * clamd counts the mail and each decoded part against MaxScanSize, skips a part that does not fit, and goes on with
 * the next one. So the padding is many parts, each half of the rest. If one does not fit, too little room remains for the
 * test file, too. If clamd finds the test file, it scans every attachment of a mail of this size.
 *
 * @param bytes size of the mail as sent, with our Received line
 * @throws RangeError below `minProbeBytes`
 */
export function testFileMail(bytes: number): Probe {
  const id = newId()
  const { top, between, last } = framework(id)
  let left = bytes - receivedLine.length - top.length - last.length
  if (left < 0) throw new RangeError(`no probe has ${bytes} bytes`)
  const stretches: Stretch[] = [top]
  for (const [part, size] of halves(left, between.length).entries()) {
    const tag = Buffer.from(`${part} ${id}`).subarray(0, size)
    stretches.push(between, { tag, bytes: size })
    left -= between.length + size
  }
  // The rest, too small for a part, follows the last boundary.
  return new Probe([...stretches, last, Buffer.alloc(left, '\r\n')])
}

/** A mail with one line of text. */
export function harmlessMail(): Probe {
  const id = newId()
  return new Probe([lines(...headers(id, 'text/plain'), '', `This is self test ${id}.`, '')])
}

/** A text in more nested archives than any clamd opens; with AlertExceedsMax clamd reports that. */
export function nestedMail(): Probe {
  let content = Buffer.from(newId())
  for (let level = 0; level < nestedLevels; level++) content = gzipSync(content, { level: 0 })
  return attachmentMail('nested.gz', content)
}

export function attachmentMail(name: string, content: Buffer): Probe {
  const id = newId()
  const boundary = `multipart/mixed; boundary="${id}"`
  return new Probe([
    lines(...headers(id, boundary), '', `--${id}`, ...attachment(name, content), `--${id}--`, ''),
  ])
}
