// `npm run test:mutants`: puts faults into the core, one at a time, and counts those that a test notices. Exit 0 whatever the
// share; not a part of `npm test`.
//   npm run test:mutants -- --seed 7 --count 100 --room policy test/unit
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { repository } from '../support/haraka/haraka-install'
import { type Random, seeded } from '../support/random'
import { mutated, type Mutation, mutationsOf, typeChecker, watched } from './mutations'
import { Tree } from './tree'

/** Left out unless --room names them: what people use, and what a browser loads. */
const leftOut = /^lib\/(cli|monitoring\/dashboard\/page)\//
const allTests = ['unit', 'docs', 'integration'].map((kind) => path.join('test', kind))

interface Known {
  readonly file: string
  readonly from: string
  readonly to: string
  readonly why: string
}

/** Faults that change nothing that could be seen. */
const equivalents = JSON.parse(
  readFileSync(path.join(__dirname, 'equivalents.json'), 'utf8'),
) as readonly Known[]

function filesIn(folder: string, end: string): string[] {
  if (folder.endsWith(end)) return [folder]
  const names = readdirSync(path.join(repository, folder), { recursive: true, encoding: 'utf8' }).sort()
  return names.filter((name) => name.endsWith(end)).map((name) => path.join(folder, name))
}

const sources = new Map(
  [...filesIn('lib', '.ts'), 'index.ts'].map((file) => [
    file,
    readFileSync(path.join(repository, file), 'utf8'),
  ]),
)
const textOf = (file: string) => sources.get(file) ?? ''

/** Takes a line, each as likely as another, and one of its faults; leaves out what the type checker refuses. */
function sample(files: readonly string[], count: number, random: Random): Mutation[] {
  const isRefused = typeChecker(repository, [...sources.keys()])
  const lines = new Map<string, Mutation[]>()
  for (const one of files.flatMap((file) => mutationsOf(file, textOf(file)))) {
    const line = `${one.file}:${one.line}`
    lines.set(line, [...(lines.get(line) ?? []), one])
  }
  const keys = [...lines.keys()]
  const chosen: Mutation[] = []
  while (chosen.length < count && keys.length > 0) {
    const at = random(keys.length)
    const left = lines.get(keys[at] ?? '') ?? []
    const [one] = left.splice(random(left.length), 1)
    if (left.length === 0) keys.splice(at, 1)
    if (one && !isRefused(one.file, mutated(textOf(one.file), one))) chosen.push(one)
  }
  return chosen
}

/** The line as it is, and as the fault makes it, without the white space around. */
function diffOf(one: Mutation): { from: string; to: string } {
  const text = textOf(one.file)
  const begin = text.lastIndexOf('\n', one.start - 1) + 1
  const end = text.indexOf('\n', one.end)
  const to = text.slice(begin, one.start) + one.text + text.slice(one.end, end)
  return { from: text.slice(begin, end).trim(), to: to.trim() }
}

function describe(one: Mutation): string {
  const { from, to } = diffOf(one)
  const lines = [...from.split('\n').map((line) => `- ${line}`), ...to.split('\n').map((line) => `+ ${line}`)]
  return `${one.file}:${one.line}\n    ${lines.join('\n    ')}`
}

function whyEquivalent(one: Mutation): string | undefined {
  const { from, to } = diffOf(one)
  return equivalents.find((known) => known.file === one.file && known.from === from && known.to === to)?.why
}

interface Usual {
  readonly ms: number
  readonly places: ReadonlySet<number>
}

/** Does `work` for each of the items, in whichever tree is free. */
async function shared<T>(
  trees: readonly Tree[],
  items: readonly T[],
  work: (tree: Tree, item: T) => Promise<void>,
): Promise<void> {
  const left = [...items]
  const workThrough = async (tree: Tree) => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(tree, item)
  }
  await Promise.all(trees.map(workThrough))
}

/** Runs the files of tests on sources without a fault: which places each reaches, and how long it takes. */
async function runAll(
  trees: readonly Tree[],
  chosen: readonly Mutation[],
  tests: readonly string[],
): Promise<Map<string, Usual>> {
  for (const tree of trees)
    for (const file of new Set(chosen.map(({ file }) => file))) {
      const places = [...chosen.entries()].flatMap(([at, one]) =>
        one.file === file ? [[at, one.place] as const] : [],
      )
      tree.write(file, watched(textOf(file), new Map(places), tree.watch))
    }
  const usual = new Map<string, Usual>()
  await shared(trees, tests, async (tree, file) => {
    const { ms, failed } = await tree.run(file)
    const places = new Set(tree.takeSeen())
    if (failed === null) usual.set(file, { ms, places })
    else console.log(`left out, for it fails without a fault: ${file}: ${failed}`)
  })
  for (const tree of trees) for (const { file } of chosen) tree.write(file, textOf(file))
  return usual
}

/** Those that reach the place of a fault: those of its room first, then by kind, and the shortest first. */
function testsFor(number: number, one: Mutation, usual: ReadonlyMap<string, Usual>): [string, Usual][] {
  const room = path.dirname(path.join('test', 'unit', one.file.replace(/^lib\//, '')))
  const rank = (file: string) =>
    path.dirname(file) === room ? -1 : allTests.findIndex((kind) => file.startsWith(kind))
  return [...usual]
    .filter(([, { places }]) => places.has(number))
    .sort(([one, { ms }], [other, { ms: otherMs }]) => rank(one) - rank(other) || ms - otherMs)
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      count: { type: 'string', default: '100' },
      room: { type: 'string' },
      jobs: { type: 'string', default: '1' },
      list: { type: 'boolean', default: false },
    },
  })
  const { seed, count, room, jobs } = values
  if (!(Number(count) > 0 && Number(jobs) > 0) || !Number.isInteger(Number(seed)))
    throw new Error('--count, --jobs and --seed are whole numbers')
  const files = [...sources.keys()].filter((file) =>
    room === undefined ? !leftOut.test(file) : file.startsWith(path.join('lib', room)) || file === room,
  )
  if (files.length === 0) throw new Error(`--room ${room ?? ''}: there are no such sources`)
  const chosen = sample(files, Number(count), seeded(Number(seed)))
  console.log(`${chosen.length} faults, --seed ${seed}`)
  if (values.list) {
    for (const one of chosen) console.log(describe(one))
    return
  }
  const trees = Array.from({ length: Number(jobs) }, () => new Tree())
  const places = positionals.length > 0 ? positionals : allTests
  const tests = places.flatMap((place) => filesIn(place, '.test.ts'))
  const usual = await runAll(trees, chosen, tests)
  const counts = { noticed: 0, hangs: 0, equivalent: 0 }
  await shared(trees, [...chosen.entries()], async (tree, [number, one]) => {
    const why = whyEquivalent(one)
    if (why !== undefined) {
      counts.equivalent++
      console.log(`changes nothing  ${one.file}:${one.line}  ${why}`)
      return
    }
    tree.write(one.file, mutated(textOf(one.file), one))
    const reaching = testsFor(number, one, usual)
    let notice: string | null = null
    for (const [file, { ms }] of reaching) {
      const { failed, isHang } = await tree.run(file, ms)
      if (failed === null) continue
      if (isHang) counts.hangs++
      notice = `${isHang ? 'hangs  ' : 'noticed'}  ${one.file}:${one.line}  ${file}: ${failed}`
      break
    }
    tree.write(one.file, textOf(one.file))
    if (notice !== null) counts.noticed++
    console.log(notice ?? `SURVIVES ${describe(one)}\n    reached by ${reaching.length} files of tests`)
  })
  const { noticed, hangs, equivalent } = counts
  const counted = chosen.length - equivalent
  const share = counted === 0 ? 100 : Math.floor((100 * noticed) / counted)
  console.log(
    `\nNoticed: ${noticed} of ${counted} (${share} %), ${hangs} of them by a hang; ${equivalent} more change nothing; --seed ${seed}`,
  )
}

main().catch((error: unknown) => {
  console.error(`npm run test:mutants: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
