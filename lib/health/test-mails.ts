/*
 * What is in the mails that a clamd is tried with. Each is unlike all others, in every part, since clamd scans nothing
 * twice that it has found clean.
 */

import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { receivedLine } from '../clamd/protocol'
import { Probe, type Stretch } from './padded-mail'

/** The 68 bytes of the EICAR test file, put together here so that no scanner takes this file for one. */
export function testFile(): Buffer {
  const words = ['EICAR', 'STANDARD', 'ANTIVIRUS', 'TEST', 'FILE!']
  return Buffer.from(['X5O!P%@AP[4\\PZX54(P^)7CC)7}', words.join('-'), 'H+H*'].join('$'))
}

/** The last part of the padding has at most so many bytes, fewer than the test file. */
const lastPartBytes = 64

/** More than a clamd can be told to follow: MaxRecursion is at most 100. */
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

/** What stands around the padding. */
function framework(id: string): Readonly<Record<'top' | 'between' | 'last', Buffer>> {
  return {
    top: lines(...headers(id, `multipart/mixed; boundary="${id}"`), ''),
    between: lines('', `--${id}`, 'Content-Type: application/octet-stream', '', ''),
    last: lines('', `--${id}`, ...attachment('eicar.com', testFile()), `--${id}--`, ''),
  }
}

/** Bytes of a test file mail without padding, our Received line included. */
export const minProbeBytes = Object.values(framework('0'.repeat(2 * idBytes))).reduce(
  (sum, { length }, index) => (index === 1 ? sum : sum + length),
  receivedLine.length,
)

/** Sizes of parts that fill so many bytes, each half of what is left; the last two are equal. */
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
 * EICAR's test file as the last attachment, behind padding.
 *
 * clamd counts the mail and each decoded part against MaxScanSize, skips a part that does not fit, and goes on with
 * the next one. So the padding is not one part but many, each half of what is left: together as large as the mail,
 * and if they do not all fit, what remains is too little for the test file, too. A mail that is found scanned is
 * then one whose attachments are scanned whatever their number and encoding.
 *
 * @param bytes of the whole as it is sent, our Received line included
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
  // What is too little for a part stands behind the end.
  return new Probe([...stretches, last, Buffer.alloc(left, '\r\n')])
}

/** A line of text, in which there is nothing to be found. */
export function harmlessMail(): Probe {
  const id = newId()
  return new Probe([lines(...headers(id, 'text/plain'), '', `This is self test ${id}.`, '')])
}

/** A line of text in so many archives that no clamd comes to it. With AlertExceedsMax, it says so. */
export function nestedMail(): Probe {
  let content = Buffer.from(newId())
  for (let level = 0; level < nestedLevels; level++) content = gzipSync(content, { level: 0 })
  return attachmentMail('nested.gz', content)
}

/** A mail with one attachment. */
export function attachmentMail(name: string, content: Buffer): Probe {
  const id = newId()
  const boundary = `multipart/mixed; boundary="${id}"`
  return new Probe([
    lines(...headers(id, boundary), '', `--${id}`, ...attachment(name, content), `--${id}--`, ''),
  ])
}
