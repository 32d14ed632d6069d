// Verdicts of a real clamd through the scanner, in both protocols: STREAM by way of stream-front.ts, INSTREAM directly.
// Where a test looks at frames or at bytes that a real clamd would not show, it asks the front or the fake.
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { type Address, addressText } from '../../lib/clamd/address'
import { receivedLine } from '../../lib/clamd/protocol'
import type { Verdict } from '../../lib/policy/verdict'
import { type ClamdOptions, clamdOrSkip, hasStream, type RealClamd, startClamd } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import {
  BufferMessage,
  runningTimers,
  Scanning,
  type ScanningOptions,
  until,
} from '../support/clamd/scanning'
import { type FrontOptions, startStreamFront, type StreamFront } from '../support/clamd/stream-front'
import { eicar, eicarName, oddMarker, phishingMarker } from '../support/eicar'
import * as mails from '../support/smtp/mails'

const timersBefore = runningTimers()
let shared: Promise<RealClamd> | undefined
after(async () => {
  await (await shared)?.stop()
  assert.equal(runningTimers(), timersBefore, 'a timer was left running')
})

const protocols = ['stream', 'instream'] as const
type Protocol = (typeof protocols)[number]

const megabyte = 1024 * 1024

function tcp({ host, port }: RealClamd): Address {
  return { host, port }
}

/** A clamd of the usual settings, for tests that do not need one of their own. */
async function anyClamd(): Promise<RealClamd> {
  shared ??= startClamd()
  return shared
}

async function clamdOf(t: TestContext, options: ClamdOptions): Promise<RealClamd> {
  const clamd = await startClamd(options)
  t.after(() => clamd.stop())
  return clamd
}

async function front(
  t: TestContext,
  clamd: RealClamd,
  options: Partial<FrontOptions> = {},
): Promise<StreamFront> {
  const started = await startStreamFront({ clamd: tcp(clamd), ...options })
  t.after(() => started.stop())
  return started
}

/** Where the protocol is spoken: the front for STREAM, the daemon itself for INSTREAM. */
async function place(
  t: TestContext,
  protocol: Protocol,
  clamd: RealClamd,
  options: Partial<FrontOptions> = {},
): Promise<Address> {
  return protocol === 'stream' ? (await front(t, clamd, options)).address : tcp(clamd)
}

async function scan(
  address: Address,
  message: Buffer | BufferMessage,
  options: ScanningOptions = {},
): Promise<Verdict> {
  const scanning = new Scanning([address], options)
  const verdict = await scanning.scan(message)
  assert.deepEqual(scanning.leftovers(), [])
  return verdict
}

function reasonOf(verdict: Verdict): string {
  if (verdict.outcome === 'infected') return verdict.virus
  return verdict.outcome === 'clean' ? 'clean' : verdict.reason
}

const textOf = (verdict: Verdict) => (verdict.outcome === 'unscanned' ? verdict.text : '')

function withHead(message: Buffer): Buffer {
  return Buffer.concat([receivedLine, message])
}

const harmless: Record<string, () => Buffer> = {
  'a short one': mails.clean,
  '8-bit': mails.eightBit,
  'an empty body': mails.emptyBody,
  'headers only': mails.headersOnly,
  'no header end': mails.noHeaderEnd,
  'no header': mails.bodyOnly,
  dots: mails.dotLines,
  'no final newline': mails.noFinalNewline,
  'long lines': mails.longLines,
  'forged headers': () => mails.forged(),
  '5 MB': () => mails.big(5 * megabyte),
  nothing: () => Buffer.alloc(0),
}
const harmful: Record<string, [() => Buffer, string]> = {
  'EICAR as the body': [mails.eicarBody, eicarName],
  'EICAR as an attachment': [mails.eicarAttachment, eicarName],
  'EICAR at the end of 5 MB': [
    () =>
      mails.withAttachments(
        { name: 'long.txt', content: 'harmless '.repeat(420_000) },
        { name: 'eicar.com', content: eicar() },
      ),
    eicarName,
  ],
  'EICAR behind a header of ours': [
    () => Buffer.concat([Buffer.from('X-MessageIsInfected: false\r\n'), mails.eicarAttachment()]),
    eicarName,
  ],
  phishing: [mails.phishing, phishingMarker.name],
}

for (const protocol of protocols) {
  test(`${protocol}: what is clean is clean, and clamd gets our line and the message, byte for byte`, async (t) => {
    if (!clamdOrSkip(t)) return
    const daemon = await front(t, await anyClamd(), { instream: true })
    for (const [name, make] of Object.entries(harmless)) {
      const message = make()
      const verdict = await scan(daemon.address, message, { protocol })
      assert.equal(reasonOf(verdict), 'clean', `${name}: ${textOf(verdict)}`)
      assert.ok(daemon.lastMessage.equals(withHead(message)), name)
      assert.equal(verdict.bytes, receivedLine.length + message.length)
      assert.equal(verdict.protocol, protocol)
      assert.equal(verdict.clamd, addressText(daemon.address))
    }
    assert.equal(daemon.scans, Object.keys(harmless).length)
    await daemon.idle()
  })

  test(`${protocol}: what is infected is found, by name`, async (t) => {
    if (!clamdOrSkip(t)) return
    const address = await place(t, protocol, await anyClamd())
    for (const [name, [make, virus]] of Object.entries(harmful)) {
      assert.equal(reasonOf(await scan(address, make(), { protocol })), virus, name)
    }
  })

  test(`${protocol}: an awkward name is made printable`, async (t) => {
    if (!clamdOrSkip(t)) return
    const address = await place(t, protocol, await anyClamd())
    const name = reasonOf(await scan(address, mails.oddlyNamed(), { protocol }))
    assert.match(name, /^[\x20-\x7e]{1,128}$/)
    assert.equal(name.slice(0, 20), oddMarker.name.slice(0, 20))
  })
}

test('INSTREAM over IPv4, ::1 and the unix socket', async (t) => {
  if (!clamdOrSkip(t)) return
  const four = await anyClamd()
  const six = await clamdOf(t, { host: '::1' })
  for (const address of [tcp(four), { path: four.socketPath }, tcp(six), { path: six.socketPath }]) {
    for (const protocol of ['instream', 'auto'] as const) {
      const verdicts = [
        await scan(address, mails.clean(), { protocol }),
        await scan(address, mails.eicarAttachment(), { protocol }),
      ]
      assert.deepEqual(verdicts.map(reasonOf), ['clean', eicarName])
      assert.deepEqual(
        verdicts.map(({ clamd }) => clamd),
        [addressText(address), addressText(address)],
      )
    }
  }
})

test('STREAM over a unix socket: the data goes to 127.0.0.1', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'stream-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const daemon = await startFakeClamd({ path: path.join(directory, 'clamd.sock') })
  t.after(() => daemon.stop())
  const message = mails.big(megabyte)
  const verdicts = [
    await scan(daemon.address, message, { protocol: 'stream' }),
    await scan(daemon.address, mails.eicarBody(), { protocol: 'stream' }),
  ]
  assert.deepEqual(
    verdicts.map(({ outcome }) => outcome),
    ['clean', 'infected'],
  )
  assert.equal(daemon.dataConnections, 2)
  assert.ok(daemon.scans[0]?.bytes.equals(withHead(message)))
})

test('STREAM at ::1, where no data port listens: an error; with auto INSTREAM takes over', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t, await anyClamd(), { host: '::1', instream: true })
  const alone = await scan(daemon.address, mails.clean(), { protocol: 'stream' })
  assert.match(textOf(alone), /\[::1\]:\d+ stream: data connect: .*ECONNREFUSED/)
  const verdict = await scan(daemon.address, mails.eicarBody())
  assert.deepEqual([reasonOf(verdict), verdict.protocol], [eicarName, 'instream'])
})

for (const bufferBytes of [1, 7, 1000, 8192, 65_536, 100_000, 10 * megabyte]) {
  test(`frames of ${bufferBytes} bytes`, async (t) => {
    const daemon = await startFakeClamd()
    t.after(() => daemon.stop())
    const size = bufferBytes < 100 ? 3000 : 3 * 100_000
    // Such that the last frame is full, short by one, and of one byte.
    for (const rest of [0, bufferBytes - 1, 1]) {
      const length = Math.ceil(size / bufferBytes) * bufferBytes + (rest % bufferBytes) - receivedLine.length
      const message = Buffer.alloc(length, 'frame\r\n')
      const verdict = await scan(daemon.address, message, { protocol: 'instream', bufferBytes })
      assert.equal(verdict.outcome, 'clean', textOf(verdict))
      const scanned = daemon.scans.at(-1)
      assert.ok(scanned)
      assert.ok(scanned.bytes.equals(withHead(message)))
      const { frames } = scanned
      const full = frames.slice(0, -1)
      assert.ok(
        full.every((frame) => frame === bufferBytes),
        frames.join(),
      )
      const last = scanned.size % bufferBytes || bufferBytes
      assert.equal(frames.at(-1), last)
      assert.equal(frames.length, Math.ceil(scanned.size / bufferBytes))
    }
    assert.deepEqual(daemon.violations, [])
  })
}

test('auto: STREAM where the daemon has it, INSTREAM where it has not, learnt for each address', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await anyClamd()
  const old = await front(t, clamd, { instream: true })
  const modern = await front(t, clamd, { stream: false, instream: true })
  const scanning = new Scanning([old.address, modern.address])
  const spoken = []
  for (let i = 0; i < 6; i++) {
    const verdict = await scanning.scan(i % 3 === 0 ? mails.clean() : mails.eicarBody())
    assert.equal(reasonOf(verdict), i % 3 === 0 ? 'clean' : eicarName)
    spoken.push(verdict.protocol)
  }
  assert.deepEqual(spoken, ['stream', 'instream', 'stream', 'instream', 'stream', 'instream'])
  assert.deepEqual(old.commands, ['STREAM', 'STREAM', 'STREAM'])
  assert.deepEqual(modern.commands, ['STREAM', 'INSTREAM', 'INSTREAM', 'INSTREAM'], 'asked once, remembered')
  assert.deepEqual(scanning.leftovers(), [])
})

test('auto: a real clamd without STREAM is asked for it once', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await anyClamd()
  if (await hasStream(clamd)) {
    t.skip('this clamd has STREAM')
    return
  }
  const scanning = new Scanning([tcp(clamd)])
  for (const message of [mails.clean(), mails.eicarBody(), mails.clean()]) await scanning.scan(message)
  // One command connection for STREAM, and then one for each message.
  assert.equal(scanning.sockets.length, 4)
  assert.equal(scanning.log.warnings.length, 0)
})

for (const size of [1000, 3 * megabyte]) {
  test(`auto: a daemon upgraded and downgraded under us, messages of ${size} bytes`, async (t) => {
    if (!clamdOrSkip(t)) return
    const daemon = await front(t, await anyClamd(), { stream: true, instream: false })
    const scanning = new Scanning([daemon.address])
    const spoken: [string, string | null][] = []
    const ask = async () => {
      const infected = mails.withAttachments(
        { name: 'a.txt', content: Buffer.alloc(size, 'a') },
        { name: 'eicar.com', content: eicar() },
      )
      const verdict = await scanning.scan(infected)
      spoken.push([reasonOf(verdict) + textOf(verdict), verdict.protocol])
    }
    await ask()
    daemon.become({ stream: false, instream: true, engine: '1.4.6' })
    await ask()
    await ask()
    daemon.become({ stream: true, instream: false, engine: '0.103.12' })
    await ask()
    await ask()
    assert.deepEqual(spoken, [
      [eicarName, 'stream'],
      [eicarName, 'instream'],
      [eicarName, 'instream'],
      [eicarName, 'stream'],
      [eicarName, 'stream'],
    ])
    assert.deepEqual(daemon.commands, [
      'STREAM',
      'STREAM',
      'INSTREAM',
      'INSTREAM',
      'INSTREAM',
      'STREAM',
      'STREAM',
    ])
    assert.deepEqual(scanning.leftovers(), [])
  })
}

for (const [outcome, message] of [
  ['clean', mails.clean()],
  ['Eicar-Test-Signature', mails.eicarBody()],
] as const) {
  test(`auto: a daemon downgraded under us, whose UNKNOWN COMMAND was lost in a reset: ${outcome}`, async (t) => {
    const daemon = await startFakeClamd({ protocols: ['INSTREAM'] })
    t.after(() => daemon.stop())
    const scanning = new Scanning([daemon.address])
    await scanning.scan(mails.clean())
    daemon.protocols = ['STREAM', 'INSTREAM']
    daemon.queue([{ at: 'first', do: 'reset' }])
    for (let i = 0; i < 2; i++) {
      const verdict = await scanning.scan(message)
      assert.deepEqual([reasonOf(verdict), verdict.protocol], [outcome, 'stream'], textOf(verdict))
    }
    assert.deepEqual(daemon.commands, ['STREAM', 'INSTREAM', 'INSTREAM', 'STREAM', 'STREAM'])
    assert.deepEqual(scanning.leftovers(), [])
  })
}

test('auto: a daemon that has INSTREAM only and hangs up on a message: told as that', async (t) => {
  const daemon = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => daemon.stop())
  const scanning = new Scanning([daemon.address])
  await scanning.scan(mails.clean())
  daemon.queue([{ at: 'last', do: 'reset' }])
  const verdict = await scanning.scan(mails.clean())
  assert.equal(reasonOf(verdict), 'error')
  assert.match(textOf(verdict), /^\S+ instream: reply: connection broke .*; stream: UNKNOWN COMMAND$/)
  assert.equal(reasonOf(await scanning.scan(mails.eicarBody())), 'Eicar-Test-Signature')
  assert.deepEqual(scanning.leftovers(), [])
})

test('auto: a daemon older than VERSIONCOMMANDS', async (t) => {
  if (!clamdOrSkip(t)) return
  const daemon = await front(t, await anyClamd(), { versionCommands: false, engine: '0.94.2' })
  const scanning = new Scanning([daemon.address])
  const verdicts = [await scanning.scan(mails.clean()), await scanning.scan(mails.eicarBody())]
  assert.deepEqual(verdicts.map(reasonOf), ['clean', eicarName])
  assert.deepEqual(daemon.commands, ['STREAM', 'STREAM'])
})

for (const dataPort of ['refuse', 'blackHole'] as const) {
  test(`auto: the data port is a dead end (${dataPort}), and INSTREAM is offered`, async (t) => {
    if (!clamdOrSkip(t)) return
    const daemon = await front(t, await anyClamd(), { instream: true, dataPort })
    const scanning = new Scanning([daemon.address], { connectMs: 500 })
    for (const [make, virus] of [
      [mails.clean, 'clean'],
      [mails.eicarBody, eicarName],
    ] as const) {
      const verdict = await scanning.scan(make())
      assert.deepEqual([reasonOf(verdict), verdict.protocol], [virus, 'instream'])
    }
    assert.deepEqual(daemon.commands, ['STREAM', 'INSTREAM', 'INSTREAM'])
    assert.deepEqual(scanning.leftovers(), [])
  })

  test(`auto: the data port is a dead end (${dataPort}), and there is nothing else`, async (t) => {
    if (!clamdOrSkip(t)) return
    const daemon = await front(t, await anyClamd(), { dataPort })
    const verdict = await scan(daemon.address, mails.clean(), { connectMs: 500 })
    assert.equal(reasonOf(verdict), 'error')
    assert.match(textOf(verdict), /stream: data connect: .*instream: UNKNOWN COMMAND/)
  })
}

for (const isTcp of [true, false]) {
  test(
    `a STREAM that is given up before its port is none to clamd any more, ${isTcp ? 'TCP' : 'unix socket'}`,
    { timeout: 30_000 },
    async (t) => {
      const directory = mkdtempSync(path.join(tmpdir(), 'given-up-'))
      t.after(() => rmSync(directory, { recursive: true }))
      const asked = new EventEmitter()
      // As a clamd whose threads are all busy: the command waits in the socket.
      const server = createServer({ pauseOnConnect: true }, (socket) => asked.emit('socket', socket))
      server.listen(isTcp ? { host: '127.0.0.1', port: 0 } : { path: path.join(directory, 'clamd.sock') })
      await once(server, 'listening')
      t.after(() => server.close())
      const place = server.address()
      const address =
        typeof place === 'string' ? { path: place } : { host: '127.0.0.1', port: place?.port ?? 0 }
      const scanning = new Scanning([address], { protocol: 'stream' })
      const gone = new AbortController()
      const scanned = scanning.scan(mails.clean(), gone.signal)
      const [socket] = (await once(asked, 'socket')) as [Socket]
      await until(() => scanning.log.steps.some((step) => step.endsWith('port')))
      gone.abort()
      await scanned
      // What a thread that comes to it would do.
      const failed = once(socket, 'error')
      socket.resume().write('PORT 1024\n')
      const [{ code }] = (await failed) as [NodeJS.ErrnoException]
      assert.match(code ?? '', isTcp ? /^ECONNRESET$/ : /^EPIPE$/)
      assert.deepEqual(scanning.leftovers(), [])
    },
  )
}

test('STREAM: what a daemon has found by the time it reads no more is found', async (t) => {
  const judge = (message: Buffer) =>
    Promise.resolve(message.includes('early on') ? 'stream: Early.Test FOUND' : 'stream: OK')
  const fake = await startFakeClamd({ judge })
  t.after(() => fake.stop())
  const message = (text: string) =>
    Buffer.concat([Buffer.from(`${text}\r\n`), Buffer.alloc(8 * megabyte, 'x\r\n')])
  for (const [text, outcome] of [
    ['early on', 'infected'],
    ['nothing', 'unscanned'],
  ] as const) {
    await fake.play([{ at: 'first', do: 'halfClose', on: 'data' }])
    const verdict = await scan(fake.address, message(text), { protocol: 'stream', connectMs: 5000 })
    assert.equal(verdict.outcome, outcome, JSON.stringify(verdict))
    await fake.idle()
  }
})

test('the configured protocol is the only one spoken', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await anyClamd()
  const byStream = await scan(tcp(clamd), mails.clean(), { protocol: 'stream' })
  const isOld = await hasStream(clamd)
  assert.deepEqual([reasonOf(byStream), byStream.protocol], [isOld ? 'clean' : 'error', 'stream'])
  if (!isOld) assert.match(textOf(byStream), /UNKNOWN COMMAND/)
  const daemon = await front(t, clamd)
  const old = await scan(daemon.address, mails.clean(), { protocol: 'instream' })
  assert.deepEqual([reasonOf(old), old.protocol], ['error', 'instream'])
  assert.match(textOf(old), /UNKNOWN COMMAND/)
})

for (const protocol of protocols) {
  test(`${protocol}: exactly max_size is scanned, one byte more is too_large and costs no connection`, async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await clamdOf(t, { config: { StreamMaxLength: '1M' } })
    const address = await place(t, protocol, clamd, { streamMaxLength: megabyte })
    const filled = (bytes: number) => {
      const head = mails.clean()
      const end = Buffer.from(eicar())
      const padding = Buffer.alloc(bytes - receivedLine.length - head.length - end.length, '.\r\n')
      return Buffer.concat([head, padding, end])
    }
    const scanning = new Scanning([address], { protocol, maxBytes: megabyte })
    for (const bytes of [megabyte - 1, megabyte]) {
      const verdict = await scanning.scan(filled(bytes))
      assert.equal(reasonOf(verdict), eicarName)
      assert.equal(verdict.bytes, bytes)
    }
    const sockets = scanning.sockets.length
    const verdict = await scanning.scan(filled(megabyte + 1))
    assert.equal(reasonOf(verdict), 'too_large')
    assert.equal(verdict.bytes, megabyte + 1)
    assert.equal(scanning.sockets.length, sockets)
    assert.deepEqual(scanning.leftovers(), [])
  })
}

test('INSTREAM over a StreamMaxLength smaller than max_size: never clean', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await clamdOf(t, { config: { StreamMaxLength: '1M' } })
  const seen: Record<string, number> = {}
  const texts = new Set<string>()
  const message = mails.big(3 * megabyte)
  for (let i = 0; i < 50; i++) {
    const verdict = await scan(tcp(clamd), message, { protocol: 'instream' })
    const reason = reasonOf(verdict)
    seen[reason] = (seen[reason] ?? 0) + 1
    if (reason === 'error') texts.add(textOf(verdict).replace(/^\S+ /, ''))
  }
  t.diagnostic(`50 messages of 3 MB against 1 MB: ${JSON.stringify(seen)} ${[...texts].join(' | ')}`)
  assert.equal((seen.too_large ?? 0) + (seen.error ?? 0), 50)
  assert.ok((seen.too_large ?? 0) >= 25, 'the reply is lost too often')
})

test('INSTREAM over the limit of one clamd: another one is asked', async (t) => {
  if (!clamdOrSkip(t)) return
  const small = await clamdOf(t, { config: { StreamMaxLength: '1M' } })
  const message = mails.withAttachments(
    { name: 'long.txt', content: 'harmless '.repeat(300_000) },
    { name: 'eicar.com', content: eicar() },
  )
  const scanning = new Scanning([tcp(small), tcp(await anyClamd())], { protocol: 'instream' })
  assert.equal(reasonOf(await scanning.scan(message)), eicarName)
  assert.deepEqual(scanning.leftovers(), [])
})

for (const excess of [megabyte, 2 * megabyte, 6 * megabyte]) {
  test(`STREAM cut in silence, ${excess} bytes from its end: never clean`, async (t) => {
    if (!clamdOrSkip(t)) return
    const daemon = await front(t, await anyClamd(), { streamMaxLength: 2 * megabyte })
    const padding = Buffer.alloc(2 * megabyte + excess, 'harmless\r\n')
    for (let i = 0; i < 5; i++) {
      const message = Buffer.concat([mails.clean(), padding, Buffer.from(eicar())])
      const verdict = await scan(daemon.address, message, { protocol: 'stream', connectMs: 500 })
      assert.equal(reasonOf(verdict), 'error')
      assert.match(
        textOf(verdict),
        /stream: (send: .*(closed|broke)|reply: OK before the end).* after \d+ bytes/,
      )
    }
    assert.equal(daemon.lastMessage.length, 2 * megabyte)
    // A virus in the part that was scanned is one.
    const early = Buffer.concat([mails.eicarBody(), padding])
    assert.equal(
      reasonOf(await scan(daemon.address, early, { protocol: 'stream', connectMs: 500 })),
      eicarName,
    )
  })
}

for (const protocol of protocols) {
  test(`${protocol}: limits that clamd reports are not a virus and not clean`, async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await clamdOf(t, {
      config: { AlertExceedsMax: 'yes', MaxFileSize: '200K', MaxScanSize: '10M' },
    })
    const address = await place(t, protocol, clamd)
    const verdict = await scan(address, mails.big(megabyte), { protocol })
    assert.equal(reasonOf(verdict), 'limits')
    // 0.103 forgets the name.
    assert.match(textOf(verdict), /Heuristics\.Limits\.Exceeded\.Max|: \(null\)$/)
    assert.equal(reasonOf(await scan(address, mails.clean(), { protocol })), 'clean')
    assert.equal(reasonOf(await scan(address, mails.eicarAttachment(), { protocol })), eicarName)
  })
}

test('a clamd that is frozen, killed and started again', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await clamdOf(t, {})
  const scanning = new Scanning([tcp(clamd)], { protocol: 'instream', scanMs: 1500 })
  clamd.pause()
  assert.equal(reasonOf(await scanning.scan(mails.clean())), 'timeout')
  clamd.resume()
  assert.equal(reasonOf(await scanning.scan(mails.clean())), 'clean')
  await clamd.kill()
  const gone = await scanning.scan(mails.clean())
  assert.equal(reasonOf(gone), 'error')
  assert.match(textOf(gone), /instream: connect: .*ECONNREFUSED/)
  await clamd.restart()
  assert.equal(reasonOf(await scanning.scan(mails.eicarBody())), eicarName)
  assert.deepEqual(scanning.leftovers(), [])
})

const samples = '/usr/share/clamav-testfiles'

/** clamd's word on a file as it is, without a mail around it. */
async function bare(address: Address, content: Buffer): Promise<string> {
  const socket = connect(address)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(content.length)
  socket.write(Buffer.concat([Buffer.from('zINSTREAM\0'), header, content, Buffer.alloc(4)]))
  let reply = ''
  socket.on('data', (piece: Buffer) => (reply += piece.toString('latin1')))
  await once(socket, 'close')
  const name = /^stream: (.*) FOUND\0$/.exec(reply)?.[1]
  assert.ok(name !== undefined || reply === 'stream: OK\0', reply)
  return name ?? 'clean'
}

test('a virus in a container is found in a mail where it is found in the bare file', async (t) => {
  if (!clamdOrSkip(t)) return
  if (!existsSync(samples)) {
    t.skip('clamav-testfiles is not installed')
    return
  }
  const databaseDirectory = mkdtempSync(path.join(tmpdir(), 'signatures-'))
  t.after(() => rmSync(databaseDirectory, { recursive: true }))
  // The code of the harmless program that all the containers hold.
  const signature = readFileSync(path.join(samples, 'clam.exe')).subarray(0x40, 0x100).toString('hex')
  writeFileSync(path.join(databaseDirectory, 'container.ndb'), `Container.Test:0:*:${signature}\n`)
  const clamd = await clamdOf(t, { databaseDirectory })
  const streamed = await front(t, clamd)
  const namesBy: Record<string, string[]> = {}
  for (const name of readdirSync(samples).sort()) {
    const content = readFileSync(path.join(samples, name))
    const alone = await bare(tcp(clamd), content)
    const mail = mails.withAttachments({ name, content })
    const verdicts = [
      await scan(tcp(clamd), mail, { protocol: 'instream' }),
      await scan(streamed.address, mail, { protocol: 'stream' }),
    ]
    assert.deepEqual(verdicts.map(reasonOf), [alone, alone], name)
    ;(namesBy[alone] ??= []).push(name)
  }
  const found = namesBy['Container.Test.UNOFFICIAL'] ?? []
  t.diagnostic(`found in ${found.length}; not unpacked by this clamd: ${(namesBy.clean ?? []).join(' ')}`)
  assert.deepEqual(
    Object.keys(namesBy).filter((name) => name !== 'clean'),
    ['Container.Test.UNOFFICIAL'],
  )
  for (const name of ['clam.exe', 'clam.zip', 'clam.tar.gz', 'clam.7z', 'clam.mail'])
    assert.ok(found.includes(name))
})
