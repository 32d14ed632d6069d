/*
 * Which action a message gets: the administrator's rules, the verdict, the attachments and who sent it. Pure.
 */

import { type Action, actionOf, delivers, withoutReport } from './action'
import type { AttachmentFinding, Reason, Verdict } from './verdict'

/**
 * Outcomes of `[unscanned]`. `exempt` is not among them, for it is a wish and not an accident; nor is `in_progress`, after
 * which the message is always deferred: a client that breaks off a scan must not get its mail accepted by that.
 */
export type Mishap = Exclude<Reason, 'exempt' | 'in_progress'>

export interface SignatureRule {
  /** As written. */
  readonly text: string
  readonly pattern: Pick<RegExp, 'test'>
  /** `ignore`: the name counts as nothing found. */
  readonly action: Action | 'ignore'
}

/** True if the first rule that matches the name says `ignore`. */
export function isIgnored(signatures: readonly SignatureRule[], name: string): boolean {
  return signatures.find(({ pattern }) => pattern.test(name))?.action === 'ignore'
}

export interface Rules {
  readonly infected: Action
  /** For authenticated senders. */
  readonly authenticated: Action
  /** Before the two above; first match wins. */
  readonly signatures: readonly SignatureRule[]
  readonly unscanned: Readonly<Record<Mishap, Action>>
  /** The same for authenticated senders. */
  readonly unscannedAuthenticated: Readonly<Record<Mishap, Action>>
  readonly attachments: { readonly denied: Action; readonly unreadable: Action }
}

export interface SenderFacts {
  readonly isAuthenticated: boolean
  readonly isRelaying: boolean
  /** Private address (RFC 1918 and its like); local ones are private, too. */
  readonly isPrivate: boolean
  /** Loopback or an address of this machine. */
  readonly isLocal: boolean
  /** A report may go to this sender: authenticated, no null sender, and the message is not automatic. */
  readonly canReceiveBounce: boolean
}

/** `[check]`: whose messages are scanned. */
export interface Check {
  readonly authenticated: boolean
  readonly relay: boolean
  readonly privateIp: boolean
  readonly localIp: boolean
}

const accept = actionOf('accept')
const defer = actionOf('defer')

export interface Decision {
  readonly action: Action
  /** What the attachments came to, if the action is on their account. */
  readonly finding: AttachmentFinding
}

/**
 * What the rules say. An infection comes before a denied attachment, but where the one would deliver the message
 * the other decides.
 */
export function decide(
  rules: Rules,
  verdict: Verdict,
  finding: AttachmentFinding,
  sender: SenderFacts,
): Decision {
  const scanned = possible(byScan(rules, verdict, sender), sender)
  if (finding === null || isDecidedByScan(rules, verdict, sender)) return { action: scanned, finding: null }
  const { denied, unreadable } = rules.attachments
  const named = possible('denied' in finding ? denied : unreadable, sender)
  return delivers(named) ? { action: scanned, finding: null } : { action: named, finding }
}

/** An infection for which the message is not delivered: whatever its attachments are, they change nothing. */
export function isDecidedByScan(rules: Rules, verdict: Verdict, sender: SenderFacts): boolean {
  return verdict.outcome === 'infected' && !delivers(byScan(rules, verdict, sender))
}

/** The action for this sender: who cannot be sent a report is rejected instead. */
export function possible(action: Action, sender: SenderFacts): Action {
  return action.bounce && !sender.canReceiveBounce ? withoutReport(action) : action
}

function byScan(rules: Rules, verdict: Verdict, sender: SenderFacts): Action {
  switch (verdict.outcome) {
    case 'clean':
      return accept
    case 'infected': {
      const action = rules.signatures.find(({ pattern }) => pattern.test(verdict.virus))?.action
      // The scan has passed over the names that are ignored.
      if (action !== undefined && action !== 'ignore') return action
      return sender.isAuthenticated ? rules.authenticated : rules.infected
    }
    case 'unscanned':
      if (verdict.reason === 'in_progress') return defer
      if (verdict.reason === 'exempt') return accept
      return (sender.isAuthenticated ? rules.unscannedAuthenticated : rules.unscanned)[verdict.reason]
  }
}

/** True for a sender whose messages `[check]` leaves alone. */
export function exemptsSender(check: Check, sender: SenderFacts): boolean {
  return (
    (sender.isAuthenticated && !check.authenticated) ||
    (sender.isRelaying && !check.relay) ||
    (sender.isPrivate && !check.privateIp) ||
    (sender.isLocal && !check.localIp)
  )
}
