// A scriptable clamd: speaks STREAM, INSTREAM and IDSESSION strictly, keeps what it was sent, and misbehaves as its script says
// (clamd-script.ts) at any step of the dialogue. Left alone it answers like the real thing: OK, or FOUND when the
// bytes hold the EICAR string, base64 included; given a `judge`, it is a front whose verdicts are that one's.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { Address } from '../../../lib/clamd/address'
import { eicar } from '../eicar'
import { type BlackHole, openBlackHole } from './black-hole'
import { Observations, type Protocol } from './clamd-observations'
import type { Act, ConnectDeadEnd, Script, Step } from './clamd-script'
import type { Command, FakeConnection } from './fake-connection'
import { converse, type Daemon } from './fake-dialogue'

export type { Moment, Script, Step } from './clamd-script'
export type { Protocol, Scan } from './clamd-observations'

export interface FakeClamdOptions {
  /** Default 127.0.0.1, on a free port. */
  host?: string
  port?: number
  /** A unix socket instead. */
  path?: string
  /** Default both. */
  protocols?: readonly Protocol[]
  /** Whether it has IDSESSION. Default false. */
  sessions?: boolean
  /** What VERSION says. */
  version?: string
  /** Like the setting: STREAM is cut there in silence, INSTREAM is refused beyond. Default 0: unlimited. */
  streamMaxLength?: number
  /** How long a STREAM waits for its data connection. Default 30 s, as clamd's CommandReadTimeout. */
  acceptMs?: number
  /** Where the verdicts come from, such as a real clamd's `scan`. Default: FOUND for what holds the EICAR string. */
  judge?: (message: Buffer) => Promise<string>
  /** Where the data port listens. Default: where the command came to if that is IPv4, else 127.0.0.1. */
  dataHost?: string
}

type Asked = 'PING' | 'VERSION' | 'VERSIONCOMMANDS'
/** A reply, or what is done instead; undefined for the usual answer. */
type Answer = string | readonly Act[] | undefined

export class FakeClamd extends Observations implements Daemon {
  /** May be changed at any time, as by an upgrade. */
  protocols: readonly Protocol[]
  sessions: boolean
  streamMaxLength: number
  acceptMs: number
  version: string
  readonly dataHost: string | undefined
  /** May be changed at any time. */
  judge: (message: Buffer) => Promise<string>
  /** What is said, or done, about commands that are no scans; may be changed at any time. */
  readonly answers: Partial<Record<Asked, Answer>> = {}
  readonly #options: FakeClamdOptions
  readonly #stop = new AbortController()
  readonly #dialogues = new Set<Promise<void>>()
  readonly #queue: Script[] = []
  #standing: (scan: number) => Script = () => []
  #taken = 0
  #port = 0
  #server: Server | undefined
  #hole: BlackHole | undefined
  #failure: unknown

  constructor(options: FakeClamdOptions = {}) {
    super()
    this.#options = options
    this.protocols = options.protocols ?? ['STREAM', 'INSTREAM']
    this.sessions = options.sessions ?? false
    this.version = options.version ?? 'ClamAV 1.4.6/27500/Sat Nov 22 09:00:00 2025'
    this.streamMaxLength = options.streamMaxLength ?? 0
    this.acceptMs = options.acceptMs ?? 30_000
    this.dataHost = options.dataHost
    this.judge = options.judge ?? judgeByItself
    this.#port = options.port ?? 0
  }

  get address(): Address {
    const { path, host = '127.0.0.1' } = this.#options
    return path === undefined ? { host, port: this.#port } : { path }
  }

  get stopped(): AbortSignal {
    return this.#stop.signal
  }

  async start(): Promise<this> {
    await this.#listen()
    return this
  }

  /**
   * The script of every scan from now on; a function is given the number of scans since this call and may be asked
   * more than once for the same one.
   * Dialogues under way keep theirs. A dead end at `connect` lasts until the next `play`, and connections that are
   * open stay so. (A unix socket has no black hole, and refusing it removes the file: ENOENT.)
   */
  async play(script: readonly (Step | ConnectDeadEnd)[] | ((scan: number) => Script)): Promise<void> {
    this.#queue.length = 0
    this.#taken = 0
    const isFunction = typeof script === 'function'
    const deadEnd = isFunction ? undefined : script.find((step) => step.at === 'connect')?.do
    this.#standing = isFunction ? script : () => script.filter((step) => step.at !== 'connect')
    if (deadEnd === undefined && this.#server) return
    await this.#unlisten()
    if (deadEnd === 'blackHole') await this.#openHole()
    else if (deadEnd === undefined) await this.#listen()
  }

  /** Scripts for the next scans, one each; then the standing one holds again. */
  queue(...scripts: Script[]): void {
    this.#queue.push(...scripts)
  }

  /** As when the daemon is restarted: every connection is reset, and new ones are served. */
  async resetAll(): Promise<void> {
    const tracked = [...this.tracked]
    for (const connection of tracked) connection.reset()
    await Promise.all(tracked.map((connection: FakeConnection) => connection.closed))
  }

  /** Ends everything; rejects if the fake itself failed on the way. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#unlisten()
    for (const connection of this.tracked) connection.socket.destroy()
    await Promise.all([...this.tracked].map((connection: FakeConnection) => connection.closed))
    await Promise.all(this.#dialogues)
    if (this.#failure !== undefined) throw new Error('the fake clamd failed', { cause: this.#failure })
  }

  override track(connection: FakeConnection): FakeConnection {
    // One that came in the moment of stop() was not there to be ended with the others.
    if (this.stopped.aborted) connection.socket.destroy()
    return super.track(connection)
  }

  upcomingScript(): Script {
    return this.#queue[0] ?? this.#standing(this.#taken)
  }

  takeScript(): Script {
    const script = this.upcomingScript()
    this.#queue.shift()
    this.#taken++
    return script
  }

  otherCommand({ name, prefix }: Command): readonly Act[] | undefined {
    if (name !== 'PING' && name !== 'VERSION' && name !== 'VERSIONCOMMANDS') return undefined
    const usual: Record<Asked, Answer> = {
      PING: 'PONG',
      VERSION: this.version,
      VERSIONCOMMANDS: prefix === '' ? undefined : this.#commandList(),
    }
    const answer = this.answers[name] ?? usual[name]
    return typeof answer === 'string' ? [{ do: 'say', text: answer }] : answer
  }

  #commandList(): string {
    return `${this.version}| COMMANDS: SCAN QUIT RELOAD PING CONTSCAN VERSIONCOMMANDS VERSION END SHUTDOWN MULTISCAN ${[
      ...this.protocols,
      ...(this.sessions ? ['IDSESSION'] : []),
      'STATS',
    ].join(' ')}`
  }

  async #listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    const { path, host = '127.0.0.1' } = this.#options
    server.listen(path === undefined ? { host, port: this.#port } : { path })
    await once(server, 'listening')
    this.#server = server
    const address = server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
  }

  /** Open connections are left alone. */
  async #unlisten(): Promise<void> {
    this.#server?.close()
    this.#server = undefined
    await this.#hole?.close()
    this.#hole = undefined
  }

  async #openHole(): Promise<void> {
    const { path, host } = this.#options
    if (path !== undefined) throw new Error('a unix socket cannot be a black hole')
    this.#hole = await openBlackHole(host, this.#port)
  }

  #accept(socket: Socket): void {
    this.connections++
    const dialogue = converse(this, socket)
      .catch((error: unknown) => (this.#failure ??= error))
      .then(() => void this.#dialogues.delete(dialogue))
    this.#dialogues.add(dialogue)
  }
}

/** Archives of the self test, to which a clamd with AlertExceedsMax and high limits has something to say. */
const archives: Record<string, string> = {
  'nested.gz': 'Heuristics.Limits.Exceeded.MaxRecursion',
  'nested.zip': 'Heuristics.Limits.Exceeded.MaxRecursion',
  'files.zip': 'Heuristics.Limits.Exceeded.MaxFiles',
  'large.zip': 'Eicar-Test-Signature',
  'total.zip': 'Heuristics.Limits.Exceeded.MaxScanSize',
}

/** Finds the EICAR string as it is and, in an attachment, in base64. */
export function judgeByItself(message: Buffer): Promise<string> {
  const [, archive] = Object.entries(archives).find(([name]) => message.includes(`name="${name}"`)) ?? []
  if (archive !== undefined) return Promise.resolve(`stream: ${archive} FOUND`)
  const encoded = Buffer.from(eicar()).toString('base64')
  const isFound =
    message.includes(eicar()) ||
    (message.includes(encoded.slice(0, 76)) &&
      message.toString('latin1').replace(/\r?\n/g, '').includes(encoded))
  return Promise.resolve(isFound ? 'stream: Eicar-Test-Signature FOUND' : 'stream: OK')
}

/** A running fake; the caller stops it. */
export async function startFakeClamd(options: FakeClamdOptions = {}): Promise<FakeClamd> {
  return new FakeClamd(options).start()
}
