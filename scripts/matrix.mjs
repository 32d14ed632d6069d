// `npm run test:matrix`: the end-to-end tests on every Node and every Haraka that the package supports, all from npm,
// one after the other, and a table of the results. The logs stay in .lab/matrix/.
// --node 22 and --haraka 3.3.4 select cells (both may be repeated); with test files as arguments only those run.
// OLD_CLAMD=/path/to/clamd adds a cell: the same tests and the integration tests with that clamd, such as 0.103.12, the
// last with STREAM, on the newest Node and Haraka that were asked for.
import { spawn, spawnSync } from 'node:child_process'
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { clearTimeout, setInterval, setTimeout } from 'node:timers'
import { parseArgs } from 'node:util'
import {
  ensureBuild,
  ensureHaraka,
  ensurePackages,
  ensureTestTools,
  findClamd,
  repository,
} from './setup.mjs'

/** The lowest Node of `engines`, and the newest of each line after it. */
const nodes = ['20.19.0', '22', '24']
const lab = path.join(repository, '.lab')
const limitMs = 25 * 60 * 1000

function harakas() {
  const { engines } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8'))
  const lowest = engines.haraka.replace('>=', '')
  const { status, stdout } = spawnSync('npm', ['view', 'Haraka', 'version'], { encoding: 'utf8' })
  if (status !== 0) throw new Error('the newest Haraka is not known: npm view Haraka failed')
  return [...new Set([lowest, stdout.trim()])]
}

/** The folder of that Node's program, from the npm package that has nothing else in it. */
function installNode(version) {
  const name = `node-${process.platform}-${process.arch}`
  const folder = path.join(lab, `node-${version}`)
  const bin = path.join(folder, 'node_modules', name, 'bin')
  if (existsSync(path.join(bin, 'node'))) return bin
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n')
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', `${name}@${version}`]
  const { status, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' })
  if (status === 0) return bin
  rmSync(folder, { recursive: true, force: true })
  throw new Error(`Node ${version} cannot be installed:\n${stderr}`)
}

function testFilesIn(kind) {
  const names = readdirSync(path.join(repository, 'test', kind)).filter((name) => name.endsWith('.test.ts'))
  return names.sort().map((name) => path.join('test', kind, name))
}

function versionOf(clamd) {
  const { stdout } = spawnSync(clamd, ['--version'], { encoding: 'utf8' })
  const version = /^ClamAV ([\d.]+)/.exec(stdout ?? '')?.[1]
  if (version === undefined) throw new Error(`${clamd} is no clamd`)
  return version
}

/** Ends the tests that are running. */
let endRunning = () => undefined

/** With us the tests go. npm passes a signal to the shell between it and us, which dies without passing it on. */
function endTogether() {
  const parent = process.ppid
  const stop = () => {
    endRunning()
    process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, stop)
  setInterval(() => process.ppid === parent || stop(), 500).unref()
}

/** One cell of the table. The limit is for a run that hangs; then the tests' servers go as well. */
function runCell({ node, haraka, files, clamd = findClamd() }) {
  const bin = installNode(node)
  const version = spawnSync(path.join(bin, 'node'), ['-v'], { encoding: 'utf8' }).stdout.trim().slice(1)
  const clamdVersion = versionOf(clamd)
  const log = path.join(lab, 'matrix', `node-${version}-haraka-${haraka}-clamd-${clamdVersion}.tap`)
  // Each server under test is a process of its own, so a file takes more than one core already.
  const concurrency = `--test-concurrency=${Math.min(availableParallelism(), 4)}`
  const loaded = ['--import', 'tsx', '--import', './test/support/test-limit.mjs']
  const args = [...loaded, '--test', '--test-reporter=tap', concurrency, ...files]
  const env = {
    ...process.env,
    PATH: `${bin}${path.delimiter}${process.env.PATH ?? ''}`,
    HARAKA_VERSION: haraka,
    CLAMD: clamd,
  }
  ensureHaraka({ node: path.join(bin, 'node'), env })
  const startedMs = Date.now()
  const output = createWriteStream(log)
  const child = spawn(path.join(bin, 'node'), args, { cwd: repository, env, detached: true })
  child.stdout.pipe(output, { end: false })
  child.stderr.pipe(output, { end: false })
  // Asked to end, the tests take their servers with them.
  endRunning = () => process.kill(-child.pid, 'SIGTERM')
  return new Promise((resolve) => {
    let outOfTime = false
    const timers = [
      setTimeout(() => {
        outOfTime = true
        endRunning()
      }, limitMs),
      setTimeout(() => process.kill(-child.pid, 'SIGKILL'), limitMs + 10_000),
    ]
    child.on('close', (code) => {
      for (const timer of timers) clearTimeout(timer)
      endRunning = () => undefined
      output.end(() => {
        const seconds = Math.round((Date.now() - startedMs) / 1000)
        resolve({
          node: version,
          haraka,
          clamd: clamdVersion,
          log,
          ...readTap(log),
          code,
          outOfTime,
          seconds,
        })
      })
    })
  })
}

function readTap(log) {
  const text = readFileSync(log, 'utf8')
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(text)?.[1] ?? NaN)
  const failed = [...text.matchAll(/^ *not ok \d+ - (.*)$/gm)].map(([, name]) => name)
  return { tests: count('tests'), pass: count('pass'), skipped: count('skipped'), failed }
}

function verdictOf({ code, outOfTime, tests, failed }) {
  if (outOfTime) return `no end after ${limitMs / 60_000} minutes`
  if (!(tests > 0)) return 'no tests were run'
  if (code !== 0) return `${failed.length} failed`
  return 'ok'
}

function print(cells) {
  const rows = cells.map((cell) => [
    cell.node,
    cell.haraka,
    cell.clamd,
    `${cell.pass} of ${cell.tests}`,
    String(cell.skipped),
    `${cell.seconds} s`,
    verdictOf(cell),
  ])
  const table = [['Node', 'Haraka', 'clamd', 'passed', 'skipped', 'time', ''], ...rows]
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)))
  console.log('')
  for (const row of table)
    console.log(
      row
        .map((text, column) => text.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
  for (const cell of cells.filter((cell) => verdictOf(cell) !== 'ok')) {
    console.log(
      `\nNode ${cell.node}, Haraka ${cell.haraka}, clamd ${cell.clamd}: ${path.relative(repository, cell.log)}`,
    )
    for (const name of cell.failed) console.log(`  ${name}`)
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { node: { type: 'string', multiple: true }, haraka: { type: 'string', multiple: true } },
  })
  endTogether()
  ensurePackages()
  ensureTestTools()
  if (!findClamd()) throw new Error('there is no clamd, and the tests need one')
  ensureBuild()
  const e2e = testFilesIn('e2e')
  const versions = values.haraka ?? harakas()
  const wanted = (values.node ?? nodes).flatMap((node) =>
    versions.map((haraka) => ({ node, haraka, files: e2e })),
  )
  const clamd = process.env.OLD_CLAMD
  const newest = wanted.at(-1)
  if (clamd) wanted.push({ ...newest, clamd, files: [...e2e, ...testFilesIn('integration')] })
  mkdirSync(path.join(lab, 'matrix'), { recursive: true })
  const cells = []
  for (const cell of wanted) {
    console.log(`Node ${cell.node}, Haraka ${cell.haraka}${cell.clamd ? `, ${cell.clamd}` : ''} ...`)
    const done = await runCell({ ...cell, ...(positionals.length > 0 && { files: positionals }) })
    console.log(`  ${verdictOf(done)}, ${done.seconds} s`)
    cells.push(done)
  }
  print(cells)
  process.exitCode = cells.every((cell) => verdictOf(cell) === 'ok') ? 0 : 1
}

main().catch((error) => {
  console.error(`npm run test:matrix: ${error.message}`)
  process.exitCode = 1
})
