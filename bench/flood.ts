// The peak memory of Haraka (VmHWM) during a flood of large messages, with this plugin and without any scanning, each in
// a new process. Prints both and their ratio. Run it with `npm run build && node --import tsx bench/flood.ts`.
import { readFileSync } from 'node:fs'
import { startClamd } from '../test/support/clamd/clamd'
import { keepRecord } from '../test/support/faults/fault-record'
import { big } from '../test/support/smtp/mails'
import { sendMessage } from '../test/support/smtp/smtp'
import { type Site, startSite, withClamavStream, withoutScanning } from './sites'

export interface FloodMemory {
  messages: number
  megabytes: number
  withoutMiB: number
  withMiB: number
}

const megabytes = 25
const rounds = 3

type Kind = 'without' | 'with'

async function peakMiB(kind: Kind, messages: number): Promise<number> {
  const clamd = await startClamd({
    config: { StreamMaxLength: '100M', MaxFileSize: '100M', MaxScanSize: '400M' },
  })
  const site: Site = kind === 'with' ? withClamavStream([`${clamd.host}:${clamd.port}`]) : withoutScanning()
  let haraka: Awaited<ReturnType<typeof startSite>> | undefined
  try {
    const { port, pid } = (haraka = await startSite(site))
    const send = async () => {
      const reply = await sendMessage(port, { data: big(megabytes * 1e6), timeoutMs: 300_000 })
      if (reply.code !== 250) throw new Error(`${kind}: ${reply.code} ${reply.text}`)
    }
    await Promise.all(Array.from({ length: messages }, send))
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Math.round(Number(/^VmHWM:\s*(\d+) kB/m.exec(status)?.[1]) / 1024)
  } finally {
    await haraka?.stop()
    await clamd.stop()
  }
}

async function median(kind: Kind, messages: number): Promise<number> {
  const peaks = []
  for (let round = 0; round < rounds; round++) peaks.push(await peakMiB(kind, messages))
  return peaks.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? NaN
}

async function main(): Promise<void> {
  const seen: FloodMemory[] = []
  for (const messages of [1, 8]) {
    const withoutMiB = await median('without', messages)
    const withMiB = await median('with', messages)
    seen.push({ messages, megabytes, withoutMiB, withMiB })
    const ratio = (withMiB / withoutMiB).toFixed(2)
    console.log(
      `${messages} of ${megabytes} MB at once: ${withoutMiB} MiB without, ${withMiB} MiB with, ratio ${ratio}`,
    )
  }
  keepRecord('flood', seen)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
