// Certificates that openssl makes at run time, and TLS in front of a clamd: by node:tls, and by stunnel and HAProxy where
// they are installed.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls from 'node:tls'
import type { TlsCredentials } from '../../../lib/clamd/tls'
import { LoggedProcess, TemporaryDirectory } from '../process'
import { freePort } from './clamd'

/** The name in the certificates, which nobody resolves; 127.0.0.1 is in them as well. */
export const serverName = 'clamd.example.com'

/** Without openssl the test is skipped; in CI it fails. */
export function opensslOrSkip(t: { skip(message?: string): void }): boolean {
  if (spawnSync('openssl', ['version']).status === 0) return true
  if (process.env.CI) throw new Error('openssl is not installed: CI must not skip the tests that need it')
  t.skip('openssl is not installed')
  return false
}

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Files of a certificate and its key. */
export interface Identity {
  readonly cert: string
  readonly key: string
}

/** A CA of a test's own, which vanishes with it. */
export class TestCa {
  readonly directory = new TemporaryDirectory('tls')
  readonly cert = this.#file('ca.pem')
  readonly #key = this.#file('ca.key')
  #count = 0

  constructor(t: Pick<TestContext, 'after'>) {
    t.after(() => this.directory.remove())
    const names = ['-subj', '/CN=Test CA', '-days', '30', '-keyout', this.#key, '-out', this.cert]
    this.#openssl('req', '-x509', ...curve, ...names)
  }

  /** @param days of validity from now; negative: it has expired */
  issue({ name = serverName, days = 30 }: { name?: string; days?: number } = {}): Identity {
    const of = (kind: string) => this.#file(`${this.#count}.${kind}`)
    this.#count++
    const [cert, key, request, extensions] = [of('pem'), of('key'), of('csr'), of('ext')]
    writeFileSync(extensions, `subjectAltName=DNS:${name}${name === serverName ? ',IP:127.0.0.1' : ''}\n`)
    this.#openssl('req', ...curve, '-subj', `/CN=${name}`, '-keyout', key, '-out', request)
    const by = ['-CA', this.cert, '-CAkey', this.#key, '-CAcreateserial', '-extfile', extensions]
    this.#openssl('x509', '-req', '-in', request, ...by, '-days', String(days), '-out', cert)
    return { cert, key }
  }

  /** A certificate that signs itself. */
  selfSigned(): Identity {
    const [cert, key] = [this.#file('self.pem'), this.#file('self.key')]
    const more = ['-subj', `/CN=${serverName}`, '-addext', `subjectAltName=DNS:${serverName},IP:127.0.0.1`]
    this.#openssl('req', '-x509', ...curve, ...more, '-days', '30', '-keyout', key, '-out', cert)
    return { cert, key }
  }

  #file(name: string): string {
    return path.join(this.directory.path, name)
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: 'pipe' })
  }
}

/** What the plugin reads from files. */
export function credentials(
  ca: string | null,
  { client = null, servername = null }: { client?: Identity | null; servername?: string | null } = {},
): TlsCredentials {
  const text = (file: string) => readFileSync(file, 'utf8')
  return {
    ca: ca === null ? null : text(ca),
    cert: client && text(client.cert),
    key: client && text(client.key),
    servername,
  }
}

/** What the front does besides passing bytes on. */
export interface FrontOptions {
  /** Certificate of the CA that has to sign the client's one. */
  readonly clientCa?: string
  readonly tls?: tls.TlsOptions
  /** Called for each connection; false: it is not passed on. */
  readonly onConnection?: (socket: tls.TLSSocket) => boolean
  /** Called with the TCP connection of each. */
  readonly onRaw?: (socket: Socket) => void
  /** When clamd closes, only TCP ends: TLS says no farewell. */
  readonly endsRaw?: boolean
}

/** TLS on a free port, in front of a clamd. */
export class TlsFront {
  port = 0
  connections = 0
  readonly #sockets = new Set<Socket>()
  readonly #server: tls.Server

  constructor(clamd: net.NetConnectOpts, identity: Identity, options: FrontOptions = {}) {
    const { clientCa, onConnection = () => true, onRaw, endsRaw = false } = options
    let raw: Socket | undefined
    const client = clientCa === undefined ? {} : { ca: readFileSync(clientCa), requestCert: true }
    this.#server = tls.createServer(
      { cert: readFileSync(identity.cert), key: readFileSync(identity.key), ...client, ...options.tls },
      (socket) => {
        this.connections++
        this.#keep(socket)
        if (!onConnection(socket)) return
        const behind = this.#keep(net.connect(clamd))
        const tcp = raw
        socket.pipe(behind).pipe(socket, { end: !endsRaw })
        socket.on('close', () => behind.destroy())
        behind.on('close', () => (endsRaw ? tcp?.end() : socket.end()))
      },
    )
    this.#server.on('connection', (socket: Socket) => {
      raw = this.#keep(socket)
      onRaw?.(socket)
    })
    this.#server.on('tlsClientError', () => undefined)
  }

  async start(t: Pick<TestContext, 'after'>): Promise<this> {
    t.after(() => this.stop())
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #keep<T extends Socket>(socket: T): T {
    this.#sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket))
    return socket
  }
}

const programs = { stunnel: '/usr/bin/stunnel4', haproxy: '/usr/sbin/haproxy' }
export type ProxyKind = keyof typeof programs

/** Also in CI it may be missing: TlsFront has tested the same. */
export function proxyOrSkip(t: { skip(message?: string): void }, kind: ProxyKind): boolean {
  if (existsSync(programs[kind])) return true
  t.skip(`${programs[kind]} is not installed (Debian: apt-get install stunnel4 haproxy)`)
  return false
}

/** A real TLS proxy in front of a clamd, for clients with a certificate of that CA; @returns its port */
export async function startProxy(
  t: TestContext,
  kind: ProxyKind,
  clamd: { readonly host: string; readonly port: number },
  { cert, key }: Identity,
  clientCa: string,
): Promise<number> {
  const port = await freePort()
  const to = `${clamd.host}:${clamd.port}`
  if (kind === 'stunnel') {
    const client = `verifyChain = yes\nCAfile = ${clientCa}\n`
    const service = `[clamd]\naccept = 127.0.0.1:${port}\nconnect = ${to}\ncert = ${cert}\nkey = ${key}\n${client}`
    return startStunnel(t, port, service)
  }
  const directory = new TemporaryDirectory(kind)
  t.after(() => directory.remove())
  const file = (name: string) => path.join(directory.path, name)
  writeFileSync(file('pem'), readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'))
  const client = ` verify required ca-file ${clientCa}`
  const times = 'timeout connect 5s\n timeout client 5m\n timeout server 5m'
  const bind = `bind 127.0.0.1:${port} ssl crt ${file('pem')}${client}`
  writeFileSync(file('conf'), `listen clamd\n mode tcp\n ${bind}\n server one ${to}\n ${times}\n`)
  await isListening(t, new LoggedProcess(programs.haproxy, ['-f', file('conf'), '-db']), port)
  return port
}

/** @param service that part of its configuration */
export async function startStunnel(t: TestContext, port: number, service: string): Promise<number> {
  const directory = new TemporaryDirectory('stunnel')
  t.after(() => directory.remove())
  const conf = path.join(directory.path, 'conf')
  writeFileSync(conf, `foreground = yes\npid =\n${service}`)
  await isListening(t, new LoggedProcess(programs.stunnel, [conf]), port)
  return port
}

async function isListening(t: TestContext, proxy: LoggedProcess, port: number): Promise<void> {
  t.after(() => proxy.stop('SIGTERM'))
  // Neither says so.
  while (!(await isOpen(port))) {
    if (proxy.exit) throw new Error(`the proxy ended:\n${proxy.log}`)
    await delay(25)
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', () => end(true)).on('error', () => end(false))
  })
}
