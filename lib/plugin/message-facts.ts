/*
 * What is known of a message before it is scanned, as plain values: the one place that reads them from Haraka's
 * connection and transaction, and the forms in which they go to the rules, the quarantine record, the report and the page.
 */

import type { BounceContext } from '../actions/bounce'
import type { QuarantineRecord } from '../actions/quarantine-record'
import type { Envelope } from '../config/exemptions'
import { isNamed } from '../haraka/headers'
import type { Connection, Transaction } from '../haraka/types'
import type { MessageSummary } from '../monitoring/dashboard/listed-message'
import type { SenderFacts } from '../policy/rules'
import type { AttachmentFinding, Note } from '../policy/verdict'

export interface MessageFacts {
  readonly uuid: string
  readonly client: QuarantineRecord['client']
  /** The name that the client has logged in with; null: it has not. */
  readonly user: string | null
  /** Envelope addresses; `from` is empty for the null sender. */
  readonly from: string
  readonly to: readonly string[]
  /** Both without white space around them, and empty if there is no such header. */
  readonly messageId: string
  readonly subject: string
  /** Raw header lines. This is Haraka's own list, so headers that are added later are in it. */
  readonly headers: readonly string[]
  /** What the rules go by. */
  readonly sender: SenderFacts
  /** What the list of exemptions goes by. */
  readonly envelope: Envelope
}

export function messageFacts(connection: Connection, transaction: Transaction): MessageFacts {
  const { remote, hello } = connection
  const { uuid, mail_from: from, rcpt_to: to, header } = transaction
  const user = userOf(connection)
  return {
    uuid,
    client: { ip: remote.ip, host: remote.host, helo: hello.host },
    user,
    from: from.address,
    to: to.map(({ address }) => address),
    messageId: header.get('Message-ID').trim(),
    subject: header.get_decoded('Subject').trim(),
    headers: header.header_list,
    sender: senderOf(connection, transaction),
    envelope: { ip: remote.ip, user, sender: from, recipients: [...to] },
  }
}

export function senderOf(connection: Connection, transaction: Transaction): SenderFacts {
  const { relaying, remote } = connection
  const isAuthenticated = userOf(connection) !== null
  return {
    isAuthenticated,
    isRelaying: relaying,
    isPrivate: remote.is_private,
    isLocal: remote.is_local,
    canReceiveBounce:
      isAuthenticated &&
      isPlain(transaction.mail_from.address) &&
      !isAutomatic((name) => valuesOf(transaction, name)),
  }
}

/** A quoted local part may hold angle brackets, and programs disagree on where such an address ends. */
function isPlain(address: string): boolean {
  return address !== '' && !/[<>\p{Cc}\p{Cf}]/u.test(address)
}

/** From the lines themselves: Haraka knows no header with white space before its colon. */
function valuesOf({ header }: Transaction, name: string): string {
  const lines = header.header_list.filter((line) => isNamed(line, name))
  return lines.map((line) => line.slice(line.indexOf(':') + 1).trimStart()).join('')
}

function userOf({ notes }: Connection): string | null {
  return typeof notes.auth_user === 'string' && notes.auth_user !== '' ? notes.auth_user : null
}

/**
 * True for messages that a program wrote, or that went to many people: answering those makes loops and backscatter.
 * @param header all values of a header, each with its line end
 */
export function isAutomatic(header: (name: string) => string): boolean {
  const values = (name: string) =>
    header(name)
      .toLowerCase()
      .split(/\r?\n(?![ \t])/)
      .map((value) => value.trim())
      .filter(Boolean)
  return (
    values('Auto-Submitted').some((value) => !/^no\b/.test(value)) ||
    values('Precedence').some((value) => /^(bulk|list|junk|auto_reply)\b/.test(value)) ||
    values('Content-Type').some((value) => /^multipart\/report\b/.test(value)) ||
    ['List-Id', 'List-Unsubscribe', 'List-Post', 'List-Help', 'List-Archive', 'Mailing-List'].some(
      (name) => values(name).length > 0,
    )
  )
}

/** True for what may be a notice of ours that comes back: a notice of a notice would never end. */
export function isNotice({ from, headers }: Pick<MessageFacts, 'from' | 'headers'>): boolean {
  return from === '' && headers.some((line) => isNamed(line, 'Auto-Submitted'))
}

export function quarantineRecord(
  facts: MessageFacts,
  verdict: Note,
  attachment: AttachmentFinding,
): QuarantineRecord {
  return {
    uuid: facts.uuid,
    time: new Date().toISOString(),
    envelope: { mail_from: facts.from, rcpt_to: facts.to },
    client: facts.client,
    user: facts.user,
    message_id: facts.messageId || null,
    verdict,
    attachment,
  }
}

/** The part of a report that describes the message. */
export function bounceContext(facts: MessageFacts): Omit<BounceContext, 'me' | 'answer' | 'verdict'> {
  return {
    sender: facts.from,
    recipients: facts.to,
    arrived: new Date(),
    headers: facts.headers,
    messageId: facts.messageId || null,
    subject: facts.subject || null,
  }
}

/** For the list of recent messages; the texts are as the client sent them. */
export function messageSummary(facts: MessageFacts): MessageSummary {
  return {
    uuid: facts.uuid,
    from: facts.from,
    to: facts.to,
    recipients: facts.to.length,
    ip: facts.client.ip,
    host: facts.client.host,
    user: facts.user,
    subject: facts.subject,
    messageId: facts.messageId,
  }
}
