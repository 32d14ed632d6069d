/*
 * Everything that is written about a message: its headers, note and result, and the one line of the log. Metrics and
 * page are in record.ts.
 */

import { staleSignatures } from '../clamd/version'
import { mark } from '../haraka/headers'
import type { Action } from '../policy/action'
import { isExempt, logLine, type Note, noteOf, resultOf } from '../policy/verdict'
import type { Evaluation, Message } from './hook'

/** After the scan: note, result, header, log line. */
export function annotate(message: Message, evaluation: Evaluation): void {
  const { plugin, connection, transaction, context } = message
  const { verdict, finding, decision } = evaluation
  const action = decision.action.text
  transaction.notes.clamav_stream = noteOf(verdict, action)
  const { maxSignatureAgeMs } = context.runtime.settings.health
  const warning = staleSignatures(verdict.engine, Date.now(), maxSignatureAgeMs)
  const { err, ...others } = resultOf(verdict, finding, warning)
  transaction.results.add(plugin, others)
  // add() would write it into the log too, where the line below has it already.
  if (err !== undefined) transaction.results.get(plugin)?.err.push(...[err].flat())
  markHeaders(message, evaluation)
  connection[levelOf(evaluation)](plugin, logLine(verdict, finding, action))
}

function levelOf({ verdict, finding }: Evaluation): 'loginfo' | 'lognotice' | 'logwarn' {
  if (verdict.outcome === 'clean' || isExempt(verdict))
    return finding === null && verdict.ignored.length === 0 ? 'loginfo' : 'lognotice'
  // Encrypted mail is not a fault, and is delivered by default.
  return verdict.outcome === 'unscanned' && verdict.reason !== 'encrypted' ? 'logwarn' : 'lognotice'
}

/** Before the message is delivered, this repairs what other plugins have changed since the scan. */
export function markHeaders({ transaction, context }: Message, { verdict }: Evaluation): void {
  mark(transaction, verdict, context.runtime.settings.detailsHeader)
}

/** After the rules: the action as it stands, for other plugins to see. */
export function annotateAction(message: Message, { verdict }: Evaluation, action: Action): void {
  const { notes } = message.transaction
  // A new object, since another plugin may have frozen or replaced the old one.
  notes.clamav_stream = noteOf(verdict, action.text)
  if (!action.quarantine) return
  // Other plugins go by these; the copy itself is made at the gate.
  notes.quarantine = message.context.runtime.settings.quarantineFolder
  notes.set('queue.wants', 'quarantine')
}

/** The action in the note, where another plugin may have written whatever it likes; undefined: there is none. */
export function notedAction({ transaction }: Message): unknown {
  return (transaction.notes.clamav_stream as Partial<Note> | undefined)?.action
}
