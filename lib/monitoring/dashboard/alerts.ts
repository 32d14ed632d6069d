/*
 * What is wrong, in words, worst first; nothing when all is well. Each names the section of the runbook that helps.
 */

import { type Action, delivers } from '../../policy/action'
import type { AddressView } from './addresses'
import type { Counts } from './stats'

export interface Alert {
  readonly level: 'bad' | 'warn'
  readonly text: string
  /** Since when, in milliseconds since the epoch; null: not known. The browser knows the reader's time zone. */
  readonly sinceMs: number | null
  /** Anchor in docs/guide/runbook.md. */
  readonly section: string
}

export interface AlertSettings {
  /** What becomes of messages that no clamd has scanned. */
  readonly onError: Action
  /** 0: never too old. */
  readonly maxSignatureAgeMs: number
}

interface Facts {
  readonly addresses: readonly AddressView[]
  /** Of the last 15 minutes. */
  readonly counts: Counts
  readonly failingSinceMs: number | null
  readonly failures: number
}

/** As many failures without a scan in between are more than a message that no clamd can scan. */
const minFailures = 3

export function alertsOf(facts: Facts, settings: AlertSettings, nowMs: number): Alert[] {
  const outage = outageOf(facts)
  return [
    ...(outage ? [{ ...outage, text: `${fateOf(settings.onError)}: ${outage.text}` }] : []),
    ...(outage ? [] : addressAlerts(facts.addresses)),
    ...countAlerts(facts.counts, outage !== null),
    ...signatureAlerts(facts.addresses, settings.maxSignatureAgeMs, nowMs),
  ]
}

function fateOf(action: Action): string {
  if (delivers(action)) return 'Mail is delivered unscanned'
  if (action.ending === 'defer') return 'Mail is deferred'
  return action.ending === 'reject' ? 'Mail is refused' : 'Mail is kept out'
}

/** Null: some clamd scans mail. */
function outageOf({ addresses, failingSinceMs, failures }: Facts): Alert | null {
  const outage = (text: string, section: string, sinceMs = failingSinceMs): Alert => ({
    level: 'bad',
    text,
    sinceMs,
    section,
  })
  // Before the first message, they may not have been looked up.
  if (addresses.length === 0)
    return failures === 0 ? null : outage('no address of a clamd is known', 'names-cannot-be-resolved')
  if (addresses.every(({ up, resting }) => up + resting === 0))
    return outage('no clamd finds the EICAR test file', 'clamd-has-no-signatures')
  if (addresses.every(({ up }) => up === 0)) return outage('no clamd answers', 'clamd-does-not-run')
  if (failures < minFailures) return null
  return outage('no scan has succeeded', 'senders-get-451-mail-is-not-scanned')
}

function addressAlerts(addresses: readonly AddressView[]): Alert[] {
  const untrusted = addresses.filter(({ untrusted: count }) => count > 0)
  const resting = addresses.filter(({ up, resting: count }) => up === 0 && count > 0)
  return [
    ...untrusted.map(({ text }) => ({
      level: 'bad' as const,
      text: `${text} gets no mail: it does not find the EICAR test file`,
      sinceMs: null,
      section: 'clamd-has-no-signatures',
    })),
    ...resting.map(({ text }) => ({
      level: 'warn' as const,
      text: `${text} does not answer; the others do its work`,
      sinceMs: null,
      section: 'clamd-does-not-run',
    })),
  ]
}

function countAlerts(counts: Counts, isOut: boolean): Alert[] {
  const alert = (level: Alert['level'], count: number, what: string, section: string): Alert[] =>
    count === 0
      ? []
      : [
          {
            level,
            text: `${count} ${count === 1 ? 'message was' : 'messages were'} ${what} in the last 15 minutes`,
            sinceMs: null,
            section,
          },
        ]
  const { copiesFailed, delivered, deferred, refused } = counts
  return [
    ...alert('bad', copiesFailed, 'deferred because no copy could be kept', 'a-copy-cannot-be-kept'),
    ...alert('bad', delivered, 'delivered unscanned', 'first'),
    ...alert('warn', isOut ? 0 : deferred, 'deferred, not scanned', 'senders-get-451-mail-is-not-scanned'),
    ...alert('warn', refused, 'kept out, not scanned', 'senders-get-552-or-550-mail-is-refused'),
  ]
}

function signatureAlerts(addresses: readonly AddressView[], maxAgeMs: number, nowMs: number): Alert[] {
  return addresses.flatMap(({ text, signatures }) => {
    const days = signatures === null ? 0 : Math.floor((nowMs - signatures.builtMs) / 86_400_000)
    if (maxAgeMs === 0 || signatures === null || nowMs - signatures.builtMs <= maxAgeMs) return []
    const old = `signatures of ${text} are ${days === 1 ? 'a day' : `${days} days`} old`
    return [{ level: 'warn' as const, text: `The ${old}`, sinceMs: null, section: 'old-signatures' }]
  })
}
