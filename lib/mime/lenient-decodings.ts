/*
 * Every way in which programs undo a transfer encoding that is not quite in order: each is a change to the encoded text, and
 * then the usual decoder.
 */

import type { Budget } from './budget'
import { isIn } from './pieces'
import type { Encoding } from './transfer-encodings'

export interface Decoding {
  readonly encoding: Encoding
  /** For a log: `base64, behind padding`. */
  readonly how: string
  /** What is decoded of the body, from and to. */
  readonly from: number
  readonly to: number
  /** Made of each stretch of whole lines first; null: it is decoded as it stands. */
  readonly change: ((text: string) => string) | null
}

const equalsSign = 0x3d
const notBase64 = /[^A-Za-z0-9+/=\s]/

/** Ways to read base64, the likeliest first. */
export function* base64Decodings(body: Buffer): Generator<Decoding> {
  const whole = { encoding: 'base64', from: 0, to: body.length, change: null } as const
  yield { ...whole, how: 'base64' }
  const padding = innerPadding(body)
  if (padding !== null) {
    yield { ...whole, how: 'base64, up to padding', to: padding.from }
    yield { ...whole, how: 'base64, behind padding', from: padding.to }
    yield { ...whole, how: 'base64, without padding', change: (text) => text.replace(/=/g, '') }
  }
  if (body.includes('-') || body.includes('_')) {
    yield {
      ...whole,
      how: 'base64 with - and _',
      change: (text) => text.replace(/-/g, '+').replace(/_/g, '/'),
    }
  }
  // To a program that decodes line by line, a line of something else is none.
  if (notBase64.test(body.toString('latin1', 0, 64 * 1024))) {
    yield {
      ...whole,
      how: 'lines of base64',
      change: (text) => text.replace(/^.*[^A-Za-z0-9+/=\s].*$/gm, ''),
    }
  }
}

/** The first padding with more base64 behind it. */
function innerPadding(body: Buffer): { from: number; to: number } | null {
  const from = body.indexOf(equalsSign)
  if (from < 0) return null
  let to = from
  while (to < body.length && isBetween(body[to] ?? 0)) to++
  return to < body.length ? { from, to } : null
}

function isBetween(byte: number): boolean {
  return byte === equalsSign || byte <= 0x20
}

const quotedPrintableChanges: readonly (readonly [
  how: string,
  applies: RegExp,
  change: (text: string) => string,
])[] = [
  // A soft break with something behind it is none.
  [
    'strictly',
    /=[\0-\t\v-\x20]+\n/,
    // eslint-disable-next-line no-control-regex
    (text) => text.replace(/=(?=[\0-\t\v\f\x0e-\x20]+\r?\n|\r\r+\n)/g, '=3D'),
  ],
  // Python takes a CR for the beginning of the line end, and passes over all that is in front of the LF.
  ['with text behind CR', /=\r(?!\n)/, withoutTextBehindCr],
  ['with doubled signs', /==/, (text) => text.replace(/==/g, '=3D')],
  // Soft breaks go first, so that an escape may lie around one.
  ['joined first', /=[0-9a-f]?=[ \t]*\r*\n/i, (text) => text.replace(/=[ \t]*\r*\n/g, '')],
  [
    'without broken escapes',
    /=(?![0-9a-f]{2}|[ \t]*\r*\n)/i,
    (text) => text.replace(/=(?![0-9a-f]{2}|[ \t]*\r*\n)/gi, ''),
  ],
  ['without blanks at line ends', /[ \t]\r?\n/, (text) => text.replace(/(?<![ \t])[ \t]+(?=\r?\n)/g, '')],
]

/** By hand: where no line ends, a regular expression would take the square of the text's length. */
function withoutTextBehindCr(text: string): string {
  const kept: string[] = []
  for (let at = 0; ;) {
    const sign = text.indexOf('=\r', at)
    const end = sign < 0 ? -1 : text.indexOf('\n', sign)
    kept.push(text.slice(at, end < 0 ? undefined : sign))
    if (end < 0) return kept.join('')
    at = end + 1
  }
}

async function* quotedPrintableDecodings(body: Buffer, budget: Budget): AsyncGenerator<Decoding, void> {
  const whole = { encoding: 'quoted-printable', from: 0, to: body.length, change: null } as const
  yield { ...whole, how: 'quoted-printable' }
  for (const [how, applies, change] of quotedPrintableChanges) {
    if (await isIn(body, applies, budget)) yield { ...whole, how: `quoted-printable, ${how}`, change }
  }
}

/** Behind a blank there may be a line end, however far away. */
const escape = /=(?:[0-9a-f]{2}|[\0-\x20])/i

/** Whether it would be anything else after that. */
async function hasQuotedPrintable(body: Buffer, budget: Budget): Promise<boolean> {
  return body.includes(equalsSign) && (await isIn(body, escape, budget))
}

/** Bytes of the beginning by which base64 is told. */
const lookBytes = 2048

/** Nearly all of the beginning are digits, and there are no words. */
export function looksLikeBase64(body: Buffer): boolean {
  const text = body.toString('latin1', 0, lookBytes).replace(/[\r\n>]/g, '')
  const digits = text.replace(/[^A-Za-z0-9+/]/g, '').length
  return digits >= 16 && digits >= text.length * 0.9
}

const namedEncodings = /encoding[^:=\n]{0,40}[:=](?<value>[^\n]*)/gi
const cleanName = /^\s*(?:7bit|8bit|binary|(?<base64>base64)|(?<quotedPrintable>quoted-printable))\s*$/i

/**
 * The ways to decode a body: what is named, and what it looks like; both where the name is not quite in order.
 * @param head headers, as far as they are known
 * @throws OverBudget
 */
export async function* decodingsOf(
  head: string,
  body: Buffer,
  budget: Budget,
): AsyncGenerator<Decoding, void> {
  const names = [...head.matchAll(namedEncodings)].map(({ groups }) => cleanName.exec(groups?.value ?? ''))
  const isOdd = names.includes(null)
  const isNamed = (encoding: 'base64' | 'quotedPrintable') =>
    names.some((name) => name?.groups?.[encoding] !== undefined)
  const isLikeBase64 = looksLikeBase64(body)
  if (isOdd || isLikeBase64 || isNamed('base64')) yield* base64Decodings(body)
  const isBase64 = isLikeBase64 && isNamed('base64') && !isOdd && !isNamed('quotedPrintable')
  if (!isBase64 && (await hasQuotedPrintable(body, budget))) yield* quotedPrintableDecodings(body, budget)
}

const nextField = /\n[!-9;-~]{1,100}:/

/** Whether an encoding is called uuencode, on its own line or behind a fold. Each character is looked at once. */
export function namesUuencode(head: string): boolean {
  const values = head.split(/encoding/i).slice(1)
  return values.some((value) => /uu/i.test(value.split(nextField, 1)[0] ?? ''))
}
