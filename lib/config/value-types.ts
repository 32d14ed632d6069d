/*
 * The types of values: how each is parsed, and a description of the allowed values. schema.ts assigns them to the keys.
 */

import bytes from 'bytes'
import ms from 'ms'
import type { NamedAddress } from '../actions/own-mail'
import { type Mask, parseMasks } from '../attachments/masks'
import { Invalid } from '../base/invalid'
import { type Host, parseClamdHost, parseHostName } from '../clamd/address'
import { type Action, parseAction } from '../policy/action'

export interface ValueType<T> {
  /** Description for error messages. An Invalid has a reason only if there is more to say. */
  readonly allowed: string
  /** The value must not be logged. */
  readonly isSecret?: boolean
  parse(text: string): T | Invalid
}

/** The message for an invalid value: the setting as written, the reason, and the allowed values. */
export function refusal(written: string, { why }: Invalid, { allowed }: ValueType<unknown>): string {
  return `${written}${why === '' ? '' : ` (${why})`}: allowed is ${allowed}`
}

export const yesNo: ValueType<boolean> = {
  allowed: 'true or false',
  parse(text) {
    if (/^(true|yes|on|enabled|ok|1)$/i.test(text)) return true
    return /^(false|no|off|disabled|0)$/i.test(text) ? false : new Invalid()
  },
}

export function whole(min: number, max: number): ValueType<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    parse(text) {
      const value = /^\d+$/.test(text) ? Number(text) : NaN
      return value >= min && value <= max ? value : new Invalid()
    },
  }
}

/** Milliseconds. A bare number is seconds. */
export function duration(minMs: number, maxMs: number): ValueType<number> {
  return {
    allowed: `a time such as 500ms, 30s or 2m, from ${ms(minMs)} to ${ms(maxMs)}`,
    parse(text) {
      const match = /^(\d{1,9}(?:\.\d+)?)\s*(ms|s|m|h|d)?$/i.exec(text)
      if (!match) return new Invalid()
      const value = ms(`${match[1] ?? ''}${match[2] ?? 's'}` as ms.StringValue)
      return value >= minMs && value <= maxMs ? Math.round(value) : new Invalid()
    },
  }
}

/** Bytes. K, M and G are powers of 1024. */
export function size(min: number, max: number): ValueType<number> {
  return {
    allowed: `a size such as 8192, 64K or 25M, from ${bytes(min) ?? ''} to ${bytes(max) ?? ''}`,
    parse(text) {
      const match = /^(\d{1,15}(?:\.\d+)?)\s*([kmg])?b?$/i.exec(text)
      const value = match ? bytes.parse(`${match[1] ?? ''}${match[2] ?? ''}B`) : null
      return value !== null && value >= min && value <= max ? value : new Invalid()
    },
  }
}

export function oneOf<const T extends string>(words: readonly T[]): ValueType<T> {
  return {
    allowed: listed(words),
    parse(text) {
      return words.find((candidate) => candidate === text.toLowerCase()) ?? new Invalid()
    },
  }
}

/** One or more of the words. */
export function someOf<const T extends string>(words: readonly T[]): ValueType<readonly T[]> {
  return {
    allowed: `one or more of ${listed(words, 'and')}, separated by spaces`,
    parse(text) {
      const given = text.toLowerCase().split(/\s+/)
      return given.every((word) => words.some((known) => known === word))
        ? words.filter((word) => given.includes(word))
        : new Invalid()
    },
  }
}

/** Action words without `accept`, which is for unscanned messages only. */
export const actionWords: ValueType<Action> = {
  allowed:
    'reject, defer, discard or tag, or quarantine and bounce, which combine with each other and with reject, defer or discard',
  parse(text) {
    const action = parseAction(text)
    return action === null || action.ending === 'accept' ? new Invalid() : action
  },
}

/** The action for an unscanned message or an unreadable attachment: one word. */
export const fallback: ValueType<Action> = {
  allowed: 'defer, reject, accept or quarantine',
  parse(text) {
    const action = /^(defer|reject|accept|quarantine)$/i.test(text) ? parseAction(text) : null
    return action ?? new Invalid()
  },
}

/** A folder below another one. */
export const folder: ValueType<string> = {
  allowed: 'a relative path of letters, digits, dots, dashes and underscores that stays where it is',
  parse(text) {
    const isSafe = /^[\w.-]+(\/[\w.-]+)*$/.test(text) && !text.split('/').some((part) => /^\.+$/.test(part))
    return isSafe ? text : new Invalid()
  },
}

/** An address for a From: header; `(me)` stands for the server's name. */
export const mailbox: ValueType<NamedAddress> = {
  allowed: 'an address such as postmaster@example.com or Mail <postmaster@(me)>',
  parse(text) {
    // Not the flag i: together with u it matches U+017F as an s.
    const address = String.raw`[\w.!#$%&'*+/=?^\x60{|}~-]+@(?:\(me\)|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)`
    const match = new RegExp(`^(?:(${address})|([^<>@\\p{Cc}]*)<(${address})>)$`, 'u').exec(text)
    if (!match) return new Invalid()
    const [, bare, name = '', bracketed = ''] = match
    return { name: unquoted(name.trim()), address: bare ?? bracketed }
  },
}

function unquoted(name: string): string {
  return /^".*"$/.test(name) ? name.slice(1, -1).replace(/\\(.)/g, '$1') : name
}

/** A count per time: `10/h`. */
export const rate: ValueType<{ count: number; perMs: number }> = {
  allowed: 'a number from 0 to 100000 per minute, hour or day: 1/m, 10/h, 50/d',
  parse(text) {
    const match = /^(\d{1,6})\s*\/\s*([mhd])$/i.exec(text)
    const count = Number(match?.[1] ?? NaN)
    return match && count <= 100_000
      ? { count, perMs: ms(`1${(match[2] ?? 'h').toLowerCase()}` as ms.StringValue) }
      : new Invalid()
  },
}

/** Text in any script, on one line. */
export function prose(maxLength: number): ValueType<string> {
  return {
    allowed: `one line of 1 to ${maxLength} characters`,
    parse: (value) => (/^\P{Cc}+$/u.test(value) && value.length <= maxLength ? value : new Invalid()),
  }
}

/**
 * One line of printable ASCII, with each of `placeholders` in braces at most once. So the final text, with the longest
 * virus name, fits into an SMTP reply line (RFC 5321, 512 bytes).
 */
export function text(maxLength: number, placeholders: readonly string[]): ValueType<string> {
  const known = placeholders.map((name) => `{${name}}`)
  return {
    allowed: `one line of 1 to ${maxLength} printable ASCII characters, with ${listed(known)} at most once`,
    parse(value) {
      if (!/^[\x20-\x7e]+$/.test(value) || value.length > maxLength) return new Invalid()
      const found: string[] = value.match(/\{\w*\}/g) ?? []
      const unknown = found.find((word) => !known.includes(word))
      if (unknown) return new Invalid(`${unknown} is unknown`)
      const again = found.find((word, index) => found.indexOf(word) !== index)
      return again ? new Invalid(`${again} is there more than once`) : value
    },
  }
}

/**
 * Empty, or a `Bearer` token of RFC 6750. Nothing like a number: Haraka's loader would turn it into one and round it.
 */
export const token: ValueType<string> = {
  allowed: 'nothing, or 16 to 256 of the characters A-Z a-z 0-9 - . _ ~ + /, with a letter, _, ~ or /',
  isSecret: true,
  parse: (value) =>
    value === '' || (/^[\w.~+/-]{16,256}$/.test(value) && !/^[\d.+-]+$/.test(value)) ? value : new Invalid(),
}

/** A file with one secret, outside the ini. */
export const secretPath: ValueType<string> = {
  allowed: 'the absolute path of a file, or the name of a systemd credential',
  parse: (value) => (/^\/./.test(value) || /^[\w][\w.-]*$/.test(value) ? value : new Invalid()),
}

/** A program that is run without arguments and without a shell. */
export const programPath: ValueType<string> = {
  allowed: 'the absolute path of a program, without arguments',
  parse: (value) => (/^\/[^\s\p{Cc}]+$/u.test(value) ? value : new Invalid()),
}

/** A file that tls-files.ts reads. @param content what is in it */
export function pemFile(content: string): ValueType<string> {
  return {
    allowed: `the path of a PEM file, absolute or below Haraka's config folder, with ${content}`,
    parse: (value) => value,
  }
}

/** A host without a port. */
export const hostName: ValueType<string> = {
  allowed: 'a host name or an address',
  parse: (value) => parseHostName(value) ?? new Invalid(),
}

/** Hosts separated by space, comma or semicolon. `defaultPort` is for hosts without one. */
export function hosts(defaultPort: number): ValueType<readonly Host[]> {
  return {
    allowed:
      'names, IPv4 or IPv6 addresses, each with an optional :port, and with tls:// in front for TLS, or /path/to/a.sock, separated by space, comma or semicolon',
    parse(value) {
      const found: Host[] = []
      for (const word of value.split(/[\s,;]+/).filter(Boolean)) {
        const host = parseClamdHost(word, defaultPort)
        if (host instanceof Invalid) return new Invalid(`${word} ${host.why}`)
        found.push(host)
      }
      return found.length > 0 ? found : new Invalid()
    },
  }
}

/** Items of `[attachments] deny` and `allow`; may be empty. */
export const masks: ValueType<readonly Mask[]> = {
  allowed:
    'masks such as *.exe or *.scr without quotes or slashes, regular expressions between slashes, type:NAME and content-type:TYPE/SUBTYPE, each perhaps behind in:KIND, separated by space, comma or semicolon',
  parse: parseMasks,
}

/** Null for an empty value. */
export function orEmpty<T>(type: ValueType<T>): ValueType<T | null> {
  return { ...type, parse: (value) => (value === '' ? null : type.parse(value)) }
}

export function listed(words: readonly string[], last: 'or' | 'and' = 'or'): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1) ?? ''}`
}
