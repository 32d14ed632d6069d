// A transaction's message as the scanner reads it: the very bytes, any number of times, never left open.
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { measure } from '../../../lib/base/measure'
import type { MessageSource, Sink } from '../../../lib/base/message-source'
import { TransactionMessage } from '../../../lib/haraka/transaction-message'
import type { Transaction } from '../../../lib/haraka/types'

const haraka = createRequire(__filename)('Haraka/transaction') as {
  createTransaction(
    uuid: string | undefined,
    cfg: object,
  ): Transaction & {
    add_data(line: Buffer): void
    end_data(done: () => void): void
  }
}
const spool = mkdtempSync(path.join(tmpdir(), 'spool-'))
after(() => rmSync(spool, { recursive: true }))

class Collector extends EventEmitter implements Sink {
  readonly chunks: Buffer[] = []
  hasEnded = false
  readonly ended = new Promise<Buffer>((resolve) => this.once('all', resolve))
  /** Asks for a pause at every chunk from this number on; Infinity: never. */
  constructor(public pauseAfter = Infinity) {
    super()
  }
  write(chunk: Buffer): boolean {
    this.chunks.push(Buffer.from(chunk))
    return this.chunks.length < this.pauseAfter
  }
  end(): void {
    this.hasEnded = true
    this.emit('all', Buffer.concat(this.chunks))
    this.emit('finish')
  }
}

async function received(lines: readonly string[], spoolAfter: number): Promise<Transaction> {
  const transaction = haraka.createTransaction(undefined, {
    main: { spool_after: spoolAfter, spool_dir: spool },
  })
  for (const line of lines) transaction.add_data(Buffer.from(`${line}\r\n`, 'latin1'))
  await new Promise<void>((resolve) => transaction.end_data(resolve))
  return transaction
}

async function readAll(message: MessageSource): Promise<Buffer> {
  const sink = new Collector()
  await message.open(sink)
  const bytes = await sink.ended
  message.close()
  return bytes
}

const filler = Array.from(
  { length: 20_000 },
  (_, n) => `line ${n} of a body that does not fit into one chunk`,
)
const bodies: Record<string, string[]> = {
  'a plain one': ['Subject: x', 'To: y', '', 'body'],
  'dots, stuffed by the client': ['Subject: x', '', '..', '...two', '..x', 'a.b', 'end'],
  'nothing but dots': ['A: b', '', ...Array.from({ length: 500 }, () => '..')],
  'an empty body': ['Subject: x', ''],
  'no header end': ['Subject: x', 'To: y'],
  '8-bit': ['Subject: x', '', 'gr\xfc\xdfe \xff\xfe'],
  'a long one': ['Subject: x', '', ...filler],
}

for (const spoolAfter of [-1, 0]) {
  for (const [name, lines] of Object.entries(bodies)) {
    test(`${name}, ${spoolAfter === 0 ? 'on disk' : 'in memory'}: twice the same, within its bounds`, async (t) => {
      const transaction = await received(lines, spoolAfter)
      t.after(() => (transaction.message_stream as unknown as { destroy(): void }).destroy())
      transaction.add_header('X-Added', 'yes')
      const message = new TransactionMessage(transaction, 0)
      const first = await readAll(message)
      assert.ok(first.equals(await readAll(message)))
      assert.ok(first.toString('latin1').startsWith('Subject: x\r\n') || name === 'nothing but dots')
      assert.ok(first.includes('X-Added: yes\r\n'))
      assert.ok(
        message.minBytes <= first.length && first.length <= message.maxBytes,
        `${message.minBytes} ${first.length} ${message.maxBytes}`,
      )
    })
  }
}

test('a line with a single dot in front has two readings, each within the bounds', async () => {
  const ends = async (lines: string[]) => {
    const transaction = await received(['Subject: x', '', ...lines], -1)
    const message = new TransactionMessage(transaction, 0)
    const bodyOf = async (one: MessageSource) => {
      const bytes = await readAll(one)
      assert.ok(one.minBytes <= bytes.length && bytes.length <= one.maxBytes)
      return bytes.toString('latin1').split('\r\n\r\n')[1]
    }
    const unstuffed = await bodyOf(message)
    const other = message.nextReading()
    return [unstuffed, other && (await bodyOf(other)), other?.nextReading?.() ?? null]
  }
  assert.deepEqual(await ends(['.x', '..y', '...z', 'a.b']), [
    'x\r\n.y\r\n..z\r\na.b\r\n',
    '.x\r\n.y\r\n..z\r\na.b\r\n',
    null,
  ])
  assert.deepEqual(await ends(['..x', '..']), ['.x\r\n.\r\n', null, null])
})

for (const spoolAfter of [-1, 0]) {
  test(`a reader that wants to be left alone gets what is in hand and no more, ${spoolAfter === 0 ? 'on disk' : 'in memory'}`, async (t) => {
    const transaction = await received(bodies['a long one'] ?? [], spoolAfter)
    t.after(() => (transaction.message_stream as unknown as { destroy(): void }).destroy())
    const message = new TransactionMessage(transaction, 0)
    const whole = await readAll(message)
    const sink = new Collector(1)
    const read = () => sink.chunks.reduce((sum, { length }) => sum + length, 0)
    let stops = 0
    let before = 0
    await message.open(sink)
    for (;;) {
      while (!sink.hasEnded && read() === before) await new Promise((resolve) => setImmediate(resolve))
      // Long enough for more to come than was asked for.
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.ok(read() - before <= 2 * 65_536, `${read() - before} bytes at a time`)
      if (sink.hasEnded) break
      // What is in hand is taken as a whole; a line at a time, the stream would keep all the others.
      assert.ok(++stops <= whole.length / 65_536 + 8, `${stops} stops`)
      before = read()
      sink.emit('drain')
    }
    assert.ok(stops >= whole.length / (2 * 65_536), `${stops} stops`)
    assert.ok((await sink.ended).equals(whole))
  })
}

test('a reader of a stream that cannot be held back gets nothing more until it asks for it', async () => {
  const transaction = await received(bodies['a long one'] ?? [], -1)
  const { message_stream: stream } = transaction
  const whole = await readAll(new TransactionMessage(transaction, 0))
  const pipe = stream.pipe.bind(stream)
  // Without the event by which a stream makes itself known.
  const between = (to: Sink): Sink => {
    const sink: Sink = Object.assign(new EventEmitter(), {
      write: (line: Buffer) => to.write(line),
      end: () => to.end(),
    })
    to.on('drain', () => sink.emit('drain'))
    return sink
  }
  stream.pipe = (to, options) => pipe(between(to as Sink), options)
  const sink = new Collector(3)
  await new TransactionMessage(transaction, 0).open(sink)
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal(sink.chunks.length, 3)
  sink.pauseAfter = Infinity
  sink.emit('drain')
  assert.ok((await sink.ended).equals(whole))
})

test('a reading that is closed in the middle leaves the message to the next plugin', async () => {
  const transaction = await received(bodies['a long one'] ?? [], -1)
  const message = new TransactionMessage(transaction, 0)
  await message.open(new Collector(3))
  message.close()
  message.close()
  const next = new Collector()
  transaction.message_stream.pipe(next)
  assert.ok((await next.ended).length > 900_000)
})

test('a message stream without unpipe() is closed as well', async () => {
  const transaction = await received(bodies['a long one'] ?? [], -1)
  Object.defineProperty(transaction.message_stream, 'unpipe', { value: undefined })
  const message = new TransactionMessage(transaction, 0)
  await message.open(new Collector(3))
  message.close()
  assert.ok((await readAll(message)).length > 900_000)
})

test('closing after the end leaves another reading alone', async () => {
  const transaction = await received(bodies['a long one'] ?? [], -1)
  const message = new TransactionMessage(transaction, 0)
  const ours = new Collector()
  await message.open(ours)
  await ours.ended
  const other = new Collector()
  transaction.message_stream.pipe(other)
  message.close()
  assert.ok((await other.ended).length > 900_000)
})

test('a reading that another plugin has open is waited for, then is a failure; it is never taken away', async () => {
  const transaction = await received(bodies['a long one'] ?? [], -1)
  const stuck = new Collector(3)
  transaction.message_stream.pipe(stuck)
  const message = new TransactionMessage(transaction, 50)
  const inVain = new Collector()
  await assert.rejects(message.open(inVain), /another plugin keeps the message open/)
  assert.ok(inVain.listenerCount('drain') <= 1, 'however often it was tried')
  message.close()

  const patient = new TransactionMessage(transaction, 60_000)
  const sink = new Collector()
  const opened = patient.open(sink)
  stuck.pauseAfter = Infinity
  stuck.emit('drain')
  await stuck.ended
  await opened
  assert.ok((await sink.ended).length > 900_000)
})

test('closing ends the waiting', async () => {
  const transaction = await received(bodies['a long one'] ?? [], -1)
  transaction.message_stream.pipe(new Collector(3))
  const message = new TransactionMessage(transaction, 60_000)
  const opening = message.open(new Collector())
  message.close()
  await opening
})

test('a reader that had to wait for another plugin learns of the end', async () => {
  const transaction = await received(bodies['a long one'] ?? [], -1)
  const stuck = new Collector(3)
  transaction.message_stream.pipe(stuck)
  const counted = measure(new TransactionMessage(transaction, 60_000), AbortSignal.timeout(20_000))
  await new Promise((resolve) => setImmediate(resolve))
  stuck.pauseAfter = Infinity
  stuck.emit('drain')
  assert.ok((await counted) > 900_000)
})

const sent = [
  'From: a@example.com',
  'Subject: one',
  '\tmore',
  'Date: today',
  'Message-ID: <1@example.com>',
  '',
  'body',
  '.',
]

test('a message that is sent again has the same digest, whatever stands above it; another one has not', async () => {
  const never = new AbortController().signal
  for (const spoolAfter of [-1, 0]) {
    const digestOf = async (lines: readonly string[], more: readonly string[] = []) => {
      const transaction = await received(lines, spoolAfter)
      for (const name of more) transaction.add_leading_header(name, `of ${Math.random()}`)
      const { identity } = new TransactionMessage(transaction, 1000)
      return `${identity.bodyBytes} ${await identity.digest(never)}`
    }
    const first = await digestOf(sent)
    assert.equal(await digestOf(sent, ['Received', 'X-Spam', 'Authentication-Results']), first)
    assert.equal(await digestOf(['Received: by the client', '\tat another time', ...sent]), first)
    for (const [from, to] of [
      ['one', 'two'],
      ['more', 'less'],
      ['body', 'Body'],
      ['a@', 'b@'],
    ] as const)
      assert.notEqual(await digestOf(sent.map((line) => line.replace(from, to))), first, to)
  }
})

test('a digest leaves the message to be read', async () => {
  const transaction = await received(sent, -1)
  const message = new TransactionMessage(transaction, 1000)
  const before = await readAll(message)
  const gone = new AbortController()
  const digest = message.digest(gone.signal)
  gone.abort(new Error('gone'))
  await assert.rejects(digest, /gone/)
  await message.digest(new AbortController().signal)
  assert.deepEqual(await readAll(message), before)
})
