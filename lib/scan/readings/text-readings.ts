/*
 * Text as it is shown: from charsets in which ASCII is not what it looks like, without the escape sequences that programs
 * drop, and with its lines joined.
 */

import iconv from 'iconv-lite'
import { type Budget, OverBudget } from '../../mime/budget'
import { type TextForm, textFormsIn } from '../../mime/charset-names'
import { decodeCharset } from '../../mime/charsets'
import { changedText, piecesOf, wordsIn } from '../../mime/pieces'

export interface TextReading {
  readonly how: string
  readonly bytes: Buffer
}

/** Bytes of a text in a charset that is decoded character by character, which takes a second for 10 MB. */
const maxSlowBytes = 1024 * 1024
const slowForms: ReadonlySet<TextForm> = new Set(['utf-7', 'utf-7-imap', 'ebcdic'])
/** Bytes that show whether every other one is a NUL. */
const sampleBytes = 2048
const marks = [
  ['utf-32le', Buffer.from('fffe0000', 'hex')],
  ['utf-32be', Buffer.from('0000feff', 'hex')],
  ['utf-16le', Buffer.from('fffe', 'hex')],
  ['utf-16be', Buffer.from('feff', 'hex')],
] as const

/**
 * @param head headers, as far as they are known
 * @throws OverBudget also where it would take too long
 */
export async function* textReadings(
  bytes: Buffer,
  head: string,
  budget: Budget,
): AsyncGenerator<TextReading, void> {
  const forms = textFormsIn(head)
  const marked = marks.find(([, mark]) => bytes.subarray(0, mark.length).equals(mark))
  if (marked) forms.add(marked[0])
  for (const guessed of guess(bytes)) forms.add(guessed)
  if (await hasEscapes(bytes, budget)) forms.add('iso-2022')
  for (const form of forms) yield { how: form, bytes: await decoded(bytes, form, budget) }
  if (/flowed|delsp/i.test(head)) {
    const joined = await changedText(bytes, (text) => text.replace(/ \r?\n/g, ''), budget)
    yield { how: 'flowed', bytes: joined }
  }
}

interface TextDecoder {
  write(bytes: Buffer): Buffer | string
  end(): Buffer | string | undefined
}

async function decoded(bytes: Buffer, form: TextForm, budget: Budget): Promise<Buffer> {
  if (slowForms.has(form) && bytes.length > maxSlowBytes)
    throw new OverBudget(`a text of ${bytes.length} bytes in ${form}`)
  const decoder = decoderOf(form)
  const pieces: Buffer[] = []
  for await (const piece of piecesOf(bytes, budget)) pieces.push(bytesOf(decoder.write(piece)))
  pieces.push(bytesOf(decoder.end() ?? ''))
  return Buffer.concat(pieces)
}

function bytesOf(shown: Buffer | string): Buffer {
  return typeof shown === 'string' ? Buffer.from(shown) : shown
}

function decoderOf(form: TextForm): TextDecoder {
  if (form === 'iso-2022') return new WithoutEscapes(escapes, () => '')
  if (form === 'hz') return new WithoutEscapes(hzEscapes, (sequence) => (sequence === '~~' ? '~' : ''))
  return form === 'ebcdic' ? ebcdic : iconv.getDecoder(form)
}

const ebcdic: TextDecoder = {
  write: (bytes) => decodeCharset(bytes, 'ebcdic'),
  end: () => '',
}

/** Of ISO 2022: designations of character sets, and shifts to one for a character or until the next. */
const escape =
  // eslint-disable-next-line no-control-regex
  /\x1b(?:\$?[\x28-\x2f][\x20-\x2f]?[\x30-\x7e]|\$[\x40-\x7e]|%[\x20-\x2f]?[\x30-\x7e]|&[\x40-\x7e]|[NOno|}~])/g
const escapes = new RegExp(`${escape.source}|[\\x0e\\x0f]`, 'g')
/** RFC 1843. */
const hzEscapes = /~(?:[{}~]|\r?\n)/g
const [escapeByte, escapeCharacter] = [0x1b, '\x1b']
/** Characters of the longest escape sequence, without the last one. */
const maxOpenCharacters = 4

/** Leaves characters of two bytes as they are: no virus is made of them. */
class WithoutEscapes implements TextDecoder {
  /** An escape sequence may go on in the next piece. */
  #held = ''

  constructor(
    private readonly sequences: RegExp,
    private readonly by: (sequence: string) => string,
  ) {}

  write(bytes: Buffer): Buffer {
    const text = this.#held + bytes.toString('latin1')
    const end = openAt(text)
    this.#held = text.slice(end)
    return this.#without(text.slice(0, end))
  }

  end(): Buffer {
    return this.#without(this.#held)
  }

  #without(text: string): Buffer {
    return Buffer.from(text.replace(this.sequences, this.by), 'latin1')
  }
}

/** Where an escape sequence begins that may not be complete; the end: nowhere. */
function openAt(text: string): number {
  const last = text.lastIndexOf(escapeCharacter)
  if (last >= 0 && last >= text.length - maxOpenCharacters) return last
  let tildes = 0
  while (text.charAt(text.length - 1 - tildes) === '~') tildes++
  // Each two of them stand for one.
  return text.length - (tildes % 2)
}

/** Bytes on either side of an escape sequence by which text is told. */
const nearBytes = 128
/** Share of these bytes that may be neither printable nor a usual control in text. */
const maxOddShare = 0.2
const isOdd = new Uint8Array(256).fill(1).fill(0, 0x20, 0x7f)
for (const byte of Buffer.from('\t\r\n\0\x0e\x0f\x1b')) isOdd[byte] = 0

/** Whether there are escape sequences in text: in files of other kinds there are bytes like them by chance. */
async function hasEscapes(bytes: Buffer, budget: Budget): Promise<boolean> {
  if (!bytes.includes(escapeByte)) return false
  let next = 0
  for await (const at of wordsIn(bytes, escape, budget)) {
    if (at < next) continue
    next = at + nearBytes / 2
    if (isText(bytes, Math.max(0, at - nearBytes), Math.min(bytes.length, at + nearBytes))) return true
  }
  return false
}

function isText(bytes: Buffer, from: number, to: number): boolean {
  let odd = 0
  for (let at = from; at < to; at++) odd += isOdd[bytes[at] ?? 0] ?? 0
  return odd <= (to - from) * maxOddShare
}

/** Latin text has a NUL in every second byte, or in three of four. */
function* guess(bytes: Buffer): Generator<TextForm> {
  const sample = bytes.subarray(0, sampleBytes)
  if (sample.length < 16 || !sample.includes(0)) return
  const nuls = [0, 0, 0, 0]
  for (const [at, byte] of sample.entries()) if (byte === 0) nuls[at % 4] = (nuls[at % 4] ?? 0) + 1
  const isMostly = nuls.map((count) => count > sample.length / 4 / 2)
  const [a, b, c, d] = isMostly
  if (!a && b && c && d) yield 'utf-32le'
  else if (a && b && c && !d) yield 'utf-32be'
  else if (!a && b && !c && d) yield 'utf-16le'
  else if (a && !b && c && !d) yield 'utf-16be'
}
