// TLS to clamd: mail goes there encrypted and to nobody else, each fault of a certificate is named, and what works over
// TCP works over TLS.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, describe, test, type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { Worker } from 'node:worker_threads'
import type { Host } from '../../lib/clamd/address'
import { queryCapabilities } from '../../lib/clamd/capabilities'
import { connectWith, type TlsCredentials } from '../../lib/clamd/tls'
import { runSelfTest } from '../../lib/health/self-test'
import type { Verdict } from '../../lib/policy/verdict'
import { clamdOrSkip, type RealClamd, startClamd } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { runningTimers, Scanning, type ScanningOptions } from '../support/clamd/scanning'
import { never, usual } from '../support/clamd/self-testing'
import {
  credentials,
  type FrontOptions,
  type Identity,
  opensslOrSkip,
  type ProxyKind,
  proxyOrSkip,
  serverName,
  startProxy,
  TestCa,
  TlsFront,
} from '../support/clamd/tls'
import { large, message } from '../support/faults/fault-table'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

const bounded = { timeout: 60_000 }

function hostOf(port: number, name = '127.0.0.1'): Host {
  return name === '127.0.0.1' ? { host: name, port, tls: name } : { name, port, tls: name }
}

function scanningOf(
  t: TestContext,
  hosts: readonly Host[],
  trust: TlsCredentials,
  options: ScanningOptions = {},
): Scanning {
  const lookup = () => Promise.resolve(['127.0.0.1'])
  const scanning = new Scanning(hosts, { connect: connectWith(trust), lookup, ...options })
  t.after(() => scanning.destroy())
  return scanning
}

async function real(t: TestContext): Promise<RealClamd> {
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  return clamd
}

async function front(t: TestContext, clamd: RealClamd, identity: Identity, options: FrontOptions = {}) {
  return new TlsFront({ host: clamd.host, port: clamd.port }, identity, options).start(t)
}

function textOf(verdict: Verdict): string {
  return 'text' in verdict ? verdict.text : verdict.outcome
}

async function assertBoth(scanning: Scanning, bytes = 2000): Promise<void> {
  for (const content of ['clean', 'infected', 'clean'] as const) {
    const verdict = await scanning.scan(message(content, bytes, content))
    assert.equal(verdict.outcome, content, textOf(verdict))
    assert.equal(verdict.protocol, 'instream')
    assert.match(verdict.clamd ?? '', /^tls:\/\/127\.0\.0\.1:\d+$/)
  }
}

describe('a real clamd behind', () => {
  const fronts: Record<
    string,
    (t: TestContext, clamd: RealClamd, ca: TestCa, own: Identity) => Promise<number>
  > = {
    'node:tls': async (t, clamd, ca, own) => (await front(t, clamd, own, { clientCa: ca.cert })).port,
    stunnel: (t, clamd, ca, own) => startProxy(t, 'stunnel', clamd, own, ca.cert),
    haproxy: (t, clamd, ca, own) => startProxy(t, 'haproxy', clamd, own, ca.cert),
  }
  for (const [kind, start] of Object.entries(fronts))
    test(kind, bounded, async (t) => {
      if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
      if (kind !== 'node:tls' && !proxyOrSkip(t, kind as ProxyKind)) return
      const ca = new TestCa(t)
      const clamd = await real(t)
      const port = await start(t, clamd, ca, ca.issue())
      const client = ca.issue({ name: 'haraka.example.com' })
      const trust = credentials(ca.cert, { client })

      for (const sessions of [false, true]) {
        const scanning = scanningOf(t, [hostOf(port)], trust, { sessions, selfTest: !sessions })
        await assertBoth(scanning)
        await assertBoth(scanning, large)
        const reused = scanning.log.steps.filter((line) => line.includes('connect: reused')).length
        assert.equal(reused > 0, sessions)
      }
      const address = { host: '127.0.0.1', port, tls: '127.0.0.1' }
      const connect = connectWith(trust)
      const selfTest = await runSelfTest(address, usual, connect, never)
      assert.ok(selfTest.findsTestFile)
      assert.ok(selfTest.coversMaxSize)
      const offer = await queryCapabilities(address, { connect, connectMs: 5000, signal: never })
      assert.ok(offer.commands?.includes('INSTREAM'))

      // Without a certificate of our own nothing is scanned.
      const nobody = scanningOf(t, [hostOf(port)], credentials(ca.cert))
      const verdict = await nobody.scan(message('clean', 2000, 'x'))
      assert.equal(verdict.outcome, 'unscanned')
      assert.match(textOf(verdict), /client certificate|connection broke|closed without a reply/)
    })
})

/** Another thread: it answers OK to everything, in a session or not, while ours stands still. */
const promptClamd = `
const { parentPort, workerData } = require('node:worker_threads')
const { readFileSync } = require('node:fs')
const identity = { cert: readFileSync(workerData.cert), key: readFileSync(workerData.key) }
const server = require('node:tls').createServer(identity, (socket) => {
  let inSession = false
  let received = Buffer.alloc(0)
  socket.on('error', () => undefined).on('data', (bytes) => {
    received = Buffer.concat([received, bytes])
    inSession ||= received.includes('zIDSESSION')
    if (!received.subarray(-4).equals(Buffer.alloc(4))) return
    received = Buffer.alloc(0)
    if (inSession) socket.write('1: stream: OK\\0')
    else socket.end('stream: OK\\0')
  })
})
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`

for (const sessions of [false, true]) {
  test(
    `a reply that is there before Node tells that all was written, sessions: ${sessions}`,
    bounded,
    async (t) => {
      if (!opensslOrSkip(t)) return
      const ca = new TestCa(t)
      const worker = new Worker(promptClamd, { eval: true, workerData: ca.issue() })
      t.after(() => worker.terminate())
      const [port] = (await once(worker, 'message')) as [number]
      const scanning = scanningOf(t, [hostOf(port)], credentials(ca.cert), { sessions, protocol: 'instream' })
      const still = new Int32Array(new SharedArrayBuffer(4))
      const trace = scanning.log.trace.bind(scanning.log)
      scanning.log.trace = (text) => {
        trace(text)
        if (text.includes(': reply: ')) Atomics.wait(still, 0, 0, 300)
      }
      const verdict = await scanning.scan(message('clean', 2000, 'x'))
      assert.equal(verdict.outcome, 'clean', textOf(verdict))
    },
  )
}

describe('the other end is verified', () => {
  /** What a scan says, and whether any byte of the message got there. */
  async function refusal(t: TestContext, identity: Identity, trust: TlsCredentials, name?: string) {
    let received = 0
    const onConnection: FrontOptions['onConnection'] = (socket) => {
      socket.on('data', (bytes: Buffer) => (received += bytes.length))
      return false
    }
    const { port } = await new TlsFront({ port: 1 }, identity, { onConnection }).start(t)
    const scanning = scanningOf(t, [hostOf(port, name)], trust)
    const verdict = await scanning.scan(message('clean', 2000, 'x'))
    assert.equal(verdict.outcome, 'unscanned')
    assert.equal(received, 0)
    assert.deepEqual(
      scanning.hosts.states().map(({ state }) => state),
      ['resting'],
    )
    return textOf(verdict)
  }

  test('each fault of a certificate is named, and no byte is sent', bounded, async (t) => {
    if (!opensslOrSkip(t)) return
    const ca = new TestCa(t)
    const trust = credentials(ca.cert)
    const ours = ca.issue()
    const cases: readonly (readonly [Identity, TlsCredentials, RegExp, string?])[] = [
      [ca.issue({ days: -1 }), trust, /connect: certificate has expired \(CERT_HAS_EXPIRED\)/],
      [ca.selfSigned(), trust, /connect: self-signed certificate: set \[tls\] ca /],
      [ours, credentials(new TestCa(t).cert), /connect: certificate of an unknown CA: set \[tls\] ca /],
      // Those that Node.js trusts do not have it.
      [ours, credentials(null), /connect: certificate of an unknown CA: set \[tls\] ca /],
      [
        ours,
        trust,
        /certificate is not for other\.example\.com, but for DNS:clamd\.example\.com/,
        'other.example.com',
      ],
      [
        ca.issue({ name: 'other.example.com' }),
        trust,
        /certificate is not for 127\.0\.0\.1, but for DNS:other/,
      ],
      [ours, credentials(ca.cert, { servername: 'other.example.com' }), /is not for other\.example\.com/],
    ]
    for (const [identity, trusted, expected, name] of cases)
      assert.match(await refusal(t, identity, trusted, name), expected)
  })

  test('by the name as it is written, or by servername', bounded, async (t) => {
    if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
    const ca = new TestCa(t)
    const clamd = await real(t)
    const names: (string | false)[] = []
    const onConnection: FrontOptions['onConnection'] = (socket) => names.push(socket.servername ?? false) > 0
    const { port } = await front(t, clamd, ca.issue(), { onConnection })
    await assertBoth(scanningOf(t, [hostOf(port, serverName)], credentials(ca.cert)))
    await assertBoth(scanningOf(t, [hostOf(port, `${serverName}.`)], credentials(ca.cert)))
    await assertBoth(
      scanningOf(t, [hostOf(port, 'other.example.com')], credentials(ca.cert, { servername: serverName })),
    )
    assert.deepEqual([...new Set(names)], [serverName])
    // An address is in the certificate, too; there is no SNI for it.
    await assertBoth(scanningOf(t, [hostOf(port)], credentials(ca.cert)))
    assert.equal(names.at(-1), false)
  })

  test('a self-signed certificate is its own CA', bounded, async (t) => {
    if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
    const self = new TestCa(t).selfSigned()
    const { port } = await front(t, await real(t), self)
    await assertBoth(scanningOf(t, [hostOf(port)], credentials(self.cert)))
  })

  test('a server without TLS, an old one, and one that refuses our certificate', bounded, async (t) => {
    if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
    const ca = new TestCa(t)
    const own = ca.issue()
    const clamd = await real(t)
    const said = async (port: number, trust = credentials(ca.cert)) =>
      textOf(
        await scanningOf(t, [hostOf(port)], trust, { connectMs: 1000 }).scan(message('clean', 2000, 'x')),
      )
    assert.match(
      await said(clamd.port),
      /connect: the server speaks no TLS|connected, but no TLS within 1000 ms/,
    )
    const silent = await listening(t, () => undefined)
    assert.match(await said(silent), /connect: connected, but no TLS within 1000 ms/)
    const smtp = await listening(t, (socket) => socket.write('220 mail.example.com ESMTP\r\n'))
    assert.match(await said(smtp), /connect: the server speaks no TLS/)
    const hangsUp = await listening(t, (socket) => socket.destroy())
    assert.match(await said(hangsUp), /connect: connection ended during the TLS handshake \(ECONNRESET\)/)
    const old = await front(t, clamd, own, {
      tls: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' },
    })
    assert.match(await said(old.port), /connect: .*(no TLS 1\.2 or later|ERR_SSL)/)
    const client = new TestCa(t).issue()
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const strict = await front(t, clamd, own, { clientCa: ca.cert, tls: { maxVersion } })
      assert.match(await said(strict.port), /client certificate|connection (broke|ended|closed)/)
      assert.match(
        await said(strict.port, credentials(ca.cert, { client })),
        /client certificate|connection (broke|ended|closed)/,
      )
    }
  })
})

describe('what goes wrong on the way', () => {
  test('STREAM is never used, though the daemon lists it and knows nothing else', bounded, async (t) => {
    if (!opensslOrSkip(t)) return
    const ca = new TestCa(t)
    for (const protocols of [['STREAM', 'INSTREAM'], ['STREAM']] as const) {
      const fake = await startFakeClamd({ protocols })
      t.after(() => fake.stop())
      const { port } = await new TlsFront(fake.address, ca.issue()).start(t)
      const trust = credentials(ca.cert)
      const scanning = scanningOf(t, [hostOf(port)], trust, { selfTest: true })
      const verdict = await scanning.scan(message('clean', 2000, 'x'))
      const isThere = protocols.length === 2
      assert.equal(verdict.outcome, isThere ? 'clean' : 'unscanned', textOf(verdict))
      assert.ok(fake.scans.every(({ protocol }) => protocol === 'INSTREAM'))
      const how = { connect: connectWith(trust), connectMs: 5000, signal: never }
      const { commands } = await queryCapabilities({ host: '127.0.0.1', port, tls: '127.0.0.1' }, how)
      assert.ok(commands && !commands.includes('STREAM'))
    }
  })

  test(
    'a connection that ends in the midst, with and without a farewell, is no verdict',
    bounded,
    async (t) => {
      if (!opensslOrSkip(t)) return
      const ca = new TestCa(t)
      const identity = ca.issue()
      const ends: Record<string, (socket: TLSSocket, raw: Socket) => void> = {
        'end of TLS': (socket) => socket.end(),
        'end of TLS after half an answer': (socket) => socket.end('stream: O'),
        // Anybody on the way can do that.
        'end of TCP': (_, raw) => raw.end(),
        'end of TCP after half an answer': (socket, raw) => socket.write('stream: O', () => raw.end()),
        reset: (_, raw) => raw.resetAndDestroy(),
      }
      for (const [name, end] of Object.entries(ends))
        for (const bytes of [2000, large]) {
          const raw: Socket[] = []
          const onConnection: FrontOptions['onConnection'] = (socket) => {
            socket.once('data', () => end(socket, raw.at(-1) ?? socket))
            return false
          }
          const front = new TlsFront({ port: 1 }, identity, {
            onConnection,
            onRaw: (socket) => raw.push(socket),
          })
          const { port } = await front.start(t)
          const scanning = scanningOf(t, [hostOf(port)], credentials(ca.cert))
          const verdict = await scanning.scan(message('clean', bytes, 'x'))
          assert.equal(verdict.outcome, 'unscanned', name)
          assert.match(textOf(verdict), /(reply|send|command): connection /, name)
          assert.deepEqual(scanning.leftovers(), [], name)
        }
    },
  )

  test('an answer counts when TCP ends behind it, without a farewell', bounded, async (t) => {
    if (!opensslOrSkip(t)) return
    const ca = new TestCa(t)
    const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
    t.after(() => fake.stop())
    const raw: Socket[] = []
    const front = new TlsFront(fake.address, ca.issue(), {
      onRaw: (socket) => raw.push(socket),
      endsRaw: true,
    })
    const { port } = await front.start(t)
    const scanning = scanningOf(t, [hostOf(port)], credentials(ca.cert))
    for (const content of ['clean', 'infected'] as const) {
      const verdict = await scanning.scan(message(content, large, content))
      assert.equal(verdict.outcome, content, textOf(verdict))
    }
    assert.deepEqual(scanning.leftovers(), [])
  })

  test(
    'a forged record right behind the handshake ends the connection, not the process',
    bounded,
    async (t) => {
      if (!opensslOrSkip(t)) return
      const ca = new TestCa(t)
      const identity = ca.issue()
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const onConnection = () => false
        const server = await new TlsFront({ port: 1 }, identity, { onConnection, tls: { maxVersion } }).start(
          t,
        )
        const forged = Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32, 'x')])
        // Somebody on the way adds it to what the server sends; in TLS 1.3 the first flight ends the handshake.
        const port = await listening(t, (socket) => {
          const behind = connect({ host: '127.0.0.1', port: server.port })
          behind.on('error', () => undefined).on('close', () => socket.destroy())
          socket.on('close', () => behind.destroy()).pipe(behind)
          let flights = maxVersion === 'TLSv1.3' ? 1 : 0
          behind.on('data', (bytes: Buffer) =>
            socket.write(++flights > 1 ? Buffer.concat([bytes, forged]) : bytes),
          )
        })
        const scanning = scanningOf(t, [hostOf(port)], credentials(ca.cert), { scanMs: 5000 })
        const verdict = await scanning.scan(message('clean', 2000, 'x'))
        t.diagnostic(textOf(verdict))
        assert.match(textOf(verdict), /ERR_SSL_|closed without a reply/, maxVersion)
        assert.deepEqual(scanning.leftovers(), [])
      }
    },
  )

  test(
    'a daemon that stops answering: PING and message end in time, and nothing is left',
    bounded,
    async (t) => {
      if (!opensslOrSkip(t)) return
      const ca = new TestCa(t)
      const { port } = await new TlsFront({ port: 1 }, ca.issue(), { onConnection: () => false }).start(t)
      const trust = credentials(ca.cert)
      const address = { host: '127.0.0.1', port, tls: '127.0.0.1' }
      const how = { connect: connectWith(trust), connectMs: 300, signal: never }
      await assert.rejects(queryCapabilities(address, how), /no reply within 300 ms/)
      const scanning = scanningOf(t, [address], trust, { scanMs: 300 })
      const verdict = await scanning.scan(message('clean', 2000, 'x'))
      assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'timeout', textOf(verdict))
      assert.deepEqual(scanning.leftovers(), [])
    },
  )

  test(
    'the next host is asked; the plain one and the one behind TLS are two addresses',
    bounded,
    async (t) => {
      if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
      const ca = new TestCa(t)
      const clamd = await real(t)
      const expired = await front(t, clamd, ca.issue({ days: -1 }))
      const good = await front(t, clamd, ca.issue())
      const plain = { host: '127.0.0.1', port: good.port }
      const hosts = [plain, hostOf(expired.port), hostOf(good.port)]
      const scanning = scanningOf(t, hosts, credentials(ca.cert), { connectMs: 500 })
      await assertBoth(scanning)
      const states = scanning.hosts.states().map(({ text, state }) => `${text} ${state}`)
      assert.deepEqual(states, [
        `127.0.0.1:${good.port} resting`,
        `tls://127.0.0.1:${expired.port} resting`,
        `tls://127.0.0.1:${good.port} up`,
      ])
    },
  )
})

async function listening(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined))
    onConnection(socket)
  })
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
