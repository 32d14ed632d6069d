/*
 * What clamd cannot open in a zip archive although unpackers can. Unpackers believe the directory at the end, clamd the
 * header in front of a member; so what is fit for clamd has both, alike in all that opening takes.
 */

import { beginning, tableBytes, unpacked } from '../../attachments/archives/zip'
import { startsAsZip, type ZipEnd, type ZipHeader, zipHeaders } from '../../attachments/archives/zip-headers'
import { rarMark } from '../../base/file-marks'
import type { SilentLimits } from '../../hosts/test-results'
import { type Budget, OverBudget } from '../../mime/budget'
import { isSearched } from './closed-formats'
import { encryptWord, startsAsPdf } from './closed-pdf'
import { type Inflated, inflatedBytes, maxRatio, type ScanTotal } from './scan-total'

/** A file in an archive. */
export interface PackedFile {
  /** For a log: `rar: setup.exe`. Printable. */
  readonly name: string
  readonly bytes: Buffer
}

/** What one search shares: what it has found, and the bounds that hold for all archives in one another. */
export interface Search {
  encrypted: string | null
  limits: string | null
  /** Of all archives so far. */
  files: number
  /** Bytes that were unpacked only to be counted. */
  countedBytes: number
  /** Of what clamd scans in one go. */
  total: ScanTotal
  /** Files for clamd to scan by themselves. */
  readonly members: PackedFile[]
  readonly upTo: { readonly [limit in keyof SilentLimits]: NonNullable<SilentLimits[limit]> }
  readonly budget: Budget
}

interface Headers {
  readonly local: ReadonlyMap<number, ZipHeader>
  readonly central: ReadonlyMap<number, ZipHeader>
  /** The last one, which programs look for from the end. */
  readonly end: ZipEnd | null
}

/** A file in the archive, by both of its headers. */
interface Member {
  readonly local: ZipHeader
  readonly central: ZipHeader
}

const method = { stored: 0, deflated: 8, aes: 99 }
/** Stored, imploded, deflated, the same with 64 KB, bzip2: what clamd opens. Not so LZMA, PPMd, xz and Zstandard. */
const openMethods = [0, 6, 8, 9, 12]
/** Those of them that are not unpacked here. */
const otherMethods = [6, 9, 12]
/** Behind a member: signature, checksum, sizes of 8 bytes in zip64. */
const maxDescriptorBytes = 24
/** Bytes of members that are unpacked only to be counted. */
const maxCountedBytes = 256 * 1024 * 1024

/** RAR archives lie behind programs that unpack them. */
const programMark = Buffer.from('MZ')

const endStart = Buffer.from('PK\x05\x06')

/** Something may stand in front of an archive; then it is one by its end. */
export function mayBeZip(content: Buffer): boolean {
  return startsAsZip(content) || content.lastIndexOf(endStart) >= 0
}

/**
 * Rejects with an OverBudget, or with the signal's reason.
 * @param look is given each member that may be closed itself
 * @returns the archive, if it has members of which only the headers have told the size; else null
 */
export async function findClosedInZip(
  zip: Buffer,
  search: Search,
  look: (member: Buffer) => Promise<void>,
): Promise<Buffer | null> {
  const isInside = !startsAsZip(zip)
  const headers = await readHeaders(zip, search)
  const directory = headers.end && directoryOf(headers.end, headers.central)
  if (!headers.end || !directory) {
    if (!isInside) search.limits ??= 'zip archive without a directory'
    return null
  }
  const { directoryAt, saidDirectoryAt } = headers.end
  const base = directoryAt - saidDirectoryAt
  const members = membersOf(directory, base, headers.local)
  // A program that reads archives has their marks in it.
  if (isInside && members.length === 0) return null
  // clamd scans the archive as a file of its own, from its first header on.
  if (isInside) search.total.addUnpacked(zip.length)
  if (!isInside && base !== 0) search.limits ??= 'zip archive whose directory points elsewhere'
  if (members.length < directory.length) search.limits ??= 'zip entry without a header'
  search.files += directory.length
  if (search.files > search.upTo.files) search.limits ??= `more than ${search.upTo.files} files`
  findUnlisted(zip, members, isInside ? null : 0, directoryAt, headers.local, search)
  for (const member of members) {
    await search.budget.breathe()
    const reason = whyClosed(member, isInside)
    if (reason) {
      search[reason.kind] ??= reason.text
      continue
    }
    await lookInto(zip, member, search, look)
    if (await isEncryptedDocument(zip, member, search)) search.encrypted ??= 'encrypted OpenDocument'
  }
  const isUnknown = members.some(({ local }) => otherMethods.includes(local.method))
  return isUnknown ? zip.subarray(isInside ? members[0]?.local.at : 0) : null
}

async function readHeaders(zip: Buffer, { budget }: Search): Promise<Headers> {
  const local = new Map<number, ZipHeader>()
  const central = new Map<number, ZipHeader>()
  let end: ZipEnd | null = null
  for (const header of zipHeaders(zip)) {
    await budget.breathe()
    if (header === null) continue
    if (header.kind === 'end') end = header
    else {
      budget.spendHeader()
      ;(header.kind === 'local' ? local : central).set(header.at, header)
    }
  }
  return { local, central, end }
}

/** null: it is none, or not all of it is there. */
function directoryOf(end: ZipEnd, central: Headers['central']): ZipHeader[] | null {
  const directory: ZipHeader[] = []
  let at = end.directoryAt
  for (let header = central.get(at); header && at < end.at; header = central.get(at)) {
    directory.push(header)
    at = header.endsAt
  }
  return at > end.at || directory.length < (end.entries ?? 0) ? null : directory
}

/** In the order in which they lie there. */
function membersOf(directory: readonly ZipHeader[], base: number, locals: Headers['local']): Member[] {
  return directory
    .flatMap((central) => {
      const local = locals.get(base + central.localAt)
      return local ? [{ local, central }] : []
    })
    .sort((one, other) => one.local.at - other.local.at)
}

/**
 * What the directory does not show, and programs find that read from the front: members that it does not have or has shorter
 * than they are, and such as lie in one another.
 * @param start where the first header is; null: wherever
 */
function findUnlisted(
  zip: Buffer,
  members: readonly Member[],
  start: number | null,
  directoryAt: number,
  locals: Headers['local'],
  search: Search,
): void {
  let at = start
  for (const member of [...members, null]) {
    const next = member?.local.at ?? directoryAt
    if (at !== null) {
      if (next < at) search.limits ??= 'zip entries that overlap'
      else if (hasHeader(locals, at, Math.min(next, at + maxDescriptorBytes + 1)))
        search.limits ??= 'zip entry outside the directory'
      else if (next > at + maxDescriptorBytes && !endsAsSignature(zip.subarray(at, next)))
        search.limits ??= 'bytes outside the entries of a zip archive'
    }
    if (member) at = member.local.contentAt + member.central.packedBytes
  }
}

function hasHeader(locals: Headers['local'], from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (locals.has(at)) return true
  return false
}

/** Of Android's packages, in front of the directory. */
function endsAsSignature(bytes: Buffer): boolean {
  return bytes.subarray(-16).toString('latin1') === 'APK Sig Block 42'
}

interface Reason {
  readonly kind: 'encrypted' | 'limits'
  readonly text: string
}

/** null: clamd can open it. */
function whyClosed({ local, central }: Member, isInside: boolean): Reason | null {
  const differs = (what: string): Reason => ({
    kind: 'limits',
    text: `zip entry whose headers differ in ${what}`,
  })
  if (local.encrypted !== central.encrypted) return differs('encryption')
  if (local.method !== central.method) return differs('method')
  if (local.encrypted || local.masked || local.method === method.aes)
    return { kind: 'encrypted', text: 'encrypted zip entry' }
  if (!openMethods.includes(local.method))
    return { kind: 'limits', text: `zip entry with method ${local.method}` }
  if (!local.hasDescriptor) return local.packedBytes === central.packedBytes ? null : differs('size')
  // clamd then goes from header to header, and does not know where this one's content ends.
  return isInside ? { kind: 'limits', text: 'zip entry of unknown size behind other content' } : null
}

async function lookInto(
  zip: Buffer,
  { local, central }: Member,
  search: Search,
  look: (member: Buffer) => Promise<void>,
): Promise<void> {
  const { memberBytes } = search.upTo
  const tooLarge = () => (search.limits ??= `zip entry of more than ${memberBytes} bytes`)
  const packed = zip.subarray(local.contentAt, local.contentAt + central.packedBytes)
  const isStored = local.method === method.stored
  if (Math.max(central.unpackedBytes, isStored ? packed.length : 0) > memberBytes) {
    tooLarge()
    return
  }
  if (isStored) {
    search.total.addUnpacked(packed.length)
    await look(packed)
    return
  }
  const start = beginning(packed)
  if (start === 'not deflated') {
    search.total.addUnpacked(central.unpackedBytes)
    if (local.method === method.deflated && packed.length > 0)
      search.limits ??= 'zip entry that cannot be unpacked'
    return
  }
  if (start === 'unclear' || isSearched(start)) {
    const member = await unpacked(packed, search.budget)
    if (!Buffer.isBuffer(member)) {
      search.total.addDeflated(packed)
      return
    }
    search.total.addUnpacked(member.length)
    if (member.length > memberBytes) tooLarge()
    else await look(member)
    return
  }
  const isPdf = startsAsPdf(start)
  const mayUnpackItself = !search.upTo.opensRar && start.subarray(0, programMark.length).equals(programMark)
  const marks = [...(isPdf ? [encryptWord] : []), ...(mayUnpackItself ? [rarMark] : [])]
  if (marks.length === 0 && packed.length * maxRatio <= memberBytes) {
    if (packed.length <= tableBytes) search.total.addUnpacked(start.length)
    else search.total.addDeflated(packed)
    return
  }
  // What the headers say of the size may be false.
  const { bytes, hasMark } = await passed(packed, memberBytes + 1, marks, search)
  search.total.addUnpacked(bytes)
  if (bytes > memberBytes) tooLarge()
  else if (hasMark) {
    const member = await unpacked(packed, search.budget)
    if (Buffer.isBuffer(member)) await look(member)
  }
}

/** None of what comes out is kept. @throws OverBudget */
async function passed(
  packed: Buffer,
  enough: number,
  marks: readonly Buffer[],
  search: Search,
): Promise<Inflated> {
  const result = await inflatedBytes(packed, enough, marks, search.budget)
  search.countedBytes += result.bytes
  if (search.countedBytes > maxCountedBytes)
    throw new OverBudget(`more than ${maxCountedBytes} bytes when unpacked`)
  return result
}

/** ODF 1.3, part 2, 3.4: files are encrypted one by one, and the archive does not say so. */
const manifest = 'META-INF/manifest.xml'
const encryptionData = Buffer.from('encryption-data')

async function isEncryptedDocument(
  zip: Buffer,
  { local, central }: Member,
  search: Search,
): Promise<boolean> {
  if (!central.names.includes(manifest)) return false
  const packed = zip.subarray(local.contentAt, local.contentAt + central.packedBytes)
  const content = local.method === method.stored ? packed : await unpacked(packed, search.budget)
  return Buffer.isBuffer(content) && content.includes(encryptionData)
}
