/*
 * What lies in an Outlook item (.msg): files and the text as it is packed. clamd scans the streams of one, but does not read
 * a signed message in them as mail, nor the compressed text. Layout: [MS-OXMSG], [MS-CFB].
 */

import { type Budget, OverBudget } from '../budget'

const start = Buffer.from('d0cf11e0a1b11ae1', 'hex')
const headerBytes = 512
/** PidTagAttachDataBinary and PidTagRtfCompressed. */
const wanted = /^__substg1\.0_(?:3701|1009)0102$/i
const mark = Buffer.from('__substg1.0_', 'utf16le')

const entryBytes = 128
const [streamKind, rootKind] = [2, 5]
/** Sector numbers from here on mean something else. */
const maxSector = 0xfffffffa
const sectorsPerTurn = 4096

export function startsAsOutlookItem(content: Buffer): boolean {
  return (
    content.length > headerBytes && content.subarray(0, start.length).equals(start) && content.includes(mark)
  )
}

/** Never throws for any bytes; ends where they make no sense. @throws OverBudget */
export async function* outlookContents(content: Buffer, budget: Budget): AsyncGenerator<Buffer, void> {
  const file = new CompoundFile(content, budget)
  const directory = await file.chain(content.readUInt32LE(48))
  let small: Buffer | null = null
  for (let at = 0; at + entryBytes <= directory.length; at += entryBytes) {
    const entry = directory.subarray(at, at + entryBytes)
    const [kind, first, bytes] = [entry[66], entry.readUInt32LE(116), entry.readUInt32LE(120)]
    if (kind === rootKind) small ??= await file.chain(first)
    if (kind !== streamKind || bytes === 0 || !wanted.test(nameOf(entry))) continue
    const isSmall = bytes < file.minLargeBytes
    const stream = isSmall ? await file.smallChain(small ?? Buffer.alloc(0), first) : await file.chain(first)
    yield stream.subarray(0, bytes)
  }
}

function nameOf(entry: Buffer): string {
  return entry.toString('utf16le', 0, Math.max(0, Math.min(64, entry.readUInt16LE(64)) - 2))
}

class CompoundFile {
  readonly minLargeBytes: number
  readonly #sectorBytes: number
  readonly #smallBytes: number
  /** Sectors that hold the table of what follows on each sector. */
  readonly #tables: readonly number[]
  #smallTable: Buffer | null = null
  #takenBytes = 0

  constructor(
    private readonly content: Buffer,
    private readonly budget: Budget,
  ) {
    this.#sectorBytes = content.readUInt16LE(30) === 12 ? 4096 : 512
    this.#smallBytes = 64
    this.minLargeBytes = content.readUInt32LE(56)
    this.#tables = this.#tablesOf()
  }

  async chain(first: number): Promise<Buffer> {
    return this.#gather(
      first,
      this.#sectorBytes,
      (sector) => this.#sector(sector),
      (sector) => this.#next(sector),
    )
  }

  /** @param small the stream in which small ones lie */
  async smallChain(small: Buffer, first: number): Promise<Buffer> {
    const table = (this.#smallTable ??= await this.chain(this.content.readUInt32LE(60)))
    const bytes = this.#smallBytes
    return this.#gather(
      first,
      bytes,
      (sector) => small.subarray(sector * bytes, (sector + 1) * bytes),
      (sector) => numberAt(table, sector * 4),
    )
  }

  /** No sector is in two streams: what is longer than the file goes round, or says the same again. @throws OverBudget */
  async #gather(
    first: number,
    bytes: number,
    read: (sector: number) => Buffer,
    next: (sector: number) => number,
  ): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let sector = first; sector < maxSector; sector = next(sector)) {
      const piece = read(sector)
      if (piece.length === 0) break
      pieces.push(piece)
      this.#takenBytes += bytes
      if (this.#takenBytes > 2 * this.content.length) throw new OverBudget('a compound file that goes round')
      if (pieces.length % sectorsPerTurn === 0) await this.budget.breathe()
    }
    return Buffer.concat(pieces)
  }

  #sector(sector: number): Buffer {
    const at = (sector + 1) * this.#sectorBytes
    return this.content.subarray(at, at + this.#sectorBytes)
  }

  #next(sector: number): number {
    const perTable = this.#sectorBytes / 4
    const table = this.#tables[Math.floor(sector / perTable)]
    return table === undefined ? maxSector : numberAt(this.#sector(table), (sector % perTable) * 4)
  }

  /** The first 109 stand in the header, the others in sectors of their own, of which the last number is the next one. */
  #tablesOf(): number[] {
    const tables: number[] = []
    const maxTables = this.content.length / this.#sectorBytes
    const add = (list: Buffer) => {
      for (let at = 0; at + 4 <= list.length; at += 4) tables.push(list.readUInt32LE(at))
    }
    add(this.content.subarray(76, headerBytes))
    for (let list = this.content.readUInt32LE(68); list < maxSector && tables.length < maxTables + 128;) {
      const sector = this.#sector(list)
      if (sector.length < this.#sectorBytes) break
      add(sector.subarray(0, -4))
      list = sector.readUInt32LE(this.#sectorBytes - 4)
    }
    return tables
  }
}

function numberAt(table: Buffer, at: number): number {
  return at + 4 <= table.length ? table.readUInt32LE(at) : maxSector
}
