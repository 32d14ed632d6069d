/*
 * Files in the streams of a compound file: attachments of an Outlook message (.msg), and packages that are embedded in
 * Office documents. Layout: [MS-OXMSG], [MS-OLEDS] 2.3.6.
 */

import type { Name } from '../filenames'

export interface OlePart {
  readonly names: readonly Name[]
  readonly content: Buffer | null
}

/** PidTagAttachLongFilename, PidTagAttachFilename, PidTagDisplayName of an attachment; and its data. */
const attachment = /(?:^|\/)__attach_[^/]*\/__substg1\.0_(?<tag>3707|3704|3001|3701)(?<type>001F|001E|0102)$/i
const maxNameBytes = 2048

/** @param name path of the stream */
export function isOlePart(name: string): boolean {
  return attachment.test(name) || nativeData.test(name)
}

/** Names of streams are alike in capital and small letters; of two alike, 7-Zip numbers the second. */
const nativeData = /Ole10Native(?:_\d+)?$/i

/** Not one that clamd takes out of the document itself. */
export function isPackage(name: string): boolean {
  return nativeData.test(name)
}

/** Null: nothing that makes sense. */
export function packageIn(name: string, bytes: Buffer): OlePart | null {
  const { tag, type } = attachment.exec(name)?.groups ?? {}
  if (tag === undefined) return nativePackage(bytes)
  if (tag === '3701') return { names: [], content: bytes }
  const encoding = type?.toUpperCase() === '001F' ? 'utf16le' : 'latin1'
  const text = bytes.subarray(0, maxNameBytes).toString(encoding).replaceAll('\0', '')
  return text === '' ? null : { names: [[text]], content: null }
}

/** Length, two bytes, label, path, eight bytes, length and path of a temporary file, length and content. */
function nativePackage(bytes: Buffer): OlePart | null {
  const [label, labelEnd] = textAt(bytes, 6)
  const [path, pathEnd] = textAt(bytes, labelEnd)
  if (pathEnd + 8 > bytes.length) return null
  const temporaryAt = pathEnd + 4
  const temporaryBytes = bytes.readUInt32LE(temporaryAt)
  const contentAt = temporaryAt + 4 + temporaryBytes + 4
  const [temporary] = textAt(bytes, temporaryAt + 4)
  const names = [label, path, temporary].filter((text) => text !== '').map((text): Name => [text])
  return { names, content: contentAt < bytes.length ? bytes.subarray(contentAt) : null }
}

function textAt(bytes: Buffer, from: number): readonly [text: string, end: number] {
  const end = bytes.indexOf(0, from)
  if (end < 0 || end - from > maxNameBytes) return ['', bytes.length]
  return [bytes.toString('latin1', from, end), end + 1]
}
