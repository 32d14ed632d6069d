/*
 * The text of a message as Outlook packs it in TNEF: RTF, in which files may lie as well. Layout: [MS-OXRTFCP].
 */

import type { Budget } from '../budget'
import { Output } from '../pieces'

const headerBytes = 16
const kinds = { packed: 'LZFu', stored: 'MELA' }
const dictionaryBytes = 4096
/** What the dictionary holds at the beginning. */
const known = Buffer.from(
  '{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor ' +
    'MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n' +
    '\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx',
)
/** Control bytes between two looks at the clock; each stands for at most 136 bytes. */
const controlsPerTurn = 512

function kindOf(content: Buffer): string {
  return content.toString('latin1', 8, 12)
}

export function startsAsCompressedRtf(content: Buffer): boolean {
  return content.length > headerBytes && Object.values(kinds).includes(kindOf(content))
}

/** As far as it makes sense; neither sizes nor checksum are believed. @throws OverBudget */
export async function uncompressedRtf(content: Buffer, budget: Budget): Promise<Buffer> {
  if (kindOf(content) === kinds.stored) return content.subarray(headerBytes)
  const out = new Output()
  const dictionary = Buffer.alloc(dictionaryBytes)
  known.copy(dictionary)
  let to = known.length
  const put = (byte: number) => {
    const { bytes, at } = out.room(1)
    bytes[at] = dictionary[to] = byte
    out.wrote(1)
    to = (to + 1) % dictionaryBytes
  }
  let at = headerBytes
  for (let controls = 1; at < content.length; controls++) {
    if (controls % controlsPerTurn === 0) await budget.breathe()
    const control = content[at++] ?? 0
    for (let bit = 0; bit < 8 && at < content.length; bit++) {
      if (((control >> bit) & 1) === 0) {
        put(content[at++] ?? 0)
        continue
      }
      if (at + 2 > content.length) return out.content
      const reference = content.readUInt16BE(at)
      at += 2
      const from = reference >> 4
      if (from === to) return out.content
      for (let i = 0; i < (reference & 15) + 2; i++) put(dictionary[(from + i) % dictionaryBytes] ?? 0)
    }
  }
  return out.content
}
