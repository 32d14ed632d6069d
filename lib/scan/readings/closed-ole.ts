/*
 * Encryption in compound files: Office documents until 2003, and later ones that are encrypted.
 */

import type { Budget } from '../../mime/budget'

export const oleStart = Buffer.from('d0cf11e0a1b11ae1', 'hex')

/** Compound files: Office documents until 2003, and later ones that are encrypted. */
export function startsAsOle(content: Buffer): boolean {
  return content.subarray(0, oleStart.length).equals(oleStart)
}

/** Streams that encrypted documents have. MS-OFFCRYPTO 2.3. */
const encryptionStreams = ['EncryptedPackage', 'EncryptionInfo'].map((name) => Buffer.from(name, 'utf16le'))

/** MS-CFB 2.6.1: a name of 64 bytes, its length with the NUL behind it, the kind of the entry. */
const [oleNameBytes, streamKind] = [64, 2]

/**
 * Looks for directory entries anywhere, so that nothing depends on the chain of sectors, which may be false; an encrypted
 * document in a message of Outlook is found as well.
 */
export async function isEncryptedOle(content: Buffer, budget: Budget): Promise<boolean> {
  if (content.includes(encryptedSlides) || hasEncryptedStart(content)) return true
  for (const name of encryptionStreams) {
    for (let at = content.indexOf(name); at >= 0; at = content.indexOf(name, at + name.length)) {
      if (budget.isTurnOver) await budget.breathe()
      const entry = content.subarray(at, at + oleNameBytes + 3)
      const hasEntry =
        entry.length === oleNameBytes + 3 &&
        entry.readUInt16LE(oleNameBytes) === name.length + 2 &&
        entry[oleNameBytes + 2] === streamKind
      if (hasEntry) return true
    }
  }
  return false
}

/** Bytes at whose multiples streams begin: of a document's own sectors, and of the small ones in these. */
const [sectorBytes, smallSectorBytes] = [512, 64]

/** MS-DOC 2.5.1: the mark of a document, the versions since Word 6, and the flag of encryption. */
const word = { mark: 0xa5ec, minVersion: 0x65, maxVersion: 0x112, flagsAt: 10, encrypted: 0x100 }

/** MS-XLS 2.4.21: workbooks begin like this, since Excel 5 and since Excel 97; then comes what protects them. */
const workbookStarts = ['0908080000050500', '0908100000060500'].map((hex) => Buffer.from(hex, 'hex'))
const [writeProtect, filePass] = [0x86, 0x2f]

/** MS-PPT 2.3.2: of the atom that says who wrote it, its size and the mark of an encrypted document. */
const encryptedSlides = Buffer.from('14000000dfc4d1f3', 'hex')

/** Of Word and Excel until 2003. */
function hasEncryptedStart(content: Buffer): boolean {
  for (let at = 0; at + sectorBytes <= content.length; at += smallSectorBytes) {
    const mark = content.readUInt16LE(at)
    if (mark === word.mark && at % sectorBytes === 0) {
      const version = content.readUInt16LE(at + 2)
      const isWord = version >= word.minVersion && version <= word.maxVersion
      if (isWord && (content.readUInt16LE(at + word.flagsAt) & word.encrypted) !== 0) return true
    } else if (mark === 0x0809) {
      const start = workbookStarts.find((one) => content.subarray(at, at + one.length).equals(one))
      if (start && isFilePassAt(content, at + 4 + (start[2] ?? 0))) return true
    }
  }
  return false
}

function isFilePassAt(content: Buffer, at: number): boolean {
  const id = content.readUInt16LE(at)
  return id === filePass || (id === writeProtect && content.readUInt16LE(at + 4) === filePass)
}
