// Small changes to the structure of a mail: of header lines, delimiters and line ends, not of bodies. They make forms that
// nobody has thought of.
import * as fc from 'fast-check'

/** Characters that mean something to some reader, and some that nobody expects. */
const characters = [
  ...Array.from('\0\t\n\v\f\r "\'()*,-./:;<=>?@[\\]_%&!#|~'),
  '\r\n',
  '\r\n ',
  '\r\n\r\n',
  '\x80',
  '\xa0',
  '\xff',
  '--',
]
const words = [
  'base64',
  '7bit',
  'quoted-printable',
  'boundary=',
  '=?utf-8?q?',
  '?=',
  'charset=utf-16',
  "''",
  '*0',
  '*1*',
]

export type Mutation = readonly [place: number, kind: number, what: number]

export const mutations: fc.Arbitrary<readonly Mutation[]> = fc.array(
  fc.tuple(fc.nat(1_000_000), fc.nat(5), fc.nat(1000)),
  { minLength: 1, maxLength: 4 },
)

const structural = /^(?:[A-Za-z-]{2,40}[ \t]*:.*|[ \t]+\S.*|--.*|)$/

export function mutated(mail: Buffer, changes: readonly Mutation[]): Buffer {
  let text = mail.toString('latin1')
  for (const [place, kind, what] of changes) {
    const lines = text.split('\n')
    const places = lines.flatMap((line, at) => (structural.test(line.replace(/\r$/, '')) ? [at] : []))
    const at = places[place % Math.max(1, places.length)]
    if (at === undefined) continue
    const line = lines[at] ?? ''
    const column = what % (line.length + 1)
    const character = characters[what % characters.length] ?? ''
    const changed = [
      () => line.slice(0, column) + character + line.slice(column),
      () => line.slice(0, column) + line.slice(column + 1),
      () => line.slice(0, column) + character + line.slice(column + 1),
      () => line.slice(0, column) + (words[what % words.length] ?? '') + line.slice(column),
      () => `${line}\n${line}`,
      () => (what % 2 === 0 ? line.toUpperCase() : line.replace(/\r$/, '')),
    ][kind]
    lines[at] = changed?.() ?? line
    text = lines.join('\n')
  }
  return Buffer.from(text, 'latin1')
}
