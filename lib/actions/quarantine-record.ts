/*
 * What lies beside the copy of a quarantined message: how it is read back, and why the message was kept. Made in
 * client.ts, written by actions/quarantine.ts, read for the page and by the commands.
 */

import type { AttachmentFinding, Note } from '../policy/verdict'

/** Beside the copy of a quarantined message, as JSON. */
export interface QuarantineRecord {
  readonly uuid: string
  /** ISO 8601, UTC. */
  readonly time: string
  readonly envelope: { readonly mail_from: string; readonly rcpt_to: readonly string[] }
  readonly client: { readonly ip: string; readonly host: string | null; readonly helo: string | null }
  /** Who has logged in. */
  readonly user: string | null
  readonly message_id: string | null
  readonly verdict: Note
  /** What the attachments came to, where they are looked at. */
  readonly attachment: AttachmentFinding
}

/** Parses the file's text; null: it is something else. */
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

/** Why it was kept: the virus, the mask that a name matches, or why it was not scanned. */
export function whyKept({ verdict, attachment }: QuarantineRecord): string {
  if (verdict.virus !== null) return verdict.virus
  if (attachment && 'denied' in attachment) return `attachment ${attachment.denied}`
  if (attachment) return 'unreadable attachment'
  return verdict.reason === null ? verdict.outcome : `unscanned: ${verdict.reason}`
}
