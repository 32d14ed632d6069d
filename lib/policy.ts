/*
 * What is done with a message: the administrator's rules, the verdict and who sent it make an action. Pure.
 * Also the words themselves, as they stand in the ini, in clamav-stream.signatures and in the note.
 */

import type { Reason, Verdict } from './verdict'

/** Words for an infected message. */
export const infectedActions = ['reject', 'defer', 'discard', 'tag'] as const
export type InfectedAction = (typeof infectedActions)[number]

/** Words for a message that was not scanned. `accept`: delivered without the header. */
export const unscannedActions = ['defer', 'reject', 'accept'] as const
export type UnscannedAction = (typeof unscannedActions)[number]

/** `accept` and `tag` both deliver; which header there is depends on the verdict alone. */
export type Action = InfectedAction | UnscannedAction

/** Outcomes of `[unscanned]`; `exempt` is not among them, for it is a wish and not an accident. */
export type Mishap = Exclude<Reason, 'exempt'>

export interface SignatureRule {
  readonly pattern: RegExp
  readonly action: InfectedAction
}

export interface Rules {
  readonly infected: InfectedAction
  /** For authenticated senders. */
  readonly authenticated: InfectedAction
  /** Before the two above; first match wins. */
  readonly signatures: readonly SignatureRule[]
  readonly unscanned: Readonly<Record<Mishap, UnscannedAction>>
}

export interface SenderFacts {
  readonly isAuthenticated: boolean
  readonly isRelaying: boolean
  /** Private address (RFC 1918 and its like); local ones are private, too. */
  readonly isPrivate: boolean
  /** Loopback or an address of this machine. */
  readonly isLocal: boolean
}

/** `[check]`: whose messages are scanned. */
export interface Check {
  readonly authenticated: boolean
  readonly relay: boolean
  readonly privateIp: boolean
  /** null: not set, so that `private_ip` speaks for local addresses as well. */
  readonly localIp: boolean | null
}

export function decide(rules: Rules, verdict: Verdict, sender: SenderFacts): Action {
  switch (verdict.outcome) {
    case 'clean':
      return 'accept'
    case 'infected':
      return (
        rules.signatures.find(({ pattern }) => pattern.test(verdict.virus))?.action ??
        (sender.isAuthenticated ? rules.authenticated : rules.infected)
      )
    case 'unscanned':
      return verdict.reason === 'exempt' ? 'accept' : rules.unscanned[verdict.reason]
  }
}

/** True for a sender whose messages `[check]` leaves alone. */
export function isExempt(check: Check, sender: SenderFacts): boolean {
  const byAddress =
    sender.isLocal && check.localIp !== null ? !check.localIp : sender.isPrivate && !check.privateIp
  return (sender.isAuthenticated && !check.authenticated) || (sender.isRelaying && !check.relay) || byAddress
}

/** Reads an action that another plugin has put into the note; null if it is no action word. */
export function parseAction(word: unknown): Action | null {
  const text = typeof word === 'string' ? word.trim().toLowerCase() : ''
  return [...infectedActions, ...unscannedActions].find((action) => action === text) ?? null
}
