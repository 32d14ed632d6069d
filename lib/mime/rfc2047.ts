/*
 * RFC 2047 encoded words as mail programs read them, which is more than the RFC allows: in the middle of a
 * word or of quotes, with spaces inside, cut off at the end, characters split between two words.
 */

import { charsetsFor, decodeCharset } from './charsets'

const word = /=\?(?<charset>[^?]{0,80})\?\s*(?<encoding>[bq])\s*\?(?<text>[^]*?)(?:\?=|$)/gi

/** As the RFC has it: no question mark inside, so that a word may begin in one that does not end. */
const strictWord = /=\?(?<charset>[^?]{0,80})\?\s*(?<encoding>[bq])\s*\?(?<text>[^?]*)\?=/gi

interface Run {
  readonly charset: string
  readonly encoding: string
  readonly texts: string[]
}

/** More than any mail has in one header; each may name a charset of its own. */
const maxWords = 500

/** False where decoding them all would take long. */
export function hasFewWords(text: string): boolean {
  let count = 0
  for (let at = text.indexOf('=?'); at !== -1; at = text.indexOf('=?', at + 2))
    if (++count > maxWords) return false
  return true
}

export function hasWords(text: string): boolean {
  return text.includes('=?')
}

/** Ways to read the text with all encoded words decoded, the likeliest first. */
export function wordReadings(text: string): readonly string[] {
  if (!hasWords(text)) return [text]
  const readings = new Set([decodeWords(text, 0), eachDecoded(text, word), eachDecoded(text, strictWord)])
  if (isAmbiguous(text)) readings.add(decodeWords(text, -1))
  return [...readings]
}

function isAmbiguous(text: string): boolean {
  for (const match of text.matchAll(word)) if (charsetsFor(partsOf(match).charset).length > 1) return true
  return false
}

/**
 * Words of one kind that follow each other are decoded as one.
 * @param which the likeliest charset of each, or the least likely
 */
function decodeWords(text: string, which: 0 | -1): string {
  let decoded = ''
  let run: Run | null = null
  let end = 0
  for (const match of text.matchAll(word)) {
    const { charset, encoding, text: payload } = partsOf(match)
    const between = text.slice(end, match.index)
    end = match.index + match[0].length
    const follows = run !== null && between.trim() === ''
    if (run && follows && run.charset === charset && run.encoding === encoding) {
      run.texts.push(payload)
      continue
    }
    decoded += decodeRun(run, which) + (follows ? '' : between)
    run = { charset, encoding, texts: [payload] }
  }
  return decoded + decodeRun(run, which) + text.slice(end)
}

/** Each by itself, with characters that are cut between two of them lost, and with what stands behind padding. */
function eachDecoded(text: string, kind: RegExp): string {
  let decoded = ''
  let end = 0
  for (const match of text.matchAll(kind)) {
    const { charset, encoding, text: payload } = partsOf(match)
    const between = text.slice(end, match.index)
    const texts = encoding === 'b' ? payload.split(/=+/) : [payload]
    if (end === 0 || between.trim() !== '') decoded += between
    decoded += texts.map((one) => decodeRun({ charset, encoding, texts: [one] }, 0)).join('')
    end = match.index + match[0].length
  }
  return decoded + text.slice(end)
}

function partsOf({ groups }: RegExpExecArray): { charset: string; encoding: string; text: string } {
  const { charset = '', encoding = '', text = '' } = groups ?? {}
  return {
    charset: charset.replace(/\*.*$/, '').trim().toLowerCase(),
    encoding: encoding.toLowerCase(),
    text,
  }
}

function decodeRun(run: Run | null, which: 0 | -1): string {
  if (!run) return ''
  const bytes = run.encoding === 'b' ? base64Bytes(run.texts) : quotedBytes(run.texts.join(''))
  return decodeCharset(bytes, charsetsFor(run.charset).at(which) ?? run.charset)
}

/** Each word by itself, or, where one was cut without regard to groups of four, all as one. */
function base64Bytes(texts: readonly string[]): Buffer {
  const stripped = texts.map((text) => text.replace(/[^A-Za-z0-9+/=]/g, ''))
  const whole = stripped.every((text) => text.length % 4 === 0)
  const pieces = whole ? stripped : [stripped.join('').replace(/=/g, '')]
  return Buffer.concat(pieces.map((text) => Buffer.from(text, 'base64')))
}

function quotedBytes(text: string): Buffer {
  const plain = text
    .replace(/_/g, ' ')
    .replace(/=\s*([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(plain, 'latin1')
}
