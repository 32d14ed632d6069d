/*
 * Tokens that clients send. Wrong ones are logged with the address, in a form that examples/fail2ban/ reads, and limited for
 * each network, so that no client can try many.
 */

import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { type RateLimit, RateLimiter } from '../base/rate-limiter'
import { isSame } from './auth'

/** Wrong tokens of one network. Beyond them its tokens are not looked at, so that the answer tells nothing. */
export const wrongTokens: RateLimit = { count: 10, perMs: 60_000 }

export class TokenCheck {
  readonly #wrong = new RateLimiter()

  constructor(
    private readonly warn: (text: string) => void,
    private readonly now: () => number = Date.now,
  ) {}

  check(given: string, token: string, address: string): 'right' | 'wrong' | 'blocked' {
    const network = networkOf(address)
    if (this.#wrong.isReached(network, wrongTokens, this.now())) return 'blocked'
    if (isSame(given, token)) return 'right'
    this.#wrong.allow(network, wrongTokens, this.now())
    this.warn(`wrong token from ${address}`)
    return 'wrong'
  }
}

/** The client's address. A proxy on this machine appends its client to X-Forwarded-For; no other machine is believed. */
export function clientOf({ socket, headers }: Pick<IncomingMessage, 'headers'> & { socket: Peer }): string {
  const peer = addressOf(socket.remoteAddress ?? '')
  if (peer === null) return 'unknown'
  const forwarded = String(headers['x-forwarded-for'] ?? '')
  const last = addressOf(forwarded.slice(forwarded.lastIndexOf(',') + 1).trim())
  return (peer.range() === 'loopback' && last ? last : peer).toString()
}

interface Peer {
  readonly remoteAddress?: string | undefined
}

/** IPv4 for an IPv4-mapped address; null: no address. */
function addressOf(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  return isIP(text) ? ipaddr.process(text.replace(/%.*$/, '')) : null
}

/** One customer has a whole /64 of IPv6. */
function networkOf(address: string): string {
  const parsed = addressOf(address)
  return parsed?.kind() === 'ipv6' ? parsed.toByteArray().slice(0, 8).join('.') : address
}
