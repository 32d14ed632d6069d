// Runs in a process of its own (load.ts): makes messages, opens sessions, and when told sends one message after the
// other in each of them, as fast as they are answered.
import { connect, type SmtpClient } from '../test/support/smtp/smtp'
import { scanByStream, scanInOneFrame } from './bare-client'
import { runAsChild } from './child'
import type { Load, Order, Report, Sent, Target } from './load'
import { uniqueMessage } from './messages'

/** Sends one message; resolves with the milliseconds until it was answered as expected. */
type Send = (message: Buffer) => Promise<number>

interface Prepared {
  messages: Buffer[]
  sessions: Send[]
  end: () => Promise<unknown>
}

const endOfMail = Buffer.from('.\r\n')
/** With 40 sessions before a stalled clamd, nothing is said for long. */
const patienceMs = 300_000

async function prepare(target: Target, load: Load): Promise<Prepared> {
  const messages = Array.from({ length: load.count }, () => uniqueMessage(load.bytes, load.kind))
  if ('smtp' in target) {
    const clients = await Promise.all(Array.from({ length: load.sessions }, () => session(target.smtp)))
    const end = () => Promise.all(clients.map((client) => client.quit()))
    // No line of these messages begins with a dot, and each ends in CRLF.
    const dotted = messages.map((message) => Buffer.concat([message, endOfMail]))
    return { messages: dotted, sessions: clients.map((client) => bySmtp(client, load.expected ?? 250)), end }
  }
  const toClamd =
    'instream' in target ? toScanner(scanInOneFrame, target.instream) : toScanner(scanByStream, target.stream)
  return {
    messages,
    sessions: Array.from({ length: load.sessions }, () => toClamd),
    end: () => Promise.resolve(),
  }
}

async function session(port: number): Promise<SmtpClient> {
  const client = await connect(port, { timeoutMs: patienceMs })
  await client.command('EHLO client.example.com')
  return client
}

function bySmtp(client: SmtpClient, expected: number): Send {
  return async (message) => {
    const goOn = await client.transaction()
    if (goOn.code !== 354) throw new Error(goOn.lines.join(' '))
    const from = performance.now()
    client.write(message)
    const reply = await client.reply()
    client.dialogue.length = 0
    if (reply.code !== expected) throw new Error(reply.lines.join(' '))
    return performance.now() - from
  }
}

function toScanner(scan: (port: number, message: Buffer) => Promise<string>, port: number): Send {
  return async (message) => {
    const from = performance.now()
    const reply = await scan(port, message)
    if (reply !== 'stream: OK') throw new Error(reply)
    return performance.now() - from
  }
}

async function send({ messages, sessions, end }: Prepared): Promise<Sent> {
  const sent: Sent = { wallMs: 0, latenciesMs: [], answeredMs: [] }
  const began = performance.now()
  await Promise.all(
    sessions.map(async (sendOne) => {
      for (let message = messages.pop(); message; message = messages.pop()) {
        sent.latenciesMs.push(await sendOne(message))
        sent.answeredMs.push(performance.now() - began)
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

runAsChild(() => {
  process.on('message', (order: Order) => {
    obey(order)
      .catch((error: unknown): Report => ({ is: 'failed', error: String(error) }))
      .then((report) => process.send?.(report))
      .catch((error: unknown) => console.error(error))
  })
  return Promise.resolve()
})
