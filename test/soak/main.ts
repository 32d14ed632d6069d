// `npm run soak`: a soak of a number of messages or a time, whichever ends first, and its report. Exit 1 if anything is wrong.
// With --time alone the number has no limit.
//   npm run soak -- --time 25m
//   npm run soak -- --count 5000 --seed 1
import { parseArgs } from 'node:util'
import ms from 'ms'
import { findClamd } from '../support/clamd/clamd'
import { reportText } from './report'
import { soak } from './soak'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      count: { type: 'string' },
      time: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  })
  // A string that is no time comes back as undefined.
  const forMs = ms((values.time ?? '2m') as ms.StringValue) as number | undefined
  const count = Number(values.count ?? (values.time === undefined ? 2000 : Infinity))
  const seed = Number(values.seed)
  if (forMs === undefined || forMs <= 0) throw new Error('--time is a time such as 30s or 10m')
  if (!(count > 0) || !Number.isInteger(seed)) throw new Error('--count and --seed are whole numbers')
  if (!findClamd()) throw new Error('clamd is not installed')
  const report = await soak({ count, forMs, seed })
  console.log(reportText(report))
  if (report.wrong.length > 0) process.exitCode = 1
}

main().catch((error: unknown) => {
  console.error(`npm run soak: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
