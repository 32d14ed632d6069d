/*
 * PDF documents that need a password to be opened. One with a password of its owner only is opened by every reader, and by
 * clamd, with an empty one; whether that fits is told as a reader does. ISO 32000-2, 7.6.4.
 */

import { createCipheriv, createHash } from 'node:crypto'
import type { Budget } from '../../mime/budget'

const start = Buffer.from('%PDF-')
/** Bytes in front of it that readers pass over. */
const maxStartAt = 1024
/** Of one document; each version of it may have one. */
const maxMentions = 64
/** Objects that are passed over because their number is longer: `21 0 obj` for `1 0 obj`. A document has few. */
const maxLongerNumbers = 1000
/** Bytes of a dictionary. */
const maxDictionaryBytes = 4096
/** What fills up a password that is shorter. */
const padding = Buffer.from('28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a', 'hex')

/** Without it in them, they are open. */
export const encryptWord = Buffer.from('/Encrypt')

export function startsAsPdf(content: Buffer): boolean {
  return content.subarray(0, maxStartAt + start.length).includes(start)
}

/** Rejects with OverBudget, or with the budget's signal. */
export async function isEncryptedPdf(content: Buffer, budget: Budget): Promise<boolean> {
  if (!startsAsPdf(content)) return false
  let at = content.indexOf(encryptWord)
  for (let count = 0; at >= 0 && count < maxMentions; count++) {
    // Each searches the whole document.
    await budget.breathe()
    const dictionary = dictionaryAt(content, at + encryptWord.length)
    if (dictionary !== null && needsPassword(dictionary, idOf(content, at))) return true
    at = content.indexOf(encryptWord, at + 1)
  }
  return false
}

/** In place, or in an object elsewhere; one character per byte. Null: the word is text. Empty: there is no such object. */
function dictionaryAt(content: Buffer, at: number): string | null {
  const text = content.toString('latin1', at, at + maxDictionaryBytes)
  if (/^\s*<</.test(text)) return text
  const reference = /^\s{1,20}(?<object>\d{1,10})\s{1,20}(?<version>\d{1,5})\s{1,20}R\b/.exec(text)
  if (!reference?.groups) return null
  const { object = '', version = '' } = reference.groups
  const mark = Buffer.from(`${object} ${version} obj`)
  let found = content.lastIndexOf(mark)
  for (let count = 0; found >= 0 && count < maxLongerNumbers; count++) {
    const before = content[found - 1] ?? 0x0a
    if (before < 0x30 || before > 0x39)
      return content.toString('latin1', found + mark.length, found + mark.length + maxDictionaryBytes)
    found = content.lastIndexOf(mark, found - 1)
  }
  return ''
}

/** The first string of the document's identifier, which stands in the same dictionary. */
function idOf(content: Buffer, at: number): Buffer {
  const around = content.toString('latin1', Math.max(0, at - maxDictionaryBytes), at + maxDictionaryBytes)
  return stringOf(around, /\/ID\s*\[\s*/) ?? Buffer.alloc(0)
}

/** Behind the name. */
function stringOf(text: string, name: RegExp): Buffer | null {
  const found = name.exec(text)
  if (found === null) return null
  const from = found.index + found[0].length
  const hex = /^<(?<digits>[0-9a-f\s]*)>/i.exec(text.slice(from))?.groups?.digits
  if (hex !== undefined) return Buffer.from(hex.replace(/\s/g, ''), 'hex')
  return text.charAt(from) === '(' ? literal(text, from + 1) : null
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' }

function literal(text: string, from: number): Buffer {
  let value = ''
  let depth = 1
  for (let at = from; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '\\') {
      const octal = /^[0-7]{1,3}/.exec(text.slice(at + 1, at + 4))?.[0]
      const next = text.charAt(at + 1)
      at += octal?.length ?? (next === '\r' && text.charAt(at + 2) === '\n' ? 2 : 1)
      if (octal !== undefined) value += String.fromCharCode(parseInt(octal, 8) & 255)
      else if (next !== '\r' && next !== '\n') value += escapes[next] ?? next
      continue
    }
    if (character === '(') depth++
    if (character === ')' && --depth === 0) break
    value += character
  }
  return Buffer.from(value, 'latin1')
}

function needsPassword(dictionary: string, id: Buffer): boolean {
  const number = (name: string) =>
    Number(new RegExp(`/${name}\\s+(-?\\d{1,11})`).exec(dictionary)?.[1] ?? NaN)
  const [owner, user] = [stringOf(dictionary, /\/O\s*(?=[<(])/), stringOf(dictionary, /\/U\s*(?=[<(])/)]
  const revision = number('R')
  // Opened with a certificate, or in an unknown way.
  if (!/\/Filter\s*\/Standard\b/.test(dictionary) || owner === null || user === null) return true
  if (revision >= 5) return !hashOf(user.subarray(32, 40), revision).equals(user.subarray(0, 32))
  const keyBytes = revision === 2 ? 5 : Math.min(16, Math.max(5, (number('Length') || 40) / 8))
  const lengths = new Set([keyBytes, 5, 16])
  return ![...lengths].some((length) =>
    fitsEmpty({ dictionary, owner, user, id, revision, length, flags: number('P') }),
  )
}

interface Standard {
  readonly dictionary: string
  readonly owner: Buffer
  readonly user: Buffer
  readonly id: Buffer
  readonly revision: number
  readonly length: number
  readonly flags: number
}

/** Algorithms 2, 4 and 5 with an empty password. */
function fitsEmpty({ dictionary, owner, user, id, revision, length, flags }: Standard): boolean {
  const flagBytes = Buffer.alloc(4)
  flagBytes.writeInt32LE(flags | 0)
  const metadata =
    /\/EncryptMetadata\s+false/.test(dictionary) && revision >= 4 ? Buffer.alloc(4, 255) : Buffer.alloc(0)
  let key = md5(padding, owner.subarray(0, 32), flagBytes, id, metadata).subarray(0, length)
  if (revision === 2) return rc4(key, padding).equals(user.subarray(0, 32))
  for (let round = 0; round < 50; round++) key = md5(key).subarray(0, length)
  let value = md5(padding, id)
  for (let round = 0; round < 20; round++)
    value = rc4(
      key.map((byte) => byte ^ round),
      value,
    )
  return value.equals(user.subarray(0, 16))
}

function md5(...pieces: readonly Buffer[]): Buffer {
  const hash = createHash('md5')
  for (const piece of pieces) hash.update(piece)
  return hash.digest()
}

/** By hand, because OpenSSL does not have it any more. */
function rc4(key: Uint8Array, bytes: Buffer): Buffer {
  const state = Uint8Array.from({ length: 256 }, (_, index) => index)
  const swap = (a: number, b: number) => {
    ;[state[a], state[b]] = [state[b] ?? 0, state[a] ?? 0]
  }
  for (let i = 0, j = 0; i < 256; i++) {
    j = (j + (state[i] ?? 0) + (key[i % key.length] ?? 0)) & 255
    swap(i, j)
  }
  let [i, j] = [0, 0]
  return Buffer.from(
    bytes.map((byte) => {
      i = (i + 1) & 255
      j = (j + (state[i] ?? 0)) & 255
      swap(i, j)
      return byte ^ (state[((state[i] ?? 0) + (state[j] ?? 0)) & 255] ?? 0)
    }),
  )
}

/** Algorithm 2.B with an empty password; of revision 5 only its first step. */
function hashOf(salt: Buffer, revision: number): Buffer {
  let hash = createHash('sha256').update(salt).digest()
  if (revision === 5) return hash
  for (let round = 0, last = 0; round < 64 || last > round - 32; round++) {
    const cipher = createCipheriv('aes-128-cbc', hash.subarray(0, 16), hash.subarray(16, 32)).setAutoPadding(
      false,
    )
    const encrypted = cipher.update(Buffer.concat(Array<Buffer>(64).fill(hash)))
    last = encrypted.at(-1) ?? 0
    const rest = encrypted.subarray(0, 16).reduce((sum, byte) => sum + byte, 0) % 3
    hash = createHash(['sha256', 'sha384', 'sha512'][rest] ?? 'sha256')
      .update(encrypted)
      .digest()
  }
  return hash.subarray(0, 32)
}
