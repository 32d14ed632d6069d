/*
 * Who sent a message and what is known of it, taken from Haraka's connection and transaction: the facts that
 * rules go by, and those that stand in a quarantine record and in a report.
 */

import type { BounceContext } from '../actions/bounce'
import type { QuarantineRecord } from '../actions/quarantine-record'
import type { Envelope } from '../config/exemptions'
import { isNamed } from '../haraka/headers'
import type { Connection, Transaction } from '../haraka/types'
import type { MessageSummary } from '../monitoring/dashboard/stats'
import type { SenderFacts } from '../policy/rules'
import type { AttachmentFinding, Note } from '../policy/verdict'

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

/** A quoted local part may hold angle brackets, and those who read an envelope do not agree on where it then ends. */
function isPlain(address: string): boolean {
  return address !== '' && !/[<>\p{Cc}\p{Cf}]/u.test(address)
}

export function envelopeOf(connection: Connection, { mail_from, rcpt_to }: Transaction): Envelope {
  return { ip: connection.remote.ip, user: userOf(connection), sender: mail_from, recipients: rcpt_to }
}

/** From the lines themselves: Haraka knows no header with white space before its colon. */
function valuesOf({ header }: Transaction, name: string): string {
  const lines = header.header_list.filter((line) => isNamed(line, name))
  return lines.map((line) => line.slice(line.indexOf(':') + 1).trimStart()).join('')
}

export function userOf({ notes }: Connection): string | null {
  return typeof notes.auth_user === 'string' && notes.auth_user !== '' ? notes.auth_user : null
}

export function recordOf(
  connection: Connection,
  transaction: Transaction,
  verdict: Note,
  attachment: AttachmentFinding,
): QuarantineRecord {
  const { remote, hello } = connection
  return {
    uuid: transaction.uuid,
    time: new Date().toISOString(),
    envelope: {
      mail_from: transaction.mail_from.address,
      rcpt_to: transaction.rcpt_to.map(({ address }) => address),
    },
    client: { ip: remote.ip, host: remote.host, helo: hello.host },
    user: userOf(connection),
    message_id: transaction.header.get('Message-ID').trim() || null,
    verdict,
    attachment,
  }
}

/** For the list of the last messages; strings as they came. */
export function messageSummary(connection: Connection, transaction: Transaction): MessageSummary {
  return {
    uuid: transaction.uuid,
    from: transaction.mail_from.address,
    to: transaction.rcpt_to.slice(0, 3).map(({ address }) => address),
    recipients: transaction.rcpt_to.length,
    ip: connection.remote.ip,
    user: userOf(connection),
    subject: transaction.header.get_decoded('Subject').trim(),
  }
}

/** What a report says of the message itself. */
export function bounceContext(transaction: Transaction): Omit<BounceContext, 'me' | 'answer' | 'verdict'> {
  return {
    sender: transaction.mail_from.address,
    recipients: transaction.rcpt_to.map(({ address }) => address),
    arrived: new Date(),
    headers: transaction.header.header_list,
    messageId: transaction.header.get('Message-ID').trim() || null,
    subject: transaction.header.get_decoded('Subject').trim() || null,
  }
}

/**
 * True for messages that nobody wrote, or that many got: answering those makes loops and backscatter.
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
