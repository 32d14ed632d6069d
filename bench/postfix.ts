// A private Postfix, with or without a milter, from Debian's packages: everything it writes is in one temporary
// directory, it listens on loopback only, and what it takes it discards. It needs root, as Postfix does.
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../test/support/clamd/clamd'
import { LoggedProcess, run, TemporaryDirectory } from '../test/support/process'
import { connect } from '../test/support/smtp/smtp'
import { type StartMilter, until, writeConfig } from './milters'
import { maxBytes } from './sites'

const startMs = 20_000

/** Processes stay for the whole run, so that their CPU time can be read at the end of each measurement. */
const main = (directory: string, milter: string | undefined): Record<string, string | number> => ({
  compatibility_level: '3.6',
  queue_directory: path.join(directory, 'queue'),
  data_directory: path.join(directory, 'state'),
  maillog_file: path.join(directory, 'mail.log'),
  maillog_file_prefixes: directory,
  myhostname: 'mx.example.com',
  mydestination: '',
  mynetworks: '127.0.0.0/8',
  inet_interfaces: '127.0.0.1',
  inet_protocols: 'ipv4',
  alias_maps: '',
  alias_database: '',
  smtpd_peername_lookup: 'no',
  disable_dns_lookups: 'yes',
  smtpd_relay_restrictions: 'permit_mynetworks, reject',
  default_transport: 'discard:',
  message_size_limit: maxBytes,
  mailbox_size_limit: 0,
  in_flow_delay: 0,
  max_idle: '1d',
  max_use: 1_000_000,
  ...(milter !== undefined && {
    smtpd_milters: milter,
    milter_default_action: 'tempfail',
  }),
})

const services = (port: number) => `
127.0.0.1:${port} inet n - n - - smtpd
pickup   unix n - n 60    1 pickup
cleanup  unix n - n -     0 cleanup
qmgr     unix n - n 300   1 qmgr
tlsmgr   unix - - n 1000? 1 tlsmgr
rewrite  unix - - n -     - trivial-rewrite
bounce   unix - - n -     0 bounce
defer    unix - - n -     0 bounce
trace    unix - - n -     0 bounce
verify   unix - - n -     1 verify
flush    unix n - n 1000? 0 flush
proxymap unix - - n -     - proxymap
showq    unix n - n -     - showq
error    unix - - n -     - error
retry    unix - - n -     - error
discard  unix - - n -     - discard
anvil    unix - - n -     1 anvil
scache   unix - - n -     1 scache
postlog  unix-dgram n - n - 1 postlogd
`

export class Postfix {
  readonly port: number
  readonly #directory: TemporaryDirectory
  readonly #processes: LoggedProcess[]

  private constructor(directory: TemporaryDirectory, processes: LoggedProcess[], port: number) {
    this.#directory = directory
    this.#processes = processes
    this.port = port
  }

  /** Rejects with the reason in words. */
  static async start(startMilter?: StartMilter): Promise<Postfix> {
    const directory = new TemporaryDirectory('postfix')
    const processes: LoggedProcess[] = []
    const port = await freePort()
    try {
      // Postfix' own user has to get at the queue and at the milter's socket.
      chmodSync(directory.path, 0o755)
      const milter = await startMilter?.(directory.path)
      if (milter) processes.push(milter.process)
      processes.push(await startMaster(directory.path, port, milter?.address))
      return new Postfix(directory, processes, port)
    } catch (error) {
      for (const each of processes) each.kill()
      directory.remove()
      throw error
    }
  }

  /** Of the master and the milter; all others are below the master. */
  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid)
  }

  /** Resolves when nothing is left to deliver. */
  async idle(): Promise<void> {
    const waiting = () => ['incoming', 'active'].flatMap((name) => readdirSync(this.#queue(name)))
    await until(() => waiting().length === 0, 60_000, 'Postfix does not get its mail delivered')
    const deferred = readdirSync(this.#queue('deferred'), { recursive: true, withFileTypes: true })
    if (deferred.some((entry) => entry.isFile())) throw new Error('Postfix deferred mail')
  }

  async stop(): Promise<void> {
    for (const each of [...this.#processes].reverse()) await each.stop('SIGTERM')
    // The master's children end by themselves a moment after it.
    await delay(100)
    this.#directory.remove()
  }

  #queue(name: string): string {
    return path.join(this.#directory.path, 'queue', name)
  }
}

async function startMaster(directory: string, port: number, milter?: string): Promise<LoggedProcess> {
  const configDirectory = path.join(directory, 'config')
  for (const name of ['config', 'queue', 'state']) mkdirSync(path.join(directory, name))
  writeConfig(path.join(configDirectory, 'main.cf'), main(directory, milter), ' = ')
  writeFileSync(path.join(configDirectory, 'master.cf'), services(port))
  const made = await run('chown', ['postfix', path.join(directory, 'state')])
  if (made.code !== 0) throw new Error(made.output || 'there is no user postfix')
  // Not through the postfix command, which would leave no process of ours to watch.
  const check = await run('postfix', ['-c', configDirectory, 'check'])
  if (check.code !== 0) throw new Error(`postfix check: ${check.output || 'postfix is not installed'}`)
  const master = new LoggedProcess('/usr/lib/postfix/sbin/master', ['-c', configDirectory, '-d'])
  const listens = () => {
    if (master.exit) throw new Error(`Postfix does not start: ${master.log}`)
    return answers(port)
  }
  await until(listens, startMs, 'Postfix does not listen')
  return master
}

async function answers(port: number): Promise<boolean> {
  try {
    const client = await connect(port)
    await client.quit()
    return true
  } catch {
    return false
  }
}
