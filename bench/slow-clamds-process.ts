// Runs in a process of its own (slow-clamds.ts): passes everything on to one real clamd and holds its replies back, each
// for so long and one after the other, as a daemon does that has one slow thread. Knows no protocol.
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { runAsChild } from './child'

const host = '127.0.0.1'

async function startSlowed(clamdPort: number, scanMs: number): Promise<number> {
  let free = Promise.resolve()
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const clamd = net.connect({ host, port: clamdPort, allowHalfOpen: true, noDelay: true })
    client.on('error', () => clamd.destroy())
    clamd.on('error', () => client.destroy())
    client.pipe(clamd)
    let told = Promise.resolve()
    clamd.on('data', (reply: Buffer) => {
      free = free.then(() => delay(scanMs))
      told = free.then(() => void client.write(reply))
    })
    clamd.on('end', () => void told.then(() => client.end()))
  })
  server.listen({ host, port: 0 })
  await once(server, 'listening')
  const address = server.address()
  return address !== null && typeof address === 'object' ? address.port : 0
}

runAsChild(async () => {
  const [clamdPort = 0, count = 0, scanMs = 0] = process.argv.slice(2).map(Number)
  const ports = await Promise.all(Array.from({ length: count }, () => startSlowed(clamdPort, scanMs)))
  process.send?.(ports)
})
