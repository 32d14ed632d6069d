/*
 * Encryption in formats of which only the marks of it are read.
 */

import { binaryTypesOf, containerOf } from '../../attachments/file-types'
import type { Budget } from '../../mime/budget'

/** Whether it is worth while to unpack what begins like this. A disc has nothing in its first sectors. */
export function isSearched(start: Buffer): boolean {
  return start.every((byte) => byte === 0) || containerOf(binaryTypesOf(start)) !== null
}

const rarStart = Buffer.from('Rar!\x1a\x07\x00', 'latin1')
const rar5Start = Buffer.from('Rar!\x1a\x07\x01\x00', 'latin1')

export async function isEncryptedRar(content: Buffer, budget: Budget): Promise<boolean> {
  const starts = (start: Buffer) => content.subarray(0, start.length).equals(start)
  const blocks = starts(rarStart)
    ? rarBlocks(content, rarStart.length)
    : starts(rar5Start)
      ? rar5Blocks(content, rar5Start.length)
      : []
  for (const isEncrypted of blocks) {
    if (isEncrypted) return true
    budget.spendHeader()
    await budget.breathe()
  }
  return false
}

/** Whether the first header behind the mark is one that may stand there. */
export function startsAsRar(content: Buffer): boolean {
  if (content.subarray(0, rarStart.length).equals(rarStart))
    return content[rarStart.length + 2] === rar.archive
  if (!content.subarray(0, rar5Start.length).equals(rar5Start)) return false
  const numbers = new VariableNumbers(content)
  numbers.at = rar5Start.length + 4
  numbers.next()
  return [rar5.archive, rar5.encryption].includes(numbers.next())
}

const rar = { archive: 0x73, file: 0x74, service: 0x7a }
const rarFlag = { headersEncrypted: 0x80, fileEncrypted: 4, largeFile: 0x100, hasData: 0x8000 }

/** Each block until RAR 4: whether it says that it, or what follows, is encrypted. */
function* rarBlocks(content: Buffer, from: number): Generator<boolean> {
  for (let at = from; at + 7 <= content.length;) {
    const [kind, flags, bytes] = [content[at + 2], content.readUInt16LE(at + 3), content.readUInt16LE(at + 5)]
    const isFile = kind === rar.file || kind === rar.service
    yield kind === rar.archive
      ? (flags & rarFlag.headersEncrypted) !== 0
      : isFile && (flags & rarFlag.fileEncrypted) !== 0
    if (bytes < 7) return
    const hasData = isFile || (flags & rarFlag.hasData) !== 0
    const low = hasData && at + 11 <= content.length ? content.readUInt32LE(at + 7) : 0
    const isLarge = isFile && (flags & rarFlag.largeFile) !== 0 && at + 36 <= content.length
    at += bytes + low + (isLarge ? content.readUInt32LE(at + 32) * 2 ** 32 : 0)
  }
}

const rar5 = { archive: 1, file: 2, service: 3, encryption: 4 }
const rar5Flag = { hasExtra: 1, hasData: 2 }
/** Of a record in the extra area of a file. */
const rar5FileEncryption = 1

/** Likewise, of RAR 5: numbers of seven bits to the byte, the lowest first. */
function* rar5Blocks(content: Buffer, from: number): Generator<boolean> {
  const numbers = new VariableNumbers(content)
  for (let at = from; at + 4 < content.length;) {
    numbers.at = at + 4
    const bytes = numbers.next()
    const end = numbers.at + bytes
    const [kind, flags] = [numbers.next(), numbers.next()]
    const extraBytes = flags & rar5Flag.hasExtra ? numbers.next() : 0
    const dataBytes = flags & rar5Flag.hasData ? numbers.next() : 0
    const isFile = kind === rar5.file || kind === rar5.service
    yield kind === rar5.encryption || (isFile && hasEncryptionRecord(content, end - extraBytes, end))
    if (bytes === 0) return
    at = end + dataBytes
  }
}

function hasEncryptionRecord(content: Buffer, from: number, end: number): boolean {
  const numbers = new VariableNumbers(content)
  for (let at = from; at < end && at < content.length;) {
    numbers.at = at
    const bytes = numbers.next()
    if (bytes === 0) return false
    const next = numbers.at + bytes
    if (numbers.next() === rar5FileEncryption) return true
    at = next
  }
  return false
}

class VariableNumbers {
  at = 0

  constructor(private readonly content: Buffer) {}

  /** 0 behind the end of the content. */
  next(): number {
    let value = 0
    for (let power = 1; power < 2 ** 49; power *= 128) {
      const byte = this.content[this.at++] ?? 0
      value += (byte & 127) * power
      if (byte < 128) break
    }
    return value
  }
}
