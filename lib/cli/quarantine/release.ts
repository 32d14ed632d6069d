/*
 * `clamav-stream quarantine release`: sends the stored message to the recipients that do not have it. Each step is logged
 * before the next one, so that no recipient gets the message twice, even after an interruption.
 */

import { hostPort } from '../../clamd/address'
import { serverName } from '../../haraka/environment'
import { ProvingScanner } from '../proving-scanner'
import { withInterrupt } from '../signals'
import { connectOf, settingsOf, type Site } from '../site'
import { escaped, write, writeJson } from '../terminal'
import { UserError } from '../user-error'
import { type ChangeOptions, counted, describe, requireChoice, requireConfirmation, say } from './confirm'
import { type CommonOptions, type Context, openContext, placeOf } from './context'
import { deliver } from './delivery'
import { type Hop, parseHop, requireOtherServer, routesOf, routingOf } from './next-hop'
import { deliveriesOf, type Delivery, requireUnlocked } from './release-log'
import { warnOfFound } from './still-found'
import { type KeptMessage, openCopy } from './store'

export interface ReleaseOptions extends ChangeOptions {
  readonly to?: string
  /** Of the original recipients, these alone. */
  readonly toRecipient?: readonly string[]
  /** In place of the original recipients. */
  readonly toAddress?: readonly string[]
  readonly again: boolean
}

/** The recipients of each next hop. @throws UserError if no next hop is known */
type Route = (one: KeptMessage, to: readonly string[]) => Map<Hop, readonly string[]>

/** The deliveries of one message. */
interface Plan {
  readonly one: KeptMessage
  readonly routes: Map<Hop, readonly string[]>
  /** Why a recipient is left out, one text each. */
  readonly skipped: readonly string[]
}

export async function release(ids: readonly string[], options: ReleaseOptions): Promise<number> {
  requireChoice(ids, options)
  if (options.toRecipient && options.toAddress)
    throw new UserError('use --to-recipient or --to-address, not both')
  const place = placeOf(options)
  // Read before root drops its privileges.
  const scanner = place.site && scannerOf(place.site)
  const routing = place.site && routingOf(place.site)
  const context = await openContext(place, ids, options)
  const named = options.to === undefined ? null : parseHop(options.to)
  for (const { record } of context.messages) requireUnlocked(context.entries, record.uuid)
  // Without a site there is no routing, and mustHaveSite says why.
  const route: Route = ({ record }, to) =>
    named ? new Map([[named, to]]) : routesOf(routing ?? routingOf(place.mustHaveSite()), record, to)
  const me = routing?.me ?? serverName(null)
  const plans = context.messages.map((one) => planFor(context.entries, one, route, options))
  const due = plans.filter(({ routes }) => routes.size > 0)
  for (const { one, skipped } of plans) for (const text of skipped) say(options, one, text)
  const hasSkipped = plans.some(({ skipped }) => skipped.length > 0)
  if (due.length === 0) {
    const why = plans.length === 0 ? 'no matching messages' : 'all recipients have it; --again sends it again'
    if (!hasSkipped) say(options, null, `nothing to release: ${why}`)
    return hasSkipped ? 1 : 0
  }
  const hops = new Map(due.flatMap(({ routes }) => [...routes.keys()]).map((hop) => [hostPort(hop), hop]))
  if (routing) for (const hop of hops.values()) await requireOtherServer(routing, hop)
  for (const { one } of due) await (await openCopy(one)).close()

  const recipients = due.flatMap(({ routes }) => [...routes.values()].flat())
  describe(due.map(({ one }) => one))
  if (scanner)
    await warnOfFound(
      due.map(({ one }) => one),
      scanner,
    )
  const count = `${counted(due.length, 'message')} to ${counted(recipients.length, 'recipient')}`
  const to = options.toAddress ? ` (${options.toAddress.join(', ')}, not its own)` : ''
  await requireConfirmation(`Release ${count}${to} through ${[...hops.keys()].join(', ')}?`, options)

  return withInterrupt(async (signal) => {
    let isComplete = !hasSkipped
    const outcomes: Delivery[] = []
    let hasFailed = false
    for (const { one } of due) {
      // After Ctrl-C the current message is finished and no other is begun.
      if (signal.aborted) {
        isComplete = false
        break
      }
      try {
        await releaseOne(context, one, route, me, options, outcomes)
      } catch (error) {
        // Locked by another command meanwhile, for example. The other messages do not suffer from it.
        hasFailed = true
        const text = error instanceof UserError ? error.message : String(error)
        process.stderr.write(`${one.id} not released: ${escaped(text)}\n`)
      }
    }
    if (hasFailed && outcomes.length === 0) return 2
    const isWhole = outcomes.every(({ refused, in_doubt }) => refused.length + in_doubt.length === 0)
    return isComplete && isWhole && !hasFailed ? 0 : 1
  })
}

/** Recipients that do not have the message, by next hop; those in doubt are skipped, unless `again`. */
function planFor(
  entries: Context['entries'],
  one: KeptMessage,
  route: Route,
  { again, toRecipient, toAddress }: ReleaseOptions,
): Plan {
  const deliveries = deliveriesOf(entries, one.record.uuid)
  const all = recipientsOf(one, toRecipient, toAddress)
  const due = all.filter((to) => again || (deliveries.get(to)?.state ?? 'refused') === 'refused')
  const skipped = all
    .filter((to) => !again && deliveries.get(to)?.state === 'in_doubt')
    .map(
      (to) =>
        `${to}: in doubt: the release of ${deliveries.get(to)?.time ?? ''} may have arrived; search the log of the next hop for ` +
        `${one.record.message_id ?? 'it'}, or use --again to send it again`,
    )
  if (due.length === 0) return { one, routes: new Map(), skipped }
  return { one, routes: route(one, due), skipped }
}

/** null: they are wrong, which only matters without --dir, and is told then. */
function scannerOf(site: Site): ProvingScanner | null {
  try {
    const settings = settingsOf(site)
    return new ProvingScanner(settings, connectOf(site, settings), false)
  } catch {
    return null
  }
}

/** @throws UserError for a recipient that the message does not have */
function recipientsOf(
  { id, record }: KeptMessage,
  only: readonly string[] | undefined,
  instead: readonly string[] | undefined,
): string[] {
  if (instead) return [...new Set(instead)]
  const all = [...new Set(record.envelope.rcpt_to)]
  if (!only) return all
  const isWanted = (one: string) => only.some((wanted) => wanted.toLowerCase() === one.toLowerCase())
  const missing = only.find((wanted) => !all.some((one) => one.toLowerCase() === wanted.toLowerCase()))
  if (missing !== undefined)
    throw new UserError(`${id}: ${missing} is no recipient of it; to another address use --to-address`)
  return all.filter(isWanted)
}

/** @param outcomes gets the result of each delivery, also if a later one throws */
async function releaseOne(
  { releaseLog }: Context,
  one: KeptMessage,
  route: Route,
  me: string,
  options: ReleaseOptions,
  outcomes: Delivery[],
): Promise<void> {
  const attempt = await releaseLog.begin(one.record.uuid, 'release')
  try {
    // Another process may have released it before this one locked it.
    const { routes } = planFor(await releaseLog.entries(), one, route, options)
    for (const [hop, recipients] of routes) {
      const to = hostPort(hop)
      const mail = { open: () => openCopy(one), from: one.record.envelope.mail_from, to: recipients }
      const outcome = await deliver(hop, mail, me, () => attempt.write({ event: 'sending', to, recipients }))
      outcomes.push(outcome)
      await attempt.write({ event: 'sent', to, ...outcome })
      printDelivery(one, to, outcome, options)
    }
  } finally {
    await attempt.end()
  }
}

function printDelivery(one: KeptMessage, to: string, outcome: Delivery, { json }: CommonOptions): void {
  if (json) {
    writeJson({ id: one.id, uuid: one.record.uuid, to, ...outcome })
    return
  }
  const { delivered, refused, in_doubt: inDoubt, response } = outcome
  for (const recipient of delivered)
    write(`${one.id} ${escaped(recipient)}: released (${escaped(response)})\n`)
  for (const { recipient, response: why } of refused)
    write(`${one.id} ${escaped(recipient)}: not released, ${escaped(why)}\n`)
  for (const recipient of inDoubt) write(`${one.id} ${escaped(recipient)}: in doubt, ${escaped(response)}\n`)
}
