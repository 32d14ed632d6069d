/*
 * Names of the attachments in a winmail.dat: the title of each, and its long name among the MAPI properties.
 */

import type { Budget } from '../../mime/budget'
import { rawReadings } from '../../mime/charsets'
import { propertiesOf, tnefAttributes } from '../../mime/containers/tnef'
import type { Name } from '../filenames'

const title = 0x00018010
const properties = 0x00069005
/** PidTagAttachFilename, PidTagAttachLongFilename, PidTagDisplayName, PidTagAttachTransportName. */
const nameProperties = [0x3704, 0x3707, 0x3001, 0x370c]
const text8 = 0x001e
const text16 = 0x001f
const maxNameBytes = 2048

/** Ends where the content makes no sense. @throws OverBudget */
export async function* tnefNames(content: Buffer, budget: Budget): AsyncGenerator<Name, void> {
  for (const { id, value } of tnefAttributes(content)) {
    if (budget.isTurnOver) await budget.breathe()
    if (id === title) yield* text(value.subarray(0, maxNameBytes), text8)
    if (id !== properties) continue
    for (const property of propertiesOf(value, nameProperties, [text8, text16])) {
      if (budget.isTurnOver) await budget.breathe()
      if (property !== null) yield* text(property.content.subarray(0, maxNameBytes), property.type)
    }
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
