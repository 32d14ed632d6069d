// STREAM's data port, to which any program on clamd's machine can connect before us: clamd then scans a stranger's
// bytes and says OK. That OK is never believed of our message.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { FakeConnection, readCommand } from '../support/clamd/fake-connection'
import { Scanning } from '../support/clamd/scanning'
import { clean } from '../support/smtp/mails'

/** What becomes of our connection when another one was there first. */
const fates: Record<string, (ours: Socket) => void> = {
  'reset with the listener': (ours) => ours.resetAndDestroy(),
  'never read': (ours) => ours.pause(),
  'closed unread': (ours) => ours.end(),
}

async function listening(t: TestContext, server: Server): Promise<number> {
  t.after(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Serves one STREAM: takes the first connection to its data port for the client's, as clamd does. */
async function serve(t: TestContext, command: FakeConnection, fate: (ours: Socket) => void): Promise<void> {
  await readCommand(command)
  const data = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  const port = await listening(t, data)
  const arrivals: Promise<Socket>[] = []
  const stranger = connect(port, '127.0.0.1').on('error', () => undefined)
  arrivals.push(once(data, 'connection').then(([socket]) => socket as Socket))
  const first = await Promise.all(arrivals).then(([socket]) => socket)
  data.once('connection', (ours: Socket) => {
    ours.on('error', () => undefined)
    t.after(() => ours.destroy())
    fate(ours)
  })
  await command.write(Buffer.from(`PORT ${port}\n`))
  stranger.end('nothing but clean text\r\n')
  first?.resume()
  if (first) await once(first, 'end')
  first?.destroy()
  await command.write(Buffer.from('stream: OK\n'))
  command.close()
}

for (const [name, fate] of Object.entries(fates)) {
  test(`a stranger was first at the data port; our connection is ${name}`, async (t) => {
    const clamd = createServer(
      { allowHalfOpen: true },
      (socket) => void serve(t, new FakeConnection(socket), fate),
    )
    const port = await listening(t, clamd)
    const scanning = new Scanning([{ host: '127.0.0.1', port }], {
      protocol: 'stream',
      connectMs: 300,
      scanMs: 5000,
    })
    t.after(() => scanning.destroy())
    const verdict = await scanning.scan(Buffer.concat([clean(), Buffer.alloc(200_000, 'x')]))
    assert.deepEqual([verdict.outcome, 'reason' in verdict && verdict.reason], ['unscanned', 'error'])
    assert.deepEqual(scanning.leftovers(), [])
  })
}
