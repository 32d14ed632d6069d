/*
 * Text as it is shown: from charsets in which ASCII is not what it looks like, and with its lines joined.
 */

import iconv from 'iconv-lite'
import { type Budget, OverBudget } from '../../mime/budget'
import { decodeCharset } from '../../mime/charsets'
import { changedText, piecesOf } from '../../mime/pieces'

export interface TextReading {
  readonly how: string
  readonly bytes: Buffer
}

const named =
  /charset[^=\n]{0,10}=\s*"?(?<charset>utf-?(?:16|32|7)[a-z]*|[a-z0-9_-]*(?:ebcdic|cp-?0?\d{2,4}|ibm-?\d{2,4})[a-z0-9]*)/gi
/** Charsets that one header may name: each is a reading of the whole text. */
const maxCharsets = 8
/** Bytes of a text in a charset that is decoded character by character, which takes a second for 10 MB. */
const maxSlowBytes = 1024 * 1024
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
  const charsets = new Set<string>()
  for (const { groups } of head.matchAll(named)) {
    const charset = (groups?.charset ?? '').toLowerCase()
    // Without a mark, either.
    if (/^utf-?(?:16|32)$/.test(charset)) charsets.add(`${charset}le`).add(`${charset}be`)
    else charsets.add(charset)
    if (charsets.size > maxCharsets) throw new OverBudget(`more than ${maxCharsets} charsets of a text`)
  }
  const marked = marks.find(([, mark]) => bytes.subarray(0, mark.length).equals(mark))
  if (marked) charsets.add(marked[0])
  for (const guessed of guess(bytes)) charsets.add(guessed)
  for (const charset of charsets) yield { how: charset, bytes: await decoded(bytes, charset, budget) }
  if (/flowed|delsp/i.test(head)) {
    const joined = await changedText(bytes, (text) => text.replace(/ \r?\n/g, ''), budget)
    yield { how: 'flowed', bytes: joined }
  }
}

async function decoded(bytes: Buffer, charset: string, budget: Budget): Promise<Buffer> {
  const isWide = /utf-?(?:16|32)/.test(charset) && iconv.encodingExists(charset)
  if (!isWide && bytes.length > maxSlowBytes)
    throw new OverBudget(`a text of ${bytes.length} bytes in ${charset}`)
  const name = /utf-?7/.test(charset) ? 'utf-7' : charset
  const decoder = iconv.encodingExists(name) ? iconv.getDecoder(name) : ebcdic
  const pieces: Buffer[] = []
  for await (const piece of piecesOf(bytes, budget)) pieces.push(Buffer.from(decoder.write(piece)))
  pieces.push(Buffer.from(decoder.end() ?? ''))
  return Buffer.concat(pieces)
}

/** Stands for all that iconv does not know. */
const ebcdic = {
  write: (bytes: Buffer) => decodeCharset(bytes, 'ebcdic'),
  end: () => '',
}

/** Latin text has a NUL in every second byte, or in three of four. */
function* guess(bytes: Buffer): Generator<string> {
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
