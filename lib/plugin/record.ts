/*
 * What metrics, page and [notify] are told of a message. None of these throws or waits.
 */

import { type Notified, notify, type NotifyEvent } from '../actions/notify'
import { serverName } from '../haraka/environment'
import type { ActionResults } from '../monitoring/metrics'
import { tell } from '../monitoring/recorder'
import { isExempt } from '../policy/verdict'
import type { Evaluation, Message } from './hook'
import { isNotice, messageSummary } from './message-facts'

export function record(message: Message, evaluation: Evaluation): void {
  const { plugin, facts } = message
  const { verdict, finding, decision } = evaluation
  const action = decision.action.text
  tell(plugin, (recorder) => recorder.judged({ verdict, finding, action }, () => messageSummary(facts)))
  if (verdict.outcome === 'clean' || isExempt(verdict)) return
  // Encrypted mail is no fault.
  if (verdict.outcome === 'infected' || verdict.reason !== 'encrypted')
    notifyOf(message, verdict.outcome, evaluation)
}

/** A copy or a report, and how it ended. */
export function recordAction<D extends keyof ActionResults>(
  { plugin }: Message,
  deed: D,
  result: ActionResults[D],
): void {
  tell(plugin, (recorder) => recorder.countAction(deed, result))
}

/** The message is deferred. @param why there is no copy */
export function recordFailedCopy(message: Message, evaluation: Evaluation, why: string): void {
  const { plugin, facts } = message
  const { verdict, finding } = evaluation
  tell(plugin, (recorder) =>
    recorder.copyFailed({ verdict, finding, action: 'defer' }, () => messageSummary(facts), why),
  )
  notifyOf(message, 'failed_copy', evaluation)
}

function notifyOf(message: Message, event: NotifyEvent, { verdict, decision }: Evaluation): void {
  const { plugin, facts, context } = message
  const { notify: settings, bounce } = context.runtime.settings
  notify(plugin, settings, bounce.from, event, (): Notified | null => {
    if (isNotice(facts)) return null
    const { uuid: id, from, to, subject } = facts
    const me = serverName(plugin.config.get('me', 'value'))
    const action = event === 'failed_copy' ? 'defer' : decision.action.text
    return { me, id, from, to, subject, verdict, action }
  })
}
