// Zip archives put together record by record, so that a test can leave out or falsify any of them.
import { deflateRawSync } from 'node:zlib'

export interface Entry {
  name: string | Buffer
  content?: Buffer | string
  /** 0 stored, 8 deflated; others are claimed only, the content is then taken as it is. */
  method?: number
  flags?: number
  /** Of the format, times ten. */
  version?: number
  /** In the local header, when it is another. */
  localMethod?: number
  localName?: string | Buffer
  /** Name in the central directory, when it is another. */
  centralName?: string | Buffer
  localExtra?: Buffer
  centralExtra?: Buffer
  /** Sizes and checksum behind the content instead of in front of it. */
  descriptor?: boolean
}

export interface ZipOptions {
  local?: boolean
  central?: boolean
  end?: boolean
  prefix?: Buffer
  comment?: Buffer
  trailing?: Buffer
  /** Number of entries that the end record claims. */
  claims?: number
  zip64?: boolean
}

export const flag = { encrypted: 1, strong: 0x40, utf8: 0x800, masked: 0x2000 }

export function zip(entries: readonly (Entry | string)[], options: ZipOptions = {}): Buffer {
  const { local = true, central = true, end = true, prefix = Buffer.alloc(0) } = options
  const full = entries.map((entry) => complete(typeof entry === 'string' ? { name: entry } : entry))
  const pieces = [prefix]
  const offsets: number[] = []
  let length = prefix.length
  const add = (piece: Buffer) => {
    pieces.push(piece)
    length += piece.length
  }
  for (const entry of full) {
    offsets.push(length)
    if (!local) continue
    add(localHeader(entry))
    add(entry.packed)
    if (entry.descriptor) add(descriptor(entry))
  }
  const directoryAt = length
  if (central) full.forEach((entry, i) => add(centralHeader(entry, offsets[i] ?? 0, options.zip64 ?? false)))
  if (end) {
    const claims = options.claims ?? Math.min(full.length, 0xffff)
    if (options.zip64) add(end64(claims, length - directoryAt, directoryAt, length))
    add(endRecord(options.zip64 ? 0xffff : claims, length - directoryAt, directoryAt, options))
  }
  return Buffer.concat([...pieces, options.trailing ?? Buffer.alloc(0)])
}

/** Extra field: another name for the entry, in UTF-8. */
export function unicodePath(name: string): Buffer {
  const bytes = Buffer.from(name)
  return record([2, 0x7075], [2, 5 + bytes.length], [1, 1], [4, 0], bytes)
}

type Field = readonly [bytes: number, value: number] | Buffer

/** Little-endian numbers and bytes. */
export function record(...fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (Buffer.isBuffer(field)) return field
      const [bytes, value] = field
      const buffer = Buffer.alloc(bytes)
      if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value))
      else buffer.writeUIntLE(value, 0, bytes)
      return buffer
    }),
  )
}

interface Packed extends Required<Omit<Entry, 'name' | 'centralName' | 'localName' | 'content'>> {
  localName: Buffer
  centralName: Buffer
  packed: Buffer
  size: number
  crc: number
}

function complete(entry: Entry): Packed {
  const content = Buffer.from(entry.content ?? 'content')
  const name = Buffer.from(entry.name)
  const method = entry.method ?? 8
  const flags = (entry.flags ?? 0) | (entry.descriptor ? 8 : 0)
  return {
    localName: Buffer.from(entry.localName ?? name),
    centralName: Buffer.from(entry.centralName ?? name),
    method,
    localMethod: entry.localMethod ?? method,
    version: entry.version ?? 20,
    flags,
    localExtra: entry.localExtra ?? Buffer.alloc(0),
    centralExtra: entry.centralExtra ?? Buffer.alloc(0),
    descriptor: entry.descriptor ?? false,
    packed: method === 8 ? deflateRawSync(content) : content,
    size: content.length,
    crc: crc32(content),
  }
}

function localHeader({
  localName: name,
  localMethod: method,
  version,
  flags,
  localExtra,
  descriptor: late,
  packed,
  size,
  crc,
}: Packed): Buffer {
  const [sum, packedSize, plainSize] = late ? [0, 0, 0] : [crc, packed.length, size]
  return record(
    ...([
      [4, 0x04034b50],
      [2, version],
      [2, flags],
      [2, method],
      [4, 0],
    ] as const),
    ...([
      [4, sum],
      [4, packedSize],
      [4, plainSize],
      [2, name.length],
      [2, localExtra.length],
    ] as const),
    name,
    localExtra,
  )
}

function descriptor({ crc, packed, size }: Packed): Buffer {
  return record([4, 0x08074b50], [4, crc], [4, packed.length], [4, size])
}

function centralHeader(entry: Packed, offset: number, zip64: boolean): Buffer {
  const { centralName: name, method, version, flags, packed, size, crc } = entry
  const sizes = record([2, 1], [2, 24], [8, size], [8, packed.length], [8, offset])
  const extra = zip64 ? Buffer.concat([sizes, entry.centralExtra]) : entry.centralExtra
  const [packedSize, plainSize, at] = zip64
    ? [0xffffffff, 0xffffffff, 0xffffffff]
    : [packed.length, size, offset]
  return record(
    ...([
      [4, 0x02014b50],
      [2, 20],
      [2, version],
      [2, flags],
      [2, method],
      [4, 0],
    ] as const),
    ...([
      [4, crc],
      [4, packedSize],
      [4, plainSize],
      [2, name.length],
      [2, extra.length],
    ] as const),
    ...([
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 0],
      [4, at],
    ] as const),
    name,
    extra,
  )
}

function end64(entries: number, size: number, at: number, position: number): Buffer {
  return Buffer.concat([
    record(
      [4, 0x06064b50],
      [8, 44],
      [2, 45],
      [2, 45],
      [4, 0],
      [4, 0],
      [8, entries],
      [8, entries],
      [8, size],
      [8, at],
    ),
    record([4, 0x07064b50], [4, 0], [8, position], [4, 1]),
  ])
}

function endRecord(entries: number, size: number, at: number, options: ZipOptions): Buffer {
  const comment = options.comment ?? Buffer.alloc(0)
  const [long, place] = options.zip64 ? [0xffffffff, 0xffffffff] : [size, at]
  return record(
    ...([
      [4, 0x06054b50],
      [2, 0],
      [2, 0],
      [2, entries],
      [2, entries],
    ] as const),
    ...([
      [4, long],
      [4, place],
      [2, comment.length],
    ] as const),
    comment,
  )
}

const table = Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value >>> 0
})

/** zlib's own is not in Node 20. */
function crc32(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0)
  return (crc ^ 0xffffffff) >>> 0
}
