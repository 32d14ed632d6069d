// Runs in a process of its own (load.ts): makes messages, opens sessions, and when told sends one message after the
// other in each of them, as fast as they are answered.
import { connect, type SmtpClient } from '../test/support/smtp'
import { scanInOneFrame, scanByStream } from './bare-client'
import type { Load, Order, Report, Sent, Target } from './load'
import { uniqueMessage } from './messages'

/** Sends one message; undefined when all is well, else what was answered. */
type Send = (message: Buffer) => Promise<string | undefined>

const endOfMail = Buffer.from('.\r\n')
const patienceMs = 120_000

interface Prepared {
  messages: Buffer[]
  sessions: Send[]
  end: () => Promise<unknown>
}

async function prepare(target: Target, load: Load): Promise<Prepared> {
  const messages = Array.from({ length: load.count }, () => uniqueMessage(load.bytes, load.attachmentName))
  if ('smtp' in target) {
    const clients = await Promise.all(Array.from({ length: load.sessions }, () => smtpSession(target.smtp)))
    const end = () => Promise.all(clients.map((client) => client.quit()))
    // No line of these messages begins with a dot, and each ends in CRLF.
    const dotted = messages.map((message) => Buffer.concat([message, endOfMail]))
    return { messages: dotted, sessions: clients.map((client) => bySmtp(client)), end }
  }
  const scan = 'instream' in target ? scanInOneFrame : scanByStream
  const port = 'instream' in target ? target.instream : target.stream
  const toClamd: Send = async (message) => {
    const reply = await scan(port, message)
    return reply === 'stream: OK' ? undefined : reply
  }
  return {
    messages,
    sessions: Array.from({ length: load.sessions }, () => toClamd),
    end: () => Promise.resolve(),
  }
}

async function smtpSession(port: number): Promise<SmtpClient> {
  const client = await connect(port, { timeoutMs: patienceMs })
  await client.command('EHLO client.example.com')
  return client
}

function bySmtp(client: SmtpClient): Send {
  return async (message) => {
    const goOn = await client.transaction()
    if (goOn.code !== 354) return goOn.lines.join(' ')
    client.write(message)
    const reply = await client.reply()
    client.dialogue.length = 0
    return reply.code === 250 ? undefined : reply.lines.join(' ')
  }
}

async function send({ messages, sessions, end }: Prepared): Promise<Sent> {
  const sent: Sent = { wallMs: 0, latenciesMs: [], refused: [] }
  const began = performance.now()
  await Promise.all(
    sessions.map(async (sendOne) => {
      for (let message = messages.pop(); message; message = messages.pop()) {
        const from = performance.now()
        const refused = await sendOne(message)
        sent.latenciesMs.push(performance.now() - from)
        if (refused !== undefined) sent.refused.push(refused)
      }
    }),
  )
  sent.wallMs = performance.now() - began
  await end()
  return sent
}

let prepared: Prepared | undefined

async function obey(order: Order): Promise<Report> {
  if (order.do === 'prepare') {
    prepared = await prepare(order.target, order.load)
    return { is: 'ready' }
  }
  if (!prepared) throw new Error('nothing was prepared')
  return { is: 'sent', ...(await send(prepared)) }
}

process.on('message', (order: Order) => {
  obey(order)
    .catch((error: unknown): Report => ({ is: 'failed', error: String(error) }))
    .then((report) => process.send?.(report))
    .catch((error: unknown) => console.error(error))
})
process.once('disconnect', () => process.exit())
