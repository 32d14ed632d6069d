// Disk images of macOS: the volumes in compressed blocks, a list of these, and a footer that says where it lies. In front of
// the footer nothing says what it is. Layout: as `hdiutil create -format UDZO` writes it.
import { deflateSync } from 'node:zlib'

const [sectorBytes, checksumBytes] = [512, 136]
const block = { zlib: 0x80000005, end: 0xffffffff }
const footerBytes = 512

/** @param volumes whole sectors each @param level of compression; 0: they lie there as they are */
export function diskImage(volumes: readonly Buffer[], level = 6): Buffer {
  const packed = volumes.map((volume) => deflateSync(volume, { level }))
  let [packedAt, sector] = [0, 0]
  const tables = volumes.map((volume, i) => {
    const sectors = volume.length / sectorBytes
    const bytes = packed[i]?.length ?? 0
    const table = tableOf(sector, sectors, packedAt, bytes)
    packedAt += bytes
    sector += sectors
    return `<dict><key>Data</key><data>${table.toString('base64')}</data><key>ID</key><string>${i}</string>
<key>Name</key><string>disk image (Apple_HFS : ${i + 1})</string></dict>`
  })
  const list = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>resource-fork</key><dict><key>blkx</key><array>${tables.join('\n')}</array></dict></dict></plist>`)
  return Buffer.concat([...packed, list, footer(packedAt, list.length, sector)])
}

/** Of one volume, which is one block. */
function tableOf(sector: number, sectors: number, at: number, bytes: number): Buffer {
  const rows: readonly (readonly [
    kind: number,
    sector: number,
    sectors: number,
    at: number,
    bytes: number,
  ])[] = [
    [block.zlib, 0, sectors, at, bytes],
    [block.end, sectors, 0, at + bytes, 0],
  ]
  return Buffer.concat([
    Buffer.from('mish'),
    long(1),
    ...[sector, sectors, 0].map(longer),
    ...[0x208, 0, ...Array<number>(6).fill(0)].map(long),
    Buffer.alloc(checksumBytes),
    long(rows.length),
    ...rows.flatMap(([kind, ...numbers]) => [long(kind), long(0), ...numbers.map(longer)]),
  ])
}

function footer(dataBytes: number, listBytes: number, sectors: number): Buffer {
  const bytes = Buffer.concat([
    Buffer.from('koly'),
    ...[4, footerBytes, 1].map(long),
    ...[0, 0, dataBytes, 0, 0].map(longer),
    ...[1, 1].map(long),
    Buffer.alloc(16 + checksumBytes),
    ...[dataBytes, listBytes].map(longer),
    Buffer.alloc(120 + checksumBytes),
    long(1),
    longer(sectors),
  ])
  return Buffer.concat([bytes, Buffer.alloc(footerBytes - bytes.length)])
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function longer(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
