/*
 * Every name that a mail program might show for one MIME part. lib/mime/part-headers.ts reads the headers; normalize.ts
 * has the forms that a name takes on a disk.
 */

import { rawReadings } from '../mime/charsets'
import { type Parameter, parameters, withoutComments } from '../mime/parameters'
import type { ContentHeader } from '../mime/part-headers'
import { hasFewWords, hasWords, wordReadings } from '../mime/rfc2047'
import { continuedValues, extendedValues, percentDecoded } from '../mime/rfc2231'

interface PartNames {
  readonly names: readonly Name[]
  /** False: there may be more. */
  readonly complete: boolean
}

/** One name and the ways to read it, the likeliest first; never empty. */
export type Name = readonly [string, ...string[]]

const nameParameters = 'file-?name|name'

/**
 * About so many names of one part are looked at: one that comes again counts again, a piece counts twice, and a header
 * that is too much for a quarter of all. Real parts have four.
 */
const maxNames = 500

/** Characters of a description or address that may be a name. */
const maxSubstitute = 1000

/**
 * Names in all Content-Type and Content-Disposition headers of a part: `filename` and `name` in either,
 * plain, encoded, continued, doubled. They need not agree, and which is shown depends on the program. Without any, what
 * Content-Description and Content-Location say.
 */
export function namesOf(headers: readonly ContentHeader[]): PartNames {
  const names = new Map<string, Name>()
  let complete = true
  let looked = 0
  for (const { field, value } of headers) {
    if (field === 'encoding' || field === 'description' || field === 'location') continue
    if (!hasFewWords(value)) {
      complete = false
      continue
    }
    const bare = field === 'name' ? bareName(value.trim()) : null
    if (bare) names.set(bare.join('\n\n'), bare)
    for (const text of readingsOfHeader(value)) {
      if (looked >= maxNames) return { names: [...names.values()], complete: false }
      const { found, complete: whole } = parameters(text, nameParameters)
      for (const name of namesAmong(found)) names.set(name.join('\n\n'), name)
      looked += whole ? found.length + found.filter(({ index }) => index !== null).length : maxNames / 4
      complete &&= whole
    }
  }
  return { names: names.size > 0 ? [...names.values()] : substitutes(headers), complete }
}

/** Whether a part is a file to a program, and not text that is shown in place. */
export function isAttached(names: readonly Name[], headers: readonly ContentHeader[]): boolean {
  return (
    names.length > 0 ||
    headers.some(({ field, value }) => field === 'disposition' && /attachment/i.test(value))
  )
}

/** Of an address only what is behind the host. */
const address = /^\s*"?[a-z][a-z0-9+.-]*:(?:\/\/[^/?#\s"]*)?/i

/** What some programs take for the name of a part that has none. */
function substitutes(headers: readonly ContentHeader[]): Name[] {
  const found: (Name | null)[] = []
  for (const { field, value } of headers) {
    const text = value.trim()
    if (text.length > maxSubstitute || !hasFewWords(text)) continue
    if (field === 'description') found.push(bareName(text))
    if (field === 'location') found.push(bareName(text.replace(address, '').replace(/[?#][^]*$/, '')))
  }
  return found.filter((name) => name !== null)
}

/** Ways to read one name that stands by itself, outside of any header. */
export function bareName(text: string): Name | null {
  return nameOf([text])
}

function readingsOfHeader(value: string): Set<string> {
  const readings = new Set([value, withoutComments(value)])
  // Some decode words first and look for parameters afterwards, so that a quote or semicolon may come of one.
  if (hasWords(value)) for (const text of wordReadings(value)) readings.add(text)
  return readings
}

function namesAmong(found: readonly Parameter[]): Name[] {
  const pieces = found.filter(({ index }) => index !== null)
  const values = [
    ...found.filter(({ index }) => index === null).map(valuesOf),
    ...groupedBy('name', pieces).flatMap(seriesOf).map(continuedValues),
  ]
  return values.map(nameOf).filter((name) => name !== null)
}

/** Pieces of one name, also apart by how it is spelled where that differs. */
function seriesOf(pieces: readonly Parameter[]): (readonly Parameter[])[] {
  const spellings = groupedBy('spelled', pieces)
  return spellings.length > 1 ? [pieces, ...spellings] : [pieces]
}

function groupedBy(key: 'name' | 'spelled', pieces: readonly Parameter[]): (readonly Parameter[])[] {
  const groups = new Map<string, Parameter[]>()
  for (const piece of pieces) {
    const group = groups.get(piece[key])
    if (group) group.push(piece)
    else groups.set(piece[key], [piece])
  }
  return [...groups.values()]
}

function valuesOf(parameter: Parameter): readonly string[] {
  return parameter.extended ? extendedValues(parameter) : parameter.readings
}

function nameOf(values: readonly string[]): Name | null {
  const texts = new Set(values.flatMap(decodings).filter((text) => text.trim() !== ''))
  // Some drop what they cannot decode.
  for (const text of [...texts]) if (text.includes('\ufffd')) texts.add(text.replaceAll('\ufffd', ''))
  const [first, ...rest] = texts
  return first === undefined ? null : [first, ...rest]
}

function decodings(value: string): string[] {
  const texts = rawReadings(value)
  const words = texts.flatMap(wordReadings)
  const percent = texts.filter((text) => /%[0-9a-f]{2}/i.test(text))
  return [...words, ...texts, ...percent.map((text) => percentDecoded(text, 'utf-8'))]
}
