/*
 * What a file is by its first bytes, and by its last. Own tables: file-type knows no shortcut of the web, VHD, VHDX, UDF,
 * OneNote, MSI, macro or script, is an ES module whose present version needs Node 22, and works asynchronously on each part.
 */

import { endBytes, footerBytes, footers } from '../base/file-marks'
import { isTar } from '../base/tar'

/** Bytes of a file by which its type is told. */
export const headBytes = 48 * 1024

interface Signature {
  readonly type: string
  readonly hex: string
  readonly at?: number
}

/** Types of a group have its name as well. */
const groups: Readonly<Record<string, readonly Signature[]>> = {
  executable: [
    { type: 'pe', hex: '4d5a' },
    { type: 'pe', hex: '5a4d' },
    { type: 'elf', hex: '7f454c46' },
    { type: 'macho', hex: 'feedface' },
    { type: 'macho', hex: 'feedfacf' },
    { type: 'macho', hex: 'cefaedfe' },
    { type: 'macho', hex: 'cffaedfe' },
    { type: 'macho', hex: 'cafebabe000000' },
    { type: 'class', hex: 'cafebabe0000003' },
    { type: 'class', hex: 'cafebabe0000004' },
    { type: 'dex', hex: '6465780a30' },
    { type: 'com', hex: '58354f2150254041' },
  ],
  shortcut: [{ type: 'lnk', hex: '4c0000000114020000000000c000000000000046' }],
  'disk-image': [
    { type: 'iso', hex: '4344303031', at: 32769 },
    { type: 'iso', hex: '4344303031', at: 34817 },
    ...[0, 1, 2, 3, 4, 5, 6].map((sector) => ({ type: 'udf', hex: '4245413031', at: 32769 + sector * 2048 })),
    { type: 'vhd', hex: '636f6e6563746978' },
    { type: 'vhdx', hex: '7668647866696c65' },
    { type: 'vmdk', hex: '4b444d56' },
    { type: 'vdi', hex: '7f10dabe', at: 64 },
    { type: 'qcow', hex: '514649fb' },
    { type: 'img', hex: '4641543132', at: 54 },
    { type: 'img', hex: '4641543136', at: 54 },
    { type: 'img', hex: '4641543332', at: 82 },
    { type: 'img', hex: '4e54465320202020', at: 3 },
    { type: 'img', hex: '4546492050415254', at: 512 },
    // Of macOS: HFS+ twice, APFS, a partition map.
    { type: 'img', hex: '482b0004', at: 1024 },
    { type: 'img', hex: '48580005', at: 1024 },
    { type: 'img', hex: '4e585342', at: 32 },
    { type: 'img', hex: '45520200' },
    // One that is encrypted.
    { type: 'dmg', hex: '656e637263647361' },
  ],
  archive: [
    { type: 'zip', hex: '504b0304' },
    { type: 'zip', hex: '504b0102' },
    { type: 'zip', hex: '504b0506' },
    { type: 'zip', hex: '504b0708' },
    { type: 'zip', hex: '504b3030504b' },
    { type: 'rar', hex: '526172211a07' },
    { type: '7z', hex: '377abcaf271c' },
    { type: 'gz', hex: '1f8b08' },
    { type: 'bz2', hex: '425a68' },
    { type: 'xz', hex: 'fd377a585a00' },
    { type: 'zst', hex: '28b52ffd' },
    // It may begin with frames that are to be skipped.
    ...Array.from({ length: 16 }, (_, i) => ({ type: 'zst', hex: `5${i.toString(16)}2a4d18` })),
    { type: 'lzma', hex: '5d00' },
    { type: 'z', hex: '1f9d8' },
    { type: 'z', hex: '1f9d90' },
    { type: 'cab', hex: '4d53434600000000' },
    { type: 'arj', hex: '60ea' },
    { type: 'lzh', hex: '2d6c68', at: 2 },
    { type: 'lzh', hex: '2d6c7a', at: 2 },
    { type: 'cpio', hex: '303730373' },
    { type: 'ar', hex: '213c617263683e0a' },
    { type: 'rpm', hex: 'edabeedb' },
    { type: 'wim', hex: '4d5357494d000000' },
    { type: 'xar', hex: '78617221' },
    { type: 'chm', hex: '49545346' },
    { type: 'ace', hex: '2a2a4143452a2a', at: 7 },
    { type: 'lz4', hex: '04224d18' },
    { type: 'lzip', hex: '4c5a495001' },
    { type: 'zoo', hex: 'dca7c4fd', at: 20 },
    { type: 'alz', hex: '414c5a01' },
    { type: 'egg', hex: '45474741' },
  ],
}

const others: readonly Signature[] = [
  { type: 'ole', hex: 'd0cf11e0a1b11ae1' },
  { type: 'one', hex: 'e4525c7b8cd8a74daeb15378d02996d3' },
  { type: 'pdf', hex: '25504446' },
  { type: 'rtf', hex: '7b5c7274' },
  { type: 'tnef', hex: '789f3e22' },
]

/**
 * What may stand in front of the first element. A comment ends at its first `-->` and nowhere else: with two ways to read
 * comments in a row, the time would double with each of them.
 */
const prolog = String.raw`<\?xml[^>]{0,200}>\s*|<!--(?:(?!-->)[^])*-->\s*`

/** By the first words of a text, behind blanks and a byte order mark. */
const texts: readonly (readonly [type: string, group: string | null, begins: RegExp])[] = [
  ['url', 'shortcut', /^\[(?:InternetShortcut|DEFAULT)\b/i],
  ['desktop', 'shortcut', /^(?:#[^\n]*\n\s*)*\[Desktop Entry\]/i],
  ['webloc', 'shortcut', /^<\?xml[^]{0,400}<plist[^]{0,200}<key>URL<\/key>/i],
  [
    'library-ms',
    'shortcut',
    /^(?:<\?xml[^>]{0,200}>\s*)?<(?:libraryDescription|persistedQuery|PCSettings)\b/i,
  ],
  ['hta', 'script', /^[^]{0,4000}<hta:application/i],
  ['wsf', 'script', /^(?:<\?xml[^>]{0,200}>\s*)?<(?:job|package|component|scriptlet)\b/i],
  ['encoded-script', 'script', /^#@~\^/],
  ['shebang', 'script', /^#!\s*\/\S/],
  ['bat', 'script', /^@?(?:echo[ \t]+off|setlocal)\b/i],
  ['php', 'script', /^<\?(?:php|=)/i],
  ['reg', 'script', /^(?:Windows Registry Editor Version|REGEDIT4)/],
  ['svg', null, new RegExp(`^(?:${prolog}|<!DOCTYPE svg[^>]{0,300}>\\s*)*<svg\\b`, 'i')],
  [
    'html',
    null,
    new RegExp(`^(?:${prolog})*<(?:!doctype\\s+html|html|head|body|script|title|meta|iframe|base)\\b`, 'i'),
  ],
]

const textBytes = 6000
/** A text that begins with the two letters of a program. No mask has this name. */
const printable = 'printable'
const textTypes = new Set([...texts.map(([type]) => type), printable])

/** Whether it is one of those that are told by their words, and may be the text of a mail. */
export function isText(types: ReadonlySet<string>): boolean {
  return [...types].some((type) => textTypes.has(type))
}

/** Names that `type:` may have. */
export const typeNames: ReadonlySet<string> = new Set([
  ...Object.entries(groups).flatMap(([group, rows]) => [group, ...rows.map(({ type }) => type)]),
  ...others.map(({ type }) => type),
  ...texts.flatMap(([type, group]) => [type, ...(group === null ? [] : [group])]),
  ...['msi', 'office-macro', 'tar'],
])

interface Row extends Signature {
  readonly group: string | null
}

const rows: readonly Row[] = [
  ...Object.entries(groups).flatMap(([group, signatures]) => signatures.map((row) => rowOf(row, group))),
  ...others.map((row) => rowOf(row, null)),
]
const farRows = rows.filter(({ at = 0 }) => at > 0)
/** Of the others, by their first byte: most files have one of few. */
const nearRows = new Map<string, Row[]>()
for (const row of rows.filter(({ at = 0 }) => at === 0)) {
  const first = row.hex.slice(0, 2)
  nearRows.set(first, [...(nearRows.get(first) ?? []), row])
}

function rowOf(row: Signature, group: string | null): Row {
  return { ...row, group }
}

/**
 * All types of a file, groups included; empty: none that is known.
 * @param head its first `headBytes`, or all of it
 */
export function typesOf(head: Buffer): Set<string> {
  const types = binaryTypesOf(head)
  if (types.size === 0) addText(types, head)
  return types
}

/** Those that are not told by words, which takes less. @param head as for `typesOf` */
export function binaryTypesOf(head: Buffer): Set<string> {
  const types = new Set<string>()
  const begin = head.toString('hex', 0, 24)
  for (const row of nearRows.get(begin.slice(0, 2)) ?? []) if (begin.startsWith(row.hex)) add(types, row)
  for (const row of farRows) if (isAt(head, row)) add(types, row)
  if (types.has('class')) types.delete('macho')
  if (types.has('pe') && isPrintable(head)) types.add(printable)
  if (types.has('lzma') && !isLzma(head)) remove(types, 'lzma', 'archive')
  if (types.has('arj') && !isArj(head)) remove(types, 'arj', 'archive')
  if (types.has('bz2') && !/^[1-9]1AY&SY/.test(head.toString('latin1', 3, 10)))
    remove(types, 'bz2', 'archive')
  // Of both, anything may be the first bytes.
  if (isTar(head)) add(types, { type: 'tar', group: 'archive' })
  if (hasPartitions(head)) add(types, { type: 'img', group: 'disk-image' })
  return types
}

function add(types: Set<string>, { type, group }: Pick<Row, 'type' | 'group'>): void {
  types.add(type)
  if (group !== null) types.add(group)
}

function remove(types: Set<string>, ...names: readonly string[]): void {
  for (const name of names) types.delete(name)
}

function isAt(head: Buffer, { hex, at = 0 }: Row): boolean {
  const end = at + hex.length / 2
  return head.length >= end && head.toString('hex', at, end) === hex
}

/** Small numbers in the header of a program have bytes that no text has. */
function isPrintable(head: Buffer): boolean {
  return head.subarray(0, dosHeaderBytes).every((byte) => byte >= 0x08)
}

const dosHeaderBytes = 64

/** Thirteen bytes without a mark: a size of the dictionary that occurs, and one of the content that is known or unknown. */
function isLzma(head: Buffer): boolean {
  if (head.length < 14) return false
  const dictionary = head.readUInt32LE(1)
  // A power of two, or one and a half of it.
  const isPower = dictionary >= 4096 && [1, 3].some((odd) => Number.isInteger(Math.log2(dictionary / odd)))
  const high = head.readUInt32LE(9)
  return isPower && (high === 0xffffffff || high < 256) && head[13] === 0
}

/** Two bytes are not much of a mark: the size of the header, and of its fixed part, have to make sense. */
function isArj(head: Buffer): boolean {
  if (head.length < 12) return false
  const bytes = head.readUInt16LE(2)
  const fixed = head[4] ?? 0
  return bytes >= 30 && bytes <= 2600 && fixed >= 30 && fixed <= bytes
}

const [partitionsAt, partitionBytes, bootMarkAt] = [446, 16, 510]

/** A disk by its table of partitions: each is active or not, and one has a kind. */
function hasPartitions(head: Buffer): boolean {
  if (head.length < bootMarkAt + 2 || head.readUInt16BE(bootMarkAt) !== 0x55aa) return false
  const rows = [0, 1, 2, 3].map((row) => partitionsAt + row * partitionBytes)
  return rows.every((at) => ((head[at] ?? 0) & 0x7f) === 0) && rows.some((at) => head[at + 4] !== 0)
}

function addText(types: Set<string>, head: Buffer): void {
  const text = textOf(head).replace(/^[\s\ufeff\0]+/, '')
  if (text === '') return
  for (const [type, group, begins] of texts) if (begins.test(text)) add(types, { type, group })
}

function textOf(head: Buffer): string {
  const start = head.subarray(0, textBytes)
  if (start[0] === 0xff && start[1] === 0xfe) return start.toString('utf16le', 2)
  if (start[0] === 0xfe && start[1] === 0xff)
    return Buffer.from(start.subarray(2, start.length & ~1))
      .swap16()
      .toString('utf16le')
  return start.toString('latin1').replace(/^\xef\xbb\xbf/, '')
}

const vbaNames = ['_VBA_PROJECT', 'Macros', '_VBA_PROJECT_CUR'].map((name) => Buffer.from(name, 'utf16le'))
/** Of the root of an installer package, or of a patch or a transform for one: 000C108x-0000-0000-C000-000000000046. */
const msiClass = [0x84, 0x86, 0x82].map((first) =>
  Buffer.from(`${first.toString(16)}100c0000000000c000000000000046`, 'hex'),
)

/** Both that the head tells and that only the whole does. @param types those by its head */
export function typesOfWhole(
  content: Buffer,
  types: ReadonlySet<string> = typesOf(content.subarray(0, headBytes)),
): Set<string> {
  const all = new Set([...types, ...typesOfEnd(content)])
  if (!types.has('ole')) return all
  if (vbaNames.some((name) => content.includes(name))) all.add('office-macro')
  if (msiClass.some((id) => content.includes(id))) add(all, { type: 'msi', group: 'executable' })
  return all
}

/** Of disk images that may begin with anything. @param end the last `endBytes` of a file, or more */
export function typesOfEnd(end: Buffer): Set<string> {
  const types = new Set<string>()
  const last = end.subarray(-endBytes)
  for (const { type, mark } of footers) {
    const at = last.indexOf(mark)
    if (at >= 0 && at + footerBytes <= last.length) add(types, { type, group: 'disk-image' })
  }
  return types
}

/** Types of archives and disk images that the library opens, whose names are looked at. */
const opened = new Set(
  '7z ar arj bz2 cab chm cpio dmg gz img iso lzh lzma qcow rar rpm tar udf vdi vhd vhdx vmdk wim xar xz z zst ole'.split(
    ' ',
  ),
)
/** Types of containers that are opened, and their groups: what `in:` may name. */
export const containerTypes: ReadonlySet<string> = new Set([...opened, 'zip', 'msi', 'archive', 'disk-image'])
/** Archives that are not opened here. */
const closed = new Set('ace alz egg lz4 lzip zoo'.split(' '))

/** By which a file in an archive counts as one where its content cannot be seen, or not as far as it takes. */
const archiveName =
  /\.(?:zipx?|rar|r\d\d|7z|tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|lzma|zst|z|cab|arj|lzh|lha|deb|rpm|wim|iso|udf|img|vhdx?|vmdk|qcow2?|vdi|dmg|jar|docx|xlsx|pptx)[. ]*$/i

export function isNamedArchive(names: readonly string[]): boolean {
  return names.some((name) => archiveName.test(name))
}

/** How to look into a file. Null: it holds no others, as far as is known. */
export function containerOf(
  types: ReadonlySet<string>,
): { readonly kind: string; readonly by: 'zip' | 'library' | 'nobody' } | null {
  if (types.has('zip')) return { kind: 'zip', by: 'zip' }
  for (const type of types) {
    if (opened.has(type)) return { kind: type, by: 'library' }
    if (closed.has(type)) return { kind: type, by: 'nobody' }
  }
  return null
}
