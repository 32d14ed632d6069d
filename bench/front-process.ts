// Runs in a process of its own (front.ts): STREAM in front of the clamd whose loopback port is the argument.
import { startStreamFront } from '../test/support/stream-front'

async function main(): Promise<void> {
  const clamd = { host: '127.0.0.1', port: Number(process.argv[2]) }
  const front = await startStreamFront({ clamd, streamMaxLength: 0 })
  process.send?.(front.address.port)
}

process.once('disconnect', () => process.exit())
main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
