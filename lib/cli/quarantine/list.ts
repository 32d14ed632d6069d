/*
 * `clamav-stream quarantine list`.
 */

import { whyKept } from '../../actions/quarantine-record'
import { escaped, fitted, localTime, table, widthOf, write, writeJson } from '../terminal'
import { asJson, type CommonOptions, openContext, placeOf, stateOf } from './context'
import { subjectOf } from './headers'
import { deliveriesOf } from './release-log'
import { hasFilters } from './store'

export async function list(options: CommonOptions): Promise<number> {
  const { messages, entries, directory } = await openContext(placeOf(options), [], options)
  if (options.json) {
    for (const one of messages)
      writeJson({ ...asJson(one, deliveriesOf(entries, one.record.uuid)), subject: await subjectOf(one) })
    return 0
  }
  if (messages.length === 0) {
    write(`no ${hasFilters(options) ? 'matching ' : ''}messages in ${directory}\n`)
    return 0
  }
  const rows: string[][] = []
  for (const one of messages) {
    const { envelope } = one.record
    const [first = '', ...others] = envelope.rcpt_to
    rows.push([
      one.id,
      localTime(one.keptMs),
      stateOf(one, deliveriesOf(entries, one.record.uuid)),
      escaped(whyKept(one.record)),
      escaped(envelope.mail_from) || '<>',
      escaped(first) + (others.length > 0 ? ` +${others.length}` : ''),
      escaped(await subjectOf(one)),
    ])
  }
  const width = widthOf(process.stdout)
  write(table(fitted([['ID', 'KEPT', 'STATE', 'WHY', 'FROM', 'TO', 'SUBJECT'], ...rows], width, 3), width))
  return 0
}
