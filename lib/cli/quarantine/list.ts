/*
 * `clamav-stream quarantine list`.
 */

import { whyKept } from '../../actions/quarantine-record'
import { escaped, localTime, table, widthOf, write, writeJson } from '../terminal'
import { asJson, type CommonOptions, openContext, placeOf, stateOf } from './context'
import { deliveriesOf } from './release-log'
import { hasFilters } from './store'

export async function list(options: CommonOptions): Promise<number> {
  const { messages, entries, directory } = await openContext(placeOf(options), [], options)
  if (options.json) {
    for (const one of messages) writeJson(asJson(one, deliveriesOf(entries, one.record.uuid)))
    return 0
  }
  if (messages.length === 0) {
    write(`no ${hasFilters(options) ? 'matching ' : ''}messages in ${directory}\n`)
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
