// Compound files (MS-CFB) put together from streams, as Outlook items are.
import { record } from './zip-builder'

export interface Storage {
  readonly [name: string]: Storage | Buffer
}

interface Entry {
  readonly name: string
  /** 5 root, 1 storage, 2 stream. */
  readonly kind: number
  readonly content: Buffer | null
  child: number
  right: number
}

const [end, free, none] = [0xfffffffe, 0xffffffff, 0xffffffff]
const [sectorBytes, smallBytes, minLargeBytes] = [512, 64, 4096]

function padded(bytes: Buffer, to: number, fill = 0): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((to - (bytes.length % to)) % to, fill)])
}

/** Pieces of one size, and what follows on each. */
class Pieces {
  readonly next: number[] = []
  bytes = Buffer.alloc(0)

  constructor(private readonly size: number) {}

  /** @returns the first one */
  add(content: Buffer): number {
    const first = this.next.length
    this.bytes = Buffer.concat([this.bytes, padded(content, this.size)])
    const last = this.bytes.length / this.size - 1
    for (let at = first; at <= last; at++) this.next.push(at < last ? at + 1 : end)
    return content.length === 0 ? end : first
  }

  get table(): Buffer {
    return padded(record(...this.next.map((number) => [4, number] as const)), sectorBytes, 0xff)
  }
}

function entriesOf(root: Storage): Entry[] {
  const entries: Entry[] = [{ name: 'Root Entry', kind: 5, content: null, child: none, right: none }]
  const fill = (around: number, storage: Storage) => {
    const own = Object.entries(storage).map(([name, content]) => {
      const stream = Buffer.isBuffer(content) ? content : null
      const kind = stream === null ? 1 : 2
      return entries.push({ name, kind, content: stream, child: none, right: none }) - 1
    })
    const outer = entries[around]
    if (outer) outer.child = own[0] ?? none
    for (const [index, at] of own.entries()) {
      const entry = entries[at]
      if (entry) entry.right = own[index + 1] ?? none
    }
    for (const [index, content] of Object.values(storage).entries())
      if (!Buffer.isBuffer(content)) fill(own[index] ?? 0, content)
  }
  fill(0, root)
  return entries
}

export function compoundFile(root: Storage): Buffer {
  const [large, small] = [new Pieces(sectorBytes), new Pieces(smallBytes)]
  const entries = entriesOf(root)
  const firsts = entries.map(({ content }) =>
    content === null ? 0 : (content.length < minLargeBytes ? small : large).add(content),
  )
  const smallStream = large.add(small.bytes)
  const smallTable = large.add(small.table)
  const directory = entries.map(({ name, kind, content, child, right }, at) => {
    const text = Buffer.from(name, 'utf16le')
    const [first, bytes] =
      at === 0 ? [smallStream, small.bytes.length] : [firsts[at] ?? 0, content?.length ?? 0]
    return record(
      text,
      Buffer.alloc(64 - text.length),
      [2, text.length + 2],
      [1, kind],
      [1, 1],
      [4, none],
      [4, right],
      [4, child],
      Buffer.alloc(36),
      [4, first],
      [4, bytes],
      [4, 0],
    )
  })
  const directoryAt = large.add(Buffer.concat(directory))
  const tableAt = large.next.length
  const tables = Math.ceil(((large.next.length + 8) * 4) / sectorBytes)
  const table = padded(
    record(
      ...[...large.next, ...Array<number>(tables).fill(0xfffffffd)].map((number) => [4, number] as const),
    ),
    sectorBytes,
    0xff,
  )
  const listed = Array.from({ length: 109 }, (_, at) => (at < tables ? tableAt + at : free))
  const head = record(
    Buffer.from('d0cf11e0a1b11ae1', 'hex'),
    Buffer.alloc(16),
    Buffer.from('3e000300feff09000600', 'hex'),
    Buffer.alloc(10),
    [4, tables],
    [4, directoryAt],
    [4, 0],
    [4, minLargeBytes],
    [4, smallTable],
    [4, small.table.length / sectorBytes],
    [4, end],
    [4, 0],
    ...listed.map((number) => [4, number] as const),
  )
  return Buffer.concat([head, large.bytes, table])
}
