/*
 * The files of haraka-plugin-attachment 1.2.1, as its index.js reads them: extensions become masks.
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
  const denied = words(main.disallowed_extensions).flatMap((extension) =>
    masksOf(draft, `${file}: disallowed_extensions: ${extension}`, [extension]),
  )
  const named = files.names.flatMap((regex) => fromRegex(draft, regexFiles.names, regex))
  const inArchives = files.namesInArchives.flatMap((regex) =>
    fromRegex(draft, regexFiles.namesInArchives, regex),
  )
  const masks = [...new Set([...denied, ...named, ...inArchives])]
  for (const regex of files.types)
    draft.leave(`${regexFiles.types}: ${regex}: the type that the sender declares is not looked at`)
  if (masks.length > 0) {
    const from = `${file} and attachment.*.regex: one list, for names of attachments and in archives`
    draft.set('attachments', 'deny', masks.join(' '), from)
    archives(
      draft,
      String(archive.extensions ?? main.archive_extensions ?? main.archive_extns ?? allArchives),
      [...denied, ...inArchives],
    )
  }
  leaveUnknown(draft, file, files.ini, known)
}

const allArchives = 'zip tar tgz taz z gz rar 7z'

/** @param masks those that applied to names in archives */
function archives(draft: Draft, extensions: string, masks: readonly string[]): void {
  const kinds = words(extensions.toLowerCase())
  if (!kinds.includes('zip') || masks.length === 0)
    draft.set('attachments', 'inside_archives', 'false', 'No mask was for names in zip archives')
  else
    draft.suggest(
      'attachments',
      'unreadable',
      'reject',
      'An archive whose names cannot be read was refused or deferred; here it is scanned and delivered. As before:',
    )
  const others = kinds.filter((kind) => kind !== 'zip')
  if (others.length > 0)
    draft.leave(
      `${file}: [archive] extensions: names in ${others.join(', ')} are not looked at; clamd scans the content`,
    )
  draft.leave(
    `${file}: timeout, allow_encrypted_archives, [archive] max_*: names in encrypted zip archives are read; limits are built in`,
  )
}

function words(value: unknown): string[] {
  return value === undefined
    ? []
    : String(value)
        .split(/[\s;,]+/)
        .filter(Boolean)
}

function fromRegex(draft: Draft, name: string, regex: string): string[] {
  const { several, one } = extensionsOnly.exec(regex)?.groups ?? {}
  const extensions = several?.split('|') ?? (one === undefined ? [] : [one])
  if (extensions.length === 0)
    draft.leave(`${name}: ${regex}: only extensions, such as \\.(exe|com)$, become masks`)
  return masksOf(draft, `${name}: ${regex}`, extensions)
}

function masksOf(draft: Draft, from: string, extensions: readonly string[]): string[] {
  return extensions.flatMap((extension) => {
    const mask = `*.${extension}`
    if (
      /^[\w-]+(\.[\w-]+)*$/.test(extension) &&
      !(schema.attachments.deny.type.parse(mask) instanceof Invalid)
    )
      return [mask]
    draft.leave(`${from}: ${mask} is no mask`)
    return []
  })
}
