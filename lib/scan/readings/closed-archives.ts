/*
 * Archives that 7-Zip opens. What clamd cannot open in them is closed, as is what 7-Zip cannot open either. clamd says OK to
 * some kinds without looking into them: the files in those are for it to scan by themselves. Measured with clamd 1.4.
 */

import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { library } from '../../attachments/archives/library'
import type { LibraryAnswer, Member } from '../../attachments/archives/library-messages'
import { isOlePart, isPackage, packageIn } from '../../attachments/archives/ole'
import { binaryTypesOf, containerOf, headBytes, typesOfEnd } from '../../attachments/file-types'
import { nameForLog } from '../../attachments/normalize'
import { rarMark } from '../../base/file-marks'
import { tarEnd, tarFile } from '../../base/tar'
import type { Budget } from '../../mime/budget'
import { startsAsRar } from './closed-formats'
import type { PackedFile, Search } from './closed-zip'
import { maxRatio, ScanTotal } from './scan-total'

/** Kinds that clamd passes over, or did in a version that is still in use. RAR: where it was built without UnRAR. */
const passedOver = new Set('ar dmg img lzh lzma qcow rpm udf vdi vhd vhdx vmdk wim z zst'.split(' '))
/** Those of them that a later version of clamd opens. There they also count for the message around them. */
const openedLater = new Set('dmg lzh udf'.split(' '))
/** Kinds told by so few bytes that other files begin alike. */
const uncertain = new Set('img lzh lzma vdi z'.split(' '))
/** Milliseconds for what clamd opens itself, so that others do not wait long for the library. */
const searchMs = 4000

export interface Archive {
  readonly kind: string
  readonly bytes: Buffer
  /** How clamd deals with it. */
  readonly by: 'clamd' | 'library' | 'nobody'
  /** A file that is none may begin like it, or hold its mark. */
  readonly isUncertain: boolean
}

/** By its beginning or its end. null: it is none, or one for others in this folder (zip, compound files). */
export function archiveOf(content: Buffer, opensRar: boolean): Archive | null {
  const types = new Set([...binaryTypesOf(content.subarray(0, headBytes)), ...typesOfEnd(content)])
  const container = containerOf(types)
  if (container === null || container.by === 'zip' || container.kind === 'ole') return null
  const { kind } = container
  if (container.by === 'nobody') return { kind, bytes: content, by: 'nobody', isUncertain: false }
  const isPassedOver = kind === 'rar' ? !opensRar : [...types].some((type) => passedOver.has(type))
  return { kind, bytes: content, by: isPassedOver ? 'library' : 'clamd', isUncertain: uncertain.has(kind) }
}

/** Of a program that unpacks itself, or behind anything else: programs for RAR look for its mark. */
export function rarBehind(content: Buffer): Archive | null {
  if (startsAsRar(content)) return null
  let at = content.indexOf(rarMark)
  for (let left = maxMarks; at >= 0 && left > 0; left--) {
    const bytes = content.subarray(at)
    if (startsAsRar(bytes)) return { kind: 'rar', bytes, by: 'library', isUncertain: true }
    at = content.indexOf(rarMark, at + 1)
  }
  return null
}

/** Of RAR in one content: programs that know types of files have it in a table. */
const maxMarks = 1000

/** Looks into a file in an archive. */
export type Look = (file: Buffer) => Promise<void>

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
  const unpacked = archive.kind === 'gz' ? await gunzipped(archive.bytes, search) : null
  if (unpacked !== null) {
    search.total.addUnpacked(unpacked.length)
    await look(unpacked)
    return false
  }
  // In what clamd opens itself, we look for archives that it does not open.
  const answer = await opened(archive.bytes, isOurs ? 'files' : 'archives', search)
  const isArchive = answer.listing !== null || !archive.isUncertain
  if (isArchive && !isForgiven(archive, answer)) addTrouble(archive.kind, answer.trouble, search)
  checkBounds(archive.kind, answer, search)
  if (!isOurs || openedLater.has(archive.kind)) search.total.addUnpacked(totalOf(answer))
  if (isOurs) await scanned(archive.kind, answer.members, search, look)
  else for (const { bytes } of answer.members) if (bytes.length > 0) await look(bufferOf(bytes))
  return isArchive && (isOurs || archive.kind === '7z')
}

/** Unpacks a zip archive whose members are neither stored nor deflated, because its headers may give false sizes. */
export async function checkSizes(zip: Buffer, search: Search): Promise<void> {
  const { trouble } = await opened(zip, 'archives', search)
  addTrouble('zip', trouble, search)
}

/** What the library ran out of: it depends on the load, and says nothing of the archive. */
const ranOut = /^(?:it takes more than|nothing is left|it needs too much memory)/

/**
 * Whether clamd's OK holds although the library has not seen all: clamd opens the archive itself. Only in 7z a method may be
 * one that clamd does not undo, so that one has to be listed, and sound.
 */
export function isForgiven(
  { kind, by }: Pick<Archive, 'kind' | 'by'>,
  { listing, trouble }: Pick<LibraryAnswer, 'listing' | 'trouble'>,
): boolean {
  if (by !== 'clamd' || trouble === null) return false
  return ranOut.test(trouble) ? kind !== '7z' || listing !== null : kind !== '7z' && trouble === 'damaged'
}

/** There may be many of them, and the library takes some 30 ms for each. null: it is too large for here, or damaged. */
async function gunzipped(bytes: Buffer, { upTo, budget }: Search): Promise<Buffer | null> {
  if (bytes.length * maxRatio > Math.min(upTo.memberBytes, budget.inflatable)) return null
  const content = await budget.offTheClock(() => inflated(bytes).catch(() => null))
  if (content !== null) budget.spendInflated(content.length)
  return content
}

const inflated = promisify<Buffer, Buffer>(gunzip)

/** Files that are embedded in an Office document, which clamd does not take out of it; and attachments of Outlook. */
export async function findPackages(document: Buffer, search: Search, look: Look): Promise<void> {
  const { members, trouble } = await opened(document, 'files', search)
  if (trouble !== 'damaged') addTrouble('package in a document', trouble, search)
  const packages: Member[] = []
  for (const { name, bytes } of members) {
    const part = name !== null && isOlePart(name) ? packageIn(name, bufferOf(bytes)) : null
    if (name === null || !part?.content) continue
    const { content, names } = part
    if (isPackage(name)) packages.push({ name: names[0]?.[0] ?? null, bytes: content, size: content.length })
    else await look(content)
  }
  await scanned('package', packages, search, look)
}

/** Names of streams and folders, in UTF-16. */
const packageNames = new RegExp(
  ['Ole10Native', '__attach_']
    .map((name) => Array.from(name, (letter) => `${letter}\\x00`).join(''))
    .join('|'),
  'i',
)
const [searchedBytes, nameBytes] = [512 * 1024, 64]

export async function hasPackage(document: Buffer, budget: Budget): Promise<boolean> {
  for (let at = 0; at < document.length; at += searchedBytes) {
    if (packageNames.test(document.toString('latin1', at, at + searchedBytes + nameBytes))) return true
    await budget.breathe()
  }
  return false
}

async function opened(bytes: Buffer, keep: 'files' | 'archives', search: Search): Promise<LibraryAnswer> {
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

function addTrouble(kind: string, trouble: string | null, search: Search): void {
  if (trouble?.startsWith('encrypted')) search.encrypted ??= `encrypted ${kind} archive`
  else if (trouble !== null) search.limits ??= `${kind} archive (${trouble})`
}

/** Methods and filters of 7z that clamd undoes, measured with 1.4. Not so BZip2, Deflate, Delta, ARM64 and the others. */
const openMethods = /^(?:Copy|LZMA2?|PPMD|BCJ2?|ARM)(?::\S*)?$/

/** What clamd does not look into, by what the archive says of itself. */
function checkBounds(kind: string, { listing, members }: LibraryAnswer, search: Search): void {
  if (listing === null) return
  const { upTo } = search
  if (listing.isEncrypted) search.encrypted ??= `encrypted ${kind} archive`
  else if (kind === '7z') {
    const method = listing.methods.flatMap((all) => all.split(' ')).find((one) => !openMethods.test(one))
    if (method !== undefined) search.limits ??= `7z archive with method ${method}`
  }
  // What an archive says of it may be missing, or false.
  const sizes = members.length > 0 ? members.map(({ size }) => size) : [listing.maxBytes]
  const maxBytes = sizes.reduce((most, size) => Math.max(most, size), 0)
  if (maxBytes > upTo.memberBytes)
    search.limits ??= `file of more than ${upTo.memberBytes} bytes in a ${kind} archive`
  search.files += listing.entries
  if (search.files > upTo.files) search.limits ??= `more than ${upTo.files} files`
}

/** Bytes of all files: as the archive says, or as they came out, if that is more. */
function totalOf({ listing, members }: LibraryAnswer): number {
  return Math.max(
    listing?.totalBytes ?? 0,
    members.reduce((sum, { size }) => sum + size, 0),
  )
}

/** Hands over files that clamd scans by themselves. What clamd unpacks from them counts for their own scan. */
async function scanned(kind: string, members: readonly Member[], search: Search, look: Look): Promise<void> {
  const files = members
    .map(({ name, bytes }) => ({ name, bytes: bufferOf(bytes) }))
    .filter(({ bytes }) => bytes.length > 0)
  const around = search.total
  for (const group of grouped(files)) {
    search.total = new ScanTotal(around.maxBytes)
    for (const { bytes } of group) {
      search.total.add(bytes.length)
      await look(bytes)
    }
    const file = packedFile(kind, group)
    if (group.length > 1) search.total.add(file.bytes.length)
    search.limits ??= await search.total.excess(search.budget)
    search.members.push(file)
  }
  search.total = around
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

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}
