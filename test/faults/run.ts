// `npm run test:faults`: the fault tests in their fuller form; with --quick, in the form that `npm test` runs. With --write,
// what was seen goes into results.json and docs/reports/reliability.md, the flood of bench/flood.ts included. --render
// measures nothing, and writes the page again from results.json.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { writeReliability } from '../support/faults/fault-page'
import { collectFaultResults, readFaultResults, writeFaultResults } from '../support/faults/fault-results'
import { repository } from '../support/haraka/haraka-install'
import { TemporaryDirectory } from '../support/process'

function runNode(args: readonly string[], env: NodeJS.ProcessEnv): boolean {
  const options = { cwd: repository, stdio: 'inherit', env: { ...process.env, ...env } } as const
  return spawnSync(process.execPath, ['--import', 'tsx', ...args], options).status === 0
}

const known = ['--write', '--quick', '--render']

async function main(flags: readonly string[]): Promise<void> {
  const unknown = flags.find((flag) => !known.includes(flag))
  if (unknown !== undefined) throw new Error(`${unknown}: allowed are ${known.join(', ')}`)
  if (flags.includes('--quick') && flags.includes('--write')) throw new Error('--write needs the fuller form')
  if (flags.includes('--render')) return writeReliability(readFaultResults())
  const record = new TemporaryDirectory('faults')
  const tests = readdirSync(__dirname).filter((name) => name.endsWith('.test.ts'))
  const files = tests.map((name) => path.join(__dirname, name))
  const env = {
    ...(flags.includes('--quick') ? {} : { FAULTS_FULL: '1' }),
    ...(flags.includes('--write') ? { FAULTS_RECORD: record.path } : {}),
  }
  // One file after the other: each starts several servers.
  const isWell = runNode(['--test', '--test-reporter=spec', '--test-concurrency=1', ...files], env)
  if (!isWell) throw new Error('some of it failed')
  if (!flags.includes('--write')) return
  // The flood is measured on this checkout as built.
  const build = spawnSync('npm', ['run', '--silent', 'build'], { cwd: repository, stdio: 'inherit' })
  if (build.status !== 0 || !runNode([path.join(repository, 'bench', 'flood.ts')], env))
    throw new Error('the flood failed')
  const results = collectFaultResults(record.path)
  writeFaultResults(results)
  await writeReliability(results)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`npm run test:faults: ${(error as Error).message}`)
  process.exitCode = 1
})
