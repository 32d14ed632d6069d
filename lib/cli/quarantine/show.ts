/*
 * `clamav-stream quarantine show`.
 */

import { pipeline } from 'node:stream/promises'
import { whyKept } from '../../actions/quarantine-record'
import { reading } from '../../base/safe-files'
import { ago, escaped, localTime, table, write, writeJson } from '../terminal'
import { UserError } from '../user-error'
import { asJson, type CommonOptions, type Context, openContext, placeOf } from './context'
import { headersOf, subjectIn } from './headers'
import { deliveriesOf, type DeliveryStatus, nameOf } from './release-log'
import { type KeptMessage, openCopy } from './store'

export async function show(id: string, options: CommonOptions & { raw: boolean }): Promise<number> {
  const context = await openContext(placeOf(options), [id], options)
  const one = theOne(context)
  const deliveries = deliveriesOf(context.entries, one.record.uuid)
  if (options.raw) {
    if (process.stdout.isTTY)
      throw new UserError(
        '--raw writes the infected message unchanged, not to a terminal: redirect it to a file or a program',
      )
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
  const subject = subjectIn(headers)
  write(
    table([
      ['id', one.id],
      ['uuid', escaped(record.uuid)],
      ['file', escaped(one.file)],
      ['kept', `${localTime(one.keptMs)}, ${ago(Date.now() - one.keptMs)} ago`],
      ['size', one.bytes === null ? 'the message file is missing' : `${one.bytes} bytes`],
      ['why', escaped(whyKept(record))],
      ['action', escaped(verdict.action)],
      ['clamd', escaped(verdict.clamd ?? '-')],
      ['client', escaped(`${client.ip} ${client.host ?? ''} helo=${client.helo ?? ''}`)],
      ['user', escaped(record.user ?? '-')],
      ['message-id', escaped(record.message_id ?? '-')],
      ['from', escaped(record.envelope.mail_from) || '<>'],
      ...recipients.map((to, index) => [
        index === 0 ? 'to' : '',
        escaped(to) + statusText(deliveries.get(to)),
      ]),
      ...(subject === null ? [] : [['subject', escaped(subject)]]),
    ]),
  )
  write(`\n${headers.map((header) => `${linesOf(header).join('\n')}\n`).join('')}`)
  return 0
}

/** The lines of a folded header, with leading tabs as spaces. */
function linesOf(header: string): string[] {
  return header
    .split(/\r?\n/)
    .map((line) => escaped(line.replace(/^\t+/, (tabs) => '    '.repeat(tabs.length))))
}

function theOne({ messages }: Context): KeptMessage {
  const [one] = messages
  if (one === undefined) throw new UserError('no message matches')
  return one
}

function statusText(delivery: DeliveryStatus | undefined): string {
  if (!delivery) return ''
  const labels = { delivered: 'released', refused: 'refused', in_doubt: 'in doubt' }
  return `  (${labels[delivery.state]} ${delivery.time} by ${escaped(nameOf(delivery.by))}: ${escaped(delivery.response)})`
}
