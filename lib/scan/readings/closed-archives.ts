/*
 * Archives that 7-Zip opens. What clamd cannot open in them is closed, as is what 7-Zip cannot open either. clamd says OK to
 * some kinds without looking into them: the files in those are for it to scan by themselves. Measured with clamd 1.4.
 */

import { library, type LibraryAnswer, type Member } from '../../attachments/archives/library'
import { isOlePart, packageIn } from '../../attachments/archives/ole'
import {
  binaryTypesOf,
  containerOf,
  headBytes,
  isNamedArchive,
  typesOfEnd,
} from '../../attachments/file-types'
import { nameForLog } from '../../attachments/normalize'
import { tarEnd, tarFile } from '../../base/tar'
import type { PackedFile, Search } from './closed-zip'

/** Kinds that clamd passes over, or did in a version that is still in use. RAR: where it was built without UnRAR. */
const passedOver = new Set('ar dmg img lzh lzma qcow rpm udf vdi vhd vhdx vmdk wim z zst'.split(' '))
/** Kinds told by so few bytes that other files begin alike. */
const uncertain = new Set('img lzh lzma vdi z'.split(' '))
/** Kinds that clamd opens, and that hold one file without a name of its own. */
const ofOneFile = new Set(['gz', 'bz2', 'xz'])
/** Milliseconds for what clamd opens itself: there the library only looks for archives that it does not open. */
const searchMs = 2000

const rarMark = Buffer.from('Rar!\x1a\x07', 'latin1')

export interface Archive {
  readonly kind: string
  readonly bytes: Buffer
  /** How clamd deals with it. */
  readonly by: 'clamd' | 'library' | 'nobody'
  /** A file that is none may begin like it, or hold its mark. */
  readonly isUncertain: boolean
}

/** null: it is none, or one for others in this folder (zip, compound files). */
export function archiveOf(content: Buffer, opensRar: boolean): Archive | null {
  const types = new Set([...binaryTypesOf(content.subarray(0, headBytes)), ...typesOfEnd(content)])
  const container = containerOf(types)
  if (container === null) return opensRar ? null : rarIn(content)
  const { kind } = container
  if (container.by === 'zip' || kind === 'ole') return null
  if (container.by === 'nobody') return { kind, bytes: content, by: 'nobody', isUncertain: false }
  const isPassedOver = kind === 'rar' ? !opensRar : [...types].some((type) => passedOver.has(type))
  return { kind, bytes: content, by: isPassedOver ? 'library' : 'clamd', isUncertain: uncertain.has(kind) }
}

/** Of a program that unpacks itself, or behind anything else. */
function rarIn(content: Buffer): Archive | null {
  const at = content.indexOf(rarMark)
  return at < 0 ? null : { kind: 'rar', bytes: content.subarray(at), by: 'library', isUncertain: true }
}

/** Looks into a file in an archive. */
type Look = (file: Buffer) => Promise<void>

/**
 * Rejects with the budget's signal.
 * @returns whether its files have been seen, so that there is nothing to look for in its bytes
 */
export async function findClosedInArchive(archive: Archive, search: Search, look: Look): Promise<boolean> {
  if (archive.by === 'nobody') {
    search.encrypted ??= `${archive.kind} archive (nothing here opens it)`
    return false
  }
  const isOurs = archive.by === 'library'
  const answer = await opened(archive.bytes, isOurs ? 'files' : 'names', search)
  const isArchive = answer.listing !== null || !archive.isUncertain
  if (isArchive && (isOurs || archive.kind === '7z')) blame(archive.kind, answer.trouble, search)
  const isSound = bounded(archive.kind, answer, search)
  if (isOurs) await scanned(archive.kind, answer.members, search, look)
  else if (isSound) await searched(archive, answer, search, look)
  return isArchive && (isOurs || archive.kind === '7z')
}

/** Files that are embedded in an Office document, which clamd does not take out of it. */
export async function findPackages(document: Buffer, search: Search, look: Look): Promise<void> {
  const { members } = await opened(document, 'files', search)
  const packages = members.flatMap(({ name, bytes }): Member[] => {
    const part = name !== null && isOlePart(name) ? packageIn(name, bufferOf(bytes)) : null
    return part?.content
      ? [{ name: part.names[0]?.[0] ?? null, bytes: part.content, size: part.content.length }]
      : []
  })
  await scanned('package', packages, search, look)
}

const packageMark = Buffer.from('Ole10Native', 'utf16le')

export function hasPackage(document: Buffer): boolean {
  return document.includes(packageMark)
}

async function opened(
  bytes: Buffer,
  keep: 'files' | 'names' | 'archives',
  search: Search,
): Promise<LibraryAnswer> {
  const { budget } = search
  const maxBytes = budget.inflatable
  const limitMs = keep === 'files' ? budget.libraryMs : Math.min(searchMs, budget.libraryMs)
  if (limitMs <= 0 || maxBytes <= 0)
    return {
      listing: null,
      names: [],
      members: [],
      trouble: 'nothing is left of the time or the memory for archives',
    }
  const request = { archive: new Uint8Array(bytes), maxEntries: budget.limits.entries, keep, maxBytes }
  const answer = await budget.inLibrary((signal, started) => library.open(request, limitMs, signal, started))
  for (const member of answer.members) budget.spendInflated(Math.min(budget.inflatable, member.bytes.length))
  return answer
}

function blame(kind: string, trouble: string | null, search: Search): void {
  if (trouble?.startsWith('encrypted')) search.encrypted ??= `encrypted ${kind} archive`
  else if (trouble !== null) search.limits ??= `${kind} archive (${trouble})`
}

/** Methods and filters of 7z that clamd undoes, measured with 1.4. Not so BZip2, Deflate, Delta, ARM64 and the others. */
const openMethods = /^(?:Copy|LZMA2?|PPMD|BCJ2?|ARM)(?::\S*)?$/

/** @returns whether clamd can look into all of it */
function bounded(kind: string, { listing }: LibraryAnswer, search: Search): boolean {
  if (listing === null) return false
  const { upTo } = search
  if (listing.isEncrypted) search.encrypted ??= `encrypted ${kind} archive`
  else if (kind === '7z') {
    const method = listing.methods.flatMap((all) => all.split(' ')).find((one) => !openMethods.test(one))
    if (method !== undefined) search.limits ??= `7z archive with method ${method}`
  }
  const isTooLarge = listing.maxBytes > upTo.memberBytes
  if (isTooLarge) search.limits ??= `file of more than ${upTo.memberBytes} bytes in a ${kind} archive`
  search.files += listing.entries
  if (search.files > upTo.files) search.limits ??= `more than ${upTo.files} files`
  return !isTooLarge && !listing.isEncrypted
}

async function scanned(kind: string, members: readonly Member[], search: Search, look: Look): Promise<void> {
  const files = members
    .map(({ name, bytes }) => ({ name, bytes: bufferOf(bytes) }))
    .filter(({ bytes }) => bytes.length > 0)
  for (const { bytes } of files) await look(bytes)
  search.members.push(...grouped(files).map((group) => packedFile(kind, group)))
}

type NamedFile = Pick<Member, 'name'> & Pick<PackedFile, 'bytes'>

/** Of files that go to clamd together. */
const maxGroup = { bytes: 4 * 1024 * 1024, files: 250 }

function grouped(files: readonly NamedFile[]): NamedFile[][] {
  const groups: NamedFile[][] = []
  let bytes = Infinity
  for (const file of files) {
    const last = groups.at(-1)
    if (last && bytes + file.bytes.length <= maxGroup.bytes && last.length < maxGroup.files) last.push(file)
    else groups.push([file])
    bytes = (groups.at(-1)?.length === 1 ? 0 : bytes) + file.bytes.length
  }
  return groups
}

/** Several as a tar archive, which every clamd opens: one scan takes less than many. */
function packedFile(kind: string, group: readonly NamedFile[]): PackedFile {
  const [first] = group
  if (!first || group.length > 1)
    return {
      name: `${group.length} files in ${kind}`,
      bytes: Buffer.concat([...group.map(({ bytes }) => tarFile('file', bytes)), tarEnd]),
    }
  return { name: first.name === null ? kind : `${kind}: ${nameForLog(first.name)}`, bytes: first.bytes }
}

/** For archives in one that clamd opens: it passes over those of other kinds there as well. */
async function searched(
  { kind, bytes }: Archive,
  { names }: LibraryAnswer,
  search: Search,
  look: Look,
): Promise<void> {
  if (!ofOneFile.has(kind) && !isNamedArchive(names)) return
  const { members } = await opened(bytes, 'archives', search)
  for (const member of members) if (member.bytes.length === member.size) await look(bufferOf(member.bytes))
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}
