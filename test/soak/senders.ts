// The senders of a soak: each in sessions of a few messages, one after the other, until none is left.
import type { Random } from '../support/random'
import { connect, dotStuffed, type SmtpClient } from '../support/smtp/smtp'
import type { Ledger } from './ledger'
import type { OutgoingMail } from './messages'

export const login = { user: 'sender', password: 'secret' }

export interface Sender {
  readonly port: number
  /** Whose mail goes out through the outbound queue. */
  readonly isAuthenticated: boolean
  readonly random: Random
  readonly ledger: Ledger
  /** Null when there is nothing more to send. */
  readonly next: () => OutgoingMail | null
}

const maxPerSession = 6
/** Far above the plugin's own limits: a sender that waits longer has been forgotten. */
const timeoutMs = 120_000

/** Resolves when there is nothing more to send. */
export async function send(sender: Sender): Promise<void> {
  for (let message = sender.next(); message;) {
    const client = await opened(sender)
    try {
      for (let left = 1 + sender.random(maxPerSession); message && left > 0 && !client.closed; left--) {
        await post(client, message, sender.ledger)
        message = sender.next()
      }
      await client.quit()
    } finally {
      client.destroy()
    }
  }
}

async function opened({ port, isAuthenticated }: Sender): Promise<SmtpClient> {
  const client = await connect(port, { timeoutMs })
  await client.command('EHLO client.example.com')
  if (isAuthenticated) await client.login(login.user, login.password)
  return client
}

async function post(client: SmtpClient, message: OutgoingMail, ledger: Ledger): Promise<void> {
  ledger.sent(message)
  const begun = await client.transaction()
  if (begun.code !== 354) {
    ledger.answered(message, begun.code, begun.text)
    return
  }
  if (message.kind === 'abandoned') {
    client.write(dotStuffed(message.bytes).subarray(0, message.bytes.length >> 1))
    client.destroy()
    await client.waitForClose()
    return
  }
  const { code, text } = await client.message(message.bytes)
  ledger.answered(message, code, text)
}
