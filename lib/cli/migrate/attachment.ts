/*
 * The files of haraka-plugin-attachment 1.2.1, as its index.js reads them: names and types become items of deny.
 */

import { Invalid } from '../../base/invalid'
import { schema } from '../../config/schema'
import { type Ini, leaveUnknown } from './clamd'
import type { Draft } from './draft'

/** Lists of regular expressions, which apply to any part of a name or type. */
export const regexFiles = {
  names: 'attachment.filename.regex',
  namesInArchives: 'attachment.archive.filename.regex',
  types: 'attachment.ctype.regex',
} as const

export type AttachmentFiles = { readonly ini: Ini } & Readonly<
  Record<keyof typeof regexFiles, readonly string[]>
>

const file = 'attachment.ini'
const ownLimits = ['max_depth', 'max_total_bytes', 'max_total_entries']
const known = [
  ...['timeout', 'disallowed_extensions', 'allow_encrypted_archives'].map((key) => `main.${key}`),
  ...['archive_extensions', 'archive_extns', 'archive_max_depth'].map((key) => `main.${key}`),
  ...['extensions', ...ownLimits].map((key) => `archive.${key}`),
]

/** A regular expression that says no more than `\.(exe|com)$`. */
const extensionsOnly = /^(?:\^?\.\*)?\\\.(?:\((?:\?:)?(?<several>[\w-]+(?:\|[\w-]+)*)\)|(?<one>[\w-]+))\$$/

export function migrateAttachment(draft: Draft, files: AttachmentFiles): void {
  const { main = {}, archive = {} } = files.ini
  const items = new Set<string>()
  const add = (from: string, wanted: readonly string[]) => {
    for (const item of wanted) {
      if (isItem(item)) items.add(item)
      else draft.leave(`${from}: it cannot be written as an item of deny`)
    }
  }
  for (const extension of words(main.disallowed_extensions))
    add(`${file}: disallowed_extensions: ${extension}`, [`*.${extension}`])
  const isInArchives = items.size > 0 || files.namesInArchives.length > 0
  for (const regex of files.names) add(`${regexFiles.names}: ${regex}`, nameItems(regex))
  for (const regex of files.namesInArchives)
    add(
      `${regexFiles.namesInArchives}: ${regex}`,
      nameItems(regex).flatMap((item) => (items.has(item) ? [] : [`in:archive ${item}`])),
    )
  for (const regex of files.types) add(`${regexFiles.types}: ${regex}`, typeItems(regex))
  if (items.size > 0) archives(draft, [...items], isInArchives)
  if (archive.extensions !== undefined)
    draft.leave(`${file}: [archive] extensions: archives are known by content, and all kinds are opened`)
  for (const key of ownLimits.filter((one) => archive[one] !== undefined))
    draft.leave(`${file}: [archive] ${key}: the limits are built in`)
  leaveUnknown(draft, file, files.ini, known)
}

function archives(draft: Draft, items: readonly string[], isInArchives: boolean): void {
  draft.set('attachments', 'deny', items.join(' '), `${file} and attachment.*.regex`)
  if (!isInArchives)
    draft.set('attachments', 'inside_archives', 'false', 'Names in archives were not looked for')
  const why = 'An archive that is damaged, encrypted or beyond the limits was refused or deferred. As before:'
  draft.suggest('attachments', 'unreadable', 'reject', why)
}

function words(value = ''): string[] {
  return value.split(/[\s;,]+/).filter(Boolean)
}

/** True for what [attachments] deny takes as one item. */
function isItem(item: string): boolean {
  const parsed = schema.attachments.deny.type.parse(item)
  return !(parsed instanceof Invalid) && parsed.length === 1 && parsed[0]?.text === item
}

function nameItems(regex: string): string[] {
  const { several, one } = extensionsOnly.exec(regex)?.groups ?? {}
  const extensions = several?.split('|') ?? (one === undefined ? [] : [one])
  if (extensions.length > 0) return extensions.map((extension) => `*.${extension}`)
  return [`/${regex.replace(/(\\.)|\//g, (_, escape?: string) => escape ?? '\\/')}/`]
}

/** A word stands anywhere in the type; any other expression fits no mask. */
function typeItems(regex: string): string[] {
  if (/^[\w-]+\/[\w-]+$/.test(regex)) return [`content-type:*${regex}*`]
  return /^[\w-]+$/.test(regex) ? [`content-type:*${regex}*/*`, `content-type:*/*${regex}*`] : [regex]
}
