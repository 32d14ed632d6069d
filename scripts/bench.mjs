// `npm run bench`: gets a fresh clone ready, with a Postfix and a clamav-milter to compare with where that does no harm,
// then hands over to bench/run.ts. Arguments go there.
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
