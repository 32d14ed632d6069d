// Messages with a known fate, for the end-to-end tests: each from a sender address of its own, so that what the client
// was told, what was delivered and what the plugin noted can be put together, also for messages that were refused.
// The sender's name also says who it is and which other plugin of the site, if any, changes the message.
import { existsSync, readdirSync, watch } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { Note } from '../../lib/policy/note'
import type { Step } from '../support/clamd/fake-clamd'
import { type Delivered, type Haraka, type HarakaOptions, startHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import { type Reply, sendMessage, type SendOptions } from '../support/smtp/smtp'

/** For tests that wait for connections to end: one that stays open must fail the test, not hang it. */
export const bounded = { timeout: 60_000 }

/** Who sends: mail for us; mail that is relayed for its sender address; mail that is relayed after a login. */
export type Role = 'inbound' | 'relaying' | 'authenticated'

export const roles: readonly Role[] = ['inbound', 'relaying', 'authenticated']

/** The files of copies, relative to `directory`. Left out: what the plugin writes for a moment at start, to try a copy. */
export function filesBelow(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.trial-'))
      .map(({ parentPath, name }) => path.relative(directory, path.join(parentPath, name)))
      .sort()
  } catch (error) {
    // The folder of that trial has gone while it was read.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && existsSync(directory))
      return filesBelow(directory)
    throw error
  }
}

/** For `startHaraka`, so that there are authenticated senders. */
export const users = { somebody: 'secret' }
const auth = { user: 'somebody', password: 'secret' }

/** What was known about a message when its transaction ended. */
export interface Told {
  from: string
  note: Note | null
  result: { pass?: string[]; fail?: string[]; skip?: string[]; err?: string[] } | null
  /** Header lines named like ours, whatever their spelling. */
  headers: string[]
}

export interface Fate {
  reply: Reply
  told: Told
  delivered: Delivered[]
}

/** Local plugins that make the above work; list them before any other. */
export const messagePlugins = ['relay_some', 'tell']

export const messageSources: Record<string, string> = {
  relay_some: `
exports.register = function () {
  this.register_hook('mail', 'relay')
}
exports.relay = function (next, connection) {
  if (connection.transaction.mail_from.address.includes('.relaying.')) connection.relaying = true
  next()
}
`,
  tell: `
exports.register = function () {
  this.register_hook('reset_transaction', 'tell', 90)
}
exports.tell = function (next, connection) {
  const txn = connection.transaction
  if (txn?.mail_from) {
    connection.lognotice(this, 'TOLD ' + JSON.stringify({
      from: txn.mail_from.address,
      note: txn.notes.clamav_stream ?? null,
      result: txn.results.get('clamav-stream') ?? null,
      headers: txn.header.header_list.filter((line) => /^x-(messageisinfected|virus-status)/i.test(line)),
    }))
  }
  next()
}
`,
}

export type Outcome = 'clean' | 'infected' | 'error' | 'timeout' | 'too_large' | 'limits'

/** What a scripted clamd has to do for an outcome that does not come of the message alone. */
export const scripts: Record<Outcome, Step[]> = {
  clean: [],
  infected: [],
  error: [{ at: 'reply', do: 'answer', text: 'Error processing command. ERROR' }],
  timeout: [{ at: 'reply', do: 'stall' }],
  too_large: [],
  limits: [{ at: 'reply', do: 'answer', text: 'stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND' }],
}

/** A Haraka that keeps copies below `base`, until the test is over. */
export async function startKeepingHaraka(
  t: TestContext,
  options: Pick<HarakaOptions, 'ini' | 'signatures' | 'users' | 'nextHop' | 'files'>,
): Promise<{ haraka: Haraka; base: string }> {
  const kept = new TemporaryDirectory('quarantine')
  t.after(() => kept.remove())
  const haraka = await startHaraka({
    ...options,
    plugins: [...messagePlugins, 'clamav-stream', 'queue/quarantine'],
    sources: messageSources,
    files: { 'quarantine.ini': `quarantine_path=${kept.path}\n`, ...options.files },
  })
  t.after(() => haraka.stop())
  return { haraka, base: kept.path }
}

/** The source of a plugin called `name` that meddles in `hook` with messages from `senderFor(name, ...)`. */
export function otherPlugin(name: string, hook: string, priority: number, body: string): string {
  return `
exports.register = function () {
  this.register_hook('${hook}', 'meddle', ${priority})
}
exports.meddle = function (next, connection, params) {
  const plugin = this
  const txn = connection.transaction
  if (!txn?.mail_from?.address.startsWith('${name}.')) return next()
  ${body}
}
`
}

// All of one length, so that messages differ in size only where a test wants them to.
let count = 100_000

/** A sender address that is new. `kind` is the name of another plugin, or of none. */
export function senderFor(kind: string, role: Role = 'inbound'): string {
  return `${kind}.${role}.${++count}@example.com`
}

/** Resolves when the transaction has ended, and with it every chance to deliver the message. */
export async function told(haraka: Haraka, from: string): Promise<Told> {
  const line = await haraka.waitForLog(new RegExp(`TOLD .*"from":"${from.replaceAll('.', '\\.')}"`))
  return JSON.parse(line.slice(line.indexOf('TOLD ') + 'TOLD '.length)) as Told
}

export function deliveredFrom(haraka: Haraka, from: string): Delivered[] {
  return haraka.delivered().filter((message) => message.mail_from === from)
}

/** Sends a message and waits for its end. */
export async function post(
  haraka: Haraka,
  data: Buffer,
  options: { kind?: string; role?: Role } & Omit<SendOptions, 'data' | 'from' | 'auth'> = {},
): Promise<Fate> {
  const { kind = 'plain', role = 'inbound', ...more } = options
  const from = senderFor(kind, role)
  const reply = await sendMessage(haraka.port, {
    ...more,
    from,
    data,
    ...(role === 'authenticated' && { auth }),
  })
  return { reply, told: await told(haraka, from), delivered: deliveredFrom(haraka, from) }
}

/** Header lines of a message that are ours, whatever their spelling; what looks like one in the body is not counted. */
export function ourHeaders(message: Buffer | undefined): string[] {
  const [head = ''] = (message ?? Buffer.alloc(0)).toString('latin1').split('\r\n\r\n')
  return head.match(/^X-(MessageIsInfected|Virus-Status)[ \t]*:.*$/gim) ?? []
}

/** Resolves when everything that was in the outbound queue has arrived. */
export async function drained({ site }: Haraka): Promise<void> {
  const queue = path.join(site, 'queue')
  await new Promise<void>((resolve, reject) => {
    const end = (act: () => void) => {
      clearTimeout(timer)
      watcher.close()
      act()
    }
    const look = () => {
      if (readdirSync(queue).length === 0) end(resolve)
    }
    const watcher = watch(queue, look)
    const timer = setTimeout(() => end(() => reject(new Error('the queue does not get empty'))), 10_000)
    look()
  })
}
