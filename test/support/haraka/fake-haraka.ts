// As much of Haraka as the hooks of a message need, in this process and without a clamd; a real one is in haraka.ts.
import { rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { TestContext } from 'node:test'
import constants from 'haraka-constants'
import * as hooks from '../../../index'
import type { CancelSignal } from '../../../lib/base/cancellation'
import type { Connection, MailAddress, Plugin, Transaction } from '../../../lib/haraka/types'
import { runtimeOf } from '../../../lib/plugin/runtime'
import { noReadings, type Reason, type Verdict } from '../../../lib/policy/verdict'
import { TemporaryDirectory } from '../process'
import { repository } from './haraka-install'

interface HarakaTransaction extends Transaction {
  mail_from: MailAddress
  rcpt_to: MailAddress[]
  results: Transaction['results']
  add_data(line: Buffer): void
  end_data(done: () => void): void
}
const haraka = createRequire(__filename)('Haraka/transaction') as { createTransaction(): HarakaTransaction }

const scan = { engine: null, protocol: 'instream', bytes: 100, ms: 5, ...noReadings } as const
const by = { clamd: '127.0.0.1:3310', ...scan }
export const clean: Verdict = { outcome: 'clean', ...by }
export const infected: Verdict = { outcome: 'infected', virus: 'Eicar', ...by }
export const unscanned = (reason: Reason, text = 'refused'): Verdict => ({
  outcome: 'unscanned',
  reason,
  text,
  ...by,
})

export interface SiteOptions {
  /** Added to an ini with a clamd that is never asked. */
  readonly ini?: string
  /** [main] max_pings; without one there is no start-up check. */
  readonly maxPings?: number
  /** clamav-stream.exempt */
  readonly exempt?: string
  /** clamav-stream.signatures */
  readonly signatures?: string
  /** Of Haraka's module `plugins`. */
  readonly plugins?: object
  /** Haraka's other modules. */
  readonly modules?: Readonly<Record<string, object>>
  /** Hook timeout in seconds. */
  readonly timeout?: number
  /** What the outbound queue answers. */
  readonly queueCode?: number
}

type FileKind = 'ini' | 'exempt' | 'signatures'

export type Hook = readonly [name: string, method: string, priority: number]

export class FakeSite {
  /** `level text`, of the plugin and of every connection. */
  readonly log: string[] = []
  readonly hooks: Hook[] = []
  /** What went to the outbound queue. */
  readonly sent: { readonly to: string; readonly contents: string }[] = []
  readonly plugin: Plugin
  readonly #folder = new TemporaryDirectory('site')
  readonly folder = this.#folder.path
  readonly #onChange = new Map<string, () => void>()

  constructor(t: TestContext, options: SiteOptions = {}) {
    t.after(() => this.#folder.remove())
    const { ini = '', maxPings = 0, exempt = '', signatures = '', queueCode = constants.ok } = options
    this.write('ini', `[main]\nhost=${this.folder}/clamd.ctl\nmax_pings=${maxPings}\n${ini}`)
    this.write('exempt', exempt)
    this.write('signatures', signatures)
    const modules: Record<string, object> = {
      plugins: { config: { get: () => ['queue/quarantine', 'clamav-stream'] }, ...options.plugins },
      ...options.modules,
      outbound: {
        send_email: (_from: string, to: string, contents: string, done: (code: number) => void) => {
          this.sent.push({ to, contents })
          done(queueCode)
        },
      },
    }
    const plugin = {
      name: 'clamav-stream',
      timeout: options.timeout ?? 30,
      config: {
        get: (name: string, changed?: unknown) => {
          if (typeof changed === 'function') this.#onChange.set(name, changed as () => void)
          return name === 'me' ? 'mx.example.com' : name.endsWith('.ini') ? {} : []
        },
        overrides_path: this.folder,
        root_path: path.join(repository, 'config'),
      },
      register_hook: (...hook: Hook) => this.hooks.push(hook),
      haraka_require: (name: string) => modules[name] ?? {},
      ...this.#logging((text) => text),
    }
    this.plugin = plugin as unknown as Plugin
  }

  write(kind: FileKind, text: string): void {
    writeFileSync(this.#pathOf(kind), text)
  }

  /** Writes a file, or removes it, as an administrator does; resolves with the line of the log about that. */
  async change(kind: FileKind, text: string | null): Promise<string> {
    const from = this.log.length
    if (text === null) rmSync(this.#pathOf(kind))
    else this.write(kind, text)
    this.#onChange.get(`clamav-stream.${kind}`)?.()
    for (;;) {
      const line = this.log.slice(from).find((one) => / settings (not )?reloaded/.test(one))
      if (line !== undefined) return line
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #pathOf(kind: FileKind): string {
    return path.join(this.folder, `clamav-stream.${kind}`)
  }

  connection(
    more: object = {},
    lines = ['From: a@example.com', 'Subject: Hello', '', 'body'],
  ): FakeConnection {
    const transaction = haraka.createTransaction()
    for (const line of lines) transaction.add_data(Buffer.from(`${line}\r\n`, 'latin1'))
    transaction.end_data(() => undefined)
    const results: Record<string, unknown> & { err: string[] } = { err: [] }
    transaction.mail_from = mailbox('bob@example.com')
    transaction.rcpt_to = [mailbox('ann@example.org')]
    transaction.results = { add: (_, result) => Object.assign(results, result), get: () => results }
    const remote = { ip: '192.0.2.1', host: 'client.example', is_private: false, is_local: false }
    const connection = {
      relaying: false,
      notes: {},
      remote,
      hello: { host: 'client' },
      ...this.#logging((_plugin, text) => String(text)),
      ...more,
      transaction,
    }
    return Object.assign(connection as unknown as Connection & { transaction: HarakaTransaction }, {
      results,
    })
  }

  /** In place of the scan; what it was told to scan. */
  answer(t: TestContext, verdict: Verdict | ((signal: CancelSignal) => Promise<Verdict>)): unknown[] {
    const sources: unknown[] = []
    t.mock.method(runtimeOf(this.plugin).scanner, 'scan', (source: unknown, signal: CancelSignal) => {
      sources.push(source)
      return typeof verdict === 'function' ? verdict(signal) : Promise.resolve(verdict)
    })
    return sources
  }

  /** Calls a hook, and resolves with what it answers. */
  call(
    hook: (
      this: Plugin,
      next: (...args: unknown[]) => void,
      connection: Connection,
      ...more: never[]
    ) => void,
    connection: Connection,
    ...more: unknown[]
  ): Promise<{ code: unknown; answer: unknown }> {
    return new Promise((resolve) => {
      const next = (code: unknown, message: unknown) => {
        const dsn = message as { code: number; reply: string } | undefined
        resolve({ code, answer: dsn && `${dsn.code} ${dsn.reply}` })
      }
      hook.call(this.plugin, next, connection, ...(more as never[]))
    })
  }

  #logging(textOf: (...args: unknown[]) => unknown): object {
    const levels = ['logdebug', 'loginfo', 'lognotice', 'logwarn', 'logerror']
    return Object.fromEntries(
      levels.map((level) => [
        level,
        (...args: unknown[]) => void this.log.push(`${level.slice(3)} ${String(textOf(...args))}`),
      ]),
    )
  }
}

export type FakeConnection = Connection & {
  readonly transaction: HarakaTransaction
  readonly results: Record<string, unknown> & { err: string[] }
}

export function mailbox(address: string): MailAddress {
  const [user = '', host = ''] = address.split('@')
  return { address, user, host }
}

/** A site with the plugin as Haraka loads it, which ends with the test. */
export function registeredSite(t: TestContext, options: SiteOptions = {}): FakeSite {
  const site = new FakeSite(t, options)
  hooks.register.call(site.plugin)
  t.after(() => hooks.shutdown.call(site.plugin))
  return site
}
