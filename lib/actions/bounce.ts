/*
 * The report to the sender of an infected message: RFC 3464, from the null sender. It has at most the original headers,
 * never the message, and no headers if a scan of the report is not clean. Whether a sender gets a report at all is decided in
 * plugin/message-facts.ts.
 */

import { domainToASCII } from 'node:url'
import MimeNode from 'nodemailer/lib/mime-node'
import type { RateLimit } from '../base/rate-limiter'
import { type Answer, replyLine, statusOf } from '../policy/smtp-reply'
import type { Verdict } from '../policy/verdict'
import { named, type NamedAddress, queueMs, textOf } from './own-mail'

export interface BounceSettings {
  /** From: of the report; `(me)` stands for the server's name. */
  readonly from: NamedAddress
  readonly notice: string
  readonly include: 'headers' | 'none'
  readonly limit: RateLimit
}

/** The refused message. */
export interface BounceContext {
  /** The server's name, as in Haraka's config/me. */
  readonly me: string
  readonly sender: string
  readonly recipients: readonly string[]
  readonly arrived: Date
  /** Raw header lines. */
  readonly headers: readonly string[]
  readonly messageId: string | null
  readonly subject: string | null
  /** The reply that an SMTP client would get. */
  readonly answer: Answer
  readonly verdict: Verdict
}

/** Milliseconds for the scan of a report. */
export const reportScanMs = 5000

/** Milliseconds for all of a report. */
export const reportMs = reportScanMs + queueMs

/** Bytes of the original headers that are sent back at most. */
const maxHeaderBytes = 64 * 1024

/** Characters of the original subject that are repeated at most. */
const maxSubjectLength = 200

/**
 * The report as a message with CRLF, 7-bit except for the To: of a sender with a non-ASCII local part (RFC 6532). Send it
 * with the envelope sender `<>`.
 * @param isBare without any text of the sender (headers, subject, addresses), which may carry the virus itself
 */
export async function composeReport(
  settings: BounceSettings,
  refused: BounceContext,
  isBare = false,
): Promise<string> {
  return compose(settings, isBare ? { ...refused, ...withoutSenderText } : refused)
}

type ReportContext = Omit<BounceContext, 'sender'> & { readonly sender: string | null }

/** Replaces everything that the sender wrote. */
const withoutSenderText = {
  sender: null,
  recipients: [],
  headers: [],
  messageId: null,
  subject: null,
} as const

async function compose(settings: BounceSettings, refused: ReportContext): Promise<string> {
  const { me, sender } = refused
  const root = new MimeNode('multipart/report; report-type=delivery-status', { hostname: me, newline: 'win' })
  const subject = oneLine(refused.subject ?? '').slice(0, maxSubjectLength)
  // A non-ASCII Message-ID cannot be encoded in a header, and some servers refuse raw UTF-8.
  const messageId = refused.messageId !== null && isAscii(refused.messageId) ? refused.messageId : null
  root.setHeader({
    from: named(settings.from, me),
    to: sender === null ? 'undisclosed-recipients:;' : { address: sender, name: '' },
    subject: subject ? `Undelivered: ${subject}` : 'Undelivered message',
    'Auto-Submitted': 'auto-replied',
    ...(messageId ? { 'In-Reply-To': messageId, References: messageId } : {}),
  })
  root.createChild('text/plain; charset=utf-8').setContent(explanation(settings, refused, subject))
  root.createChild('message/delivery-status').setContent(deliveryStatus(refused))
  if (settings.include === 'headers' && sender !== null) {
    root
      .createChild('text/rfc822-headers; charset=utf-8', { filename: 'headers.txt' })
      .setHeader('Content-Disposition', 'inline')
      .setContent(originalHeaders(refused.headers))
  }
  return textOf(root)
}

function explanation({ notice }: BounceSettings, refused: ReportContext, subject: string): string {
  const { verdict, sender, recipients, arrived, answer } = refused
  const facts = [
    ...(subject ? [`Subject:  ${subject}`] : []),
    ...(sender === null ? [] : [`Sent to:  ${recipients.map(oneLine).join(', ')}`]),
    `Received: ${arrived.toUTCString()}`,
    `Reason:   ${ascii(answer.text)}`,
    ...(verdict.outcome === 'infected' ? [`Found:    ${verdict.virus}`] : []),
  ]
  const left = sender === null ? 'Neither it nor its subject, headers and addresses are' : 'It is not'
  return `${notice}\r\n\r\n${facts.join('\r\n')}\r\n\r\nThe message has not been delivered to anybody. ${left} part of this report.\r\n`
}

/** RFC 3464: one group for the message and one for each recipient. */
function deliveryStatus({ me, sender, recipients, arrived, answer }: ReportContext): string {
  const groups = [
    [
      `Reporting-MTA: dns; ${isAscii(me) ? me : ascii(domainToASCII(me) || me)}`,
      `Arrival-Date: ${mailDate(arrived)}`,
    ],
    ...(sender === null ? ['rfc822; undisclosed-recipients:;'] : recipients.map(typedAddress)).map(
      (recipient) => [
        `Final-Recipient: ${recipient}`,
        `Action: ${answer.code < 500 ? 'delayed' : 'failed'}`,
        `Status: ${statusOf(answer)}`,
        `Diagnostic-Code: smtp; ${ascii(replyLine(answer))}`,
      ],
    ),
  ]
  return groups.map((lines) => `${lines.join('\r\n')}\r\n`).join('\r\n')
}

/**
 * A message/delivery-status is 7-bit: the domain becomes `xn--`; an address with a non-ASCII local part has the type utf-8,
 * written as utf-8-addr-xtext (RFC 6533, section 3).
 */
function typedAddress(address: string): string {
  const at = address.lastIndexOf('@') + 1
  const [local, domain] = [address.slice(0, at), address.slice(at)]
  const asciiDomain = isAscii(domain) ? domain : domainToASCII(domain)
  if (isAscii(local) && (asciiDomain !== '' || domain === '')) return `rfc822; ${ascii(local + asciiDomain)}`
  const hex = (character: string) =>
    (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(2, '0')
  return `utf-8; ${address.replace(/[^\x21-\x7e]|[+=\\]/gu, (character) => `\\x{${hex(character)}}`)}`
}

function originalHeaders(lines: readonly string[]): string {
  let bytes = 0
  const kept = lines.filter((line) => (bytes += Buffer.byteLength(line)) <= maxHeaderBytes)
  const text = kept.map((line) => line.replace(/\r?\n/g, '\r\n')).join('')
  const cut = lines.length - kept.length
  return cut === 0 ? text : `${text}X-Cut: ${cut} more header fields are not repeated here\r\n`
}

/** RFC 5322 date-time; toUTCString names the zone GMT, which is obsolete there. */
function mailDate(date: Date): string {
  return date.toUTCString().replace('GMT', '+0000')
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
}

function isAscii(text: string): boolean {
  return /^\p{ASCII}*$/u.test(text)
}

function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, '?')
}
