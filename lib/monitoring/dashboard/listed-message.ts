/*
 * A message as the page lists it: whatever was not simply clean, and every copy that could not be kept. Strings are
 * bounded and printable, since strangers have written most of them.
 */

import { displayText } from '../../base/text'
import { versionText } from '../../clamd/version'
import { type AttachmentFinding, isExempt, type Verdict } from '../../policy/verdict'

/** `unreadable`: kept out, because names in an attachment could not be read. */
export type Kind = 'infected' | 'unscanned' | 'denied' | 'unreadable' | 'copy failed'

/** Sender, recipients and client. Texts are as the client sent them. */
export interface MessageSummary {
  readonly uuid: string
  readonly from: string
  /** Of a listed message, the first few. */
  readonly to: readonly string[]
  readonly recipients: number
  readonly ip: string
  readonly host: string | null
  readonly user: string | null
  readonly subject: string
  readonly messageId: string
}

/** Plain JSON, since it is sent between processes. */
export interface ListedMessage extends MessageSummary {
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly kind: Kind
  readonly verdict: Verdict['outcome']
  /** Signature name, unscanned reason, or mask. */
  readonly what: string
  /** Address, step and cause of a failure; the denied name; why a copy failed. */
  readonly why: string
  readonly action: string
  readonly clamd: string | null
  readonly engine: string | null
  readonly protocol: string | null
  readonly bytes: number
  readonly ms: number
  readonly readings: number
  readonly parts: number
  /** The part that the verdict comes from. */
  readonly part: string | null
  /** Why the message is not plain. */
  readonly oddity: string | null
}

export const maxRecipients = 5

/** Null: not listed. Other plugins and the rules may do as they like with a clean message; it stays in the log alone. */
export function kindOf(verdict: Verdict, finding: AttachmentFinding, action: string): Kind | null {
  if (verdict.outcome === 'infected') return 'infected'
  if (finding !== null && 'denied' in finding) return 'denied'
  if (verdict.outcome === 'unscanned' && !isExempt(verdict)) return 'unscanned'
  // By default an unreadable archive is delivered, and there are many.
  return finding !== null && action !== 'accept' ? 'unreadable' : null
}

/** @param failure why there is no copy; null: that is not what the message is listed for */
export function listedMessage(
  kind: Kind,
  { verdict, finding, action }: { verdict: Verdict; finding: AttachmentFinding; action: string },
  summary: MessageSummary,
  time: number,
  failure: string | null = null,
): ListedMessage {
  const text = verdict.outcome === 'unscanned' ? verdict.text : ''
  const name = finding === null ? '' : 'denied' in finding ? finding.name : finding.unreadable
  const why = [failure ?? '', name, text].filter(Boolean).join('; ')
  const { clamd, protocol, bytes, ms, readings, parts, part, oddity } = verdict
  return {
    ...bounded(summary),
    time,
    kind,
    verdict: verdict.outcome,
    what: displayText(whatOf(kind, verdict, finding), 128),
    why: displayText(why, 300),
    action,
    clamd,
    engine: versionText(verdict.engine),
    protocol,
    bytes,
    ms,
    readings,
    parts,
    part: orNull(part, 100),
    oddity: orNull(oddity, 160),
  }
}

function whatOf(kind: Kind, verdict: Verdict, finding: AttachmentFinding): string {
  if (verdict.outcome === 'infected') return verdict.virus
  if (finding !== null && 'denied' in finding) return finding.denied
  if (kind === 'unreadable') return 'unreadable archive'
  return verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome
}

function bounded(summary: MessageSummary): MessageSummary {
  const { uuid, from, to, recipients, ip, host, user, subject, messageId } = summary
  return {
    uuid: displayText(uuid, 64),
    from: displayText(from, 160),
    to: to.slice(0, maxRecipients).map((recipient) => displayText(recipient, 160)),
    recipients,
    ip: displayText(ip, 64),
    host: orNull(host, 160),
    user: orNull(user, 100),
    subject: displayText(subject, 160),
    messageId: displayText(messageId, 160),
  }
}

function orNull(text: string | null, maxLength: number): string | null {
  return text === null ? null : displayText(text, maxLength)
}
