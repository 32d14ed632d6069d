// What an upload puts on a socket: the frames, the limits, and no faster than the other side reads.
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { MessageSource } from '../../../lib/base/message-source'
import type { TooLarge } from '../../../lib/clamd/errors'
import type { Exchange } from '../../../lib/clamd/exchange'
import { command, receivedLine } from '../../../lib/clamd/protocol'
import { stream } from '../../../lib/clamd/stream'
import { Upload } from '../../../lib/clamd/upload'
import { FrameReader } from '../../support/clamd/frames'
import { until } from '../../support/clamd/scanning'

interface Line {
  readonly socket: Socket
  /** The other end, which reads nothing until it is asked to. */
  readonly far: Socket
}

async function line(t: TestContext): Promise<Line> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect({ port: (server.address() as AddressInfo).port, noDelay: true })
  const [far] = (await once(server, 'connection')) as [Socket]
  if (socket.connecting) await once(socket, 'connect')
  for (const end of [socket, far]) end.on('error', () => undefined)
  t.after(() => {
    for (const end of [socket, far]) end.destroy()
    server.close()
  })
  return { socket, far }
}

/** Everything until the other side ends. */
async function rest(far: Socket): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of far) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

interface Options {
  bufferBytes?: number
  maxBytes?: number
  preamble?: Buffer | null
}

function sender(socket: Socket, { bufferBytes = 8192, maxBytes = Infinity, preamble = null }: Options = {}) {
  const refusals: TooLarge[] = []
  const made = new Upload(socket, { bufferBytes, maxBytes }, preamble, (reason) => refusals.push(reason))
  return { made, refusals }
}

/** As a well-behaved source does it: in pieces, waiting for `drain` when told so. */
async function feed(to: Upload, message: Buffer, pieceBytes: number): Promise<void> {
  for (let at = 0; at < message.length; at += pieceBytes) {
    if (!to.write(message.subarray(at, at + pieceBytes))) await once(to, 'drain')
  }
  to.end()
}

const handedOver = (made: Upload) => until(() => made.complete)

/** Not periodic in any power of two, so that nothing can be swapped unnoticed. */
function text(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 7) + (i >> 13)) & 0xff
  return bytes
}

function withHead(message: Buffer): Buffer {
  return Buffer.concat([receivedLine, message])
}

/** The sizes of a message, our line included, that end in and around a boundary of the buffer. */
function sizesAround(bufferBytes: number): number[] {
  const boundary = Math.max(1, Math.ceil((receivedLine.length + 1) / bufferBytes)) * bufferBytes
  const sizes = [0, 1, 7].flatMap((more) => [-1, 0, 1].map((by) => boundary + more * bufferBytes + by))
  return [receivedLine.length, ...sizes].filter((size) => size >= receivedLine.length)
}

test('very short lines leave others a turn of the event loop now and then', async (t) => {
  const { socket, far } = await line(t)
  const { made } = sender(socket, { preamble: command.instream })
  const received = rest(far)
  const message = Buffer.alloc(400_000, '\r\n')
  let turns = 0
  let maxBytes = 0
  for (let at = 0, lines = 0; at < message.length; at += 2) {
    lines++
    if (made.write(message.subarray(at, at + 2))) continue
    maxBytes = Math.max(maxBytes, lines)
    lines = 0
    const immediate = new Promise((resolve) => setImmediate(resolve))
    await Promise.all([once(made, 'drain'), immediate])
    turns++
  }
  made.end()
  await handedOver(made)
  socket.end()
  assert.ok(turns >= 6, `${turns} turns`)
  assert.ok(maxBytes <= 32 * 1024, `${maxBytes} lines in one go`)
  assert.equal((await received).subarray(-4).readUInt32BE(), 0)
})

for (const bufferBytes of [1, 2, 41, 42, 43, 1000, 8192, 65_532, 65_536, 65_537, 200_000]) {
  test(`frames of ${bufferBytes} bytes: all full but the last, and the end mark behind them`, async (t) => {
    for (const size of sizesAround(bufferBytes)) {
      const message = text(size - receivedLine.length)
      for (const pieceBytes of [1 + (size >> 8), 4096, Math.max(1, message.length)]) {
        const { socket, far } = await line(t)
        const { made } = sender(socket, { bufferBytes, preamble: command.instream })
        const received = rest(far)
        await feed(made, message, pieceBytes)
        await handedOver(made)
        socket.end()
        const bytes = await received
        assert.ok(bytes.subarray(0, command.instream.length).equals(command.instream))
        const frames = new FrameReader()
        const content = Buffer.concat(frames.push(bytes.subarray(command.instream.length)))
        assert.equal(frames.state, 'done', `no end mark: ${size} bytes in pieces of ${pieceBytes}`)
        assert.equal(frames.rest.length, 0)
        assert.ok(content.equals(withHead(message)))
        const full = Math.ceil(size / bufferBytes) - 1
        assert.deepEqual(frames.lengths, [
          ...Array<number>(full).fill(bufferBytes),
          size - full * bufferBytes,
        ])
        assert.equal(made.bytes, size)
      }
    }
  })

  test(`bare, from a buffer of ${bufferBytes} bytes: our line, the message, the end`, async (t) => {
    for (const size of sizesAround(bufferBytes)) {
      const message = text(size - receivedLine.length)
      const { socket, far } = await line(t)
      const { made } = sender(socket, { bufferBytes })
      const received = rest(far)
      await feed(made, message, 4096)
      assert.ok((await received).equals(withHead(message)))
      assert.equal(made.bytes, size)
      await handedOver(made)
    }
  })
}

test('a source that does not wait is served all the same', async (t) => {
  const message = text(3_000_000)
  for (const preamble of [null, command.instream]) {
    const { socket, far } = await line(t)
    const { made } = sender(socket, { preamble })
    const received = rest(far)
    for (let at = 0; at < message.length; at += 100_003) made.write(message.subarray(at, at + 100_003))
    made.end()
    if (preamble) {
      await handedOver(made)
      socket.end()
    }
    const bytes = await received
    const content = preamble ? Buffer.concat(new FrameReader().push(bytes.subarray(preamble.length))) : bytes
    assert.ok(content.equals(withHead(message)))
  }
})

/** False if nothing happens for so long that the kernel's buffers must be full. */
async function drains(made: Upload): Promise<boolean> {
  const quiet = new AbortController()
  const timer = setTimeout(() => quiet.abort(), 300)
  try {
    await once(made, 'drain', { signal: quiet.signal })
    return true
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
}

test('many sides that do not read: each sender holds a few parcels, and is in the way of no other', async (t) => {
  const piece = text(16_384)
  const made = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const { socket } = await line(t)
      return { socket, to: sender(socket, { preamble: command.instream }).made }
    }),
  )
  t.after(() => made.forEach(({ to }) => to.stop()))
  const fill = async ({ socket, to }: (typeof made)[number]): Promise<number> => {
    while (to.write(piece) || (await drains(to)));
    return to.bytes - socket.bytesWritten
  }
  const waiting = await Promise.all(made.map(fill))
  const sum = waiting.reduce((all, one) => all + one, 0)
  assert.ok(sum <= 20 * 192 * 1024, `${sum} bytes wait in the senders`)

  const { socket, far } = await line(t)
  far.resume()
  const { made: alone } = sender(socket, { preamble: command.instream })
  t.after(() => alone.stop())
  for (let taken = 0; taken < 1_000_000; taken += piece.length)
    if (!alone.write(piece)) await once(alone, 'drain')
})

for (const [protocol, preamble] of [
  ['STREAM', null],
  ['INSTREAM', command.instream],
] as const) {
  test(`${protocol}: a side that does not read stops the source, and one that reads again has it go on`, async (t) => {
    const piece = text(16_384)
    const pieces = 3000
    const { socket, far } = await line(t)
    const { made } = sender(socket, { preamble })
    let written = 0
    for (; written < pieces; written++) {
      if (!made.write(piece) && !(await drains(made))) break
    }
    assert.ok(written < pieces, '48 MB, and nothing has been read')
    assert.ok(socket.writableLength <= 256 * 1024, `${socket.writableLength} bytes wait in this process`)
    const taken = made.bytes - receivedLine.length
    assert.equal(taken, (written + 1) * piece.length)
    const inFlight = taken - socket.bytesWritten
    assert.ok(inFlight <= 192 * 1024, `${inFlight} bytes wait in the sender`)
    assert.equal(made.complete, false)

    const received = rest(far)
    assert.ok(await drains(made))
    for (written++; written < pieces; written++) if (!made.write(piece)) await once(made, 'drain')
    made.end()
    await handedOver(made)
    socket.end()
    const bytes = await received
    const content = preamble ? Buffer.concat(new FrameReader().push(bytes.subarray(preamble.length))) : bytes
    assert.equal(content.length, receivedLine.length + pieces * piece.length)
    for (let at = receivedLine.length; at < content.length; at += piece.length) {
      assert.ok(content.subarray(at, at + piece.length).equals(piece))
    }
  })

  test(`${protocol}: exactly maxBytes go through`, async (t) => {
    const message = text(100_000)
    const { socket, far } = await line(t)
    const { made, refusals } = sender(socket, { preamble, maxBytes: receivedLine.length + message.length })
    const received = rest(far)
    await feed(made, message, 1001)
    await handedOver(made)
    socket.end()
    const bytes = await received
    const content = preamble ? Buffer.concat(new FrameReader().push(bytes.subarray(preamble.length))) : bytes
    assert.ok(content.equals(withHead(message)))
    assert.equal(refusals.length, 0)
  })

  test(`${protocol}: one byte more is told once, and neither it nor an end is sent`, async (t) => {
    const maxBytes = receivedLine.length + 100_000
    for (const pieceBytes of [1001, 100_000, 100_001]) {
      const message = text(300_000)
      const { socket, far } = await line(t)
      const { made, refusals } = sender(socket, { preamble, maxBytes })
      const received = rest(far)
      await feed(made, message, pieceBytes)
      assert.equal(refusals.length, 1)
      assert.equal(
        refusals[0]?.bytes,
        receivedLine.length + (Math.floor(100_000 / pieceBytes) + 1) * pieceBytes,
      )
      assert.equal(made.complete, false)
      assert.equal(socket.writableEnded, false)
      socket.end()
      const bytes = await received
      const frames = new FrameReader()
      const content = preamble ? Buffer.concat(frames.push(bytes.subarray(preamble.length))) : bytes
      assert.equal(frames.state, 'open')
      assert.ok(content.length <= maxBytes)
      assert.ok(withHead(message).subarray(0, content.length).equals(content))
    }
  })

  test(`${protocol}: after stop nothing more is sent, and the socket is left alone`, async (t) => {
    const { socket, far } = await line(t)
    const listeners = socket.listenerCount('drain')
    const { made } = sender(socket, { preamble })
    made.write(text(1_000_000))
    made.stop()
    assert.equal(socket.listenerCount('drain'), listeners)
    assert.equal(made.write(text(1000)), true, 'a source that is still there is not kept waiting')
    made.end()
    const received = rest(far)
    socket.end()
    const bytes = await received
    assert.ok(bytes.length < 1_000_000)
    assert.equal(made.complete, false)
  })

  test(`${protocol}: what the system did not take is not complete`, async (t) => {
    const { socket } = await line(t)
    const { made } = sender(socket, { preamble })
    made.write(text(1000))
    socket.destroy()
    made.end()
    await once(socket, 'close')
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(made.complete, false)
  })

  test(`${protocol}: a message in the socket's queue is not complete before it has left it`, async (t) => {
    const { socket, far } = await line(t)
    const { made } = sender(socket, { preamble })
    const message = text(30_000_000)
    made.write(message)
    made.end()
    await until(() => socket.writableLength > 0)
    assert.equal(made.complete, false)
    const received = rest(far)
    await handedOver(made)
    assert.equal(socket.writableLength, 0)
    socket.end()
    assert.ok((await received).length >= message.length)
  })
}

/** Notes each write, the very buffer, and takes no more at once than it is told to. */
class NotedSocket extends EventEmitter {
  readonly writes: Buffer[] = []
  writableLength = 0
  hasRoom = true
  cork(): void {
    // What is corked together makes one system call; here each write is seen.
  }
  uncork(): void {
    // As cork.
  }
  write(bytes: Buffer, done?: () => void): boolean {
    this.writes.push(bytes)
    if (done) setImmediate(done)
    return this.hasRoom
  }
  drain(): void {
    this.hasRoom = true
    this.emit('drain')
  }
}

function noted(bufferBytes = 8192) {
  const socket = new NotedSocket()
  const { made } = sender(socket as unknown as Socket, { bufferBytes, preamble: command.instream })
  return { socket, made }
}

/** The message as the stream cuts it: each line a view of one large buffer. */
function linesOf(message: Buffer, bytes: number): Buffer[] {
  const lines: Buffer[] = []
  for (let at = 0; at < message.length; at += bytes) lines.push(message.subarray(at, at + bytes))
  return lines
}

function contentOf(writes: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(writes)
  const frames = new FrameReader()
  const content = Buffer.concat(frames.push(bytes.subarray(command.instream.length)))
  assert.equal(frames.state, 'done')
  return content.subarray(receivedLine.length)
}

for (const lineBytes of [1, 76, 998]) {
  test(`lines of ${lineBytes} bytes that lie one behind the other are sent where they lie`, async () => {
    const { socket, made } = noted()
    const message = Buffer.from(new Uint8Array(text(200_000)).buffer)
    for (const line of linesOf(message, lineBytes)) made.write(line)
    made.end()
    await handedOver(made)
    const views = socket.writes.filter(({ buffer }) => buffer === message.buffer)
    // All but the chunk that our own line begins, where it is copied together with command and line.
    const viewed = views.reduce((sum, { length }) => sum + length, 0)
    assert.ok(viewed >= message.length - 8192, `${message.length - viewed} bytes were copied`)
    assert.ok(views.length <= Math.ceil(message.length / 8192) + 1, `${views.length} pieces`)
    assert.ok(contentOf(socket.writes).equals(message))
  })
}

test('lines with a gap between them, out of order, or twice, are what they are', async () => {
  const { socket, made } = noted(1000)
  const message = text(50_000)
  const from = [0, 100, 300, 200, 200, 40_000, 40_100, 40_050, 49_900]
  for (const at of from) made.write(message.subarray(at, at + 100))
  made.write(Buffer.alloc(0))
  made.end()
  await handedOver(made)
  const expected = Buffer.concat(from.map((at) => message.subarray(at, at + 100)))
  assert.ok(contentOf(socket.writes).equals(expected))
})

test('small pieces of many buffers are joined, with no write for each of them', async () => {
  const { socket, made } = noted()
  const message = text(500_000)
  for (const line of linesOf(message, 76)) {
    const own = Buffer.allocUnsafeSlow(line.length)
    line.copy(own)
    made.write(own)
  }
  made.end()
  await handedOver(made)
  // One for every 64 KiB.
  assert.ok(socket.writes.length <= Math.ceil(message.length / 65_536) + 1, `${socket.writes.length} writes`)
  assert.ok(contentOf(socket.writes).equals(message))
})

test('a full socket stops the source at a parcel, and it goes on when that has gone', async () => {
  const { socket, made } = noted()
  const message = Buffer.from(new Uint8Array(text(1_000_000)).buffer)
  const lines = linesOf(message, 76)
  const sent = () => socket.writes.reduce((sum, { length }) => sum + length, 0)
  socket.hasRoom = false
  let stops = 0
  for (const line of lines) {
    if (made.write(line)) continue
    stops++
    // The parcel, and what is too little for another one.
    assert.ok(made.bytes - sent() <= 65_536 + 2 * 8192, `${made.bytes - sent()} bytes wait`)
    const drained = once(made, 'drain')
    const before = sent()
    // The first one has gone at once, and each other one goes in a turn of its own.
    if (stops > 1) await until(() => sent() > before)
    socket.drain()
    await drained
  }
  assert.equal(stops, Math.floor(message.length / 65_536))
  made.end()
  await until(() => {
    socket.drain()
    return made.complete
  })
  assert.ok(contentOf(socket.writes).equals(message))
})

/** A large message is under way, and has the turn. */
function busySender(t: TestContext): ReturnType<typeof noted> {
  const busy = noted()
  t.after(() => busy.made.stop())
  assert.equal(busy.made.write(text(100_000)), true)
  return busy
}

for (const [what, letGo] of [
  ['has been read to its end', ({ made }: ReturnType<typeof noted>) => made.end()],
  ['is dropped', ({ made }: ReturnType<typeof noted>) => made.stop()],
] as const) {
  test(`of many large messages one is read on, and the next when it ${what}`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const first = busySender(t)
    const { made, socket } = noted()
    assert.equal(made.write(text(60_000)), true, 'a small message is let through')
    assert.equal(made.write(text(60_000)), false)
    const drained = once(made, 'drain')
    letGo(first)
    await drained
    t.mock.timers.reset()
    assert.equal(made.write(text(1000)), true)
    made.end()
    await handedOver(made)
    assert.equal(contentOf(socket.writes).length, 121_000)
  })
}

test('a message that the system takes no more of leaves its turn to another one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const first = busySender(t)
  const { made } = noted()
  t.after(() => made.stop())
  assert.equal(made.write(text(100_000)), false)
  const drained = once(made, 'drain')
  first.socket.hasRoom = false
  first.socket.writableLength = 1
  let drains = 0
  first.made.on('drain', () => drains++)
  assert.equal(first.made.write(text(100_000)), false)
  await drained
  const onceMore = once(made, 'drain')
  assert.equal(made.write(text(100_000)), false)
  await onceMore
  assert.equal(drains, 0, 'it has no turn and asks for none')
})

test('a message that can go on asks for a turn again', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { made, socket } = noted()
  t.after(() => made.stop())
  socket.hasRoom = false
  socket.writableLength = 1
  assert.equal(made.write(text(100_000)), false)
  const first = busySender(t)
  let drains = 0
  made.on('drain', () => drains++)
  socket.writableLength = 0
  socket.drain()
  assert.equal(drains, 0, 'another one is read')
  first.made.stop()
  assert.equal(drains, 1)
})

test('a STREAM whose data connection is closed too early leaves its turn at once', async () => {
  const ended = new AbortController()
  const clamd = createServer((command) => {
    command.on('error', () => undefined)
    const data = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.end())
    }).listen(0, '127.0.0.1', () => command.write(`PORT ${(data.address() as AddressInfo).port}\n`))
    ended.signal.addEventListener('abort', () => data.close())
  }).listen(0, '127.0.0.1')
  await once(clamd, 'listening')
  let closed = 0
  const message: MessageSource = {
    minBytes: 1_000_000,
    maxBytes: 1_000_000,
    open: (sink) => Promise.resolve(void sink.write(text(300_000))),
    close: () => closed++,
  }
  const how: Exchange = {
    connect,
    address: { host: '127.0.0.1', port: (clamd.address() as AddressInfo).port },
    connectMs: 60_000,
    bufferBytes: 8192,
    maxBytes: Infinity,
    signal: ended.signal,
    at: () => undefined,
  }
  const exchange = Promise.allSettled([stream(how, message)])
  await until(() => closed === 1)
  const { made } = noted()
  const drained = once(made, 'drain')
  made.write(text(300_000))
  await drained
  made.stop()
  ended.abort(new Error('enough'))
  await exchange
  clamd.close()
})

test('messages to a clamd that reads nothing do not hold up those to another one', async (t) => {
  for (let n = 0; n < 5; n++) {
    const { made, socket } = noted()
    t.after(() => made.stop())
    socket.hasRoom = false
    socket.writableLength = 1
    made.write(text(100_000))
    assert.equal(made.write(text(100_000)), false)
  }
  const { made } = noted()
  t.after(() => made.stop())
  for (let n = 0; n < 5; n++) if (!made.write(text(100_000))) await once(made, 'drain')
})
