// A real Haraka for one test: a site of its own in a temporary directory, on a free loopback port, with this plugin
// and small local plugins that let everybody send and keep what is delivered.
// haraka-install.ts has the server and the packed plugin.
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, watch, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Exit, LoggedProcess, TemporaryDirectory } from '../process'
import { type HarakaInstall, installHaraka } from './haraka-install'
import { acceptRcpt, deliver, nextHop, relayEverybody } from './haraka-plugins'

export { checkoutHaraka, installHaraka, type HarakaInstall } from './haraka-install'

export interface HarakaOptions {
  /** The text of config/clamav-stream.ini; the file is not written without it. */
  ini?: string
  /** The text of config/clamav-stream.signatures. */
  signatures?: string
  /** config/plugins between the local plugins that accept and the one that delivers. */
  plugins?: string[]
  /** Further files of config/ by name; one of a name written here replaces that, null leaves it out. */
  files?: Record<string, string | Buffer | null>
  /** Further plugins of the site by name, as source text; list them in `plugins`. */
  sources?: Record<string, string>
  /** Further lines of the [main] section of smtp.ini. */
  smtpIni?: string
  /** Keys of connection.ini with the values they get, such as `{ spool_after: 0, bytes: 1000 }`. */
  connection?: Record<string, string | number>
  /** Without it the system picks a free one. */
  port?: number
  /** Worker processes; 0 is one process that does everything. */
  nodes?: number
  env?: NodeJS.ProcessEnv
  /** Every connection counts as relaying. */
  relaying?: boolean
  /** Names and passwords for AUTH PLAIN, offered to clients from private addresses. */
  users?: Record<string, string>
  /** Clients must introduce themselves with a `proxyLine()` (smtp.ts). */
  proxy?: boolean
  /** False: nothing delivers, other plugins or the outbound queue have to. */
  deliver?: boolean
  /** The outbound queue delivers to this loopback port, whatever the domain. */
  nextHop?: number
  /** NOTICE is the least that shows the start. */
  loglevel?: 'NOTICE' | 'INFO' | 'DEBUG' | 'PROTOCOL' | 'DATA'
  /** Without it the packed plugin of `installHaraka()`. */
  haraka?: HarakaInstall
  startMs?: number
}

/** A delivered message, what was known about it, and which hook delivered it. */
export interface Delivered {
  id: string
  uuid: string
  mail_from: string
  rcpt_to: string[]
  notes: unknown
  result: unknown
  queue: 'queue' | 'queue_outbound'
  message: Buffer
}

/** Haraka ended instead of listening. */
export class StartError extends Error {
  constructor(
    readonly exit: Exit,
    readonly log: string,
  ) {
    super(`Haraka did not start (${JSON.stringify(exit)}):\n${log}`)
  }
}

export class Haraka {
  readonly port: number
  readonly site: string
  readonly #directory: TemporaryDirectory
  readonly #process: LoggedProcess

  constructor(directory: TemporaryDirectory, process: LoggedProcess, port: number) {
    this.#directory = directory
    this.#process = process
    this.site = directory.path
    this.port = port
  }

  get pid(): number {
    return this.#process.pid
  }

  get log(): readonly string[] {
    return this.#process.lines
  }

  get exited(): Promise<Exit> {
    return this.#process.exited
  }

  /** Calls back with every log line from now on. */
  onLog(listener: (line: string) => void): void {
    this.#process.onLine(listener)
  }

  /** The first matching log line, from line number `from` on (`log.length` for: from now on). */
  async waitForLog(pattern: RegExp, timeoutMs = 30_000, from = 0): Promise<string> {
    return this.#process.waitForLine(pattern, timeoutMs, from)
  }

  /** Writes a file of config/. Haraka reads it again five seconds after the last change to it. */
  writeConfig(name: string, text: string): void {
    writeSiteFile(this.site, path.join('config', name), text)
  }

  /** Removes a file of config/. */
  removeConfig(name: string): void {
    rmSync(path.join(this.site, 'config', name))
  }

  /** What was delivered so far, oldest first. */
  delivered(): Delivered[] {
    const directory = path.join(this.site, 'delivered')
    const files = readdirSync(directory).filter((name) => name.endsWith('.json'))
    return files.sort().map((name) => {
      const about = JSON.parse(readFileSync(path.join(directory, name), 'utf8')) as Omit<Delivered, 'message'>
      return { ...about, message: readFileSync(path.join(directory, `${about.id}.eml`)) }
    })
  }

  /** Resolves as soon as `count` messages were delivered, with all there are then. */
  async waitForDelivered(count: number, timeoutMs = 30_000): Promise<Delivered[]> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const messages = this.delivered()
        if (messages.length < count) return
        end()
        resolve(messages)
      }
      const end = () => {
        clearTimeout(timer)
        watcher.close()
      }
      const watcher = watch(path.join(this.site, 'delivered'), look)
      const timer = setTimeout(() => {
        end()
        const why = `${this.delivered().length} of ${count} messages were delivered in ${timeoutMs} ms`
        reject(new Error(`${why}:\n${this.#process.log}`))
      }, timeoutMs)
      look()
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.signal(signal)
  }

  /** Ends it the way an administrator does, by force if need be, and removes the site. */
  async stop(): Promise<Exit> {
    const exit = await this.#process.stop('SIGINT')
    // Workers of a cluster outlive their master by a moment, and write into the site.
    this.#process.kill()
    this.#directory.remove()
    return exit
  }
}

/** Resolves when every process of it listens; rejects with a StartError when it ends instead. */
export async function startHaraka(options: HarakaOptions = {}): Promise<Haraka> {
  const install = options.haraka ?? (await installHaraka())
  const directory = new TemporaryDirectory('haraka')
  writeSite(directory.path, install.haraka, options)
  if (install.linked !== undefined) linkPlugin(directory.path, install.linked)
  const program = path.join(install.haraka, 'bin', 'haraka')
  const server = new LoggedProcess(process.execPath, [program, '-c', directory.path], {
    cwd: directory.path,
    env: environment(options.env),
  })
  try {
    return new Haraka(directory, server, await listening(server, options))
  } catch (error) {
    server.kill()
    const exit = await server.exited
    directory.remove()
    throw exit.code === null ? error : new StartError(exit, server.log)
  }
}

async function listening(
  server: LoggedProcess,
  { nodes = 0, startMs = 30_000 }: HarakaOptions,
): Promise<number> {
  const pattern = /Listening on 127\.0\.0\.1:(\d+)/
  let line = ''
  for (let from = 0, seen = 0; seen < Math.max(nodes, 1); seen++) {
    line = await server.waitForLine(pattern, startMs, from)
    from = server.lines.indexOf(line, from) + 1
  }
  return Number(pattern.exec(line)?.[1])
}

function writeSite(site: string, haraka: string, options: HarakaOptions): void {
  const { ini, signatures, users, files = {}, sources = {} } = options
  for (const name of ['config', 'plugins', 'delivered', 'queue', 'spool']) mkdirSync(path.join(site, name))
  const config: Record<string, string | Buffer | null> = {
    me: 'mx.example.com\n',
    host_list: 'example.com\n',
    loglevel: `${options.loglevel ?? 'INFO'}\n`,
    plugins: `${pluginList(options).join('\n')}\n`,
    // Port 0: the system picks a free one, and the log tells which.
    'smtp.ini': `listen=127.0.0.1:${options.port ?? 0}\nnodes=${options.nodes ?? 0}\n${options.smtpIni ?? ''}\n`,
    'connection.ini': connectionIni(haraka, {
      spool_dir: path.join(site, 'spool'),
      ...(options.proxy && { enabled: 'true', 'hosts[]': '127.0.0.1' }),
      ...options.connection,
    }),
    ...(ini !== undefined && { 'clamav-stream.ini': ini }),
    ...(signatures !== undefined && { 'clamav-stream.signatures': signatures }),
    ...(users && { 'auth_flat_file.ini': flatFileIni(users) }),
    ...files,
  }
  for (const [name, text] of Object.entries(config))
    if (text !== null) writeSiteFile(site, path.join('config', name), text)
  const plugins: Record<string, string> = {
    accept_rcpt: acceptRcpt,
    relay_everybody: relayEverybody,
    deliver,
    next_hop: nextHop(options.nextHop ?? 25),
    ...sources,
  }
  for (const [name, text] of Object.entries(plugins)) writeSiteFile(site, `plugins/${name}.js`, text)
}

function pluginList(options: HarakaOptions): string[] {
  return [
    'accept_rcpt',
    ...(options.relaying ? ['relay_everybody'] : []),
    ...(options.users ? ['auth/flat_file'] : []),
    ...(options.plugins ?? ['clamav-stream']),
    ...(options.nextHop === undefined ? [] : ['next_hop']),
    ...(options.deliver === false ? [] : ['deliver']),
  ]
}

/** Haraka's own file with some lines changed: it does not start well on a file that leaves a section out. */
function connectionIni(haraka: string, changes: Record<string, string | number>): string {
  const shipped = readFileSync(path.join(haraka, 'config', 'connection.ini'), 'utf8')
  return Object.entries(changes).reduce((ini, [key, value]) => {
    const line = new RegExp(`^(?:; ?)?${key.replace('[]', '\\[\\]')} *=.*$`, 'm')
    if (!line.test(ini)) throw new Error(`connection.ini has no ${key}`)
    return ini.replace(line, () => `${key} = ${value}`)
  }, shipped)
}

function flatFileIni(users: Record<string, string>): string {
  const lines = Object.entries(users).map(([user, password]) => `${user}=${password}`)
  return `[core]\nmethods=PLAIN,LOGIN\nconstrain_sender=false\n\n[users]\n${lines.join('\n')}\n`
}

function writeSiteFile(site: string, name: string, text: string | Buffer): void {
  const file = path.join(site, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function linkPlugin(site: string, plugin: string): void {
  const modules = path.join(site, 'node_modules')
  mkdirSync(modules)
  symlinkSync(plugin, path.join(modules, 'haraka-plugin-clamav-stream'))
}

/** The caller's environment without what would send this Haraka to another site or make it think it is a test. */
function environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { NODE_OPTIONS = '', NODE_TEST_CONTEXT, ...env } = process.env
  // The bench starts a Haraka as it is.
  const options = NODE_TEST_CONTEXT
    ? `${NODE_OPTIONS} --import ${path.join(__dirname, 'lazy-redis.mjs')}`
    : NODE_OPTIONS
  return { ...env, HARAKA: undefined, NODE_PATH: undefined, NODE_OPTIONS: options, ...extra }
}
