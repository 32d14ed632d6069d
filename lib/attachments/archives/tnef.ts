/*
 * Names of the attachments in a winmail.dat: the title of each, and its long name among the MAPI properties.
 */

import { rawReadings } from '../../mime/charsets'
import { tnefAttributes } from '../../mime/containers/tnef'
import type { Name } from '../filenames'

const title = 0x00018010
const properties = 0x00069005
/** PidTagAttachFilename, PidTagAttachLongFilename, PidTagDisplayName, PidTagAttachTransportName. */
const nameProperties = new Set([0x3704, 0x3707, 0x3001, 0x370c])
const text8 = 0x001e
const text16 = 0x001f
const maxNameBytes = 2048

/** Never throws; ends where the content makes no sense. */
export function* tnefNames(content: Buffer): Generator<Name> {
  for (const { id, value } of tnefAttributes(content)) {
    if (id === title) yield* text(value.subarray(0, maxNameBytes), text8)
    if (id === properties) yield* longNames(value)
  }
}

/** Found by their tags wherever they lie: properties of any kind and length come before them. */
function* longNames(value: Buffer): Generator<Name> {
  for (let at = 0; at + 12 <= value.length; at += 4) {
    const type = value.readUInt16LE(at)
    if ((type !== text8 && type !== text16) || !nameProperties.has(value.readUInt16LE(at + 2))) continue
    if (value.readUInt32LE(at + 4) !== 1) continue
    const bytes = value.readUInt32LE(at + 8)
    yield* text(value.subarray(at + 12, at + 12 + Math.min(bytes, maxNameBytes)), type)
  }
}

function text(bytes: Buffer, type: number): Name[] {
  const readings = type === text16 ? [bytes.toString('utf16le')] : rawReadings(bytes.toString('latin1'))
  const [first = '', ...rest] = readings.map(withoutNuls)
  return first === '' ? [] : [[first, ...rest]]
}

/** By hand: a regular expression would take the square of a long run of them. */
function withoutNuls(text: string): string {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 0) end--
  return text.slice(0, end)
}
