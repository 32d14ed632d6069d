/*
 * Every file in an archive of any kind, and in the archives inside it: zip by zip.ts, others by library.ts.
 */

import type { Budget } from '../../mime/budget'
import { rawReadings } from '../../mime/charsets'
import { containerOf, typesOfWhole } from '../file-types'
import type { Name } from '../filenames'
import { nameForLog } from '../normalize'
import { library } from './library'
import type { Member } from './library-messages'
import { isOlePart, packageIn } from './ole'
import type { Place, Sighting } from './sighting'
import { zipNames } from './zip'

/** A file in an archive, or one that is attached by itself. */
export async function* lookInside(
  content: Buffer,
  budget: Budget,
  within: readonly string[],
): AsyncGenerator<Sighting> {
  const types = typesOfWhole(content)
  const container = containerOf(types)
  if (container === null) return
  if (container.by === 'zip') yield* zipNames(content, budget, false, within, lookInside)
  else if (container.by === 'nobody') yield { unreadable: `${container.kind} (not opened here)`, within }
  else yield* withLibrary(content, container.kind, budget, { within, kinds: ['archive', ...types] })
}

async function* withLibrary(
  content: Buffer,
  kind: string,
  budget: Budget,
  place: Place,
): AsyncGenerator<Sighting> {
  const { within } = place
  const limitMs = budget.libraryMs
  const maxBytes = budget.inflatable
  if (limitMs <= 0 || maxBytes <= 0) {
    yield { unreadable: `${kind} (nothing is left of the time or the memory for archives)`, within }
    return
  }
  const { names, members, trouble } = await budget.inLibrary((signal, started) =>
    library.open(
      { archive: copyOf(content), maxEntries: budget.limits.entries, keep: 'beginnings', maxBytes },
      limitMs,
      signal,
      started,
    ),
  )
  for (const name of kind === 'ole' ? [] : names) {
    budget.spendHeader()
    await budget.breathe()
    yield { name: memberName(name), place }
  }
  for (const member of members) {
    budget.spendInflated(Math.min(budget.inflatable, member.bytes.length))
    await budget.breathe()
    yield* memberIn(member, kind, budget, place)
  }
  // Documents of Office are not archives: what makes them odd is no business of names.
  if (trouble !== null && (kind !== 'ole' || names.length === 0))
    yield { unreadable: `${kind} (${trouble})`, within }
}

async function* memberIn(
  member: Member,
  kind: string,
  budget: Budget,
  place: Place,
): AsyncGenerator<Sighting> {
  const bytes = Buffer.from(member.bytes.buffer, member.bytes.byteOffset, member.bytes.length)
  if (kind === 'ole') yield* packaged(member.name, bytes, budget, place)
  else yield* fileIn(bytes, member.name === null ? null : memberName(member.name), budget, place)
}

/** Of a stream in a document. */
async function* packaged(
  stream: string | null,
  bytes: Buffer,
  budget: Budget,
  place: Place,
): AsyncGenerator<Sighting> {
  const part = stream !== null && isOlePart(stream) ? packageIn(stream, bytes) : null
  for (const name of part?.names ?? []) yield { name, place }
  if (part?.content) yield* fileIn(part.content, part.names[0] ?? null, budget, place)
}

async function* fileIn(
  bytes: Buffer,
  name: Name | null,
  budget: Budget,
  place: Place,
): AsyncGenerator<Sighting> {
  const types = typesOfWhole(bytes)
  if (types.size > 0) yield { types, of: name, place }
  const container = containerOf(types)
  if (container === null) return
  const here = [...place.within, name === null ? container.kind : nameForLog(name[0])]
  if (here.length >= budget.limits.depth)
    yield { unreadable: `archives are nested more than ${budget.limits.depth} deep`, within: here }
  else yield* lookInside(bytes, budget, here)
}

/** What the library has made of bytes that are no UTF-8 may have been another charset. */
function memberName(name: string): Name {
  // eslint-disable-next-line no-control-regex
  const isRaw = /[\x80-\xff]/.test(name) && !/[^\x00-\xff]/.test(name)
  return isRaw ? [name, ...rawReadings(name)] : [name]
}

/** To be handed over to the worker. */
function copyOf(content: Buffer): Uint8Array {
  return new Uint8Array(content)
}
