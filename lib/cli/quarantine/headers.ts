/* The header section of a stored message. */

import libmime from 'libmime'
import { reading } from '../../base/safe-files'
import { type KeptMessage, openCopy } from './store'

/** Bytes of the header section that are read at most. */
const maxHeaderBytes = 64 * 1024

/** Raw headers, each with its continuation lines. */
export async function headersOf(one: KeptMessage): Promise<string[]> {
  const parts: Buffer[] = []
  for await (const chunk of reading(() => openCopy(one), 0, maxHeaderBytes)) parts.push(chunk as Buffer)
  const [head = ''] = Buffer.concat(parts)
    .toString()
    .split(/\r?\n\r?\n/, 1)
  return head.split(/\r?\n(?![ \t])/).filter(Boolean)
}

/** The first subject, decoded; null: there is none. */
export function subjectIn(headers: readonly string[]): string | null {
  const line = headers.find((one) => /^subject\s*:/i.test(one))
  if (line === undefined) return null
  const value = line.slice(line.indexOf(':') + 1).replace(/\r?\n[ \t]*/g, ' ')
  try {
    return libmime.decodeWords(value).trim()
  } catch {
    return value.trim()
  }
}

/** The subject of a message in a list; empty: it has none, or its file cannot be read. */
export async function subjectOf(one: KeptMessage): Promise<string> {
  if (one.bytes === null) return ''
  return headersOf(one).then(
    (headers) => subjectIn(headers) ?? '',
    () => '',
  )
}
