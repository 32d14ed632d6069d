/*
 * Runs in a worker thread of its own: opens one archive at a time with 7-Zip (7z-wasm). A fresh instance for each, so that
 * nothing of one archive reaches the next; its memory has an upper bound, as has what is kept of what it unpacks. No file of
 * the system is open to it.
 */

import { readFileSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import sevenZip, { type FSStream, type SevenZipModule } from '7z-wasm'
import { rarMark } from '../../base/file-marks'
import { containerOf, headBytes, isNamedArchive, typesOf } from '../file-types'
import type { LibraryAnswer, LibraryRequest, Listing, Member } from './library-messages'

/** Of 64 KiB each: the memory of one instance, 256 MiB. LZMA takes as much for a dictionary of 128 MiB. */
const maxPages = 4096
const memorySection = 5
const [input, output] = ['/in', '/out']
/** Any: without one it would ask. */
const password = '-p-'

const nothing = { listing: null, names: [], members: [] }

let compiled: Promise<WebAssembly.Module> | null = null

parentPort?.on('message', (request: LibraryRequest) => {
  open(request).then(
    (answer) => parentPort?.postMessage(answer, buffersOf(answer)),
    (error: unknown) => parentPort?.postMessage({ ...nothing, trouble: String(error) }),
  )
})

function buffersOf({ members }: LibraryAnswer): ArrayBuffer[] {
  return members.map(({ bytes }) => bytes.buffer as ArrayBuffer)
}

async function open({ archive, maxEntries, keep, maxBytes }: LibraryRequest): Promise<LibraryAnswer> {
  const lines: string[] = []
  let entries = 0
  const print = (line: string) => {
    if (line.startsWith('Path = ')) entries++
    if (entries <= maxEntries) lines.push(line)
  }
  const instance = await newInstance(print)
  instance.FS.writeFile(input, archive)
  const options = ['-bsp0', password, ...typeOf(archive)]
  if (!run(instance, ['l', '-slt', '-ba', ...options, input]) && entries === 0)
    return { ...nothing, trouble: troubleOf(lines, archive) }
  const names = namesIn(lines)
  const listing = listingOf(lines, entries)
  if (entries > maxEntries) return { ...nothing, listing, names, trouble: `more than ${maxEntries} entries` }
  const listed = lines.splice(0)
  // Unpacking may come to no end.
  parentPort?.postMessage({ listing, names })
  const unpacked = new Unpacked(instance, keep, maxBytes)
  const isWhole = run(instance, ['x', '-y', '-aou', ...options, `-o${output}`, input])
  return {
    listing,
    names,
    members: unpacked.members(),
    trouble: unpacked.trouble ?? (isWhole ? null : troubleOf([...listed, ...lines], archive)),
  }
}

/**
 * Of a package 7-Zip would open the part with its programs alone, and leave out what else is in it. Of an image of a disk it
 * has to open the file system as well: the whole disk may be too large. In a program with the mark of RAR it would find other
 * things.
 */
function typeOf(archive: Uint8Array): string[] {
  const head = Buffer.from(archive.buffer, archive.byteOffset, Math.min(headBytes, archive.byteLength))
  if (head.subarray(0, rarMark.length).equals(rarMark))
    return [head[rarMark.length] === 0 ? '-tRar' : '-tRar5']
  return typesOf(head).has('ar') ? ['-t*'] : []
}

/** @returns false: something is wrong with the archive */
function run(instance: SevenZipModule, args: string[]): boolean {
  try {
    const code: unknown = (instance as { callMain(args: string[]): unknown }).callMain(args)
    return code === 0
  } catch {
    return false
  }
}

async function newInstance(print: (line: string) => void): Promise<SevenZipModule> {
  compiled ??= WebAssembly.compile(withMaxPages(readFileSync(require.resolve('7z-wasm/7zz.wasm')), maxPages))
  const program = await compiled
  const options = {
    print,
    printErr: print,
    stdin: () => null as unknown as number,
    quit: (_code: number, status: unknown) => {
      throw status
    },
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      void WebAssembly.instantiate(program, imports).then(done)
      return {}
    },
  }
  return sevenZip(options)
}

/** The program says what it may take at most; that is replaced by less, in as many bytes. */
function withMaxPages(program: Buffer, pages: number): Buffer {
  for (let at = 8; at < program.length;) {
    const section = program[at]
    const size = numberAt(program, at + 1)
    if (section === memorySection) {
      // One memory, which has a maximum: count, flags, minimum, maximum.
      const min = numberAt(program, size.end + 2)
      const max = numberAt(program, min.end)
      for (let i = min.end, rest = pages; i < max.end; i++, rest >>= 7)
        program[i] = (rest & 127) | (i === max.end - 1 ? 0 : 128)
      return program
    }
    at = size.end + size.value
  }
  throw new Error('7zz.wasm declares no memory')
}

/** Seven bits to the byte, the lowest first. */
function numberAt(bytes: Buffer, from: number): { readonly value: number; readonly end: number } {
  let value = 0
  let end = from
  do value += ((bytes[end] ?? 0) & 127) * 2 ** (7 * (end - from))
  while ((bytes[end++] ?? 0) >= 128)
  return { value, end }
}

/** What 7-Zip calls a file that has no name of its own, after the archive. */
const noName = /^in~?$/

/** Of all entries but directories. */
function namesIn(lines: readonly string[]): string[] {
  const names: string[] = []
  let name: string | null = null
  const end = () => {
    if (name !== null && !noName.test(name)) names.push(name)
    name = null
  }
  for (const line of lines) {
    if (line.startsWith('Path = ')) {
      end()
      name = line.slice('Path = '.length)
    } else if (line === 'Folder = +' || line.startsWith('Attributes = D')) {
      name = null
    }
  }
  end()
  return names
}

function listingOf(lines: readonly string[], entries: number): Listing {
  const values = (name: string) =>
    lines.flatMap((line) => (line.startsWith(`${name} = `) ? [line.slice(name.length + 3).trim()] : []))
  const sizes = values('Size').map((size) => Number(size) || 0)
  return {
    isEncrypted: values('Encrypted').includes('+'),
    methods: [...new Set(values('Method'))].filter((method) => method !== ''),
    entries,
    maxBytes: sizes.reduce((most, size) => Math.max(most, size), 0),
    totalBytes: sizes.reduce((sum, size) => sum + size, 0),
  }
}

/** The only encryption of 7z, by its identifier. */
const sevenZipAes = Buffer.from('06f10701', 'hex')

/** In a few words for the log. */
function troubleOf(lines: readonly string[], archive: Uint8Array): string {
  const text = lines.join('\n')
  if (/encrypted archive|Headers? error in encrypted/i.test(text)) return 'encrypted names'
  if (/Wrong password|in encrypted file|Encrypted = \+/i.test(text)) return 'encrypted'
  if (/Can't allocate|not enough memory/i.test(text)) return 'it needs too much memory'
  if (/Unsupported (?:Method|feature)/i.test(text)) return 'packed in an unknown way'
  if (/Missing volume/i.test(text)) return 'one piece of several'
  return Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength).includes(sevenZipAes)
    ? 'encrypted names'
    : 'damaged'
}

interface UnpackedFile {
  /** What is kept of it. */
  pieces: Uint8Array[]
  bytes: number
  /** Of all of it. */
  size: number
  /** Whether it may be an archive itself, or hold one; null: it is too early to tell. */
  mayHold: boolean | null
  /** Its last bytes, in which the mark of a RAR archive may begin. */
  tail: Buffer
}

/** Takes the place of the files that 7-Zip writes. */
class Unpacked {
  trouble: string | null = null
  #keptBytes = 0
  readonly #files = new Map<string, UnpackedFile>()
  /** The one that is being written. */
  #last: { readonly path: string; readonly file: UnpackedFile } | null = null

  constructor(
    { FS }: SevenZipModule,
    private readonly keep: LibraryRequest['keep'],
    private readonly maxBytes: number,
  ) {
    const write = FS.write.bind(FS)
    FS.write = (stream, buffer, offset, length, position, canOwn) => {
      const path = (stream as FSStream & { path: string }).path
      if (!path.startsWith(`${output}/`)) return write(stream, buffer, offset, length, position, canOwn)
      const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length)
      this.#write(path.slice(output.length + 1), bytes, position)
      if (position === undefined) (stream as FSStream & { position: number }).position += length
      return length
    }
    // Room for a file that is not kept.
    FS.ftruncate = () => undefined
    FS.truncate = () => undefined
    FS.allocate = () => undefined
  }

  members(): Member[] {
    this.#begin(null)
    return [...this.#files].map(([name, { pieces, bytes, size }]) => ({
      name: noName.test(name) ? null : name,
      bytes: new Uint8Array(Buffer.concat(pieces, bytes)),
      size,
    }))
  }

  #write(path: string, piece: Uint8Array, position: number | undefined): void {
    const file = this.#files.get(path) ?? {
      pieces: [],
      bytes: 0,
      size: 0,
      mayHold: null,
      tail: Buffer.alloc(0),
    }
    this.#files.set(path, file)
    if (position !== undefined && position !== file.size) {
      this.trouble ??= 'files in pieces'
      return
    }
    file.size += piece.length
    if (this.keep === 'files') {
      this.#keep(file, piece)
      return
    }
    if (this.#last?.file !== file) this.#begin({ path, file })
    let rest = piece
    if (file.mayHold === null) {
      rest = piece.subarray(headBytes - file.bytes)
      this.#keep(file, piece.subarray(0, headBytes - file.bytes))
      if (file.bytes < headBytes) return
      this.#decide(path, file)
    }
    if (file.mayHold) this.#keep(file, rest)
    else if (this.keep === 'archives') this.#search(file, rest)
  }

  /** The one before has come to its end. */
  #begin(next: { path: string; file: UnpackedFile } | null): void {
    if (this.#last?.file.mayHold === null) this.#decide(this.#last.path, this.#last.file)
    this.#last = next
  }

  #decide(path: string, file: UnpackedFile): void {
    const head = Buffer.concat(file.pieces, file.bytes)
    file.mayHold = isNamedArchive([path]) || containerOf(typesOf(head)) !== null
    if (file.mayHold || this.keep !== 'archives') return
    this.#keptBytes -= file.bytes
    file.pieces.length = file.bytes = 0
    this.#search(file, head)
  }

  /** For a RAR archive behind a program. */
  #search(file: UnpackedFile, piece: Uint8Array): void {
    const seen = Buffer.concat([file.tail, piece])
    const at = seen.indexOf(rarMark)
    file.tail = Buffer.from(seen.subarray(-rarMark.length))
    if (at < 0) return
    file.mayHold = true
    // With a byte in front of it, for it may be no more than the mark.
    this.#keep(file, seen.subarray(Math.max(0, at - 1)))
  }

  #keep(file: UnpackedFile, piece: Uint8Array): void {
    if (this.#keptBytes + piece.length > this.maxBytes) {
      this.trouble ??= `more than ${this.maxBytes} bytes when unpacked`
      return
    }
    this.#keptBytes += piece.length
    file.pieces.push(Buffer.from(piece))
    file.bytes += piece.length
  }
}
