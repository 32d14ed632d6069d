// The STREAM front before a real clamd: its verdicts are real, and its dialogue is that of clamd 0.103.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { clamdOrSkip, type RealClamd, startClamd } from '../support/clamd/clamd'
import { type FrontBehaviour, startStreamFront, type StreamFront } from '../support/clamd/stream-front'
import { eicar, eicarName } from '../support/eicar'

let clamd: RealClamd | undefined
test.after(() => clamd?.stop())

async function front(t: TestContext, behaviour: Partial<FrontBehaviour> = {}): Promise<StreamFront> {
  clamd ??= await startClamd({ config: { StreamMaxLength: '1M' } })
  const started = await startStreamFront({ clamd: { host: clamd.host, port: clamd.port }, ...behaviour })
  t.after(() => started.stop())
  return started
}

async function open(to: NetConnectOpts): Promise<Socket> {
  const socket = connect({ ...to, allowHalfOpen: true })
  await once(socket, 'connect')
  return socket
}

/** What comes until the other side closes. */
async function rest(socket: Socket): Promise<string> {
  let text = ''
  for await (const piece of socket) text += (piece as Buffer).toString('latin1')
  socket.destroy()
  return text
}

async function ask(to: StreamFront, ...writes: (string | Buffer)[]): Promise<string> {
  const socket = await open(to.address)
  for (const bytes of writes) socket.write(bytes)
  return rest(socket)
}

async function portOf(command: Socket): Promise<number> {
  const [line] = (await once(command, 'data')) as [Buffer]
  command.pause()
  return Number(/^PORT (\d+)[\n\0]$/.exec(line.toString())?.[1])
}

async function scan(to: StreamFront, message: string | Buffer, word = 'STREAM\n'): Promise<string> {
  const command = await open(to.address)
  command.write(word)
  const data = await open({ host: '127.0.0.1', port: await portOf(command) })
  // A client over the limit is cut off in the middle of its writing.
  data.on('error', () => undefined).end(message)
  return rest(command)
}

function frame(message: string): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(message.length)
  return Buffer.concat([header, Buffer.from(message), Buffer.alloc(4)])
}

test('STREAM ends in a real verdict', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t)
  assert.equal(await scan(daemon, 'a clean message'), 'stream: OK\n')
  assert.equal(daemon.lastMessage.toString(), 'a clean message')
  assert.equal(await scan(daemon, eicar(), 'zSTREAM\0'), `stream: ${eicarName} FOUND\0`)
  assert.equal(await scan(daemon, '', 'nSTREAM\n'), 'stream: OK\n')
  assert.equal(daemon.scans, 3)
  assert.deepEqual(daemon.commands, ['STREAM', 'STREAM', 'STREAM'])
  await daemon.idle()
  assert.deepEqual(daemon.open, { command: 0, data: 0 })
})

test('it says who it is, and has nothing but STREAM', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t)
  assert.equal(await ask(daemon, 'PING\n'), 'PONG\n')
  assert.match(await ask(daemon, 'zVERSION\0'), /^ClamAV 0\.103\.12[^|]*\0$/)
  assert.match(await ask(daemon, 'nVERSIONCOMMANDS\n'), /^ClamAV 0\.103\.12.*\| COMMANDS: .*\bSTREAM\n$/)
  for (const word of ['VERSIONCOMMANDS\n', 'zINSTREAM\0', 'nIDSESSION\n', 'INSTREAM\n']) {
    assert.equal((await ask(daemon, word)).slice(0, -1), 'UNKNOWN COMMAND')
  }
})

test('one connection to a data port of the range, and IPv4 only', async (t) => {
  if (!clamdOrSkip(t)) return
  const min = 19_000 + Math.floor(Math.random() * 900)
  const daemon = await front(t, { dataPorts: { min, max: min + 3 } })
  const command = await open(daemon.address)
  command.write('STREAM\n')
  const port = await portOf(command)
  assert.ok(port >= min && port <= min + 3)
  await assert.rejects(open({ host: '::1', port }), { code: 'ECONNREFUSED' })
  const data = await open({ host: '127.0.0.1', port })
  data.write('x')
  await assert.rejects(open({ host: '127.0.0.1', port }), { code: 'ECONNREFUSED' })
  assert.deepEqual(daemon.open, { command: 1, data: 1 })
  data.resetAndDestroy()
  assert.equal(await rest(command), 'stream: OK\n')
  assert.equal(daemon.lastMessage.toString(), 'x')
})

test('over its limit it cuts in silence', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t, { streamMaxLength: 100_000 })
  const padding = 'x\n'.repeat(50_000)
  assert.equal(await scan(daemon, padding + eicar()), 'stream: OK\n')
  assert.equal(daemon.lastMessage.toString(), padding)
  assert.equal(await scan(daemon, eicar() + padding.repeat(100)), `stream: ${eicarName} FOUND\n`)
})

test('it gives up on a client that does not come or falls silent', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t, { acceptMs: 50, readMs: 50 })
  assert.match(await ask(daemon, 'STREAM\n'), /^PORT \d+\nAccept timeout\. ERROR\n$/)
  const command = await open(daemon.address)
  command.write('STREAM\n')
  const data = await open({ host: '127.0.0.1', port: await portOf(command) })
  data.write('x')
  assert.equal(await rest(command), 'read timeout ERROR\n')
  assert.equal(daemon.scans, 0)
  data.destroy()
})

test('it becomes another daemon: newer, without STREAM; older, without VERSIONCOMMANDS', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t)
  daemon.become({ stream: false, instream: true, engine: '1.4.6' })
  assert.equal(await ask(daemon, 'STREAM\n'), 'UNKNOWN COMMAND\n')
  assert.equal(await ask(daemon, 'zINSTREAM\0', frame('clean')), 'stream: OK\0')
  assert.equal(await ask(daemon, 'nINSTREAM\n', frame(eicar())), `stream: ${eicarName} FOUND\n`)
  assert.equal(daemon.lastMessage.toString(), eicar())
  assert.match(await ask(daemon, 'nVERSIONCOMMANDS\n'), /^ClamAV 1\.4\.6.*\| COMMANDS: .*\bINSTREAM\n$/)
  daemon.become({ stream: true, instream: false, versionCommands: false, engine: '0.94.2' })
  assert.match(await ask(daemon, 'nVERSIONCOMMANDS\n'), /^ClamAV 0\.94\.2[^|]*\n$/)
  assert.equal(await ask(daemon, 'zVERSIONCOMMANDS\0'), 'UNKNOWN COMMAND\n')
  assert.equal(await scan(daemon, 'clean'), 'stream: OK\n')
})

test('a data port that is a dead end', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t, { dataPort: 'refuse', acceptMs: 400 })
  const command = await open(daemon.address)
  command.write('STREAM\n')
  await assert.rejects(open({ host: '127.0.0.1', port: await portOf(command) }), { code: 'ECONNREFUSED' })
  command.destroy()
  daemon.become({ dataPort: 'blackHole' })
  const second = await open(daemon.address)
  second.write('STREAM\n')
  const data = connect({ host: '127.0.0.1', port: await portOf(second) }).on('error', () => undefined)
  assert.equal(await rest(second), 'Accept timeout. ERROR\n')
  assert.equal(data.connecting, true)
  data.destroy()
})

test('a clamd that is gone shows as a bare close', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t)
  daemon.become({ clamd: { path: '/nonexistent/clamd.sock' } })
  assert.equal(await ask(daemon, 'PING\n'), '')
  assert.equal(await scan(daemon, 'clean'), '')
})
