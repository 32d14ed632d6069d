/*
 * How far the settings let mail by: whose messages are not scanned though nobody may have meant that, said at start and
 * by the command `check`. Entries of the list are asked about strangers, so it does not matter how they are written.
 */

import { delivers } from '../policy/action'
import { exemptedBy, type Exemption, type Mailbox } from './exemptions'
import { fileNames } from './schema'
import type { Settings } from './settings'

export interface LetBy {
  /** `everybody`: nothing is scanned, or nothing refused for what is found. `forgeable`: it is the sender's to choose. */
  readonly kind: 'everybody' | 'many' | 'forgeable'
  readonly text: string
  readonly remedy: string
}

/** @param domains that the site takes mail for; none: not known */
export function letBy(settings: Settings, domains: readonly string[]): LetBy[] {
  return [
    ...byNetwork(settings.exemptions, domains),
    ...byDomain(settings.exemptions, domains),
    ...forgeable(settings.exemptions),
    ...byCheck(settings),
    ...byRule(settings),
  ]
}

/** So many strangers of each family. */
const many = 64
const numbers = Array.from({ length: many }, (_, number) => number)

/** A site may have a hundred thousand domains. */
const maxDomains = 500

/** Addresses all over each family; of IPv6 from 2000::/3, which is what there is. */
const addresses: Readonly<Record<string, readonly string[]>> = {
  IPv4: numbers.map((number) => `${(number * 256) / many + 1}.113.7.9`),
  IPv6: numbers.map((number) => `${(0x2000 + (number * 0x2000) / many + 1).toString(16)}:db8:7::9`),
}

/** Names that no entry knows, unless it knows all. */
const topDomains = ['com', 'net', 'org', 'de', 'co.uk', 'io', 'com.br', 'xn--p1ai']
const stranger = (number: number, domain: string): Mailbox => ({ user: `qv7.x-${number}_wk`, host: domain })
const senderOf = (number: number) =>
  stranger(number, `zk${number}-jq.${topDomains[number % topDomains.length] ?? ''}`)

/** The entries by which a stranger's message is not scanned; null: it is. */
function exemption(
  exemptions: readonly Exemption[],
  ip: string,
  number: number,
  domain: string,
): string | null {
  const envelope = { ip, user: null, sender: senderOf(number), recipients: [stranger(number, domain)] }
  return exemptedBy(exemptions, envelope)
}

function byNetwork(exemptions: readonly Exemption[], domains: readonly string[]): LetBy[] {
  const known = domains.length > 0 ? domains : topDomains.map((top) => `jx-qz.${top}`)
  return Object.entries(addresses).flatMap(([family, ips]) => {
    const found = ips.flatMap((ip, number) => {
      const entries = exemption(exemptions, ip, number, known[number % known.length] ?? '')
      return entries === null ? [] : [entries]
    })
    if (found.length < many / 2) return []
    const isAll = found.length === many
    return [
      {
        kind: isAll ? 'everybody' : 'many',
        text: `${fileNames.exempt}: ${isAll ? `no message from the internet (${family}) is scanned` : `half of the internet (${family}) is exempt, or more`}, by ${named(found)}`,
        remedy: `${fileNames.exempt}: entries that hold for fewer`,
      } satisfies LetBy,
    ]
  })
}

function named(entries: readonly string[]): string {
  const texts = [...new Set(entries)]
  const shown = texts.slice(0, 3).map((text) => `"${text}"`)
  return texts.length > shown.length ? `${shown.join(', ')} and more` : shown.join(', ')
}

/** Some of the site's domains, whoever the mail is for; of all of them `byNetwork` tells. */
function byDomain(exemptions: readonly Exemption[], domains: readonly string[]): LetBy[] {
  if (exemptions.length === 0) return []
  const some = domains.slice(0, maxDomains)
  const found = some.flatMap((domain): LetBy[] => {
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
        remedy: `${fileNames.exempt}: entries for single recipients`,
      },
    ]
  })
  return found.length < some.length ? found : []
}

/** What the sender says of itself, and nothing else: a virus has only to say the same. */
function forgeable(exemptions: readonly Exemption[]): LetBy[] {
  const holdsAnywhere = ({ network }: Exemption) =>
    network === null || Object.values(addresses).some((ips) => ips.filter(network).length >= many / 2)
  return exemptions
    .filter((entry) => entry.sender !== null && entry.user === null && holdsAnywhere(entry))
    .map(({ text }) => ({
      kind: 'forgeable',
      text: `${fileNames.exempt}: "${text}" goes by MAIL FROM alone, which anybody can forge`,
      remedy: `${fileNames.exempt}: network or user in the same line`,
    }))
}

function byCheck({ check }: Settings): LetBy[] {
  if (Object.values(check).some((isChecked) => isChecked)) return []
  return [
    {
      kind: 'many',
      text: '[check] leaves all but mail from public addresses, without a login, unscanned: behind a proxy or NAT that is everything',
      remedy: '[check] authenticated=true, relay=true, or private_ip=true',
    },
  ]
}

/** Names of signatures that no rule knows, unless it knows all. */
const someNames = ['Eicar-Test-Signature', 'Qv7.Zeta.Wk9-6001337-0', 'Zk4.Jx_Test.UNOFFICIAL']

/** Signature rules by which everything is delivered, where [infected] says otherwise: it never comes to that. */
function byRule({ rules }: Settings): LetBy[] {
  const found = someNames.map((name) => rules.signatures.find(({ pattern }) => pattern.test(name)))
  const [rule] = found
  const isAll = found.every((one) => one && delivers(one.action))
  if (!rule || !isAll || delivers(rules.infected)) return []
  return [
    {
      kind: 'everybody',
      text: `${fileNames.signatures}: "${rule.text} ${rule.action.text}" delivers whatever is infected; [infected] action=${rules.infected.text} never counts`,
      remedy: `${fileNames.signatures}: a rule that fits fewer names`,
    },
  ]
}
