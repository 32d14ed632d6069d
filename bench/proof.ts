// What the self test costs a clamd and a Haraka. A clamd with the limits of Debian's file proves the default max_size;
// one with lower limits has to be searched for the largest size. Run it with `node --import tsx bench/proof.ts`.
import { connect } from 'node:net'
import { runSelfTest } from '../lib/health/self-test'
import { startClamd } from '../test/support/clamd/clamd'
import { cpuMsBetween, cpuSnapshot } from './cpu'

const MiB = 1024 * 1024
const usual = { StreamMaxLength: '25M', MaxFileSize: '25M', MaxScanSize: '100M' }
const cases: [name: string, config: Record<string, string>][] = [
  ["Debian's clamd.conf", usual],
  ['MaxFileSize 10M', { ...usual, MaxFileSize: '10M' }],
  ['StreamMaxLength 10M', { ...usual, StreamMaxLength: '10M' }],
  ['MaxScanSize 25M', { ...usual, MaxScanSize: '25M' }],
]

async function main(): Promise<void> {
  for (const [name, config] of cases) {
    const clamd = await startClamd({ config })
    try {
      const before = { clamd: cpuSnapshot([clamd.pid]), own: process.cpuUsage() }
      const selfTest = await runSelfTest(
        { host: clamd.host, port: clamd.port },
        {
          depth: 'full',
          protocol: 'instream',
          maxBytes: 25 * MiB,
          bufferBytes: 8192,
          connectMs: 5000,
          scanMs: 60_000,
        },
        connect,
        new AbortController().signal,
      )
      const own = process.cpuUsage(before.own)
      const cost = [
        `${selfTest.probes} probes`,
        `${(selfTest.sentBytes / MiB).toFixed(1)} MiB`,
        `${selfTest.ms} ms`,
        `clamd CPU ${Math.round(cpuMsBetween(before.clamd, cpuSnapshot([clamd.pid])))} ms`,
        `own CPU ${Math.round((own.user + own.system) / 1000)} ms`,
      ]
      console.log(
        `${name}: proven ${((selfTest.maxScannableBytes ?? 0) / MiB).toFixed(2)} MiB; ${cost.join(', ')}`,
      )
    } finally {
      await clamd.stop()
    }
  }
}

void main()
