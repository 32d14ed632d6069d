// A signature set of the size of ClamAV's own, made up from a seed: the same seed, the same files. Nothing in it fires but
// what testSignatures() adds.
//   node --import tsx bench/signatures.ts /tmp/signatures --scale 0.5
import { type Cipher, createCipheriv, createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { tarEnd, tarFile } from '../lib/base/tar'
import { testSignatures } from '../test/support/eicar'

/** Number of signatures by kind. main and daily together have some 8.7 million. */
export interface SignatureCounts {
  /** MD5 of a file. */
  readonly hdb: number
  /** SHA-256 of a file. */
  readonly hsb: number
  /** MD5 of a section of a program. */
  readonly mdb: number
  /** A pattern. */
  readonly ndb: number
  /** Several patterns with a condition. */
  readonly ldb: number
}

const official: SignatureCounts = { hdb: 4_500_000, hsb: 700_000, mdb: 3_000_000, ndb: 120_000, ldb: 380_000 }

export function signatureCounts(scale: number): SignatureCounts {
  const { hdb, hsb, mdb, ndb, ldb } = official
  const some = (count: number) => Math.round(count * scale)
  return { hdb: some(hdb), hsb: some(hsb), mdb: some(mdb), ndb: some(ndb), ldb: some(ldb) }
}

/** Bytes by chance that can be repeated, and fast. */
class Chance {
  readonly #cipher: Cipher
  #bytes = Buffer.alloc(0)
  #at = 0

  constructor(seed: string) {
    const key = createHash('sha256').update(seed).digest()
    this.#cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  }

  hex(bytes: number): string {
    if (this.#at + bytes > this.#bytes.length) {
      this.#bytes = this.#cipher.update(Buffer.alloc(1 << 20))
      this.#at = 0
    }
    this.#at += bytes
    return this.#bytes.toString('hex', this.#at - bytes, this.#at)
  }

  below(limit: number): number {
    return Number.parseInt(this.hex(4), 16) % limit
  }
}

/** Targets of a pattern by their share: most are for programs. 0: any file, 1: Windows, 3: HTML, 4: mail, 6: ELF, 7: text. */
const targets = [1, 1, 1, 1, 1, 1, 1, 3, 6, 7, 0, 4]

/** Now and then with a gap, as in real ones. */
function pattern(chance: Chance): string {
  const first = chance.hex(12 + chance.below(40))
  const gap = ['', '', '', '??', '{4-20}', '*'][chance.below(6)] ?? ''
  return gap === '' ? first : `${first}${gap}${chance.hex(8 + chance.below(20))}`
}

const target = (chance: Chance) => targets[chance.below(targets.length)] ?? 1

const lines: Record<keyof SignatureCounts, (chance: Chance, number: number) => string> = {
  hdb: (chance, n) => `${chance.hex(16)}:${1000 + chance.below(4_000_000)}:Bench.Hash-${n}`,
  hsb: (chance, n) => `${chance.hex(32)}:${1000 + chance.below(4_000_000)}:Bench.Sha-${n}`,
  mdb: (chance, n) => `${512 * (1 + chance.below(2000))}:${chance.hex(16)}:Bench.Section-${n}`,
  ndb: (chance, n) => `Bench.Pattern-${n}:${target(chance)}:*:${pattern(chance)}`,
  ldb: (chance, n) => {
    const count = 1 + chance.below(4)
    const patterns = Array.from({ length: count }, () => pattern(chance))
    const condition = patterns.map((_, i) => i).join('&')
    return `Bench.Logical-${n};Engine:51-255,Target:${target(chance)};${condition};${patterns.join(';')}`
  },
}

/** Lines that are written at once. */
const batchLines = 10_000

/** Writes bench.hdb, bench.hsb and so on, the test signatures, and a version. */
export function writeSignatures(directory: string, counts: SignatureCounts, seed = 'bench'): void {
  mkdirSync(directory, { recursive: true })
  for (const kind of Object.keys(lines) as (keyof SignatureCounts)[]) {
    const chance = new Chance(`${seed} ${kind}`)
    const file = openSync(path.join(directory, `bench.${kind}`), 'w')
    for (let number = 0; number < counts[kind];) {
      const end = Math.min(counts[kind], number + batchLines)
      let text = ''
      for (; number < end; number++) text += `${lines[kind](chance, number)}\n`
      writeSync(file, text)
    }
    closeSync(file)
  }
  testSignatures(directory)
  writeVersion(directory, 27_500)
}

/** The version that clamd tells, as freshclam changes it: in an unsigned daily.cud with one signature. */
export function writeVersion(directory: string, version: number, date = new Date()): void {
  const seconds = Math.floor(date.getTime() / 1000)
  const header = `ClamAV-VDB:${date.toUTCString().slice(5, 22).replaceAll(':', '-')} +0000:${version}:1:60:`
  const rest = `:X:bench:${seconds}`
  const signature = Buffer.from(
    `Bench.Daily-${version}:0:*:${createHash('md5').update(`${version}`).digest('hex')}\n`,
  )
  const sha256 = createHash('sha256').update(signature).digest('hex')
  const info = Buffer.from(`${header}X${rest}\ndaily.ndb:${signature.length}:${sha256}\n`)
  const tar = Buffer.concat([
    tarFile('COPYING', Buffer.from('Made up.\n')),
    tarFile('daily.info', info),
    tarFile('daily.ndb', signature),
    tarEnd,
  ])
  const md5 = createHash('md5').update(tar).digest('hex')
  writeFileSync(
    path.join(directory, 'daily.cud'),
    Buffer.concat([Buffer.from(`${header}${md5}${rest}`.padEnd(512)), tar]),
  )
}

if (require.main === module) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { scale: { type: 'string', default: '1' }, seed: { type: 'string', default: 'bench' } },
  })
  const [directory] = positionals
  if (directory === undefined) throw new Error('the directory is missing')
  const counts = signatureCounts(Number(values.scale))
  writeSignatures(directory, counts, values.seed)
  console.log(counts)
}
