/*
 * The start of every quarantine command: the site, the chosen messages, and their release log; also the forms of a
 * message that the commands share.
 */

import path from 'node:path'
import { openSite, settingsOf, type Site } from '../site'
import { escaped } from '../terminal'
import { dropRoot } from './privileges'
import { type DeliveryStatus, ReleaseLog, type ReleaseLogLine, whoAmI } from './release-log'
import { chosen, type Filters, type KeptMessage, openStore, quarantineOf } from './store'

export interface CommonOptions extends Filters {
  readonly config?: string
  /** Another quarantine folder than the site's. */
  readonly dir?: string
  readonly json: boolean
}

interface PlaceOptions extends CommonOptions {
  /** Replaces `[main] host`, which may be wrong then. */
  readonly host?: string
}

/** Site and folder of a command. Read before root drops its privileges, since only root may read the site's files. */
export interface Place {
  /** null: no site was found; `--dir` names the folder. */
  readonly site: Site | null
  /** The site. @throws UserError with the reason if there is none */
  readonly mustHaveSite: () => Site
  readonly directory: string
}

/** The messages of a command and their log. */
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

/** Drops root's privileges first: call it after everything that only root may read. */
export async function openContext(
  { directory }: Place,
  ids: readonly string[],
  options: CommonOptions,
): Promise<Context> {
  const by = whoAmI()
  dropRoot(directory)
  const store = await openStore(directory, options.dir === undefined)
  for (const text of store.warnings) process.stderr.write(`${escaped(text)}\n`)
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

/** With `--dir` the site is optional. */
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

/** A message as `--json` prints it, the same for all commands. */
export function asJson(
  { id, file, record, bytes }: KeptMessage,
  deliveries: Map<string, DeliveryStatus>,
): object {
  return { id, file, bytes, ...record, released: Object.fromEntries(deliveries) }
}

/** The release state of a message. */
export function stateOf({ record, bytes }: KeptMessage, deliveries: Map<string, DeliveryStatus>): string {
  if (bytes === null) return 'no message'
  const recipients = [...new Set(record.envelope.rcpt_to)]
  const states = recipients.map((one) => deliveries.get(one)?.state)
  const delivered = states.filter((one) => one === 'delivered').length
  if (states.includes('in_doubt')) return 'in doubt'
  if (delivered === 0) return 'kept'
  return delivered === recipients.length ? 'released' : `released to ${delivered} of ${recipients.length}`
}
