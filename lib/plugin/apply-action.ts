/*
 * What is done at the gate before Haraka is answered: the copy, the report, and the headers again.
 */

import { composeReport, reportScanMs } from '../actions/bounce'
import { QueueRefusal, sendFromNull } from '../actions/own-mail'
import { copyMs, keepCopy } from '../actions/quarantine'
import { textMessage } from '../base/made-message'
import { RateLimiter } from '../base/rate-limiter'
import { quarantinePlugin, serverName } from '../haraka/environment'
import type { Outbound } from '../haraka/types'
import { type Action, delivers, withoutReport } from '../policy/action'
import { answerTo, notKept, type Outcome, outcomeOf } from '../policy/smtp-reply'
import { noteOf } from '../policy/verdict'
import { markHeaders } from './annotate'
import { type Evaluation, type Message, stackOf } from './hook'
import { bounceContext, quarantineRecord } from './message-facts'
import { recordAction, recordFailedCopy } from './record'
import { deadline, scanSource } from './scan-message'

const limiter = new RateLimiter()

/** A message whose copy cannot be kept is deferred. */
export async function applyAction(
  message: Message,
  evaluation: Evaluation,
  action: Action,
): Promise<Outcome> {
  const { cancelled, runtime } = message.context
  const isKept = !action.quarantine || (await quarantine(message, evaluation, action))
  // If the client has hung up, it sends the message again.
  if (!isKept || cancelled.aborted) return { ending: 'defer', answer: notKept }
  const isReported = !action.bounce || (await report(message, evaluation, action))
  const { ending } = isReported ? action : withoutReport(action)
  if (delivers({ ending })) markHeaders(message, evaluation)
  return outcomeOf(evaluation.verdict, evaluation.decision.finding, ending, runtime.settings.infectedText)
}

/** @returns false if there is no copy */
async function quarantine(message: Message, evaluation: Evaluation, action: Action): Promise<boolean> {
  const { plugin, connection, transaction, context, facts } = message
  const { quarantineFolder } = context.runtime.settings
  const queue = quarantinePlugin(plugin)
  const signal = deadline(message, copyMs)
  try {
    const record = quarantineRecord(facts, noteOf(evaluation.verdict, action.text), evaluation.finding)
    const request = { connection, transaction, folder: quarantineFolder, record }
    const copy = await keepCopy(queue, request, signal)
    connection.lognotice(plugin, `copy kept: ${copy}`)
    recordAction(message, 'copy', 'kept')
    return true
  } catch (error) {
    // A client that has hung up sends the message again, and that one is kept.
    if (context.cancelled.aborted) return false
    connection.logerror(plugin, `message deferred, no copy could be kept: ${String(error)}`)
    recordFailedCopy(message, evaluation, String(error))
    return false
  } finally {
    signal.end()
  }
}

/** Sends the report to the sender through Haraka's outbound queue. @returns false if there is none */
async function report(message: Message, evaluation: Evaluation, action: Action): Promise<boolean> {
  const { plugin, connection, context, facts } = message
  const { bounce, infectedText } = context.runtime.settings
  const { verdict, decision } = evaluation
  const user = facts.user ?? ''
  if (!limiter.allow(user.toLowerCase(), bounce.limit, performance.now())) {
    connection.lognotice(plugin, `no report: ${user} has had as many as the limit allows`)
    recordAction(message, 'report', 'withheld')
    return false
  }
  try {
    const ending = action.ending === 'defer' ? 'defer' : 'reject'
    const refused = {
      ...bounceContext(facts),
      me: serverName(plugin.config.get('me', 'value')),
      answer: answerTo(verdict, decision.finding, ending, infectedText),
      verdict,
    }
    const whole = await composeReport(bounce, refused)
    const contents = (await isClean(message, whole)) ? whole : await composeReport(bounce, refused, true)
    // If the client has hung up, it sends the message again.
    if (context.cancelled.aborted) return false
    await sendFromNull(plugin.haraka_require('outbound') as Outbound, facts.from, contents)
    connection.lognotice(plugin, `report sent to ${facts.from}`)
    recordAction(message, 'report', 'sent')
    return true
  } catch (error) {
    connection.logerror(
      plugin,
      `no report: ${error instanceof QueueRefusal ? error.message : stackOf(error)}`,
    )
    recordAction(message, 'report', 'failed')
    return false
  }
}

/** A header can hold a virus too, and the sender chooses subject and addresses. */
async function isClean(message: Message, contents: string): Promise<boolean> {
  const { plugin, connection } = message
  const signal = deadline(message, reportScanMs)
  try {
    const verdict = await scanSource(message, textMessage(contents), signal)
    if (verdict.outcome === 'clean') return true
    const why = verdict.outcome === 'infected' ? verdict.virus : verdict.text
    connection.lognotice(
      plugin,
      `report without headers, subject and addresses, for a scan of it says ${verdict.outcome}: ${why}`,
    )
    return false
  } finally {
    signal.end()
  }
}
