// The scripted clamd observes in other tests; these tests show that it sees and does what they rely on.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { garbage } from '../../support/clamd/clamd-script'
import { type FakeClamdOptions, type Script, startFakeClamd } from '../../support/clamd/fake-clamd'
import { eicar } from '../../support/eicar'
import { TemporaryDirectory } from '../../support/process'

async function fake(t: TestContext, options: FakeClamdOptions = {}) {
  const clamd = await startFakeClamd(options)
  t.after(() => clamd.stop())
  return clamd
}

/** A client that takes what comes, cut into what arrived at a time. */
class Client {
  readonly pieces: Buffer[] = []
  error: NodeJS.ErrnoException | undefined
  readonly closed: Promise<void>
  readonly #ended: Promise<void>

  private constructor(readonly socket: Socket) {
    socket.on('data', (piece: Buffer) => this.pieces.push(piece))
    socket.on('error', (error) => (this.error = error))
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    this.#ended = new Promise((resolve) => socket.once('end', resolve))
  }

  static async open(to: NetConnectOpts): Promise<Client> {
    const socket = connect({ ...to, allowHalfOpen: true })
    const client = new Client(socket)
    await once(socket, 'connect')
    return client
  }

  get text(): string {
    return Buffer.concat(this.pieces).toString('latin1')
  }

  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) await once(this.socket, 'data')
    return this.text
  }

  /** All of the replies. */
  async rest(): Promise<string> {
    await Promise.race([this.#ended, this.closed])
    this.socket.destroy()
    await this.closed
    return this.text
  }
}

function frames(...contents: string[]): Buffer {
  return Buffer.concat(
    [...contents, ''].map((content) => {
      const header = Buffer.alloc(4)
      header.writeUInt32BE(content.length)
      return Buffer.concat([header, Buffer.from(content, 'latin1')])
    }),
  )
}

type Fake = Awaited<ReturnType<typeof fake>>

async function ask(clamd: Fake, ...writes: (string | Buffer)[]): Promise<Client> {
  const client = await Client.open(clamd.address)
  for (const bytes of writes) client.socket.write(bytes)
  return client
}

async function instream(clamd: Fake, ...contents: string[]): Promise<string> {
  return (await ask(clamd, 'zINSTREAM\0', frames(...contents))).rest()
}

async function openData(clamd: Fake, command: Client): Promise<Client> {
  const [, port] = /^PORT (\d+)\n/.exec(await command.until(/\n/)) ?? []
  const { host = '127.0.0.1' } = clamd.address as { host?: string }
  return Client.open({ host: host.includes(':') ? '127.0.0.1' : host, port: Number(port) })
}

async function stream(clamd: Fake, message: string): Promise<string> {
  const command = await ask(clamd, 'STREAM\n')
  const data = await openData(clamd, command)
  data.socket.end(message)
  return (await command.rest()).replace(/^PORT \d+\n/, '')
}

test('answers PING, VERSION and VERSIONCOMMANDS, with the terminator of the command', async (t) => {
  const clamd = await fake(t, { protocols: ['INSTREAM'], version: 'ClamAV 1.4.6/1/today' })
  assert.equal(await (await ask(clamd, 'PING\n')).rest(), 'PONG\n')
  assert.equal(await (await ask(clamd, 'zPING\0')).rest(), 'PONG\0')
  assert.equal(await (await ask(clamd, 'nVERSION\n')).rest(), 'ClamAV 1.4.6/1/today\n')
  assert.match(
    await (await ask(clamd, 'nVERSIONCOMMANDS\n')).rest(),
    /^ClamAV 1.4.6\/1\/today\| COMMANDS: .* INSTREAM/,
  )
  assert.equal(await (await ask(clamd, 'VERSIONCOMMANDS\n')).rest(), 'UNKNOWN COMMAND\n')
  assert.equal(await (await ask(clamd, 'STREAM\n')).rest(), 'UNKNOWN COMMAND\n')
  clamd.answers.PING = [{ do: 'say', text: 'PO' }, { do: 'reset' }]
  await (await ask(clamd, 'zPING\0')).rest()
  assert.deepEqual(clamd.commands.slice(0, 3), ['PING', 'PING', 'VERSION'])
  assert.equal(clamd.connections, 7)
  await clamd.idle()
  assert.deepEqual(clamd.violations, [])
})

const temporary = new TemporaryDirectory('fake')
const places: FakeClamdOptions[] = [{}, { host: '::1' }, { path: path.join(temporary.path, 'clamd.sock') }]
test.after(() => temporary.remove())

for (const place of places) {
  test(`scans by both protocols on ${place.path ? 'a unix socket' : (place.host ?? 'IPv4')}`, async (t) => {
    const clamd = await fake(t, place)
    assert.equal(await instream(clamd, 'half a ', 'message'), 'stream: OK\0')
    assert.equal(await instream(clamd, 'x', eicar()), 'stream: Eicar-Test-Signature FOUND\0')
    assert.equal(await stream(clamd, 'a message'), 'stream: OK\n')
    assert.equal(await stream(clamd, `x${eicar()}`), 'stream: Eicar-Test-Signature FOUND\n')
    const [first, , third] = clamd.scans
    assert.deepEqual(first?.frames, [7, 7])
    assert.equal(first.bytes.toString(), 'half a message')
    assert.equal(third?.bytes.toString(), 'a message')
    assert.deepEqual(
      clamd.scans.map((scan) => scan.end),
      ['terminator', 'terminator', 'fin', 'fin'],
    )
    await clamd.idle()
    assert.equal(clamd.open, 0)
    assert.deepEqual(clamd.violations, [])
  })
}

test('speaks IDSESSION: numbered replies, several scans, and nothing but that', async (t) => {
  const clamd = await fake(t, { sessions: true })
  assert.match(await (await ask(clamd, 'nVERSIONCOMMANDS\n')).rest(), / IDSESSION/)
  const client = await ask(clamd, 'zIDSESSION\0zINSTREAM\0', frames('x'))
  assert.equal(await client.until(/\0/), '1: stream: OK\0')
  client.socket.write(Buffer.concat([Buffer.from('nINSTREAM\n'), frames('half', eicar())]))
  assert.equal(await client.until(/\n/), '1: stream: OK\x002: stream: Eicar-Test-Signature FOUND\n')
  client.socket.write('zPING\0')
  await client.until(/3: PONG\0$/)
  client.socket.write('zEND\0')
  await client.rest()
  assert.deepEqual(clamd.violations, [])
  assert.deepEqual(
    clamd.scans.map(({ inSession, complete }) => [inSession, complete]),
    [
      [1, true],
      [2, true],
    ],
  )

  const refused = await (await ask(clamd, 'zIDSESSION\0zSTREAM\0')).rest()
  assert.equal(refused, '1: Command invalid inside IDSESSION. ERROR\0')
  assert.deepEqual(clamd.violations, ['STREAM in a session'])
  await (
    await ask(clamd, 'zIDSESSION\0zINSTREAM\0', Buffer.concat([frames('x'), Buffer.from('more')]))
  ).until(/OK/)
  assert.deepEqual(clamd.violations.slice(1), ['bytes before the reply, in a session'])
  assert.equal(await (await ask(clamd, 'IDSESSION\n')).rest(), 'UNKNOWN COMMAND\n')
  clamd.sessions = false
  assert.equal(await (await ask(clamd, 'zIDSESSION\0')).rest(), 'UNKNOWN COMMAND\0')
})

test('scripts what a session does while it is idle', async (t) => {
  const clamd = await fake(t, { sessions: true })
  await clamd.play([
    { at: 'reply', do: 'say', text: '{verdict}', number: 7 },
    { at: 'close', do: 'say', text: 'COMMAND READ TIMED OUT', end: '\n', number: null },
    { at: 'close', do: 'close' },
  ])
  const client = await ask(clamd, 'zIDSESSION\0zINSTREAM\0', frames('x'))
  assert.equal(await client.rest(), '7: stream: OK\0COMMAND READ TIMED OUT\n')
  const other = await ask(clamd, 'zIDSESSION\0')
  await clamd.resetAll()
  await other.closed
})

test('records breaches of the protocol', async (t) => {
  const clamd = await fake(t)
  await clamd.play([{ at: 'reply', do: 'wait', ms: 20 }])
  await (await ask(clamd, 'zINSTREAM\0', frames('x'), 'more')).rest()
  await (await ask(clamd, 'zINSTREAM\0', Buffer.from('GET / HTTP/1.1').fill(0xff, 0, 4))).rest()
  await (await ask(clamd, 'INSTREAM\n')).rest()
  const command = await ask(clamd, 'STREAM\n')
  const data = await openData(clamd, command)
  command.socket.write('hello')
  await delay(20)
  data.socket.end('x')
  await command.rest()
  assert.deepEqual(clamd.violations, [
    '4 bytes on the command connection after the terminator',
    'an impossible chunk length',
    'INSTREAM without a prefix',
    '5 bytes on the command connection during STREAM',
  ])
})

test('accepts one data connection, and says so when none comes', async (t) => {
  const clamd = await fake(t, { acceptMs: 30 })
  assert.equal(
    await (await ask(clamd, 'zSTREAM\0')).rest().then((text) => text.replace(/\d+/, 'n')),
    'PORT n\0Accept timeout. ERROR\0',
  )
  const command = await ask(clamd, 'STREAM\n')
  const data = await openData(clamd, command)
  await clamd.seen('dataConnect')
  await assert.rejects(openData(clamd, command), { code: 'ECONNREFUSED' })
  data.socket.resetAndDestroy()
  assert.match(await command.rest(), /stream: OK/)
  assert.equal(clamd.scans.at(-1)?.end, 'reset')
})

test('cuts STREAM in silence and refuses INSTREAM beyond the limit', async (t) => {
  const clamd = await fake(t, { streamMaxLength: 10 })
  assert.equal(await stream(clamd, `0123456789${eicar()}`), 'stream: OK\n')
  assert.equal(clamd.scans[0]?.bytes.toString(), '0123456789')
  assert.equal(await instream(clamd, '012345', '67890'), 'INSTREAM size limit exceeded. ERROR\0')
})

interface Case {
  script: Script
  /** What the client of an INSTREAM scan gets before the end, and the error code if it is not a clean end. */
  gets: string
  code?: string
}

const cases: Record<string, Case> = {
  'says something else': {
    script: [{ at: 'reply', do: 'say', text: 'stream: no', end: '\n' }],
    gets: 'stream: no\n',
  },
  'says the verdict without an end': {
    script: [{ at: 'reply', do: 'say', text: '{verdict}', end: '' }],
    gets: 'stream: OK',
  },
  'says nothing': { script: [{ at: 'reply', do: 'close' }], gets: '' },
  'replies early, and again': {
    script: [{ at: 'command', do: 'say', text: 'stream: OK' }],
    gets: 'stream: OK\0stream: OK\0',
  },
  'has timed out': {
    script: [{ at: 'accept', do: 'answer', text: 'COMMAND READ TIMED OUT', end: '\n' }],
    gets: 'COMMAND READ TIMED OUT\n',
  },
  'does not know it': {
    script: [{ at: 'command', do: 'answer', text: 'UNKNOWN COMMAND' }],
    gets: 'UNKNOWN COMMAND\0',
  },
  'resets in the middle': { script: [{ at: 'middle', after: 4, do: 'reset' }], gets: '', code: 'ECONNRESET' },
  'resets instead of closing': {
    script: [
      { at: 'close', do: 'wait', ms: 100 },
      { at: 'close', do: 'reset' },
    ],
    gets: 'stream: OK\0',
    code: 'ECONNRESET',
  },
  'half-closes instead of a reply': { script: [{ at: 'reply', do: 'halfClose' }], gets: '' },
  'talks garbage': {
    script: [{ at: 'reply', do: 'garbage', bytes: 1 << 20, seed: 7 }],
    gets: garbage({ bytes: 1 << 20, seed: 7 }).toString('latin1'),
  },
}

for (const [name, { script, gets, code }] of Object.entries(cases)) {
  test(`a script: ${name}`, async (t) => {
    const clamd = await fake(t)
    await clamd.play(script)
    const client = await ask(clamd, 'zINSTREAM\0', frames('01234', '56789'))
    assert.ok((await client.rest()) === gets, client.text.slice(0, 100))
    assert.equal(client.error?.code, code)
    await clamd.idle()
  })
}

test('splits what it says at any byte', async (t) => {
  const clamd = await fake(t)
  await clamd.play([{ at: 'reply', do: 'say', text: 'stream: OK', split: 'bytes', everyMs: 5 }])
  const dribbled = await ask(clamd, 'zINSTREAM\0', frames('x'))
  await dribbled.rest()
  assert.equal(dribbled.pieces.length, 'stream: OK\0'.length)
  await clamd.play([
    { at: 'reply', do: 'say', text: 'stream: OK', split: 3, everyMs: 5 },
    { at: 'reply', do: 'wait', ms: 5 },
    { at: 'reply', do: 'say', text: 'stream: OK', end: '\n' },
  ])
  const split = await ask(clamd, 'zINSTREAM\0', frames('x'))
  await split.rest()
  assert.deepEqual(split.pieces.map(String), ['str', 'eam: OK\0', 'stream: OK\n'])
})

test('keeps to a queue of scripts, then to the standing one', async (t) => {
  const clamd = await fake(t)
  await clamd.play((scan) => [{ at: 'reply', do: 'say', text: `standing ${scan}` }])
  clamd.queue([{ at: 'reply', do: 'say', text: 'queued' }], [])
  assert.equal(await instream(clamd, 'x'), 'queued\0')
  assert.equal(await (await ask(clamd, 'zPING\0')).rest(), 'PONG\0')
  assert.equal(await instream(clamd, 'x'), 'stream: OK\0')
  assert.equal(await instream(clamd, 'x'), 'standing 2\0')
})

test('stalls, and still notices the end of the client', async (t) => {
  const clamd = await fake(t)
  await clamd.play([{ at: 'first', do: 'stall' }])
  const command = await ask(clamd, 'STREAM\n')
  const data = await openData(clamd, command)
  data.socket.write('x')
  await clamd.seen('first')
  assert.equal(clamd.open, 2)
  data.socket.destroy()
  command.socket.destroy()
  const scan = await clamd.nextScan()
  assert.equal(scan.complete, false)
  await clamd.idle()
})

test('a frozen daemon lets writes get stuck until it is waited for', async (t) => {
  const clamd = await fake(t)
  await clamd.play([{ at: 'first', do: 'freeze' }])
  const client = await ask(clamd, 'zINSTREAM\0', frames('x'.repeat(50_000_000)))
  await clamd.seen('first')
  await delay(50)
  assert.ok(client.socket.writableLength > 0)
  client.socket.destroy()
  assert.equal(clamd.open, 1)
  await clamd.idle()
})

test(
  'a daemon that freezes while it is waited for notices the end of its client',
  { timeout: 20_000 },
  async (t) => {
    const clamd = await fake(t)
    await clamd.play([{ at: 'first', do: 'freeze' }])
    const client = await ask(clamd, 'zINSTREAM\0')
    await clamd.seen('command')
    const idle = clamd.idle()
    client.socket.write(frames('x'.repeat(1_000_000)))
    await clamd.seen('first')
    client.socket.destroy()
    await idle
  },
)

test('a broken data connection ends the message, and the verdict comes all the same', async (t) => {
  const clamd = await fake(t)
  await clamd.play([{ at: 'middle', after: 3, do: 'reset' }])
  const command = await ask(clamd, 'STREAM\n')
  const data = await openData(clamd, command)
  data.socket.write('0123456789')
  await data.closed
  assert.equal(data.error?.code, 'ECONNRESET')
  assert.match(await command.rest(), /^PORT \d+\nstream: OK\n$/)
})

for (const text of ['PORT 0', 'PORT 65536', 'PORT -1', 'PORT x', 'PORT', '']) {
  test(`says ${JSON.stringify(text)} for a port`, async (t) => {
    const clamd = await fake(t, { acceptMs: 20 })
    await clamd.play([{ at: 'port', do: 'say', text }])
    assert.equal(await (await ask(clamd, 'STREAM\n')).rest(), `${text}\nAccept timeout. ERROR\n`)
  })
}

/** How a connect ends: with an error code, connected, or not at all within so long. */
async function dial(to: NetConnectOpts): Promise<string> {
  const socket = connect(to)
  const outcome = await Promise.race([
    once(socket, 'connect').then(
      () => 'connected',
      (error: unknown) => (error as NodeJS.ErrnoException).code ?? 'failed',
    ),
    delay(400, 'hangs'),
  ])
  socket.on('error', () => undefined).destroy()
  return outcome
}

test('refuses, is a black hole, and comes back on the same port', async (t) => {
  const clamd = await fake(t)
  const { address } = clamd
  await clamd.play([{ at: 'connect', do: 'refuse' }])
  assert.equal(await dial(address), 'ECONNREFUSED')
  await clamd.play([{ at: 'connect', do: 'blackHole' }])
  assert.equal(await dial(address), 'hangs')
  assert.equal(await dial(address), 'hangs')
  await clamd.play([])
  assert.equal(await instream(clamd, 'x'), 'stream: OK\0')
})

for (const [deadEnd, outcome] of [
  ['refuse', 'ECONNREFUSED'],
  ['blackHole', 'hangs'],
] as const) {
  test(`names a data port that is a dead end: ${deadEnd}`, async (t) => {
    const clamd = await fake(t)
    await clamd.play([{ at: 'dataConnect', do: deadEnd }])
    const command = await ask(clamd, 'STREAM\n')
    const [, port] = /^PORT (\d+)\n/.exec(await command.until(/\n/)) ?? []
    assert.equal(await dial({ host: '127.0.0.1', port: Number(port) }), outcome)
    command.socket.destroy()
    await clamd.idle()
  })
}

test('stops in the middle of everything', async (t) => {
  const clamd = await fake(t)
  await clamd.play(
    (scan) =>
      [
        [{ at: 'accept', do: 'wait', ms: 60_000 }] satisfies Script,
        [{ at: 'command', do: 'stall' }] satisfies Script,
        [{ at: 'dataConnect', do: 'blackHole' }] satisfies Script,
        [{ at: 'reply', do: 'say', text: 'stream: OK', split: 'bytes', everyMs: 60_000 }] satisfies Script,
      ][scan] ?? [],
  )
  const clients: Client[] = []
  for (const word of ['zPING\0', 'zINSTREAM\0', 'STREAM\n', 'zINSTREAM\0', 'STREAM\n']) {
    clients.push(await ask(clamd, word, word.startsWith('z') ? frames('x') : ''))
    await clamd.seen(word.startsWith('zP') ? 'accept' : 'command')
  }
  await clients[2]?.until(/PORT/)
  await clamd.seen('reply')
  await clamd.stop()
  await Promise.all(clients.map((client) => client.rest()))
  assert.equal(clamd.open, 0)
})
