/*
 * The kinds of value a setting can have: how each is written, and in words what is allowed.
 * Which setting has which kind and default is in config.ts.
 */

import bytes from 'bytes'
import ms from 'ms'
import { parseHost, type Host } from './address'

/** `parse` answers with the value, or with a Wrong: why not, when there is more to say than `allowed` does. */
export interface Kind<T> {
  readonly allowed: string
  parse(text: string): T | Wrong
}

export class Wrong {
  constructor(readonly why?: string) {}
}

export const yesNo: Kind<boolean> = {
  allowed: 'true or false',
  parse(text) {
    if (/^(true|yes|on|enabled|ok|1)$/i.test(text)) return true
    return /^(false|no|off|disabled|0)$/i.test(text) ? false : new Wrong()
  },
}

export function whole(least: number, most: number): Kind<number> {
  return {
    allowed: `a whole number from ${least} to ${most}`,
    parse(text) {
      const value = /^\d+$/.test(text) ? Number(text) : NaN
      return value >= least && value <= most ? value : new Wrong()
    },
  }
}

/** Milliseconds. A bare number is seconds. */
export function duration(leastMs: number, mostMs: number): Kind<number> {
  return {
    allowed: `a time such as 500ms, 30s or 2m, from ${ms(leastMs)} to ${ms(mostMs)}`,
    parse(text) {
      const match = /^(\d{1,9}(?:\.\d+)?)\s*(ms|s|m|h|d)?$/i.exec(text)
      if (!match) return new Wrong()
      const value = ms(`${match[1] ?? ''}${match[2] ?? 's'}` as ms.StringValue)
      return value >= leastMs && value <= mostMs ? Math.round(value) : new Wrong()
    },
  }
}

/** Bytes. K, M and G are powers of 1024. */
export function size(least: number, most: number): Kind<number> {
  return {
    allowed: `a size such as 8192, 64K or 25M, from ${bytes(least) ?? ''} to ${bytes(most) ?? ''}`,
    parse(text) {
      const match = /^(\d{1,15}(?:\.\d+)?)\s*([kmg])?b?$/i.exec(text)
      const value = match ? bytes.parse(`${match[1] ?? ''}${match[2] ?? ''}B`) : null
      return value !== null && value >= least && value <= most ? value : new Wrong()
    },
  }
}

export function oneOf<const T extends string>(
  words: readonly T[],
  unavailable: readonly string[] = [],
): Kind<T> {
  return {
    allowed: listed(words),
    parse(text) {
      const wanted = text.toLowerCase()
      const word = words.find((candidate) => candidate === wanted)
      if (word !== undefined) return word
      const missing = wanted.split(/[\s,]+/).find((part) => unavailable.includes(part))
      return new Wrong(missing && `${missing} is not available in this version`)
    },
  }
}

/** One line of printable ASCII; of words in braces only those named in `placeholders`. */
export function text(most: number, placeholders: readonly string[]): Kind<string> {
  const known = placeholders.map((name) => `{${name}}`)
  return {
    allowed: `one line of 1 to ${most} printable ASCII characters, which may have ${listed(known)} in it`,
    parse(value) {
      if (!/^[\x20-\x7e]+$/.test(value) || value.length > most) return new Wrong()
      const unknown = value.match(/\{\w*\}/g)?.find((word) => !known.includes(word))
      return unknown ? new Wrong(`${unknown} is not known`) : value
    },
  }
}

/** Hosts separated by space, comma or semicolon. `defaultPort` goes to those without one. */
export function hosts(defaultPort: number): Kind<readonly Host[]> {
  return {
    allowed:
      'names, IPv4 or IPv6 addresses, each with an optional :port, or /path/to/a.sock, separated by space, comma or semicolon',
    parse(value) {
      const found: Host[] = []
      for (const word of value.split(/[\s,;]+/).filter(Boolean)) {
        const host = parseHost(word, defaultPort)
        if (typeof host === 'string') return new Wrong(`${word} ${host}`)
        found.push(host)
      }
      return found.length > 0 ? found : new Wrong()
    },
  }
}

export function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`
}
