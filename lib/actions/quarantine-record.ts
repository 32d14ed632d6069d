/*
 * The record beside the copy of a quarantined message: its type, its parser, and the reason for the quarantine.
 * plugin/message-facts.ts makes it, quarantine.ts writes it, the page and the commands read it.
 */

import type { AttachmentFinding, Note } from '../policy/verdict'

/** The JSON in UUID.json. */
export interface QuarantineRecord {
  readonly uuid: string
  /** ISO 8601, UTC. */
  readonly time: string
  readonly envelope: { readonly mail_from: string; readonly rcpt_to: readonly string[] }
  readonly client: { readonly ip: string; readonly host: string | null; readonly helo: string | null }
  /** The authenticated user. */
  readonly user: string | null
  readonly message_id: string | null
  readonly verdict: Note
  /** The finding of the attachment rules. */
  readonly attachment: AttachmentFinding
}

/** Parses the file's text; null: not a record. */
export function parseRecord(text: string): QuarantineRecord | null {
  try {
    const value = JSON.parse(text) as Partial<QuarantineRecord> | null
    const envelope = value?.envelope as Partial<QuarantineRecord['envelope']> | undefined
    const verdict = value?.verdict as Partial<Note> | null | undefined
    const isRecord =
      typeof value?.uuid === 'string' &&
      !Number.isNaN(Date.parse(String(value.time))) &&
      typeof envelope?.mail_from === 'string' &&
      Array.isArray(envelope.rcpt_to) &&
      envelope.rcpt_to.every((one) => typeof one === 'string') &&
      isObject(value.client) &&
      typeof verdict?.outcome === 'string' &&
      [verdict.virus, verdict.reason].every((one) => one === null || typeof one === 'string') &&
      isObject(value.attachment ?? {})
    return isRecord ? (value as QuarantineRecord) : null
  } catch {
    return null
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

/** The reason for the quarantine: the virus, the mask that an attachment matches, or the unscanned reason. */
export function whyKept({ verdict, attachment }: QuarantineRecord): string {
  if (verdict.virus !== null) return verdict.virus
  if (attachment && 'denied' in attachment) return `attachment ${attachment.denied}`
  if (attachment) return 'unreadable attachment'
  return verdict.reason === null ? verdict.outcome : `unscanned: ${verdict.reason}`
}
