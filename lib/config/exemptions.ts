/*
 * config/clamav-stream.exempt: messages that are not scanned, one entry a line. Parses entries and matches them against a
 * message. Comparison ignores the case of ASCII letters only: strings that Unicode calls equivalent are often different
 * mailboxes.
 */

import { domainToASCII, domainToUnicode } from 'node:url'
import { closest } from 'fastest-levenshtein'
import ipaddr from 'ipaddr.js'
import { Invalid } from '../base/invalid'
import { asciiLower } from '../base/text'
import { fitsWildcards } from '../base/wildcards'
import { listed, refusal, type ValueType } from './value-types'

/** Local part and domain (ASCII) of an address, as Haraka has them; both are empty for the null sender. */
export interface Mailbox {
  readonly user: string
  readonly host: string
  /** The domain as received; null or left out: there is none. */
  readonly original_host?: string | null
}

/** The facts of a message that entries can match. */
export interface Envelope {
  readonly ip: string
  /** The authenticated user. */
  readonly user: string | null
  readonly sender: Mailbox
  readonly recipients: readonly Mailbox[]
}

type Test<T> = (value: T) => boolean

export interface Exemption {
  /** The entry with single spaces between its words. */
  readonly text: string
  // All of these must match; null always matches. Names and addresses are in the form of comparable().
  readonly network: Test<string> | null
  readonly user: Test<string> | null
  readonly sender: Test<Mailbox> | null
  /** Null: the entry is for the whole message. */
  readonly recipient: Test<Mailbox> | null
}

/** Entries that are named in the reason at most. */
const maxNamed = 3

/**
 * The entries that exempt a message, as text: one for the whole message, or those that together cover every recipient.
 * Null: not exempt.
 */
export function exemptedBy(exemptions: readonly Exemption[], envelope: Envelope): string | null {
  if (exemptions.length === 0) return null
  const user = envelope.user === null ? null : asciiLower(envelope.user)
  const from = comparable(envelope.sender)
  const holding = exemptions.filter(
    (entry) =>
      (entry.network?.(envelope.ip) ?? true) &&
      (entry.user === null || (user !== null && entry.user(user))) &&
      (entry.sender?.(from) ?? true),
  )
  const whole = holding.find(({ recipient }) => recipient === null)
  if (whole) return whole.text
  // Without recipients no recipient entry can match.
  if (envelope.recipients.length === 0) return null
  const entries = new Set<string>()
  for (const recipient of envelope.recipients.map(comparable)) {
    const covering = holding.find((entry) => entry.recipient?.(recipient))
    if (!covering) return null
    entries.add(covering.text)
  }
  const named = [...entries].slice(0, maxNamed).join(', ')
  return entries.size > maxNamed ? `${named} and ${entries.size - maxNamed} more` : named
}

/** Parses one or more `KIND VALUE` pairs of different kinds, which must all match. */
export function parseExemption(entry: string): Exemption | Invalid {
  const text = entry.replace(/\s+/g, ' ')
  const words = text.match(/(?:"(?:\\.|[^"\\])*"|\S)+/g) ?? []
  const given = new Map<string, string>()
  for (let at = 0; at < words.length; at += 2) {
    const [kind, value] = [asciiLower(words[at] ?? ''), words[at + 1]]
    if (!Object.hasOwn(kinds, kind)) {
      const known = Object.keys(kinds)
      return new Invalid(
        `${text}: ${kind} is no kind of entry; did you mean ${kind === 'ip' ? 'network' : closest(kind, known)}? Allowed is ${listed(known)}, with a value behind it`,
      )
    }
    const { allowed } = kinds[kind as keyof typeof kinds]
    if (value === undefined) return new Invalid(`${text}: ${kind} has no value: allowed is ${allowed}`)
    if (given.has(kind)) return new Invalid(`${text}: ${kind} is there twice: allowed is one of each kind`)
    given.set(kind, value)
  }
  return entryOf(text, given)
}

const network: ValueType<Test<string>> = {
  allowed: 'an address or a network such as 192.0.2.7, 10.0.0.0/8, 2001:db8::7 or 2001:db8::/32',
  parse(value) {
    const [address = '', prefix, ...rest] = value.split('/')
    const isAddress = ipaddr.IPv4.isValidFourPartDecimal(address) || ipaddr.IPv6.isValid(address)
    if (!isAddress || /[%]|^::ffff:/i.test(address) || rest.length > 0) return new Invalid()
    const base = ipaddr.parse(address)
    const maxBits = base.kind() === 'ipv4' ? 32 : 128
    const bits = prefix === undefined ? maxBits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Infinity
    if (bits > maxBits) return new Invalid()
    const family = base.kind() === 'ipv4' ? ipaddr.IPv4 : ipaddr.IPv6
    const start = family.networkAddressFromCIDR(`${address}/${bits}`).toString()
    // 10.1.2.3/8 is as often a typo as intended.
    if (start !== base.toString()) return new Invalid(`the network is ${start}/${bits}`)
    return (ip) => {
      if (!ipaddr.isValid(ip)) return false
      // An IPv4 client on a dual-stack socket has an IPv4-mapped address.
      const client = ipaddr.process(ip)
      return client.kind() === base.kind() && client.match(base, bits)
    }
  },
}

const login: ValueType<Test<string>> = {
  allowed: 'a login name; * stands for any characters, ? for one',
  parse: (value) => (/\p{Cc}/u.test(value) ? new Invalid() : wildcards(asciiLower(value))),
}

const address = 'an address such as jane@example.com, *@example.com or *@*.example.com'

const sender: ValueType<Test<Mailbox>> = {
  allowed: `${address}, or <> for the null sender`,
  parse: (value) => (value === '<>' ? isNull : mailboxTest(value)),
}

const recipient: ValueType<Test<Mailbox>> = { allowed: address, parse: mailboxTest }

const kinds = { network, user: login, sender, recipient }

function entryOf(text: string, given: ReadonlyMap<string, string>): Exemption | Invalid {
  const problems: string[] = []
  function read<T>(name: keyof typeof kinds, kind: ValueType<Test<T>>): Test<T> | null {
    const value = given.get(name)
    if (value === undefined) return null
    const test = kind.parse(value)
    if (!(test instanceof Invalid)) return test
    problems.push(refusal(`${name} ${value}`, test, kind))
    return null
  }
  const exemption: Exemption = {
    text,
    network: read('network', network),
    user: read('user', login),
    sender: read('sender', sender),
    recipient: read('recipient', recipient),
  }
  return problems.length > 0 ? new Invalid(problems.join('; ')) : exemption
}

const isNull: Test<Mailbox> = ({ user, host }) => user === '' && host === ''

/** Local part and domain are matched separately, so that a quoted local part with an @ cannot pose as a domain. */
function mailboxTest(value: string): Test<Mailbox> | Invalid {
  if (asciiLower(value) === 'postmaster') return ({ user, host }) => user === 'postmaster' && host === ''
  const parts = /^(?<local>"(?:\\.|[^"\\])+"|[^\s"<>@\p{Cc}]+)@(?<domain>[^\s"<>@\p{Cc}]+)$/u.exec(
    value,
  )?.groups
  const domain = domainPattern(parts?.domain ?? '')
  if (parts === undefined || domain instanceof Invalid)
    return domain instanceof Invalid ? domain : new Invalid()
  const fitsLocal = wildcards(asciiLower(unquoted(parts.local ?? '')))
  const fitsDomain = wildcards(domain)
  return ({ user, host }) => host !== '' && fitsLocal(user) && fitsDomain(host)
}

/** The pattern in ASCII, as Haraka has the domains of a message, label by label. */
function domainPattern(domain: string): string | Invalid {
  if (/^\[[\w.:*?-]+\]$/.test(domain)) return asciiLower(domain)
  const labels: string[] = []
  for (const label of domain.split('.')) {
    const isPlain = /^[\w*?-]+$/.test(label)
    const ascii = isPlain ? asciiLower(label) : /[*?]/.test(label) ? '' : domainToASCII(label)
    if (ascii === '') return new Invalid()
    if (!isPlain && !isSameDomain(label, ascii)) return new Invalid(`did you mean ${domainToUnicode(ascii)}?`)
    labels.push(ascii)
  }
  return labels.join('.')
}

/**
 * Whether the received domain is the one that Haraka has in ASCII. IDNA also maps full-width forms and U+212A to ASCII and
 * drops soft hyphens; the next server may not.
 */
function isSameDomain(written: string, ascii: string): boolean {
  const skeleton = (text: string) => asciiLower(text).replace(/\P{ASCII}/gu, '?')
  return asciiLower(written) === asciiLower(ascii) || skeleton(written) === skeleton(domainToUnicode(ascii))
}

/** The form for comparison: `"a.b"@example.com` equals `a.b@example.com`. */
function comparable({ user, host, original_host }: Mailbox): Mailbox {
  const written = original_host ?? host
  return { user: asciiLower(unquoted(user)), host: asciiLower(isSameDomain(written, host) ? host : written) }
}

function unquoted(local: string): string {
  return local.startsWith('"') ? local.slice(1, -1).replace(/\\(.)/g, '$1') : local
}

function wildcards(pattern: string): Test<string> {
  return (text) => fitsWildcards(text, pattern)
}
