// What is sent in a soak: messages with an id, with what they are and a checksum of their body
// in a header of their own. The ledger records the fate of each.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { eicar } from '../support/eicar'
import type { Random } from '../support/random'

/** `abandoned`: clean, and the client hangs up in the middle of it. */
export type Kind = 'clean' | 'infected' | 'eight_bit' | 'large' | 'large_infected' | 'oversized' | 'abandoned'

export interface OutgoingMail {
  readonly id: string
  readonly kind: Kind
  readonly bytes: Buffer
}

/** For `max_size`, between the large ones and the oversized. */
export const maxSize = '11M'
const largeBytes = 10_000_000
const oversizedBytes = 12_000_000

/** How many of a hundred. */
const mix: Readonly<Record<Kind, number>> = {
  clean: 46,
  infected: 22,
  eight_bit: 16,
  large: 6,
  large_infected: 4,
  oversized: 2,
  abandoned: 4,
}

export const kinds = Object.keys(mix) as Kind[]

/** A kind by the mix. */
export function anyKind(random: Random): Kind {
  let at = random(100)
  return kinds.find((kind) => (at -= mix[kind]) < 0) ?? 'clean'
}

export function letterOf(kind: Kind): OutgoingMail {
  const id = randomUUID()
  const { headers, body } = contentOf(kind, id)
  const lines = [
    'From: Sender <sender@example.com>',
    'To: Recipient <recipient@example.com>',
    `Subject: ${kind}`,
    `Message-ID: <${id}@example.com>`,
    'MIME-Version: 1.0',
    // A sender's own verdict is to be gone on arrival.
    'X-MessageIsInfected: true',
    `X-Soak: ${id} ${checksum(body)}`,
    ...headers,
  ]
  return { id, kind, bytes: Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]) }
}

export interface Arrived {
  readonly id: string
  /** The body is what was sent. */
  readonly isWhole: boolean
  /** Values of X-MessageIsInfected. */
  readonly verdicts: readonly string[]
}

export function arrivedOf(bytes: Buffer): Arrived {
  const end = bytes.indexOf('\r\n\r\n')
  const head = bytes.toString('latin1', 0, end + 2)
  const [, id = 'without an id', sum] = /^X-Soak: (\S+) (\S+)\r$/m.exec(head) ?? []
  return {
    id,
    isWhole: checksum(bytes.subarray(end + 4)) === sum,
    verdicts: [...head.matchAll(/^X-MessageIsInfected: (.*)\r$/gm)].map(([, value = '']) => value),
  }
}

function contentOf(kind: Kind, id: string): { headers: readonly string[]; body: Buffer } {
  switch (kind) {
    case 'clean':
    case 'abandoned':
      return { headers: [], body: Buffer.from(`Nothing to see in ${id}.\r\n.\r\n..\r\n`.repeat(50)) }
    case 'eight_bit':
      return { headers: ['Content-Transfer-Encoding: 8bit'], body: eightBit(20_000) }
    case 'infected':
      return withAttachment(id, Buffer.from(eicar()))
    case 'large':
      return withAttachment(id, randomBytes(decodedBytes(largeBytes)))
    case 'large_infected':
      return withAttachment(id, randomBytes(decodedBytes(largeBytes)), Buffer.from(eicar()))
    case 'oversized':
      return withAttachment(id, randomBytes(decodedBytes(oversizedBytes)))
  }
}

function withAttachment(id: string, ...contents: readonly Buffer[]) {
  const parts = contents.map((content, i) =>
    [
      `--${id}`,
      `Content-Type: application/octet-stream; name="attachment-${i}.bin"`,
      'Content-Transfer-Encoding: base64',
      '',
      content.toString('base64').replace(/.{1,76}/g, '$&\r\n'),
    ].join('\r\n'),
  )
  return {
    headers: [`Content-Type: multipart/mixed; boundary="${id}"`],
    body: Buffer.from(`${parts.join('')}--${id}--\r\n`),
  }
}

/** Of content that is so long in lines of base64. */
function decodedBytes(encodedBytes: number): number {
  return Math.ceil((encodedBytes * 76 * 3) / (78 * 4))
}

/** Every byte but NUL, CR and LF, in lines. */
function eightBit(bytes: number): Buffer {
  const body = randomBytes(bytes)
  for (let i = 0; i < body.length; i++) if ([0, 10, 13].includes(body[i] ?? 0)) body[i] = 0xe9
  for (let i = 78; i < body.length; i += 80) body.write('\r\n', i, 'latin1')
  body.write('\r\n', body.length - 2, 'latin1')
  return body
}

function checksum(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}
