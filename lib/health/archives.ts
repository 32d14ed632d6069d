/*
 * Zip archives that hold the EICAR test file beyond a limit of clamd: a large member, many bytes, nested archives, many
 * files; and a RAR archive, which not every clamd opens. Small and quick to make; sent to clamd only.
 */

import { constants, crc32, deflateRawSync, gzipSync } from 'node:zlib'
import { tarBlockBytes, tarEnd, tarFile } from '../base/tar'
import { newId, testFile } from './test-mails'

interface Member {
  readonly name: string
  /** Unpacked size. */
  readonly bytes: number
  readonly packed: Buffer
  readonly isDeflated: boolean
}

/** Size of each padding file with its header. */
const paddingBytes = 1024 * 1024

/**
 * A zip with one member of `bytes` (1 MiB or more), rounded down to tar blocks: a tar archive with the test file after
 * padding. Tar, because clamd cuts a member at its limit and scans the rest, and some signatures match the test file only as
 * a whole file. The padding files are identical, because clamd then scans only the first.
 */
export function largeMember(bytes: number): Buffer {
  const first = tarFile('id', Buffer.from(newId()))
  const last = Buffer.concat([tarFile('eicar.com', testFile()), tarEnd])
  const whole = bytes - (bytes % tarBlockBytes)
  const padding = whole - first.length - last.length
  const rest = padding % paddingBytes
  const pieces = [
    inPieces(first),
    ...Array<Buffer>(Math.floor(padding / paddingBytes)).fill(inPieces(paddingFile(paddingBytes))),
    ...(rest > 0 ? [inPieces(paddingFile(rest))] : []),
    deflateRawSync(last),
  ]
  const tarBytes = first.length + padding + last.length
  return zip([{ name: 'large.tar', bytes: tarBytes, packed: Buffer.concat(pieces), isDeflated: true }])
}

/** The test file in `levels` nested archives. */
export function nested(levels: number): Buffer {
  let content = zip([deflated(newId(), testFile())])
  for (let level = 1; level < levels; level++) content = zip([stored('nested.zip', content)])
  return content
}

/**
 * A zip in a zip, with the test file behind members of `bytes` in all, each of at most `memberBytes`. The members are
 * identical: clamd counts each one, but scans only the first. The last ones get smaller by half each, down to less than the
 * test file, because clamd may pass over a member that does not fit and go on with the next one.
 */
export function manyBytes(bytes: number, memberBytes: number): Buffer {
  const filler = deflated('x', Buffer.alloc(memberBytes))
  const rest = bytes % memberBytes
  const halves: Member[] = []
  for (let size = memberBytes / 2; size >= testFile().length / 2; size = Math.floor(size / 2))
    halves.push(deflated('z', Buffer.alloc(size)))
  const archive = zip([
    deflated('id', Buffer.from(newId())),
    ...Array<Member>(Math.floor(bytes / memberBytes) - 1).fill(filler),
    ...(rest > 0 ? [deflated('y', Buffer.alloc(rest))] : []),
    ...halves,
    deflated('eicar.com', testFile()),
  ])
  return zip([deflated('total.zip', archive)])
}

/** An archive of `files`, inside another one, which compresses its repetitive headers. */
export function manyFiles(files: number): Buffer {
  const filler = stored('x', Buffer.from('x'))
  const archive = zip([
    deflated('id', Buffer.from(newId())),
    ...Array<Member>(Math.max(0, files - 2)).fill(filler),
    deflated('eicar.com', testFile()),
  ])
  return zip([deflated('many.zip', archive)])
}

/**
 * RAR 1.5 to 4: a mark, the archive's header, the file's, the end. The test file in it is compressed by gzip, because some
 * signatures match it anywhere.
 * @param mark another one makes it no archive
 */
export function rar(mark = 'Rar!'): Buffer {
  const content = gzipSync(testFile())
  const name = Buffer.from('eicar.gz')
  const file = Buffer.alloc(25)
  file.writeUInt32LE(content.length, 0)
  file.writeUInt32LE(content.length, 4)
  file.writeUInt32LE(crc32(content), 9)
  // For RAR 2.0 and later, stored.
  file.writeUInt16LE(0x3014, 17)
  file.writeUInt16LE(name.length, 19)
  return Buffer.concat([
    Buffer.from(`${mark}\x1a\x07\0`, 'latin1'),
    rarHeader(0x73, 0, Buffer.alloc(6)),
    rarHeader(0x74, 0x8000, Buffer.concat([file, name])),
    content,
    rarHeader(0x7b, 0x4000, Buffer.alloc(0)),
  ])
}

/** Half of its checksum, kind, flags and length, and what the kind of header has. */
function rarHeader(kind: number, flags: number, fields: Buffer): Buffer {
  const header = Buffer.alloc(7)
  header[2] = kind
  header.writeUInt16LE(flags, 3)
  header.writeUInt16LE(header.length + fields.length, 5)
  const all = Buffer.concat([header, fields])
  all.writeUInt16LE(crc32(all.subarray(2)) & 0xffff, 0)
  return all
}

/** Deflated, ends on a whole byte: pieces can be joined and repeated. */
function inPieces(content: Buffer): Buffer {
  return deflateRawSync(content, { finishFlush: constants.Z_FULL_FLUSH })
}

function deflated(name: string, content: Buffer): Member {
  return { name, bytes: content.length, packed: deflateRawSync(content), isDeflated: true }
}

function stored(name: string, content: Buffer): Member {
  return { name, bytes: content.length, packed: content, isDeflated: false }
}

/** APPNOTE 4.3: members with headers, central directory, end record. Without checksums, which clamd does not need. */
function zip(members: readonly Member[]): Buffer {
  const content: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const { name, bytes, packed, isDeflated } of members) {
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(isDeflated ? 8 : 0, 4)
    common.writeUInt32LE(packed.length, 14)
    common.writeUInt32LE(bytes, 18)
    common.writeUInt16LE(name.length, 22)
    const more = Buffer.alloc(14)
    more.writeUInt32LE(at, 10)
    content.push(Buffer.from('PK\x03\x04'), common, Buffer.from(name), packed)
    directory.push(Buffer.from('PK\x01\x02\x14\x00'), common, more, Buffer.from(name))
    at += 4 + common.length + name.length + packed.length
  }
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06')
  end.writeUInt16LE(members.length, 8)
  end.writeUInt16LE(members.length, 10)
  end.writeUInt32LE(
    directory.reduce((sum, { length }) => sum + length, 0),
    12,
  )
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...content, ...directory, end])
}

function paddingFile(bytes: number): Buffer {
  return tarFile('padding', Buffer.alloc(bytes - tarBlockBytes))
}
