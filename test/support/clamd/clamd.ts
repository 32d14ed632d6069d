// A private real clamd for one test: own directory, free loopback port and local socket, own signatures.
// It can be frozen, killed and started again on the same port; the tests decide what it is asked over the wire.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { testSignatures } from '../eicar'
import { LoggedProcess, TemporaryDirectory } from '../process'

export interface ClamdOptions {
  /** Address to listen on. */
  host?: '127.0.0.1' | '::1'
  /** A directory of signatures of the caller's; without it the test set of eicar.ts. */
  databaseDirectory?: string
  /** Further lines of clamd.conf, such as `{ StreamMaxLength: '5M' }`; they replace the ones written here. */
  config?: Record<string, string | number>
  /** How long loading and the first PONG may take; real signatures take a minute on a slow machine. */
  startMs?: number
}

const sbin = ['/usr/sbin', '/usr/local/sbin']

/** The clamd to test with: the one that `CLAMD` names, or that of this machine. */
export function findClamd(): string | undefined {
  if (process.env.CLAMD) return process.env.CLAMD
  const folders = [...(process.env.PATH ?? '').split(path.delimiter).filter(Boolean), ...sbin]
  return folders.map((folder) => path.join(folder, 'clamd')).find((file) => existsSync(file))
}

/**
 * Says whether there is a clamd to test with. Without one the test is skipped, and the caller returns at once; in CI
 * it fails instead, because there a skipped test would go unnoticed.
 */
export function clamdOrSkip(t: { skip(message?: string): void }): boolean {
  if (findClamd()) return true
  if (process.env.CI) throw new Error('clamd is not installed: CI must not skip the tests that need it')
  t.skip('clamd is not installed (Debian: apt-get install clamav-daemon)')
  return false
}

/** The same for a whole suite: what its `skip` is to be. */
export function skipWithoutClamd(): string | false {
  let reason: string | false = false
  clamdOrSkip({ skip: (message) => (reason = message ?? 'skipped') })
  return reason
}

/** True if it has STREAM, as releases up to 0.103 do. */
export async function hasStream(clamd: RealClamd): Promise<boolean> {
  return / STREAM\b/.test(await clamd.ask('nVERSIONCOMMANDS\n'))
}

export class RealClamd {
  readonly host: string
  readonly socketPath: string
  port = 0
  readonly #directory = new TemporaryDirectory('clamd')
  readonly #options: ClamdOptions
  #process: LoggedProcess | undefined

  constructor(options: ClamdOptions = {}) {
    this.#options = options
    this.host = options.host ?? '127.0.0.1'
    this.socketPath = path.join(this.#directory.path, 'clamd.sock')
  }

  get pid(): number {
    if (!this.#process) throw new Error('clamd was not started')
    return this.#process.pid
  }

  log(): string {
    return this.#process?.log ?? ''
  }

  /** Its reply to a message over INSTREAM, without the terminator; empty if it gives none. */
  scan(message: Buffer): Promise<string> {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(message.length)
    const chunks = message.length === 0 ? [length] : [length, message, Buffer.alloc(4)]
    return this.ask(Buffer.concat([Buffer.from('zINSTREAM\0'), ...chunks]))
  }

  /** What it says to these bytes, without the terminator; empty if it says nothing. */
  ask(bytes: Buffer | string): Promise<string> {
    return converse(this.host, this.port, bytes)
  }

  /** Resolves when it answers PING. Another program may take the free port first: then another one is tried. */
  async start(): Promise<this> {
    for (let attempt = 1; ; attempt++) {
      this.port = await freePort(this.host)
      try {
        await this.#spawn()
        return this
      } catch (error) {
        if (attempt < 3 && /already in use|bind\(\)|could not bind/i.test(this.log())) continue
        this.#directory.remove()
        throw error
      }
    }
  }

  /** Ends it, if it still runs, and starts it again with the same port, socket and signatures. */
  async restart(): Promise<void> {
    await this.kill()
    await this.#spawn()
  }

  /** Freezes it: connections are still accepted by the kernel, and nothing answers. */
  pause(): void {
    this.#process?.signal('SIGSTOP')
  }

  resume(): void {
    this.#process?.signal('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#process?.kill()
    await this.#process?.exited
  }

  async stop(): Promise<void> {
    this.resume()
    await this.#process?.stop('SIGTERM')
    this.#directory.remove()
  }

  async #spawn(): Promise<void> {
    const program = findClamd()
    if (!program) throw new Error('clamd is not installed')
    const clamd = new LoggedProcess(program, [`--config-file=${this.#writeConfig()}`])
    this.#process = clamd
    const deadline = Date.now() + (this.#options.startMs ?? 60_000)
    // clamd has no readiness event but its answer.
    while (!(await ping(this.host, this.port))) {
      if (clamd.exit) throw new Error(`clamd ended (${JSON.stringify(clamd.exit)}):\n${clamd.log}`)
      if (Date.now() > deadline) {
        await this.kill()
        throw new Error(`clamd did not answer PING in time:\n${clamd.log}`)
      }
      await delay(25)
    }
    if (clamd.exit) throw new Error(`clamd ended, another program answers on its port:\n${clamd.log}`)
  }

  #writeConfig(): string {
    const inside = (name: string) => path.join(this.#directory.path, name)
    mkdirSync(inside('tmp'), { recursive: true })
    if (!this.#options.databaseDirectory) {
      mkdirSync(inside('signatures'), { recursive: true })
      testSignatures(inside('signatures'))
    }
    const config = {
      Foreground: 'yes',
      TCPAddr: this.host,
      TCPSocket: this.port,
      LocalSocket: this.socketPath,
      FixStaleSocket: 'yes',
      DatabaseDirectory: this.#options.databaseDirectory ?? inside('signatures'),
      TemporaryDirectory: inside('tmp'),
      ...this.#options.config,
    }
    const file = inside('clamd.conf')
    writeFileSync(
      file,
      Object.entries(config)
        .map(([key, value]) => `${key} ${value}\n`)
        .join(''),
    )
    return file
  }
}

/** A running clamd; the caller stops it. */
export async function startClamd(options: ClamdOptions = {}): Promise<RealClamd> {
  return new RealClamd(options).start()
}

/** A port that is free at this moment. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, host, resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

async function ping(host: string, port: number): Promise<boolean> {
  return (await converse(host, port, 'zPING\0')) === 'PONG'
}

/** Every end of it, a refused connection and five seconds of silence included, is an answer. */
function converse(host: string, port: number, bytes: Buffer | string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port })
    let reply = ''
    socket.setTimeout(5_000, () => socket.destroy())
    socket.on('connect', () => socket.write(bytes))
    socket.on('data', (chunk: Buffer) => (reply += chunk.toString('latin1')))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(reply.replace(/[\0\n]$/, '')))
  })
}
