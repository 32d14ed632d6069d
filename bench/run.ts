// `npm run bench`: what scanning costs, measured afresh.
import { startClamd } from '../test/support/clamd'
import { baselines, startContender, titles, type Contender } from './contenders'
import { costKinds, measureCosts, type Cost, type Costs } from './cost'
import { LoadClient } from './load'
import { readOptions } from './options'
import { median, spread } from './statistics'

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  const client = LoadClient.start()
  const clamd = await startClamd({
    config: { StreamMaxLength: '100M', MaxFileSize: '100M', MaxScanSize: '400M', IdleTimeout: 3600 },
  })
  const contenders: Contender[] = []
  try {
    for (const name of options.contenders) contenders.push(await startContender(name, clamd))
    print(await measureCosts(contenders, clamd.pid, client, options))
  } finally {
    for (const contender of contenders) await contender.stop()
    await clamd.stop()
    await client.stop()
  }
}

function print(costs: Costs): void {
  for (const [label, ofSize] of costs) {
    console.log(`\n${label}: milliseconds per message, median (least-most)`)
    for (const [name, rounds] of ofSize) {
      const base = ofSize.get(baselines[name] ?? name)
      const cells = costKinds.map((kind) => {
        const { median: middle, min, max } = spread(rounds.map((cost) => cost[kind]))
        const text = max === 0 ? '-' : `${middle.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`
        return `${kind} ${text}`.padEnd(30)
      })
      const added =
        base && baselines[name]
          ? ` added wall ${addedBy(rounds, base, 'wall')} server ${addedBy(rounds, base, 'server')}`
          : ''
      console.log(`  ${titles[name].padEnd(30)} ${cells.join('')}${added}`)
    }
  }
}

function addedBy(rounds: readonly Cost[], base: readonly Cost[], kind: keyof Cost): string {
  return median(rounds.map((cost, round) => cost[kind] - (base[round]?.[kind] ?? NaN))).toFixed(2)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
