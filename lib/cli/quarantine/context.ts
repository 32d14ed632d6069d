/*
 * What every command of the quarantine begins with: which site, which messages, what was done with them so
 * far; and the words that they share.
 */

import path from 'node:path'
import { openSite, settingsOf, type Site } from '../site'
import { escaped } from '../terminal'
import { giveUpRoot } from './privileges'
import { type DeliveryStatus, ReleaseLog, type ReleaseLogLine, whoAmI } from './release-log'
import { chosen, type Filters, type KeptMessage, openStore, quarantineOf } from './store'

export interface CommonOptions extends Filters {
  readonly config?: string
  /** The quarantine's folder, where it is not the site's. */
  readonly dir?: string
  readonly json: boolean
}

interface PlaceOptions extends CommonOptions {
  /** In place of `[main] host`, which need not be right then. */
  readonly host?: string
}

/** Where a command works. Known before root gives up its rights, since the site's files may be for root alone. */
export interface Place {
  /** null: there is none, `--dir` says where the messages are. */
  readonly site: Site | null
  /** For what cannot be done without. @throws UserError with why there is none */
  readonly mustHaveSite: () => Site
  readonly directory: string
}

/** What a command works on. */
export interface Context {
  readonly directory: string
  readonly messages: readonly KeptMessage[]
  readonly releaseLog: ReleaseLog
  readonly entries: readonly ReleaseLogLine[]
}

export function placeOf(options: PlaceOptions): Place {
  const found = siteFor(options)
  const { dir } = options
  const directory = dir === undefined ? directoryOf(found.mustHaveSite(), options) : path.resolve(dir)
  return { ...found, directory }
}

/** From here on root is the owner of the quarantine: whatever only root may read has been read. */
export async function openContext(
  { directory }: Place,
  ids: readonly string[],
  options: CommonOptions,
): Promise<Context> {
  const by = whoAmI()
  giveUpRoot(directory)
  const store = await openStore(directory, options.dir === undefined)
  for (const text of store.odd) process.stderr.write(`${escaped(text)}\n`)
  const releaseLog = new ReleaseLog(directory, by)
  return {
    directory,
    messages: chosen(store, ids, options, Date.now()),
    releaseLog,
    entries: await releaseLog.entries(),
  }
}

function directoryOf(site: Site, { host }: PlaceOptions): string {
  return quarantineOf(site, settingsOf(site, host).quarantineFolder)
}

/** With `--dir` a site is welcome, and not needed. */
function siteFor({ config, dir }: CommonOptions): Pick<Place, 'site' | 'mustHaveSite'> {
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
