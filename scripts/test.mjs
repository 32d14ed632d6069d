// `npm test`, on a laptop and in CI alike: gets a fresh clone ready, then the cheap checks, then every test in one
// run of node's own runner, whose summary comes last. Arguments go to that runner; test files among them are run
// instead of all.
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import {
  ensureBuild,
  ensureClamd,
  ensureHaraka,
  ensurePackages,
  ensureTestTools,
  handOver,
  repository,
  runStep,
} from './setup.mjs'

const checks = ['types', 'lint', 'prettier']

function testFiles() {
  return ['unit', 'fuzz', 'integration', 'e2e', 'faults'].flatMap((kind) => {
    const directory = path.join('test', kind)
    const names = readdirSync(path.join(repository, directory)).sort()
    return names.filter((name) => name.endsWith('.test.ts')).map((name) => path.join(directory, name))
  })
}

function runTests(args) {
  const chosen = args.filter((arg) => arg.endsWith('.test.ts'))
  const options = args.filter((arg) => !chosen.includes(arg))
  // Most tests wait for sockets, but some measure time: no more at once than there are cores.
  const concurrency = `--test-concurrency=${Math.min(availableParallelism(), 4)}`
  const runner = ['--import', 'tsx', '--test', '--test-reporter=spec', concurrency]
  const files = chosen.length > 0 ? chosen : testFiles()
  if (files.length === 0) throw new Error('there are no tests')
  if (files.some((file) => file.includes('e2e'))) ensureHaraka()
  handOver([...runner, ...options, ...files], ['ignore', 'inherit', 'inherit'])
}

function main() {
  ensurePackages()
  if (!ensureClamd({ testfiles: true })) {
    if (process.env.CI) throw new Error('there is no clamd, and CI must not skip the tests that need it')
    console.log('There is no clamd: the tests that need one are skipped.')
  }
  ensureTestTools()
  ensureBuild()
  for (const check of checks) {
    if (!runStep('npm', ['run', '--silent', check])) throw new Error(`npm run ${check} failed`)
  }
  runTests(process.argv.slice(2))
}

try {
  main()
} catch (error) {
  console.error(`npm test: ${error.message}`)
  process.exitCode = 1
}
