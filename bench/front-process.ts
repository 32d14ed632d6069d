// Runs in a process of its own (front.ts): STREAM in front of the clamd whose loopback port is the argument.
import { startStreamFront } from '../test/support/clamd/stream-front'
import { runAsChild } from './child'

runAsChild(async () => {
  const clamd = { host: '127.0.0.1', port: Number(process.argv[2]) }
  const front = await startStreamFront({ clamd, streamMaxLength: 0 })
  process.send?.(front.address.port)
})
