/*
 * Charsets in which ASCII is not what it looks like, by all the names that programs know them by, as the headers of a part
 * may say them: plain, quoted, with comments, percent-encoded or in pieces (RFC 2231).
 */

import iconv from 'iconv-lite'
import { withoutComments } from './parameters'
import { hasWords, wordReadings } from './rfc2047'

/** How a text is read: a decoder of iconv, or one of ours for what that lacks. */
export type TextForm = (typeof wide)[number] | 'utf-7' | 'utf-7-imap' | 'ebcdic' | 'iso-2022' | 'hz'

const wide = ['utf-16le', 'utf-16be', 'utf-32le', 'utf-32be'] as const

/** Behind the name may stand the stars and the number of RFC 2231. */
const parameter =
  /charset(?<suffix>[^=\n]{0,30})\s*=\s*(?:"(?<quoted>(?:\\[^]|[^"\\]){0,200})|(?<bare>[^;\r\n]{0,200}))/gi
const pieceNumber = /\*\s?(?<index>\d{1,9})/
/** What ends a value that is not quoted, to one program or another. */
const valueEnd = /[\s,;(][^]*$/

/** @param head headers, one character per byte */
export function textFormsIn(head: string): Set<TextForm> {
  const forms = new Set<TextForm>()
  if (!/charset/i.test(head)) return forms
  for (const text of new Set([head, withoutComments(head)])) {
    for (const name of namesIn(text)) for (const form of formsOf(name)) forms.add(form)
  }
  return forms
}

/** Of a charset in pieces. */
const maxNameCharacters = 200

interface Piece {
  readonly index: number
  readonly text: string
}

function* namesIn(head: string): Generator<string> {
  const pieces: Piece[] = []
  for (const { groups } of head.matchAll(parameter)) {
    const { suffix = '', quoted, bare = '' } = groups ?? {}
    const text = quoted ?? bare.trim().replace(valueEnd, '')
    yield* readingsOf(text)
    const index = pieceNumber.exec(suffix)?.groups?.index
    if (index !== undefined) pieces.push({ index: Number(index), text })
  }
  if (pieces.length === 0) return
  for (const order of [pieces, [...pieces].sort((one, other) => one.index - other.index)])
    yield* readingsOf(
      order
        .map(({ text }) => text)
        .join('')
        .slice(0, maxNameCharacters),
    )
}

function* readingsOf(value: string): Generator<string> {
  yield value
  yield value.replace(valueEnd, '')
  const extended = value.slice(value.lastIndexOf("'") + 1)
  yield extended.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  if (hasWords(value)) yield* wordReadings(value)
}

const imapUtf7 = /utf7imap|imaputf7/
/** Also the numbers of Windows' code pages, here and below. */
const utf7 = /utf7|^u7$|^(?:cp|windows)?65000$/
const utf16 = /utf16|ucs2|unicode|^u16$|^(?:cp|windows)?120[01]$/
const utf32 = /utf32|ucs4|^u32$|^(?:cp|windows)?1200[01]$/
/** Does not say how many bytes a character has. */
const unsized = 'iso10646'
const iso2022 = /iso2022|^(?:cs|x)?jis(?:7|encoding)?$|^(?:cp|windows)?5022\d$/
const hz = /^x?hz|^(?:cp|windows)?52936$/
const codePage = /(?:cp|ccsid|ibm)0*(?<number>\d{2,5})|^0*(?<bare>\d{2,4})$/
const utf8CodePage = '65001'
const [little, big] = [/le$|little(?:endian)?$|^\D*12000?$/, /be$|big(?:endian)?$|^\D*120{0,2}1$/]

function formsOf(written: string): readonly TextForm[] {
  const name = written.toLowerCase().replace(/[^a-z0-9]/g, '')
  if (imapUtf7.test(name)) return ['utf-7-imap']
  if (utf7.test(name)) return ['utf-7']
  if (iso2022.test(name)) return ['iso-2022']
  if (hz.test(name)) return ['hz']
  const is16 = utf16.test(name)
  const is32 = utf32.test(name)
  if (is16 || is32 || name.includes(unsized)) return wideForms(name, is16, is32)
  return isEbcdic(name) ? ['ebcdic'] : []
}

function wideForms(name: string, is16: boolean, is32: boolean): TextForm[] {
  return wide.filter((form) => {
    if (is16 !== is32 && is16 !== form.includes('16')) return false
    // Without an order of bytes, either.
    return form.endsWith('le') ? !big.test(name) : !little.test(name)
  })
}

/** All code pages that iconv knows have ASCII as it is. */
function isEbcdic(name: string): boolean {
  if (/ebcdic|ibm(?!\d)/.test(name)) return true
  const { number, bare } = codePage.exec(name)?.groups ?? {}
  const page = number ?? bare
  return page !== undefined && page !== utf8CodePage && !iconv.encodingExists(`cp${page}`)
}
