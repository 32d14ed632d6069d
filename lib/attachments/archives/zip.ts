/*
 * Every name in a zip archive and in the archives inside it. The headers are read in zip-headers.ts; here contents are
 * opened, only to see what they are and whether they are archives themselves, and the budget is kept.
 *
 * Own reading of a few fields, because libraries read the central directory and refuse what is odd, while
 * here a name counts that any unpacker would write: in local headers only, before a lost tail, in a gap.
 */

import { promisify } from 'node:util'
import { constants, inflateRaw, inflateRawSync } from 'node:zlib'
import { type Budget, OverBudget } from '../../mime/budget'
import { containerOf, isNamedArchive, typesOf, typesOfWhole } from '../file-types'
import type { Name } from '../filenames'
import { nameForLog } from '../normalize'
import type { LookInside, Place, Sighting } from './sighting'
import { startsAsZip, type ZipHeader, zipHeaders } from './zip-headers'

const inflate = promisify(inflateRaw)

/**
 * Names of all entries, but for directories, and of the entries of archives within.
 *
 * Archives are known by content; a nested zip also by `.zip` when something precedes it. Stored ones lie open
 * in the archive around them, so their entries are found among its own, whatever the depth.
 * @param isInside whether something else stood in front of it, so that it may be no archive
 * @param lookInside for archives of other kinds within; left out: they are not opened
 */
export async function* zipNames(
  zip: Buffer,
  budget: Budget,
  isInside = false,
  within: readonly string[] = [],
  lookInside: LookInside | null = null,
): AsyncGenerator<Sighting> {
  try {
    yield* archive(zip, budget, within, isInside, lookInside)
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error
    yield { unreadable: error.message, within }
  }
}

/** Directories that only one kind of archive has. */
const kindsByName: readonly (readonly [kind: string, marks: readonly string[]])[] = [
  ['docx', ['[Content_Types].xml', 'word/']],
  ['xlsx', ['[Content_Types].xml', 'xl/']],
  ['pptx', ['[Content_Types].xml', 'ppt/']],
  ['jar', ['META-INF/MANIFEST.MF']],
  ['odf', ['mimetypeapplication/vnd.oasis.opendocument']],
]

function kindsOf(zip: Buffer): string[] {
  const named = kindsByName.filter(([, marks]) => marks.every((mark) => zip.includes(mark)))
  return ['archive', 'zip', ...named.map(([kind]) => kind)]
}

/** Of macros in Office documents since 2007, and in OpenDocument. */
const macroNames = /(?:^|[\\/])(?:vbaProject\.bin$|macrosheets[\\/]|Basic[\\/].*\.xml$)/i

/** @param within names of the archives around this one and of itself, the outermost first */
async function* archive(
  zip: Buffer,
  budget: Budget,
  within: readonly string[],
  isInside: boolean,
  lookInside: LookInside | null,
): AsyncGenerator<Sighting> {
  const place: Place = { within, kinds: kindsOf(zip) }
  const seen = new Set<string>()
  const count = { local: 0, central: 0 }
  let claimed: number | null = null
  let ended = false
  for (const header of zipHeaders(zip)) {
    await budget.breathe()
    if (header === null) continue
    if (header.kind === 'end') {
      if (isInside && !header.hasDirectory) continue
      claimed = header.entries
      ended = true
      continue
    }
    budget.spendHeader()
    count[header.kind]++
    if (header.masked && (!isInside || header.strong)) yield { unreadable: 'its names are encrypted', within }
    if (!header.directory && (header.key === null || !seen.has(header.key))) {
      if (header.key !== null) seen.add(header.key)
      yield { name: header.names, place }
      if (isMacro(header.names, place)) yield { types: macroTypes, of: header.names, place }
    }
    if (header.kind === 'local' && !header.directory) yield* nested(zip, header, budget, place, lookInside)
  }
  const found = Math.max(count.local, count.central)
  if (claimed !== null && found < claimed) {
    yield { unreadable: `it has ${claimed} entries, of which ${found} can be seen`, within }
  } else if (found === 0 && !ended && !isInside && startsAsZip(zip)) {
    yield { unreadable: 'it is damaged', within }
  }
}

const macroTypes: ReadonlySet<string> = new Set(['office-macro'])

function isMacro(names: Name, { kinds }: Place): boolean {
  return kinds.length > 2 && names.some((name) => macroNames.test(name))
}

async function* nested(
  zip: Buffer,
  header: ZipHeader,
  budget: Budget,
  place: Place,
  lookInside: LookInside | null,
): AsyncGenerator<Sighting> {
  const here = [...place.within, nameForLog(header.names[0])]
  const isNamed = isNamedArchive(header.names)
  // Whatever the header says of method and sizes: another header may say otherwise, and the content decides.
  const content = zip.subarray(header.contentAt)
  const start = beginning(content)
  if (header.stored) yield* stored(content, header, budget, place, here, lookInside)
  if (start === 'not deflated') {
    if (isNamed && header.encrypted) yield { unreadable: 'it is encrypted', within: here }
    else if (isNamed && !header.stored) yield { unreadable: 'it cannot be unpacked', within: here }
    return
  }
  const types = start === 'unclear' ? new Set<string>() : typesOf(start)
  if (types.size > 0) yield { types, of: header.names, place }
  if (start !== 'unclear' && containerOf(types) === null && !isNamed) return
  if (here.length >= budget.limits.depth) {
    yield { unreadable: `archives are nested more than ${budget.limits.depth} deep`, within: here }
    return
  }
  const inner = await unpacked(content, budget)
  if (!Buffer.isBuffer(inner)) {
    yield { unreadable: inner, within: here }
    return
  }
  const all = typesOfWhole(inner)
  if (all.size > types.size) yield { types: all, of: header.names, place }
  const by = containerOf(all)?.by ?? 'zip'
  if (by === 'zip') yield* archive(inner, budget, here, !startsAsZip(inner), lookInside)
  else if (lookInside) yield* lookInside(inner, budget, here)
}

/** What lies there as it is; names of a zip archive are found among those of the one around it. */
async function* stored(
  content: Buffer,
  header: ZipHeader,
  budget: Budget,
  place: Place,
  here: readonly string[],
  lookInside: LookInside | null,
): AsyncGenerator<Sighting> {
  const isSized = !header.hasDescriptor && header.packedBytes > 0
  const file = isSized ? content.subarray(0, header.packedBytes) : content
  const types = typesOfWhole(file)
  if (types.size > 0) yield { types, of: header.names, place }
  const container = containerOf(types)
  if (container === null || container.kind === 'zip' || lookInside === null) return
  if (here.length >= budget.limits.depth)
    yield { unreadable: `archives are nested more than ${budget.limits.depth} deep`, within: here }
  else yield* lookInside(file, budget, here)
}

/** Bytes of deflated content that hold the code tables and then some. */
export const tableBytes = 512
const magicBytes = 6

/** What zlib returns when asked for `info`, which its types leave out. */
interface Inflated {
  readonly buffer: Buffer
  readonly engine: {
    /** Bytes taken in. */
    readonly bytesWritten: number
  }
}

/**
 * First bytes of deflated content. `not deflated`: it is something else; `unclear`: nothing comes out of the
 * first bytes, which a compressor does not do.
 */
export function beginning(content: Buffer): Buffer | 'not deflated' | 'unclear' {
  const head = content.subarray(0, tableBytes)
  try {
    const options = { finishFlush: constants.Z_SYNC_FLUSH, info: true }
    const { buffer, engine } = inflateRawSync(head, options) as unknown as Inflated
    const goesOn = engine.bytesWritten === head.length && content.length > head.length
    return buffer.length < magicBytes && goesOn ? 'unclear' : buffer
  } catch {
    return 'not deflated'
  }
}

/** Inflated content, whole or as far as it goes, or why not. */
export async function unpacked(content: Buffer, budget: Budget): Promise<Buffer | string> {
  const maxBytes = budget.inflatable
  if (maxBytes === 0) throw new OverBudget(`more than ${budget.limits.inflatedBytes} bytes when unpacked`)
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: maxBytes, info: true }
  try {
    const inflated = await budget.offTheClock(() => inflate(content, options))
    const { buffer, engine } = inflated as unknown as Inflated
    // What goes in counts as well: blocks without content cost time and yield nothing.
    budget.spendInflated(Math.min(maxBytes, Math.max(buffer.length, engine.bytesWritten)))
    return buffer
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') {
      budget.spendInflated(Math.min(maxBytes, content.length))
      return 'it is damaged'
    }
    budget.spendInflated(maxBytes)
    throw new OverBudget(`more than ${budget.limits.inflatedBytes} bytes when unpacked`)
  }
}
