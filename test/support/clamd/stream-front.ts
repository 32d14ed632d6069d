// STREAM as clamd 0.103 speaks it, in front of a real clamd's INSTREAM, because no later release has STREAM: the
// dialogue is this file's, the verdicts are real. It is strict: one data connection, IPv4, over the limit it cuts in
// silence. Faults are scripted with fake-clamd.ts; here only the data port can be a dead end.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Address } from '../../../lib/clamd/address'
import { openBlackHole } from './black-hole'
import { freePort } from './clamd'
import { DataPort, type PortRange } from './data-port'
import { type Command, FakeConnection, readCommand } from './fake-connection'
import { FrameReader } from './frames'

export interface FrontBehaviour {
  /** The real clamd. */
  clamd: Address
  /** Default true; false after the upgrade that drops it. */
  stream?: boolean
  /** Whether INSTREAM is passed on to the real clamd. Default false: UNKNOWN COMMAND. */
  instream?: boolean
  /** Default true. False is a daemon older than 0.95: it takes VERSIONCOMMANDS for VERSION and has no z commands. */
  versionCommands?: boolean
  /** The release it says it is; the rest of VERSION is the real clamd's. Default 0.103.12. */
  engine?: string
  /** Default 25 MiB; 0 is unlimited. */
  streamMaxLength?: number
  /** How long it waits for the data connection. Default 30 s, clamd's CommandReadTimeout. */
  acceptMs?: number
  /** The longest gap in the message. Default 120 s, clamd's ReadTimeout. */
  readMs?: number
  /** Data ports are taken from here. Default: 64 of them, somewhere below the system's own range. */
  dataPorts?: PortRange
  /** With 'refuse' the PORT line names a closed port, with 'blackHole' one where connecting hangs (TCP only). */
  dataPort?: 'open' | 'refuse' | 'blackHole'
}

export interface FrontOptions extends FrontBehaviour {
  /** Default 127.0.0.1, on a free port. */
  host?: string
  port?: number
}

const firstOfRange = 20_000 + 64 * Math.floor(Math.random() * 150)

export class StreamFront {
  /** Command names in the order they came. */
  readonly commands: string[] = []
  /** Messages handed to the real clamd. */
  scans = 0
  #behaviour: Required<FrontBehaviour>
  readonly #host: string
  #port: number
  #server: Server | undefined
  #lastMessage: Buffer[] = []
  readonly #commandConnections = new Set<FakeConnection>()
  readonly #dataConnections = new Set<FakeConnection>()
  readonly #upstreams = new Set<FakeConnection>()
  readonly #dialogues = new Set<Promise<void>>()
  #stopped = false
  #failure: unknown

  constructor({ host = '127.0.0.1', port = 0, ...behaviour }: FrontOptions) {
    this.#host = host
    this.#port = port
    this.#behaviour = {
      stream: true,
      instream: false,
      versionCommands: true,
      engine: '0.103.12',
      streamMaxLength: 25 * 1024 * 1024,
      acceptMs: 30_000,
      readMs: 120_000,
      dataPorts: { min: firstOfRange, max: firstOfRange + 63 },
      dataPort: 'open',
      ...behaviour,
    }
  }

  get address(): { host: string; port: number } {
    return { host: this.#host, port: this.#port }
  }

  /** The message last handed to the real clamd, as far as it was read and without framing. */
  get lastMessage(): Buffer {
    this.#lastMessage = [Buffer.concat(this.#lastMessage)]
    return this.#lastMessage[0] ?? Buffer.alloc(0)
  }

  /** Connections that the client has not ended and we have not closed. */
  get open(): { command: number; data: number } {
    const count = (tracked: Set<FakeConnection>) =>
      [...tracked].filter((connection) => !connection.ended).length
    return { command: count(this.#commandConnections), data: count(this.#dataConnections) }
  }

  async start(): Promise<this> {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    this.#server.listen({ host: this.#host, port: this.#port })
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
    return this
  }

  /** Changes its ways for the commands that come from now on, as an upgrade of the daemon does. */
  become(behaviour: Partial<FrontBehaviour>): void {
    this.#behaviour = { ...this.#behaviour, ...behaviour }
  }

  /** Resolves when every connection so far is ended or closed. */
  async idle(): Promise<void> {
    while (this.open.command + this.open.data > 0) {
      await Promise.all(
        [...this.#commandConnections, ...this.#dataConnections].map((connection) => connection.over),
      )
    }
  }

  /** Ends everything; rejects if the front itself failed on the way. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#server?.close()
    const tracked = [...this.#commandConnections, ...this.#dataConnections, ...this.#upstreams]
    for (const connection of tracked) connection.socket.destroy()
    await Promise.all(tracked.map((connection) => connection.closed))
    await Promise.all(this.#dialogues)
    if (this.#failure !== undefined) throw new Error('the STREAM front failed', { cause: this.#failure })
  }

  #accept(socket: Socket): void {
    const dialogue = this.#converse(this.#track(new FakeConnection(socket), this.#commandConnections))
      .catch((error: unknown) => (this.#failure ??= error))
      .then(() => void this.#dialogues.delete(dialogue))
    this.#dialogues.add(dialogue)
  }

  async #converse(connection: FakeConnection): Promise<void> {
    const command = await readCommand(connection)
    if (command) {
      this.commands.push(command.name)
      const reply = await this.#serve(connection, command)
      if (reply !== undefined) await connection.write(Buffer.from(reply + this.#endOf(command), 'latin1'))
    }
    connection.close()
  }

  /** The reply; undefined for none, which is a bare close. */
  async #serve(connection: FakeConnection, command: Command): Promise<string | undefined> {
    const { stream, instream, versionCommands } = this.#behaviour
    const isOld = !versionCommands
    if (isOld && command.prefix === 'z') return 'UNKNOWN COMMAND'
    switch (command.name) {
      case 'PING':
        return this.#ask('PING')
      case 'VERSION':
        return this.#version()
      case 'VERSIONCOMMANDS':
        if (isOld) return this.#version()
        return command.prefix === '' ? 'UNKNOWN COMMAND' : this.#versionCommands()
      case 'STREAM':
        return stream ? this.#stream(connection, command) : 'UNKNOWN COMMAND'
      case 'INSTREAM':
        if (!instream || command.prefix === '') return 'UNKNOWN COMMAND'
        await this.#passOn(connection, command)
        return undefined
      default:
        return 'UNKNOWN COMMAND'
    }
  }

  async #version(): Promise<string | undefined> {
    const reply = await this.#ask('VERSION')
    return reply?.replace(/^ClamAV [^/]*/, `ClamAV ${this.#behaviour.engine}`)
  }

  async #versionCommands(): Promise<string | undefined> {
    const { stream, instream } = this.#behaviour
    const version = await this.#version()
    const scans = `${instream ? ' INSTREAM' : ''}${stream ? ' STREAM' : ''}`
    return version && `${version}| COMMANDS: SCAN RELOAD PING CONTSCAN VERSIONCOMMANDS VERSION STATS${scans}`
  }

  async #stream(connection: FakeConnection, command: Command): Promise<string | undefined> {
    const { acceptMs, dataPort, dataPorts, clamd, streamMaxLength, readMs } = this.#behaviour
    const sayPort = (port: number) => connection.write(Buffer.from(`PORT ${port}${this.#endOf(command)}`))
    if (dataPort !== 'open') {
      const hole = dataPort === 'blackHole' ? await openBlackHole() : undefined
      await sayPort(hole?.port ?? (await freePort()))
      const isLate = await this.#quiet(connection, acceptMs)
      await hole?.close()
      return isLate ? 'Accept timeout. ERROR' : undefined
    }
    const door = await DataPort.open(this.#dataHost(), dataPorts)
    if (!door) return `Can't find any free port. ERROR`
    await sayPort(door.port)
    const socket = await door.connection(acceptMs, connection.closed)
    if (typeof socket === 'string') return socket === 'late' ? 'Accept timeout. ERROR' : undefined
    const data = this.#track(new FakeConnection(socket), this.#dataConnections)
    const message = await receive(data, streamMaxLength || Infinity, readMs)
    // clamd closes the data connection after the scan and before the verdict (scanner.c, scanstream).
    const verdict = message ? await this.#scan(clamd, message) : 'read timeout ERROR'
    data.socket.destroy()
    await data.closed
    return verdict
  }

  /** IPv4 in any case, and reachable under the address the client knows. */
  #dataHost(): string {
    return this.#host.includes(':') ? '127.0.0.1' : this.#host
  }

  /** True when so long has passed and the client is still there. */
  async #quiet(connection: FakeConnection, ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(true), ms)))
    const gone = connection.over.then(() => false)
    const isLate = await Promise.race([late, gone])
    clearTimeout(timer)
    return isLate
  }

  async #scan(clamd: Address, message: Buffer[]): Promise<string | undefined> {
    this.scans++
    this.#lastMessage = message
    const header = Buffer.alloc(4)
    header.writeUInt32BE(message.reduce((size, piece) => size + piece.length, 0))
    const isEmpty = header.readUInt32BE() === 0
    return this.#ask('INSTREAM', isEmpty ? [header] : [header, ...message, Buffer.alloc(4)], clamd)
  }

  /** Asks the real clamd; undefined if it gives no whole reply. */
  async #ask(
    name: string,
    content: Buffer[] = [],
    clamd = this.#behaviour.clamd,
  ): Promise<string | undefined> {
    const upstream = this.#dial(clamd)
    for (const bytes of [Buffer.from(`z${name}\0`), ...content]) await upstream.write(bytes)
    let reply = ''
    for (;;) {
      const piece = await upstream.next()
      if (typeof piece === 'string' || reply.includes('\0')) break
      reply += piece.toString('latin1')
    }
    upstream.close()
    return /^([^\0]*)\0/.exec(reply)?.[1]
  }

  /** INSTREAM is the real clamd's own; the bytes are read along. */
  async #passOn(connection: FakeConnection, { prefix, end }: Command): Promise<void> {
    const upstream = this.#dial(this.#behaviour.clamd)
    const frames = new FrameReader()
    const content: Buffer[] = []
    const upward = async () => {
      await upstream.write(Buffer.from(`${prefix}INSTREAM${end}`))
      for (let piece = await connection.next(); typeof piece !== 'string'; piece = await connection.next()) {
        content.push(...frames.push(piece))
        if (frames.state === 'done') this.#lastMessage = content
        await upstream.write(piece)
      }
      if (connection.wasReset) upstream.reset()
      else upstream.halfClose()
    }
    const downward = async () => {
      for (let piece = await upstream.next(); typeof piece !== 'string'; piece = await upstream.next()) {
        await connection.write(piece)
      }
      if (upstream.wasReset) connection.reset()
      else connection.close()
      upstream.close()
    }
    this.scans++
    await Promise.all([upward(), downward()])
  }

  #dial(clamd: Address): FakeConnection {
    return this.#track(new FakeConnection(connect({ ...clamd, allowHalfOpen: true })), this.#upstreams)
  }

  #track(connection: FakeConnection, tracked: Set<FakeConnection>): FakeConnection {
    // One that came in the moment of stop() was not there to be ended with the others.
    if (this.#stopped) connection.socket.destroy()
    tracked.add(connection)
    void connection.closed.then(() => tracked.delete(connection))
    return connection
  }

  #endOf(command: Command): string {
    return this.#behaviour.versionCommands ? command.end : '\n'
  }
}

/** The message up to the limit; undefined after too long a silence. An RST ends it as a FIN does. */
async function receive(data: FakeConnection, limit: number, readMs: number): Promise<Buffer[] | undefined> {
  const message: Buffer[] = []
  let size = 0
  while (size < limit) {
    const piece = await data.next(readMs)
    if (piece === 'silence') return undefined
    if (piece === 'end') break
    message.push(piece.subarray(0, limit - size))
    size += piece.length
  }
  return message
}

/** A running front; the caller stops it. */
export async function startStreamFront(options: FrontOptions): Promise<StreamFront> {
  return new StreamFront(options).start()
}
