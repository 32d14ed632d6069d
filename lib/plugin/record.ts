/*
 * What metrics and page are told of a message. None of these throws.
 */

import type { ActionResults } from '../monitoring/metrics'
import { tell } from '../monitoring/recorder'
import type { Evaluation, Message } from './hook'
import { messageSummary } from './message-facts'

export function record({ plugin, facts }: Message, { verdict, finding, decision }: Evaluation): void {
  const action = decision.action.text
  tell(plugin, (recorder) => recorder.judged({ verdict, finding, action }, () => messageSummary(facts)))
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
export function recordFailedCopy(
  { plugin, facts }: Message,
  { verdict, finding }: Evaluation,
  why: string,
): void {
  tell(plugin, (recorder) =>
    recorder.copyFailed({ verdict, finding, action: 'defer' }, () => messageSummary(facts), why),
  )
}
