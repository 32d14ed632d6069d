// Events for browsers that are slow, stopped or gone: none keeps one of the few places for ever.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { EventStream } from '../../../../lib/monitoring/dashboard/event-stream'

const viewer = { login: null, address: '192.0.2.1' }
const limited = { timeout: 30_000 }

/** A server that gives everybody the feed, with large events that are never the same, every few milliseconds. */
async function startFeed(t: TestContext) {
  const text = 'x'.repeat(1024 * 1024)
  let count = 0
  const eventStream = new EventStream(() => Promise.resolve({ count: count++, text }), 5)
  const responses: ServerResponse[] = []
  const server = createServer((_request, response) => {
    responses.push(response)
    eventStream.add(response, viewer, () => true)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    eventStream.end()
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  /** A browser that reads nothing, until there is as much for it as is kept. */
  const startStalled = async () => {
    const socket = connect(port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.on('error', () => undefined)
    socket.pause()
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(server, 'request')
    const response = responses.at(-1)
    assert.ok(response)
    while (response.writableLength <= 1024 * 1024) await new Promise((resolve) => setTimeout(resolve, 5))
    return { socket, response, closed: once(response, 'close') }
  }
  return { startStalled }
}

test('a browser that never reads is disconnected', limited, async (t) => {
  const { startStalled } = await startFeed(t)
  const { closed } = await startStalled()
  await closed
})

test('a browser that reads again stays connected', limited, async (t) => {
  const { startStalled } = await startFeed(t)
  const { socket, response } = await startStalled()
  let bytes = 0
  socket.on('data', (chunk) => (bytes += chunk.length))
  socket.resume()
  while (bytes < 50 * 1024 * 1024) await once(socket, 'data')
  assert.equal(response.destroyed, false)
})

test('a browser that disconnects before it is added takes no place', limited, async (t) => {
  const eventStream = new EventStream(() => Promise.resolve({}))
  t.after(() => eventStream.end())
  const server = createServer((request, response) => {
    request.socket.destroy()
    // As behind a plugin's middleware that has waited for something.
    response.on('close', () => setImmediate(() => eventStream.add(response, viewer, () => true)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  for (let i = 0; i < 40; i++) {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'close')
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(eventStream.hasRoomFor(viewer))
})
