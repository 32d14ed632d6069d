// One denied name in every disguise that leaves it what it is: letters that look alike, invisible characters, ends
// that a disk drops, encodings, cuts and folds, any of them together. It is denied in all of them.
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { inspected, raw, withHeaders } from '../support/smtp/attachment-mails'
import { cuts, fuzz } from './chance'

const plain = 'evil.exe'

const unseen = fc.constantFrom('\u200b', '\u202e', '\u202c', '\u00ad', '\u2066', '\ufeff', '\u034f', '\u2028')
const ends = fc.constantFrom(
  '',
  '.',
  ' ',
  ' . ',
  '\0',
  '\0.txt',
  '"',
  '...',
  '::$DATA',
  '\u00a0',
  '?',
  '\u200b.',
)
const paths = fc.constantFrom('', 'C:\\x\\', '../', '/', '..\\..\\', 'a/b/', 'a.txt/')
const name = fc
  .record({
    isWide: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
    isUpper: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
    unseen: fc.array(fc.tuple(fc.nat(plain.length), unseen), { maxLength: 3 }),
    path: paths,
    end: ends,
  })
  .map(({ isWide, isUpper, unseen: inserted, path, end }) => {
    const letters = Array.from(plain, (letter, i) => {
      const cased = isUpper[i % isUpper.length] ? letter.toUpperCase() : letter
      return isWide[i % isWide.length] ? String.fromCharCode(cased.charCodeAt(0) + 0xfee0) : cased
    })
    for (const [at, character] of inserted) letters.splice(at, 0, character)
    return path + letters.join('') + end
  })

/** One character per byte, as the message carries it. */
const bytes = (text: string) => Buffer.from(text).toString('latin1')
const quoted = (text: string) => `"${text.replace(/[\\"]/g, '\\$&')}"`
const percent = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
const pieces = (text: string, at: readonly number[]) =>
  cuts(text.length, at).map(([from, to]) => text.slice(from, to))
/** Within characters an encoded text is not cut. */
const whole = (text: string, at: readonly number[]) => {
  const characters = Array.from(text)
  return cuts(characters.length, at).map(([from, to]) => characters.slice(from, to).join(''))
}

type Way = (key: string, text: string, at: readonly number[]) => string
const ways: Record<string, Way> = {
  quoted: (key, text) => `${key}=${quoted(bytes(text))}`,
  'without the closing quote': (key, text) => `${key}="${bytes(text).replace(/[\\"]/g, '\\$&')}`,
  'words in base64': (key, text, at) =>
    `${key}="${whole(text, at)
      .map((piece) => `=?utf-8?B?${Buffer.from(piece).toString('base64')}?=`)
      .join(' ')}"`,
  'quoted-printable words, folded': (key, text, at) =>
    `${key}="${whole(text, at)
      .map((piece) => `=?UTF-8?q?${percent(piece).replaceAll('%', '=')}?=`)
      .join('\r\n ')}"`,
  'RFC 2231': (key, text) => `${key}*=utf-8''${percent(text)}`,
  'RFC 2231 in pieces': (key, text, at) =>
    pieces(
      percent(text),
      at.map((n) => n * 3),
    )
      .map((piece, i) => `${key}*${i}*=${i === 0 ? "utf-8''" : ''}${piece}`)
      .join('; '),
  'pieces backwards': (key, text, at) =>
    pieces(bytes(text), at)
      .map((piece, i) => `${key}*${i}=${quoted(piece)}`)
      .reverse()
      .join('; '),
  'RFC 2231 with two stars': (key, text) => `${key}**=utf-8''${percent(text)}`,
  'pieces with signs': (key, text, at) =>
    pieces(bytes(text), at)
      .map((piece, i) => `${key}*+${i}=${quoted(piece)}`)
      .join('; '),
  'a longer series behind it': (key, text, at) => {
    const cut = [...pieces(bytes(text), at), '', '.txt']
    const first = cut.slice(0, -2).map((piece, i) => `${key}*${i}=${quoted(piece)}`)
    return [...first, ...cut.map((_, i) => `${key}*${i}=".txt"`)].join('; ')
  },
  'percent in plain': (key, text) => `${key}="${percent(text)}"`,
}

fuzz(
  `${plain} is denied in disguise`,
  0.2,
  fc.asyncProperty(
    fc.record({
      name,
      way: fc.constantFrom(...Object.keys(ways)),
      at: fc.array(fc.nat(20), { maxLength: 3 }),
      key: fc.constantFrom('filename', 'FileName', 'name', 'NAME'),
      header: fc.constantFrom(
        'Content-Disposition: attachment',
        'content-type : application/octet-stream',
        'Content-Disposition\r\n : attachment',
        'Content-Disposition\xa0: attachment',
      ),
      before: fc.constantFrom('; ', ';', ';\r\n\t', '; size=3; ', '; (c) ', '; filename="a.txt"; ', ' '),
      chunkBytes: fc.integer({ min: 1, max: 300 }),
    }),
    async ({ name: text, way, at, key, header, before, chunkBytes }) => {
      const parameter = ways[way]?.(key, text, at) ?? ''
      const line = `${header}${before}${parameter}`
      const { denied, unreadable } = await inspected(raw(withHeaders(line)), { chunkBytes })
      assert.ok(denied ?? unreadable, JSON.stringify(line))
    },
  ),
)
