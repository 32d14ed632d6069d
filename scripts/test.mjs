// `npm test`, locally and in CI: sets up a fresh clone, runs the cheap checks, then all tests in one run of Node's test
// runner, whose summary comes last. With files or folders as arguments only those run, for example
// `npm test -- test/unit/clamd`; options go to the runner.
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import {
  ensureBuild,
  ensureHaraka,
  ensurePackages,
  findClamd,
  handOver,
  repository,
  startStep,
} from './setup.mjs'

const checks = ['types', 'lint', 'prettier']

/** Those of long files first, so that the last minutes are not those of one file. */
const kinds = ['faults', 'e2e', 'integration', 'fuzz', 'unit', 'docs'].map((kind) => path.join('test', kind))

/** The test files that an argument stands for: a test file, or all below a folder. */
function testFilesIn(place) {
  if (place.endsWith('.test.ts')) return [place]
  const names = readdirSync(path.join(repository, place), { recursive: true, encoding: 'utf8' }).sort()
  return names.filter((name) => name.endsWith('.test.ts')).map((name) => path.join(place, name))
}

/** All checks at once: eslint alone takes longer than the others together. */
async function runChecks() {
  const passed = await Promise.all(checks.map((check) => startStep('npm', ['run', '--silent', check])))
  const failed = checks.filter((_, index) => !passed[index])
  if (failed.length > 0) throw new Error(`failed: npm run ${failed.join(', ')}`)
}

function runTests(options, files) {
  // Most tests wait for sockets and servers; those that measure time allow for a busy machine.
  const concurrency = `--test-concurrency=${Math.min(availableParallelism() + 1, 8)}`
  const loaded = ['--import', 'tsx', '--import', './test/support/test-limit.mjs']
  const runner = [...loaded, '--test', '--test-reporter=spec', concurrency]
  handOver([...runner, ...options, ...files], ['ignore', 'inherit', 'inherit'])
}

async function main(args) {
  const places = args.filter((arg) => !arg.startsWith('-'))
  const options = args.filter((arg) => arg.startsWith('-'))
  const files = (places.length > 0 ? places : kinds).flatMap(testFilesIn)
  if (files.length === 0) throw new Error('there are no tests')
  ensurePackages()
  const tools = startStep(process.execPath, ['scripts/test-tools.mjs'])
  ensureBuild()
  const checked = runChecks()
  if (files.some((file) => file.includes('e2e'))) ensureHaraka()
  await tools
  if (!findClamd()) {
    if (process.env.CI) throw new Error('there is no clamd, and CI must not skip the tests that need it')
    console.log('There is no clamd: the tests that need one are skipped.')
  }
  await checked
  runTests(options, files)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`npm test: ${error.message}`)
  process.exitCode = 1
})
