// Those who send in a soak: each in sessions of a few letters, one after the other, until there are none left.
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
/** Far above the plugin's own limits: whoever waits so long has been forgotten. */
const timeoutMs = 120_000

/** Resolves when there is nothing more to send. */
export async function send(sender: Sender): Promise<void> {
  for (let letter = sender.next(); letter;) {
    const client = await opened(sender)
    try {
      for (let left = 1 + sender.random(maxPerSession); letter && left > 0 && !client.closed; left--) {
        await post(client, letter, sender.ledger)
        letter = sender.next()
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

async function post(client: SmtpClient, letter: OutgoingMail, ledger: Ledger): Promise<void> {
  ledger.sent(letter)
  const begun = await client.transaction()
  if (begun.code !== 354) {
    ledger.answered(letter, begun.code, begun.text)
    return
  }
  if (letter.kind === 'abandoned') {
    client.write(dotStuffed(letter.bytes).subarray(0, letter.bytes.length >> 1))
    client.destroy()
    await client.waitForClose()
    return
  }
  const { code, text } = await client.message(letter.bytes)
  ledger.answered(letter, code, text)
}
