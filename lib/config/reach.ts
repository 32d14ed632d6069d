/*
 * Finds exemptions and rules that are wider than intended, for the log at start and for `check`. Exemptions are tested with
 * sample senders, recipients and addresses, so it does not matter how an entry is written.
 */

import { delivers } from '../policy/action'
import { exemptedBy, type Exemption, type Mailbox } from './exemptions'
import { fileNames } from './schema'
import type { Settings } from './settings'

export interface WideSetting {
  /** `everybody`: nothing is scanned, or every infected message is delivered. `forgeable`: the sender can claim it. */
  readonly kind: 'everybody' | 'many' | 'forgeable'
  readonly text: string
  readonly remedy: string
}

/** @param domains that the site receives mail for; empty: unknown */
export function wideSettings(settings: Settings, domains: readonly string[]): WideSetting[] {
  return [
    ...byNetwork(settings.exemptions, domains),
    ...byDomain(settings.exemptions, domains),
    ...forgeable(settings.exemptions),
    ...byCheck(settings),
    ...byRule(settings),
  ]
}

/** Sample addresses of each family. */
const sampleCount = 64
const numbers = Array.from({ length: sampleCount }, (_, number) => number)

/** Domains that are tested at most; a site may have a hundred thousand. */
const maxDomains = 500

/** Addresses spread over each family; for IPv6 over 2000::/3, the only global unicast range. */
const addresses: Readonly<Record<string, readonly string[]>> = {
  IPv4: numbers.map((number) => `${(number * 256) / sampleCount + 1}.113.7.9`),
  IPv6: numbers.map((number) => `${(0x2000 + (number * 0x2000) / sampleCount + 1).toString(16)}:db8:7::9`),
}

/** Sample names that an entry matches only if it matches all names. */
const topDomains = ['com', 'net', 'org', 'de', 'co.uk', 'io', 'com.br', 'xn--p1ai']
const stranger = (number: number, domain: string): Mailbox => ({ user: `qv7.x-${number}_wk`, host: domain })
const senderOf = (number: number) =>
  stranger(number, `zk${number}-jq.${topDomains[number % topDomains.length] ?? ''}`)

/** The entries that exempt a sample message; null: it is scanned. */
function exemption(
  exemptions: readonly Exemption[],
  ip: string,
  number: number,
  domain: string,
): string | null {
  const envelope = { ip, user: null, sender: senderOf(number), recipients: [stranger(number, domain)] }
  return exemptedBy(exemptions, envelope)
}

function byNetwork(exemptions: readonly Exemption[], domains: readonly string[]): WideSetting[] {
  const known = domains.length > 0 ? domains : topDomains.map((top) => `jx-qz.${top}`)
  return Object.entries(addresses).flatMap(([family, ips]) => {
    const found = ips.flatMap((ip, number) => {
      const entries = exemption(exemptions, ip, number, known[number % known.length] ?? '')
      return entries === null ? [] : [entries]
    })
    if (found.length < sampleCount / 2) return []
    const isAll = found.length === sampleCount
    return [
      {
        kind: isAll ? 'everybody' : 'many',
        text: `${fileNames.exempt}: ${isAll ? `no message from the internet (${family}) is scanned` : `at least half of the internet (${family}) is exempt`}, by ${named(found)}`,
        remedy: `narrow these entries in ${fileNames.exempt}`,
      } satisfies WideSetting,
    ]
  })
}

function named(entries: readonly string[]): string {
  const texts = [...new Set(entries)]
  const shown = texts.slice(0, 3).map((text) => `"${text}"`)
  return texts.length > shown.length ? `${shown.join(', ')} and more` : shown.join(', ')
}

/** Domains of the site for which no message is scanned. If that holds for all of them, byNetwork() reports it. */
function byDomain(exemptions: readonly Exemption[], domains: readonly string[]): WideSetting[] {
  if (exemptions.length === 0) return []
  const some = domains.slice(0, maxDomains)
  const found = some.flatMap((domain): WideSetting[] => {
    const entries: string[] = []
    for (const [number, ip] of (addresses.IPv4 ?? []).entries()) {
      const entry = exemption(exemptions, ip, number, domain)
      if (entry === null) return []
      entries.push(entry)
    }
    return [
      {
        kind: 'many',
        text: `${fileNames.exempt}: no message to ${domain} is scanned, by ${named(entries)}`,
        remedy: `use entries for single recipients in ${fileNames.exempt}`,
      },
    ]
  })
  return found.length < some.length ? found : []
}

/** Entries by MAIL FROM alone, which a virus can forge. */
function forgeable(exemptions: readonly Exemption[]): WideSetting[] {
  const isWide = ({ network }: Exemption) =>
    network === null || Object.values(addresses).some((ips) => ips.filter(network).length >= sampleCount / 2)
  return exemptions
    .filter((entry) => entry.sender !== null && entry.user === null && isWide(entry))
    .map(({ text }) => ({
      kind: 'forgeable',
      text: `${fileNames.exempt}: "${text}" exempts by MAIL FROM alone, which anyone can forge`,
      remedy: `add network or user to the same line of ${fileNames.exempt}`,
    }))
}

function byCheck({ check }: Settings): WideSetting[] {
  if (Object.values(check).some((isChecked) => isChecked)) return []
  return [
    {
      kind: 'many',
      text: '[check] exempts all mail except from public addresses without login: behind a proxy or NAT that is all mail',
      remedy: 'set authenticated=true, relay=true or private_ip=true in [check]',
    },
  ]
}

/** Sample signature names that a rule matches only if it matches all names. */
const sampleNames = ['Eicar-Test-Signature', 'Qv7.Zeta.Wk9-6001337-0', 'Zk4.Jx_Test.UNOFFICIAL']

/** A signature rule that delivers every infected message, so that [infected] action never applies. */
function byRule({ rules }: Settings): WideSetting[] {
  const found = sampleNames.map((name) => rules.signatures.find(({ pattern }) => pattern.test(name)))
  const [rule] = found
  const isAll = found.every((one) => one && (one.action === 'ignore' || delivers(one.action)))
  if (!rule || !isAll || delivers(rules.infected)) return []
  const action = rule.action === 'ignore' ? rule.action : rule.action.text
  return [
    {
      kind: 'everybody',
      text: `${fileNames.signatures}: "${rule.text} ${action}" delivers every infected message; [infected] action=${rules.infected.text} never applies`,
      remedy: `narrow this pattern in ${fileNames.signatures}`,
    },
  ]
}
