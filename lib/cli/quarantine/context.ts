/*
 * What every command of the quarantine begins with: which site, which messages, what was done with them so
 * far; and the words that they share.
 */

import { open } from 'node:fs/promises'
import path from 'node:path'
import { openSite, settingsOf, type Site } from '../site'
import { escaped } from '../terminal'
import { UserError } from '../user-error'
import { ReleaseLog, type ReleaseLogLine, type DeliveryStatus } from './release-log'
import { accessError, chosen, type Filters, type KeptMessage, openStore, quarantineOf } from './store'

export interface CommonOptions extends Filters {
  readonly config?: string
  /** The quarantine's folder, where it is not the site's. */
  readonly dir?: string
  readonly json: boolean
}

interface SceneOptions extends CommonOptions {
  /** In place of `[main] host`, which need not be right then. */
  readonly host?: string
}

/** What a command works on. */
export interface Context {
  /** null: there is none, `--dir` says where the messages are. */
  readonly site: Site | null
  /** For what cannot be done without. @throws UserError with why there is none */
  readonly mustHaveSite: () => Site
  readonly directory: string
  readonly messages: readonly KeptMessage[]
  readonly releaseLog: ReleaseLog
  readonly entries: readonly ReleaseLogLine[]
}

export async function openContext(ids: readonly string[], options: SceneOptions): Promise<Context> {
  const { site, mustHaveSite } = siteFor(options)
  const directory =
    options.dir === undefined ? directoryOf(mustHaveSite(), options) : path.resolve(options.dir)
  const store = await openStore(directory, options.dir === undefined)
  for (const text of store.odd) process.stderr.write(`${escaped(text)}\n`)
  const releaseLog = new ReleaseLog(directory)
  return {
    site,
    mustHaveSite,
    directory,
    messages: chosen(store, ids, options, Date.now()),
    releaseLog,
    entries: await releaseLog.entries(),
  }
}

function directoryOf(site: Site, { host }: SceneOptions): string {
  return quarantineOf(site, settingsOf(site, host).quarantineFolder)
}

/** With `--dir` a site is welcome, and not needed. */
function siteFor({ config, dir }: CommonOptions): Pick<Context, 'site' | 'mustHaveSite'> {
  try {
    const site = openSite(config)
    return { site, mustHaveSite: () => site }
  } catch (error) {
    if (dir === undefined || config !== undefined) throw error
    return {
      site: null,
      mustHaveSite: () => {
        throw error
      },
    }
  }
}

/** What can be said of a message in one object, the same for all commands. */
export function asJson(
  { id, file, record, bytes }: KeptMessage,
  deliveries: Map<string, DeliveryStatus>,
): object {
  return { id, file, bytes, ...record, released: Object.fromEntries(deliveries) }
}

/** How far a message is on its way back. */
export function stateOf({ record, bytes }: KeptMessage, deliveries: Map<string, DeliveryStatus>): string {
  if (bytes === null) return 'no message'
  const recipients = [...new Set(record.envelope.rcpt_to)]
  const states = recipients.map((one) => deliveries.get(one)?.state)
  const delivered = states.filter((one) => one === 'delivered').length
  if (states.includes('in_doubt')) return 'in doubt'
  if (delivered === 0) return 'kept'
  return delivered === recipients.length ? 'released' : `released to ${delivered} of ${recipients.length}`
}

/** @throws UserError when the message may not be read, or is gone */
export async function requireReadable(one: KeptMessage): Promise<void> {
  try {
    await (await open(one.file, 'r')).close()
  } catch (error) {
    throw one.bytes === null
      ? new UserError(`${one.file}: the message is gone`)
      : await accessError(error, one.file)
  }
}
