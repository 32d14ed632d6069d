/*
 * The headers of a zip archive wherever they lie: of each entry one in front of its content and one in the
 * central directory at the end. They are found by their signatures and not by the archive's own pointers,
 * since programs differ in which pointers they believe, and since a prefix or a lost tail makes them wrong.
 */

import { decodeCharset } from '../../mime/charsets'

export interface ZipHeader {
  readonly kind: 'local' | 'central'
  /** Readings of the name, the likeliest first; never empty. */
  readonly names: readonly [string, ...string[]]
  /** Whether the content lies there as it is. */
  readonly stored: boolean
  /** The name's bytes, to tell one entry from another; null: too long to be kept for that. */
  readonly key: string | null
  readonly encrypted: boolean
  /** The name has been replaced, for the real one is in an encrypted central directory. */
  readonly masked: boolean
  /** Encrypted in the way without which no name is masked, by version and flags. APPNOTE 4.4.4. */
  readonly strong: boolean
  /** A directory, and nothing in it. */
  readonly directory: boolean
  /** Where it begins. */
  readonly at: number
  readonly method: number
  /** Sizes and checksum stand behind the content. */
  readonly hasDescriptor: boolean
  /** Bytes of the content in the archive, as it is said. Central headers: zip64 is taken into account. */
  readonly packedBytes: number
  /** Likewise, unpacked. */
  readonly unpackedBytes: number
  /** Local headers: where the content begins. */
  readonly contentAt: number
  /** Central headers: where the local one is said to be. Local headers: -1. */
  readonly localAt: number
  /** Where the header ends, its comment included. */
  readonly endsAt: number
}

/** The end record: how many entries the archive says it has; null when it does not say. */
export interface ZipEnd {
  readonly kind: 'end'
  /** Where it begins. */
  readonly at: number
  /** Where the directory begins: where it has to, since it ends in front of this record, and where it is said to. */
  readonly directoryAt: number
  readonly saidDirectoryAt: number
  readonly entries: number | null
  /** Whether a directory of the size that it says is in front of it. */
  readonly hasDirectory: boolean
}

const signature = { prefix: Buffer.from('PK'), local: 0x0403, central: 0x0201, end: 0x0605 }
const localHeaderStart = Buffer.from('PK\x03\x04')
const centralHeaderStart = Buffer.from('PK\x01\x02')
const localBytes = 30
const centralBytes = 46
/** Where a header has the length of its name. */
const [localNameAt, centralNameAt] = [26, 28]
/** Bytes of a name that are looked at, from either end; file systems stop far below. */
const maxNameBytes = 1024
const endBytes = 22
const unknownCount = 0xffff
const unknownLong = 0xffffffff
const zip64EndStart = 0x06064b50
/** Of the record without additions, and of the one that points to it. */
const zip64EndBytes = 56 + 20

const flag = { encrypted: 1, descriptor: 8, strong: 0x40, utf8: 0x800, masked: 0x2000 }
const stronglyEncrypted = flag.encrypted | flag.strong

/** Whether content that begins like this is an archive, if perhaps a damaged one. */
export function startsAsZip(content: Buffer): boolean {
  // A header, the end of an empty archive, or the mark of one that was meant for several files.
  return /^504b(?:0304|0102|0506|0708|3030504b)/.test(content.toString('hex', 0, 6))
}

/**
 * Where an archive may begin in content that does not begin as one: the first header with a name. Nothing else of it
 * need make sense, for programs that go by one of an entry's two headers never look at the other.
 * -1: nowhere, as far as can be told without the `zipLookahead - 1` last bytes.
 */
export function findZip(content: Buffer, from: number): number {
  const starts = [
    findHeader(content, from, localHeaderStart, localNameAt),
    findHeader(content, from, centralHeaderStart, centralNameAt),
  ].filter((at) => at >= 0)
  return starts.length > 0 ? Math.min(...starts) : -1
}

function findHeader(content: Buffer, from: number, start: Buffer, nameAt: number): number {
  for (let at = content.indexOf(start, from); at >= 0; at = content.indexOf(start, at + 1)) {
    if (at + nameAt + 2 > content.length) return -1
    if (content.readUInt16LE(at + nameAt) > 0) return at
  }
  return -1
}

/** Bytes that findZip needs to see together. */
export const zipLookahead = localBytes

/** Bytes that are searched at a time; content of nothing but `P` takes some milliseconds for each million. */
const stretchBytes = 256 * 1024

/** All headers in order. Null: a header cut off, or a while without any, so that the caller can keep time. */
export function* zipHeaders(zip: Buffer): Generator<ZipHeader | ZipEnd | null> {
  let looked = 0
  // One byte in both of two stretches, for a signature that lies across.
  for (let from = 0; from < zip.length; from += stretchBytes - 1) {
    const stretch = zip.subarray(from, from + stretchBytes)
    for (let i = stretch.indexOf(signature.prefix); i !== -1; i = stretch.indexOf(signature.prefix, i + 2)) {
      const at = from + i
      if (at + endBytes > zip.length) return
      const kind = zip.readUInt16LE(at + 2)
      if (kind === signature.local) yield localHeader(zip, at)
      else if (kind === signature.central) yield centralHeader(zip, at)
      else if (kind === signature.end) yield endRecord(zip, at)
      else if (++looked % 1000 === 0) yield null
    }
    yield null
  }
}

function localHeader(zip: Buffer, at: number): ZipHeader | null {
  if (at + localBytes > zip.length) return null
  const nameBytes = zip.readUInt16LE(at + localNameAt)
  const extraAt = at + localBytes + nameBytes
  const flags = zip.readUInt16LE(at + 6)
  const size = flags & flag.descriptor ? 0 : zip.readUInt32LE(at + 22)
  const extra = zip.subarray(extraAt, extraAt + zip.readUInt16LE(at + 28))
  const contentAt = extraAt + extra.length
  return header(zip.subarray(at + localBytes, extraAt), nameBytes, extra, {
    kind: 'local',
    at,
    version: zip.readUInt8(at + 4),
    flags,
    method: zip.readUInt16LE(at + 8),
    size,
    packedBytes: zip.readUInt32LE(at + 18),
    unpackedBytes: zip.readUInt32LE(at + 22),
    contentAt,
    localAt: -1,
    endsAt: contentAt,
  })
}

function centralHeader(zip: Buffer, at: number): ZipHeader | null {
  if (at + centralBytes > zip.length) return null
  const nameBytes = zip.readUInt16LE(at + centralNameAt)
  const extraAt = at + centralBytes + nameBytes
  const extra = zip.subarray(extraAt, extraAt + zip.readUInt16LE(at + 30))
  const [unpackedBytes, packedBytes, localAt] = zip64Fields(extra, [
    zip.readUInt32LE(at + 24),
    zip.readUInt32LE(at + 20),
    zip.readUInt32LE(at + 42),
  ])
  return header(zip.subarray(at + centralBytes, extraAt), nameBytes, extra, {
    kind: 'central',
    at,
    version: zip.readUInt8(at + 6),
    flags: zip.readUInt16LE(at + 8),
    method: zip.readUInt16LE(at + 10),
    size: zip.readUInt32LE(at + 24),
    packedBytes,
    unpackedBytes,
    contentAt: -1,
    localAt,
    endsAt: extraAt + extra.length + zip.readUInt16LE(at + 32),
  })
}

type CentralNumbers = readonly [unpackedBytes: number, packedBytes: number, localAt: number]

/** Those that do not fit into their field stand in an extra field, in this order. APPNOTE 4.5.3. */
function zip64Fields(extra: Buffer, numbers: CentralNumbers): CentralNumbers {
  const long = extraField(extra, 1)
  let at = 0
  const full = (number: number) => {
    if (number !== unknownLong || at + 8 > long.length) return number
    at += 8
    return Number(long.readBigUInt64LE(at - 8))
  }
  const [unpackedBytes, packedBytes, localAt] = numbers
  return [full(unpackedBytes), full(packedBytes), full(localAt)]
}

/** Null: its comment is cut, and there is no directory where it says. Programs forgive a cut comment alone. */
function endRecord(zip: Buffer, at: number): ZipEnd | null {
  const entries = zip.readUInt16LE(at + 10)
  const place = zip64End(zip, at) ?? {
    directoryAt: at - zip.readUInt32LE(at + 12),
    saidDirectoryAt: zip.readUInt32LE(at + 16),
  }
  const hasDirectory = isDirectory(zip, place.directoryAt)
  const isCut = at + endBytes + zip.readUInt16LE(at + 20) > zip.length
  if (isCut && !hasDirectory && !isDirectory(zip, place.saidDirectoryAt)) return null
  return { kind: 'end', at, ...place, entries: entries === unknownCount ? null : entries, hasDirectory }
}

function isDirectory(zip: Buffer, at: number): boolean {
  return at >= 0 && zip.subarray(at, at + 4).equals(centralHeaderStart)
}

/** The longer record in front, where it is needed; between the two there is one that points to it. */
function zip64End(zip: Buffer, endAt: number): Pick<ZipEnd, 'directoryAt' | 'saidDirectoryAt'> | null {
  const at = endAt - zip64EndBytes
  const isNeeded =
    zip.readUInt32LE(endAt + 12) === unknownLong || zip.readUInt32LE(endAt + 16) === unknownLong
  if (!isNeeded || at < 0 || zip.readUInt32LE(at) !== zip64EndStart) return null
  return {
    directoryAt: at - Number(zip.readBigUInt64LE(at + 40)),
    saidDirectoryAt: Number(zip.readBigUInt64LE(at + 48)),
  }
}

type Placed = Pick<
  ZipHeader,
  'kind' | 'at' | 'method' | 'packedBytes' | 'unpackedBytes' | 'contentAt' | 'localAt' | 'endsAt'
>

interface Fields extends Placed {
  readonly version: number
  readonly flags: number
  readonly size: number
}

function header(bytes: Buffer, nameBytes: number, extra: Buffer, fields: Fields): ZipHeader | null {
  // Cut off within the name, or no header at all.
  if (nameBytes === 0 || bytes.length < nameBytes) return null
  const { version, flags, size, ...placed } = fields
  const pieces = piecesOf(bytes)
  const unicode = piecesOf(unicodePath(extra)).map((piece) => piece.toString('utf8'))
  const isShort = pieces.length === 1 && unicode.length < 2
  const key = isShort ? [bytes.toString('latin1'), ...unicode].join('\0') : null
  const names = [...unicode, ...pieces.flatMap((piece) => nameReadings(piece, (flags & flag.utf8) !== 0))]
  return {
    ...placed,
    names: names as [string, ...string[]],
    key,
    stored: placed.method === 0,
    hasDescriptor: (flags & flag.descriptor) !== 0,
    encrypted: (flags & flag.encrypted) !== 0,
    strong: (flags & stronglyEncrypted) === stronglyEncrypted && isStrongVersion(version),
    masked: placed.kind === 'local' && (flags & flag.masked) !== 0,
    directory: size === 0 && names.every((name) => /[/\\]$/.test(name)),
  }
}

/** Of the format, times ten: 6.3 is the last. */
function isStrongVersion(version: number): boolean {
  return version >= 50 && version <= 63
}

/** A name, or of one that is too long both ends, and the end of what stands before its first NUL. */
function piecesOf(name: Buffer): Buffer[] {
  if (name.length <= maxNameBytes) return name.length > 0 ? [name] : []
  const nul = name.indexOf(0)
  const cut = nul < 0 ? [] : [name.subarray(Math.max(0, nul - maxNameBytes), nul)]
  return [name.subarray(-maxNameBytes), name.subarray(0, maxNameBytes), ...cut]
}

/** The flag decides what is likelier, no more: not everybody sets it, and not everybody reads it. */
function nameReadings(bytes: Buffer, utf8: boolean): string[] {
  const ascii = bytes.toString('latin1')
  if (/^[\x20-\x7e]*$/.test(ascii)) return [ascii]
  const [asUtf8, asCp437] = [bytes.toString('utf8'), decodeCharset(bytes, 'cp437')]
  const valid = !asUtf8.includes('\ufffd')
  return utf8 || valid ? [asUtf8, asCp437] : [asCp437, asUtf8]
}

/** Info-ZIP's Unicode Path: version, checksum of the name it stands for, the name in UTF-8. Empty: none. */
function unicodePath(extra: Buffer): Buffer {
  return extraField(extra, 0x7075).subarray(5)
}

/** The content of an extra field; the first that is not empty. Empty: none. */
function extraField(extra: Buffer, id: number): Buffer {
  for (let at = 0; at + 4 <= extra.length;) {
    const size = extra.readUInt16LE(at + 2)
    if (extra.readUInt16LE(at) === id && size > 0) return extra.subarray(at + 4, at + 4 + size)
    at += 4 + size
  }
  return extra.subarray(0, 0)
}
