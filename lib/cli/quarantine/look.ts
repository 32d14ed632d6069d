/*
 * `clamav-stream quarantine list` and `show`: what is kept, told so that no stranger's text plays with a terminal.
 */

import { pipeline } from 'node:stream/promises'
import libmime from 'libmime'
import { whyKept } from '../../actions/quarantine-record'
import { reading } from '../../base/safe-files'
import { ago, escaped, table, widthOf, write, writeJson } from '../terminal'
import { UserError } from '../user-error'
import { asJson, type CommonOptions, type Context, openContext, placeOf, stateOf } from './context'
import { deliveriesOf, type DeliveryStatus, nameOf } from './release-log'
import { hasFilters, type KeptMessage, openCopy } from './store'

export async function list(options: CommonOptions): Promise<number> {
  const { messages, entries, directory } = await openContext(placeOf(options), [], options)
  if (options.json) {
    for (const one of messages) writeJson(asJson(one, deliveriesOf(entries, one.record.uuid)))
    return 0
  }
  if (messages.length === 0) {
    write(`nothing${hasFilters(options) ? ' of that kind' : ''} in ${directory}\n`)
    return 0
  }
  const rows = messages.map((one) => {
    const { envelope } = one.record
    const [first = '', ...others] = envelope.rcpt_to
    return [
      one.id,
      localTime(one.keptMs),
      stateOf(one, deliveriesOf(entries, one.record.uuid)),
      escaped(whyKept(one.record)),
      escaped(envelope.mail_from) || '<>',
      escaped(first) + (others.length > 0 ? ` +${others.length}` : ''),
    ]
  })
  write(table([['ID', 'KEPT', 'STATE', 'WHY', 'FROM', 'TO'], ...rows], widthOf(process.stdout)))
  return 0
}

function localTime(ms: number): string {
  const time = new Date(ms)
  const two = (n: number) => String(n).padStart(2, '0')
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`
}

/** The most of a header section that is shown. */
const headersBytes = 64 * 1024

export async function show(id: string, options: CommonOptions & { raw: boolean }): Promise<number> {
  const context = await openContext(placeOf(options), [id], options)
  const one = theOne(context)
  const deliveries = deliveriesOf(context.entries, one.record.uuid)
  if (options.raw) {
    if (process.stdout.isTTY)
      throw new UserError('--raw writes the message as it is, virus and all: send it to a file or a program')
    await pipeline(
      reading(() => openCopy(one)),
      process.stdout,
      { end: false },
    )
    return 0
  }
  const headers = one.bytes === null ? [] : await headersOf(one)
  if (options.json) {
    writeJson({ ...asJson(one, deliveries), headers })
    return 0
  }
  const { record } = one
  const { client, verdict } = record
  const recipients = [...new Set(record.envelope.rcpt_to)]
  const subject = headers.find((line) => /^subject\s*:/i.test(line))
  write(
    table([
      ['id', one.id],
      ['uuid', escaped(record.uuid)],
      ['file', escaped(one.file)],
      ['kept', `${localTime(one.keptMs)}, ${ago(Date.now() - one.keptMs)} ago`],
      ['size', one.bytes === null ? 'the message is gone' : `${one.bytes} bytes`],
      ['why', escaped(whyKept(record))],
      ['action', escaped(verdict.action)],
      ['clamd', escaped(verdict.clamd ?? '-')],
      ['client', escaped(`${client.ip} ${client.host ?? ''} helo=${client.helo ?? ''}`)],
      ['user', escaped(record.user ?? '-')],
      ['message-id', escaped(record.message_id ?? '-')],
      ['from', escaped(record.envelope.mail_from) || '<>'],
      ...recipients.map((to, index) => [
        index === 0 ? 'to' : '',
        escaped(to) + shareText(deliveries.get(to)),
      ]),
      ...(subject === undefined ? [] : [['subject', escaped(decoded(subject))]]),
    ]),
  )
  write(`\n${headers.map((header) => `${linesOf(header).join('\n')}\n`).join('')}`)
  return 0
}

/** A folded header on the lines that it has; a tab is what most of them are folded with. */
function linesOf(header: string): string[] {
  return header
    .split(/\r?\n/)
    .map((line) => escaped(line.replace(/^\t+/, (tabs) => '    '.repeat(tabs.length))))
}

function theOne({ messages }: Context): KeptMessage {
  const [one] = messages
  if (one === undefined) throw new UserError('no message passes these filters')
  return one
}

function shareText(delivery: DeliveryStatus | undefined): string {
  if (!delivery) return ''
  const words = { delivered: 'released', refused: 'refused', in_doubt: 'in doubt' }
  return `  (${words[delivery.state]} ${delivery.time} by ${escaped(nameOf(delivery.by))}: ${escaped(delivery.response)})`
}

function decoded(line: string): string {
  const value = line.slice(line.indexOf(':') + 1).replace(/\r?\n[ \t]*/g, ' ')
  try {
    return libmime.decodeWords(value).trim()
  } catch {
    return value.trim()
  }
}

/** Raw header lines, each with its continuations. */
async function headersOf(one: KeptMessage): Promise<string[]> {
  const parts: Buffer[] = []
  for await (const chunk of reading(() => openCopy(one), 0, headersBytes)) parts.push(chunk as Buffer)
  const [head = ''] = Buffer.concat(parts)
    .toString()
    .split(/\r?\n\r?\n/, 1)
  return head.split(/\r?\n(?![ \t])/).filter(Boolean)
}
