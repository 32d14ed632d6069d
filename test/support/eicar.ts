// What the tests call a virus: the EICAR test string, assembled when it is needed so that no scanner takes this
// repository for one, and a signature set for clamd with harmless markers, each firing under a name of its own.
// Tests that need real signatures use the system's own directory instead.
import { writeFileSync } from 'node:fs'
import path from 'node:path'

/** The 68 bytes of the EICAR test file. */
export function eicar(): string {
  return ['X5O!P%@AP[4\\PZX54(P^)7CC)7}', 'EICAR', 'STANDARD', 'ANTIVIRUS', 'TEST', 'FILE!', 'H+H*'].reduce(
    (text, part, index) => text + (index === 1 || index === 6 ? '$' : '-') + part,
  )
}

export interface Marker {
  /** Text that fires when a message contains it. */
  text: string
  /** The name in the reply; clamd adds `.UNOFFICIAL` to the names of local signatures. */
  name: string
}

/** Fires with the sort of name the shipped rules tag instead of rejecting. */
export const phishingMarker: Marker = {
  text: 'harmless-phishing-marker-7c41',
  name: 'Heuristics.Phishing.Email.Test.UNOFFICIAL',
}

/** Fires with a name that is legal in a signature file and awkward in a header, an answer, a rule or a log. */
export const oddMarker: Marker = {
  text: 'harmless-odd-name-marker-93b2',
  name: 'Test.Odd_Name-2/1,(a b) $& {virus} %s%d \\r\\n \u00e9 "q" <x> OK FOUND ERROR.UNOFFICIAL',
}

/** The name the EICAR string fires under with these signatures. */
export const eicarName = 'Eicar-Test-Signature.UNOFFICIAL'

/** Writes the signature set into a directory for clamd's DatabaseDirectory; returns the file's path. */
export function testSignatures(dir: string): string {
  const file = path.join(dir, 'test.ndb')
  const signatures: Marker[] = [{ text: eicar(), name: eicarName }, phishingMarker, oddMarker]
  const lines = signatures.map(
    ({ text, name }) => `${name.replace(/\.UNOFFICIAL$/, '')}:0:*:${Buffer.from(text).toString('hex')}`,
  )
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}
