/*
 * Header sections that clamd and all mail programs read alike: each line `Name: value` or a fold of one, each content
 * field once, one media type, one encoding, one boundary. What a field may say beyond that is left to the field.
 *
 * Some bounds are clamd's: libclamav/mbox.c cuts lines at 1000 characters, strips comments from names and delimiters, lets
 * a header that ends in a semicolon or an odd quote run into the next one, and saves no text whose disposition it does not
 * know.
 */

/** What a header section says of the body behind it. */
export type Entity =
  | { readonly kind: 'multipart'; readonly boundary: string }
  | { readonly kind: 'message' }
  | { readonly kind: 'leaf'; readonly encoding: LeafEncoding; readonly content: LeafContent }

export type LeafEncoding = 'base64' | 'quoted-printable' | 'identity'

/** `lines`: calendars and address books, whose lines may hold files. */
export type LeafContent = 'text' | 'lines' | 'file'

/** Not plain, and why: in words for a log. `encrypted` says what is closed, where it is that. */
export class NotPlain extends Error {
  override readonly name = 'NotPlain'
  constructor(
    readonly why: string,
    readonly encrypted: string | null = null,
  ) {
    super(why)
  }
}

/** Bytes of a line without its end: RFC 5322, 2.1.1. */
export const maxLineBytes = 998
export const maxSectionBytes = 64 * 1024
/** clamd stops at 1024 headers. */
const maxLines = 500
const maxBoundaryBytes = 70

const maxNameBytes = 76
const colon = 0x3a
/** Characters of field names. */
const isOfName = new Uint8Array(256)
for (const character of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-'))
  isOfName[character] = 1
const nameBegin = /^[A-Za-z0-9]/
/** A line end within a line, or a NUL. */
const brokenLine = /\r(?!\n)|(?<!\r)\n|\0/
/** Names that some program takes for one of a content field, in the letters they have. */
const contentNames =
  /^(?:x?content(?:type|transferencoding|encoding|disposition)|x?transferencoding|encoding)$/

/** clamd takes the next line for a part of it. */
const openEnd = /;[ \t]*\r\n(?![ \t])/

/** clamd saves a message within and reads it as one if it begins like one, with a blank behind the colon. */
const knownBegin =
  /^(?:Received|Return-Path|Delivered-To|From|To|Subject|Date|Message-I[Dd]|M[Ii][Mm][Ee]-Version): /
const knownOrder = [
  ['\r\nFrom: ', 900],
  ['\r\nMIME-Version: ', 900],
  ['\r\nContent-Type: ', 900],
] as const

const token = "[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"
/** Without escapes, so that all see the same end. */
const quoted = '"[^"\\\\]*"'
/** Not all of these may stand without quotes, but all programs end them at a blank or a semicolon. */
const bare = "[A-Za-z0-9!#$%&'*+.^_`{|}~/:=@-]+"
const parameter = `[ \\t]*;[ \\t]*(${token})=(${quoted}|${bare})`
const typeValue = new RegExp(`^[ \\t]*([A-Za-z]+)/([A-Za-z0-9][A-Za-z0-9.+_-]*)((?:${parameter})*)[ \\t]*$`)
const dispositionValue = new RegExp(`^[ \\t]*(?:attachment|inline)(?:${parameter})*[ \\t]*$`, 'i')
const encodingValue = /^[ \t]*(7bit|8bit|binary|base64|quoted-printable)$/i
const parameters = new RegExp(parameter, 'g')
const bareBoundary = /^[A-Za-z0-9'+_.-]+$/
const quotedBoundary = /^"[A-Za-z0-9'+_,./:=?-]+"$/

/** Multiparts of which clamd reads every part. */
const multiparts = new Set(['mixed', 'alternative', 'related', 'report'])
/** Shown as text, or as a file; their body may look like headers. */
const reports = new Set(['delivery-status', 'disposition-notification', 'feedback-report'])
const mediaTypes = new Set(['text', 'application', 'image', 'audio', 'video'])
/** Types that are containers, or that only some programs look into. */
const oddTypes =
  /^application\/(?:(?:vnd\.)?ms-tnef|(?:x-)?pkcs7-mime|mac-binhex40|(?:x-)?apple-?(?:file|single|double)|(?:x-)?mac-?binary|pgp-encrypted|mbox|(?:x-)?(?:uu|yenc|xx).*|vnd\.ms-outlook)$/
/** Names by which a program takes a file for a message or another container. */
const oddNames = /\.(?:eml|mht|mhtml|msg|mbo?x|dat|tnef|p7[mscz]|hqx|uue?|xxe|b64|mim)\b/i
/** Names of calendars and address books. */
const calendarNames = /\.(?:ics|ical|icalendar|ifb|vcs|vcf|vcard)\b/i
const charsets =
  /^(?:us-ascii|ascii|utf-?8|iso-?8859-\d{1,2}|(?:windows|cp)-?(?:125\d|874|93[26]|949|950|437|850|866)|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-(?:jp|kr|tw)|iso-2022-jp|shift_jis|sjis|ks_c_5601-1987|tis-620|macintosh)$/i

/** Whose headers they are: those of the mail, of a message within, or of a part of a multipart. */
export type Owner = 'mail' | 'message' | 'part'

/**
 * @param section header lines with their ends, without the empty line; one character per byte
 * @throws NotPlain
 */
export function entityOf(section: string, owner: Owner): Entity {
  if (owner === 'part' && openEnd.test(section)) throw new NotPlain('a header that ends in a semicolon')
  if (owner === 'message' && !isKnownMessage(section))
    throw new NotPlain('a message with an odd first header')
  const fields = contentFields(section)
  const encoding = encodingOf(fields.get('content-transfer-encoding'))
  const disposition = fields.get('content-disposition')
  if (disposition !== undefined && !dispositionValue.test(disposition))
    throw new NotPlain('Content-Disposition')
  const type = fields.get('content-type')
  if (type === undefined) {
    if (encoding !== 'identity') throw new NotPlain('an encoding without a type')
    return { kind: 'leaf', encoding, content: 'text' }
  }
  if (isLong(type) || isLong(disposition)) throw new NotPlain('many parameters')
  const [, first, second, rest = ''] = typeValue.exec(type) ?? []
  if (first === undefined || second === undefined) throw new NotPlain('Content-Type')
  const main = first.toLowerCase()
  const subtype = second.toLowerCase()
  if (main === 'multipart' || main === 'message') {
    if (encoding !== 'identity') throw new NotPlain(`an encoded ${main}`)
    if (main === 'message') return messageEntity(subtype)
    return { kind: 'multipart', boundary: boundaryOf(subtype, type, rest) }
  }
  if (!mediaTypes.has(main)) throw new NotPlain('an unknown type')
  const whole = `${main}/${subtype}`
  if (oddTypes.test(whole)) throw new NotPlain(whole, encryptedType(whole, type))
  checkLeaf(type, disposition, main === 'text' ? rest : '')
  return { kind: 'leaf', encoding, content: contentOf(whole, `${type}${disposition ?? ''}`) }
}

/** clamd stops at the 256th parameter. */
const maxParameters = 50

function isLong(value: string | undefined): boolean {
  return value !== undefined && value.split(';', maxParameters + 2).length > maxParameters + 1
}

/** By its first header, or by three that stand not too far from the beginning and from each other. */
function isKnownMessage(section: string): boolean {
  if (knownBegin.test(section)) return true
  let at = 0
  for (const [mark, maxBytes] of knownOrder) {
    const found = section.indexOf(mark, at)
    if (found < 0 || found - at > maxBytes) return false
    at = found
  }
  return true
}

/** The content fields by name in small letters, unfolded. Most lines are none, and cost no more than a look at their name. */
function contentFields(section: string): Map<string, string> {
  if (brokenLine.test(section)) throw new NotPlain('a line end within a header line')
  const fields = new Map<string, string>()
  let kept: string | null = null
  let lines = 0
  for (let at = 0; at < section.length;) {
    if (++lines > maxLines) throw new NotPlain('too many headers')
    const end = section.indexOf('\r\n', at)
    if (end - at > maxLineBytes) throw new NotPlain('a long line')
    if (isBlank(section.charCodeAt(at))) {
      if (at === 0 || isBlankTo(section, at, end)) throw new NotPlain('a fold without text')
      if (kept !== null) fields.set(kept, (fields.get(kept) ?? '') + section.slice(at, end))
    } else {
      const nameEnd = endOfName(section, at)
      kept = contentName(section, at, nameEnd)
      if (kept !== null) {
        if (fields.has(kept)) throw new NotPlain(`${section.slice(at, nameEnd)} twice`)
        fields.set(kept, section.slice(nameEnd + 1, end))
      }
    }
    at = end + 2
  }
  for (const [name, value] of fields) if (value.trim() === '') throw new NotPlain(`an empty ${name}`)
  return fields
}

/** @throws NotPlain: there is no name */
function endOfName(section: string, from: number): number {
  let at = from
  while (isOfName[section.charCodeAt(at)] === 1) at++
  const isName =
    at > from &&
    at - from <= maxNameBytes &&
    section.charCodeAt(at) === colon &&
    nameBegin.test(section.charAt(from))
  if (!isName) throw new NotPlain('a line that is no header')
  return at
}

function isBlankTo(section: string, from: number, to: number): boolean {
  let at = from
  while (at < to && isBlank(section.charCodeAt(at))) at++
  return at === to
}

function isBlank(character: number): boolean {
  return character === 0x20 || character === 0x09
}

function contentName(section: string, from: number, to: number): string | null {
  const first = section.charCodeAt(from) | 0x20
  // Nearly all others: only names that begin with c, x, t or e are of interest.
  if (first !== 0x63 && first !== 0x78 && first !== 0x74 && first !== 0x65) return null
  const lower = section.slice(from, to).toLowerCase()
  if (!contentNames.test(lower.replace(/[^a-z]/g, ''))) return null
  if (lower === 'content-type' || lower === 'content-transfer-encoding' || lower === 'content-disposition') {
    return lower
  }
  throw new NotPlain('a name like that of a content header')
}

function encodingOf(value: string | undefined): LeafEncoding {
  if (value === undefined) return 'identity'
  const word = encodingValue.exec(value)?.[1]?.toLowerCase()
  if (word === undefined) throw new NotPlain('Content-Transfer-Encoding')
  return word === 'base64' || word === 'quoted-printable' ? word : 'identity'
}

function messageEntity(subtype: string): Entity {
  if (subtype === 'rfc822') return { kind: 'message' }
  if (reports.has(subtype)) return { kind: 'leaf', encoding: 'identity', content: 'text' }
  throw new NotPlain(`message/${subtype.slice(0, 40)}`)
}

function boundaryOf(subtype: string, type: string, rest: string): string {
  if (!multiparts.has(subtype)) {
    const what = `multipart/${subtype.slice(0, 40)}`
    throw new NotPlain(what, subtype === 'encrypted' ? what : null)
  }
  const folded = type.toLowerCase()
  if (type.includes('=?') || folded.indexOf('boundary') !== folded.lastIndexOf('boundary'))
    throw new NotPlain('boundary')
  const names = new Set<string>()
  let boundary = ''
  for (const [name, value] of parametersOf(rest)) {
    const lower = name.toLowerCase()
    if (lower.includes('*') || names.has(lower)) throw new NotPlain('parameters of a multipart')
    names.add(lower)
    if (lower !== 'boundary') continue
    if (!bareBoundary.test(value) && !quotedBoundary.test(value)) throw new NotPlain('boundary')
    boundary = value.startsWith('"') ? value.slice(1, -1) : value
  }
  if (boundary === '' || boundary.length > maxBoundaryBytes || boundary.endsWith('--'))
    throw new NotPlain('boundary')
  return boundary
}

function checkLeaf(type: string, disposition: string | undefined, textParameters: string): void {
  if (/boundary/i.test(type)) throw new NotPlain('a boundary of no multipart')
  if (oddNames.test(type) || (disposition !== undefined && oddNames.test(disposition))) {
    throw new NotPlain('the name of a container')
  }
  let charset: string | null = null
  for (const [name, value] of parametersOf(textParameters)) {
    // Of flowed text that some join without a blank.
    if (/^delsp/i.test(name)) throw new NotPlain('delsp')
    if (!name.toLowerCase().startsWith('charset')) continue
    if (charset !== null || name.length !== 'charset'.length) throw new NotPlain('charset')
    charset = value.startsWith('"') ? value.slice(1, -1) : value
    if (!charsets.test(charset)) throw new NotPlain('charset')
  }
}

function parametersOf(text: string): (readonly [name: string, value: string])[] {
  const found: (readonly [name: string, value: string])[] = []
  if (text === '') return found
  parameters.lastIndex = 0
  for (let match = parameters.exec(text); match !== null; match = parameters.exec(text))
    found.push([match[1] ?? '', match[2] ?? ''])
  return found
}

/** @param said Content-Type and Content-Disposition, with the names in them */
function contentOf(type: string, said: string): LeafContent {
  if (/calendar|card|\/ics$|directory/.test(type) || calendarNames.test(said)) return 'lines'
  return type.startsWith('text/') ? 'text' : 'file'
}

function encryptedType(type: string, value: string): string | null {
  if (type === 'application/pgp-encrypted') return type
  return type.endsWith('pkcs7-mime') && /enveloped-?data/i.test(value) ? 'S/MIME enveloped data' : null
}
