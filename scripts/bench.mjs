// `npm run bench`: sets up a fresh clone, and Postfix with its milters for comparison if it may install them; then runs
// bench/run.ts with all arguments.
import { ensureBuild, ensureClamd, ensurePackages, ensurePostfix, handOver } from './setup.mjs'

try {
  const args = process.argv.slice(2)
  const onlyWords = args.some((arg) => ['--help', '-h', '--render'].includes(arg))
  ensurePackages()
  if (!onlyWords) {
    if (!ensureClamd()) throw new Error('there is no clamd')
    ensurePostfix()
    ensureBuild()
  }
  handOver(['--import', 'tsx', 'bench/run.ts', ...args], ['ignore', 'inherit', 'inherit'])
} catch (error) {
  console.error(`npm run bench: ${error.message}`)
  process.exitCode = 1
}
