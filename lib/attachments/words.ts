/*
 * RFC 2047 encoded words as mail programs read them, which is more than the RFC allows: in the middle of a
 * word or of quotes, with spaces inside, cut off at the end, characters split between two words.
 */

import { decodeCharset } from './charsets'

const word = /=\?(?<charset>[^?]{1,80})\?\s*(?<encoding>[bq])\s*\?(?<text>[^]*?)(?:\?=|$)/gi

interface Run {
  readonly charset: string
  readonly encoding: string
  readonly texts: string[]
}

export function hasWords(text: string): boolean {
  return text.includes('=?')
}

/** All encoded words of the text decoded. Words of one kind that follow each other are decoded as one. */
export function decodeWords(text: string): string {
  if (!hasWords(text)) return text
  let decoded = ''
  let run: Run | null = null
  let end = 0
  for (const match of text.matchAll(word)) {
    const { charset: claimed = '', encoding = '', text: payload = '' } = match.groups ?? {}
    const charset = claimed.replace(/\*.*$/, '').trim().toLowerCase()
    const between = text.slice(end, match.index)
    end = match.index + match[0].length
    const follows = run !== null && between.trim() === ''
    if (run && follows && run.charset === charset && run.encoding === encoding.toLowerCase()) {
      run.texts.push(payload)
      continue
    }
    decoded += decodeRun(run) + (follows ? '' : between)
    run = { charset, encoding: encoding.toLowerCase(), texts: [payload] }
  }
  return decoded + decodeRun(run) + text.slice(end)
}

function decodeRun(run: Run | null): string {
  if (!run) return ''
  const bytes = run.encoding === 'b' ? base64Bytes(run.texts) : quotedBytes(run.texts.join(''))
  return decodeCharset(bytes, run.charset)
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
