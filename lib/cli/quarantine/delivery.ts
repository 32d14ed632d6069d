/*
 * Sends one message to its recipients over SMTP, with nodemailer's connection: dot stuffing, 8BITMIME and SMTPUTF8 where
 * needed, one result for each recipient. The copy is sent unchanged, except that its lines end in CRLF.
 */

import type { FileHandle } from 'node:fs/promises'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { through } from '../../base/file-message'
import { reading } from '../../base/safe-files'
import { SmtpLines } from '../../base/smtp-lines'
import { hostPort } from '../../clamd/address'
import { UserError } from '../user-error'
import { type Hop, loopText } from './next-hop'
import type { Delivery } from './release-log'

export interface OutgoingMail {
  /** Opens the copy; called for each reading. */
  readonly open: () => Promise<FileHandle>
  readonly from: string
  readonly to: readonly string[]
}

/** Timeouts in milliseconds. RFC 5321, 4.5.3.2.6 asks for ten minutes for the reply to the end of a message. */
const limits = { connectionTimeout: 30_000, greetingTimeout: 60_000, socketTimeout: 600_000 }

/**
 * Resolves with the result for each recipient, also after an SMTP or network error.
 * @param me name of this Haraka; the next server must have another one
 * @param onSending awaited before the message is sent
 * @throws UserError if this Haraka itself answers
 */
export async function deliver(
  hop: Hop,
  mail: OutgoingMail,
  me: string,
  onSending: () => Promise<void>,
): Promise<Delivery> {
  const connection = new SMTPConnection({
    host: hop.host,
    port: hop.port,
    secure: false,
    name: me,
    ignoreTLS: hop.tls === 'never',
    opportunisticTLS: true,
    tls: { rejectUnauthorized: false },
    ...limits,
  })
  // Errors reach connected() and send(); without a listener a later one would end the process.
  connection.on('error', () => undefined)
  try {
    await connected(connection)
    const greeting = connection.lastServerResponse || ''
    if (nameIn(greeting) === me.toLowerCase() && /haraka/i.test(greeting)) throw new UserError(loopText(hop))
    const { login } = hop
    if (login)
      await new Promise<void>((resolve, reject) =>
        connection.login(
          { user: login.user, pass: login.pass, ...(login.method && { method: login.method }) },
          (error) => (error ? reject(error) : resolve()),
        ),
      )
    await onSending()
    return await send(connection, mail)
  } catch (error) {
    if (error instanceof UserError) throw error
    return refusedAll(mail.to, `${hostPort(hop)}: ${answerIn(error)}`)
  } finally {
    connection.close()
  }
}

function connected(connection: SMTPConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.once('error', reject)
    connection.connect((error) => (error ? reject(error) : resolve()))
  })
}

async function send(connection: SMTPConnection, { open, from, to }: OutgoingMail): Promise<Delivery> {
  const { bytes, isEightBit } = await measured(open)
  const message = through(reading(open), new SmtpLines(false))
  let isSent = false
  message.once('end', () => (isSent = true))
  return new Promise((resolve) => {
    const onError = (error: unknown) => {
      const { rejectedErrors = [], responseCode } = error as SmtpError
      const own = new Map(rejectedErrors.map((one) => [one.recipient ?? '', one.response ?? '']))
      // A code of 400 or more is a refusal. Otherwise (354 is the reply to DATA) a completely sent message may have arrived.
      const isInDoubt = isSent && (responseCode ?? 0) < 400
      const answer = answerIn(error)
      if (isInDoubt) resolve({ delivered: [], refused: [], in_doubt: to, response: answer })
      else
        resolve({
          delivered: [],
          refused: to.map((recipient) => ({ recipient, response: own.get(recipient) ?? answer })),
          in_doubt: [],
          response: answer,
        })
    }
    connection.once('error', onError)
    connection.send({ from, to: [...to], size: bytes, use8BitMime: isEightBit }, message, (error, result) => {
      if (error) {
        onError(error)
        return
      }
      const refused: SmtpError[] = result.rejectedErrors ?? []
      resolve({
        delivered: result.accepted,
        refused: refused.map(({ recipient = '', response = '' }) => ({ recipient, response })),
        in_doubt: [],
        response: result.response,
      })
    })
  })
}

interface SmtpError extends Error {
  readonly response?: string | undefined
  readonly responseCode?: number | undefined
  readonly recipient?: string | undefined
  readonly rejectedErrors?: readonly SmtpError[] | undefined
}

/** The server's reply if there is one. */
function answerIn(error: unknown): string {
  const { response, message } = error as SmtpError
  return (response ?? message).trim()
}

function refusedAll(recipients: readonly string[], response: string): Delivery {
  return {
    delivered: [],
    refused: recipients.map((recipient) => ({ recipient, response })),
    in_doubt: [],
    response,
  }
}

/** The server's name in the reply to EHLO: `250-mx.example.com Hello …`. */
function nameIn(answer: string): string {
  return /^250[- ](\S+)/.exec(answer)?.[1]?.toLowerCase() ?? ''
}

async function measured(open: OutgoingMail['open']): Promise<{ bytes: number; isEightBit: boolean }> {
  let bytes = 0
  let isEightBit = false
  for await (const chunk of through(reading(open), new SmtpLines(false))) {
    const piece = chunk as Buffer
    bytes += piece.length
    isEightBit ||= piece.some((byte) => byte > 0x7f)
  }
  return { bytes, isEightBit }
}
