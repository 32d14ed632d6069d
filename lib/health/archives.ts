/*
 * Zip archives with the EICAR test file in them, behind a limit of clamd: a large member, many archives in one another,
 * many files. Made to be small and quick to make; only clamd gets to see them.
 */

import { constants, deflateRawSync } from 'node:zlib'
import { newId, testFile } from './test-mails'

interface Member {
  readonly name: string
  /** Unpacked. */
  readonly bytes: number
  readonly packed: Buffer
  readonly isDeflated: boolean
}

/** Bytes of a block of tar, to which every file is filled up. */
const tarBlockBytes = 512

/** Bytes of each file of padding with its header. */
const paddingBytes = 1024 * 1024

/**
 * A member of so many bytes, rounded down to blocks of tar: a tar archive with the test file behind padding. clamd cuts a
 * member off at its limit and looks into what is left, and some signatures want the test file to be a file of its own. The
 * padding is many files that are all alike, since clamd scans only the first of those.
 */
export function largeMember(bytes: number): Buffer {
  const first = tarFile('id', Buffer.from(newId()))
  const last = Buffer.concat([tarFile('eicar.com', testFile()), Buffer.alloc(2 * tarBlockBytes)])
  const whole = bytes - (bytes % tarBlockBytes)
  const padding = Math.max(0, whole - first.length - last.length)
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

/** So many archives in one another. */
export function nested(levels: number): Buffer {
  let content = zip([deflated(newId(), testFile())])
  for (let level = 1; level < levels; level++) content = zip([stored('nested.zip', content)])
  return content
}

/** So many files in an archive. In one more, for it is large, and all alike. */
export function manyFiles(files: number): Buffer {
  const filler = stored('x', Buffer.from('x'))
  const archive = zip([
    deflated('id', Buffer.from(newId())),
    ...Array<Member>(Math.max(0, files - 2)).fill(filler),
    deflated('eicar.com', testFile()),
  ])
  return zip([deflated('many.zip', archive)])
}

/** Ends on a whole byte, so that others may follow and what is written once can be repeated. */
function inPieces(content: Buffer): Buffer {
  return deflateRawSync(content, { finishFlush: constants.Z_FULL_FLUSH })
}

function deflated(name: string, content: Buffer): Member {
  return { name, bytes: content.length, packed: deflateRawSync(content), isDeflated: true }
}

function stored(name: string, content: Buffer): Member {
  return { name, bytes: content.length, packed: content, isDeflated: false }
}

/** APPNOTE 4.3: each member behind a header, then a directory of all, then where that begins. No checksums: clamd needs none. */
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

/** POSIX 1003.1, ustar: a block of header, then the content, filled up to whole blocks. */
function tarFile(name: string, content: Buffer): Buffer {
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`
  const header = Buffer.alloc(tarBlockBytes)
  header.write(name)
  header.write(octal(0o644, 7), 100)
  header.write(octal(content.length, 11), 124)
  header.write(octal(0, 11), 136)
  // Counts as spaces in the sum itself.
  header.write(' '.repeat(8), 148)
  header.write('0', 156)
  header.write('ustar\0' + '00', 257)
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )} `,
    148,
  )
  return Buffer.concat([header, content, Buffer.alloc(-content.length & (tarBlockBytes - 1))])
}
