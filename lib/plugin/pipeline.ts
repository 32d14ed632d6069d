/*
 * What is done with one message, step by step: scanned and looked into, judged by the rules, kept, reported.
 * Which hook does which step, and what Haraka is answered, is index.ts.
 */

import { inspect as inspectValue } from 'node:util'
import { composeReport, ReportLimiter, reportScanMs, sendReport } from '../actions/bounce'
import { keepCopy } from '../actions/quarantine'
import { inspect } from '../attachments/inspect'
import { type CancelSignal, Deadline } from '../base/cancellation'
import { textMessage } from '../base/made-message'
import type { MessageSource } from '../base/message-source'
import { staleSignatures } from '../clamd/version'
import { exemptedBy } from '../config/exemptions'
import { quarantinePlugin, serverName } from '../haraka/environment'
import { mark } from '../haraka/headers'
import { TransactionMessage } from '../haraka/transaction-message'
import type { Outbound } from '../haraka/types'
import { tell } from '../monitoring/recorder'
import { type Action, delivers, type Ending, parseAction, withoutReport } from '../policy/action'
import { decide, exemptsSender, isDecidedByScan, possible, type SenderFacts } from '../policy/rules'
import { type Answer, answerTo, notKept } from '../policy/smtp-reply'
import {
  type AttachmentFinding,
  exemptVerdict,
  failedVerdict,
  isExempt,
  logLine,
  type Note,
  noteOf,
  resultOf,
  type Verdict,
} from '../policy/verdict'
import { type Evaluation, type Message, stackOf } from './hook'
import { bounceContext, envelopeOf, messageSummary, recordOf, senderOf, userOf } from './message-facts'
import { attachmentTimeoutMs } from './runtime'

/** How a message ends, and the answer that goes with `reject` and `defer`. */
export type Outcome =
  | { readonly ending: 'accept' | 'tag' | 'discard' }
  | { readonly ending: 'reject' | 'defer'; readonly answer: Answer }

const limiter = new ReportLimiter()

/**
 * Scans and looks at the attachments, unless the message is exempt; writes verdict, header, note and
 * result. Writes nothing of a message that is dropped meanwhile.
 */
export async function evaluate(message: Message): Promise<Evaluation> {
  const { plugin, connection, transaction, context } = message
  const { rules, detailsHeader } = context.runtime.settings
  const sender = senderOf(connection, transaction)
  const exemption = exemptionOf(message, sender)
  const verdict = exemption === null ? await scan(message) : exemptVerdict(exemption)
  const isSettled = isDecidedByScan(rules, verdict, sender)
  const finding = exemption === null && !isSettled ? await inspectAttachments(message) : null
  const decision = decide(rules, verdict, finding, sender)
  const evaluation = { verdict, finding, decision }
  if (context.dropped.aborted) return evaluation

  const action = decision.action.text
  context.evaluation = evaluation
  transaction.notes.clamav_stream = noteOf(verdict, action)
  const warning = staleSignatures(
    verdict.engine,
    Date.now(),
    context.runtime.settings.health.maxSignatureAgeMs,
  )
  transaction.results.add(plugin, resultOf(verdict, finding, warning))
  mark(transaction, verdict, detailsHeader)
  const isFine = verdict.outcome === 'clean' || isExempt(verdict)
  const level =
    isFine && finding === null ? 'loginfo' : verdict.outcome === 'unscanned' ? 'logwarn' : 'lognotice'
  connection[level](plugin, logLine(verdict, finding, action))
  tell(plugin, (recorder) =>
    recorder.judged(verdict, finding, action, () => messageSummary(connection, transaction)),
  )
  return evaluation
}

/** The entries that exempt the message, empty if [check] does; null: it is to be scanned. */
function exemptionOf({ connection, transaction, context }: Message, sender: SenderFacts): string | null {
  const { check, exemptions } = context.runtime.settings
  if (exemptsSender(check, sender)) return ''
  return exemptedBy(exemptions, envelopeOf(connection, transaction))
}

/** Forgets an exemption that no longer holds before the message is delivered: a plugin may have added a recipient. */
export function recheckExemption(message: Message): void {
  const { plugin, connection, transaction, context } = message
  const verdict = context.evaluation?.verdict
  const wasExempt = verdict !== undefined && isExempt(verdict)
  const isStopped = context.action !== null && !delivers(context.action)
  if (!wasExempt || isStopped || exemptionOf(message, senderOf(connection, transaction)) !== null) return
  connection.lognotice(plugin, 'no longer exempt, scanned after all: its envelope has changed')
  context.evaluation = null
  context.action = null
}

function scan(message: Message): Promise<Verdict> {
  const { transaction, context } = message
  const source = new TransactionMessage(transaction, context.runtime.settings.scan.connectMs)
  return scanSource(message, source, context.dropped)
}

function scanSource(
  { plugin, connection, context }: Message,
  source: MessageSource,
  signal: CancelSignal,
): Promise<Verdict> {
  const { settings, scanner } = context.runtime
  const log = {
    trace: (text: string) => connection[settings.debug ? 'loginfo' : 'logdebug'](plugin, text),
    warn: (text: string) => connection.logwarn(plugin, text),
  }
  return scanner.scan(source, signal, log).catch((error: unknown) => failedVerdict(stackOf(error)))
}

/** What cannot be looked into, for a fault of ours as well, is unreadable. */
async function inspectAttachments({
  plugin,
  connection,
  transaction,
  context,
}: Message): Promise<AttachmentFinding> {
  const { deny, insideArchives, debug } = context.runtime.settings.attachments
  if (deny.length === 0) return null
  // Each reading goes through the headers in one go; between two of them others have their turn.
  await new Promise((resolve) => setImmediate(resolve))
  const source = new TransactionMessage(transaction, context.runtime.settings.scan.connectMs)
  const signal = new Deadline(
    context.dropped,
    attachmentTimeoutMs,
    () => new Error(`not done within ${attachmentTimeoutMs} ms`),
  )
  try {
    let unreadable: string | null = null
    for (let one: MessageSource | null = source; one; one = one.alternative?.() ?? null) {
      const found = await inspect(one, { masks: deny, insideArchives, signal })
      for (const name of debug ? found.names : []) connection.loginfo(plugin, `attachment name: ${name}`)
      if (found.denied) return { denied: found.denied.mask, name: found.denied.name }
      unreadable ??= found.unreadable
    }
    return unreadable === null ? null : { unreadable }
  } catch (error) {
    if (!context.dropped.aborted) connection.logerror(plugin, `attachments not looked at: ${stackOf(error)}`)
    return { unreadable: 'the message could not be looked into' }
  } finally {
    signal.end()
  }
}

/** What was decided, or what another plugin has put into the note since; from now on it stands. */
export function resolveAction(message: Message, { verdict, decision }: Evaluation): Action {
  const { plugin, connection, transaction, context } = message
  const decided = decision.action
  const noted = (transaction.notes.clamav_stream as Partial<Note> | undefined)?.action ?? decided.text
  const wanted = noted === decided.text ? decided : overruled(message, decided, noted)
  // Once more: a neighbour may have made of it a message whose sender is sent no report.
  const action = possible(wanted, senderOf(connection, transaction))
  if (action.text !== decided.text)
    connection.lognotice(plugin, `another plugin made "${decided.text}" into "${action.text}"`)
  context.action = action
  // A new one, for a neighbour may have frozen or replaced the old.
  transaction.notes.clamav_stream = noteOf(verdict, action.text)
  if (action.quarantine) {
    // Other plugins go by these; the copy itself is made at the gate.
    transaction.notes.quarantine = context.runtime.settings.quarantineFolder
    transaction.notes.set('queue.wants', 'quarantine')
  }
  return action
}

function overruled({ plugin, connection }: Message, decided: Action, noted: unknown): Action {
  const overruling = parseAction(noted)
  if (!overruling)
    connection.logerror(plugin, `note.action ${inspectValue(noted)} is no action, "${decided.text}" stays`)
  return overruling ?? decided
}

/** Keeps the copy and sends the report that the action asks for; what cannot be kept is deferred. */
export async function applyAction(
  message: Message,
  evaluation: Evaluation,
  action: Action,
): Promise<Outcome> {
  const { plugin, connection, transaction, context } = message
  const { settings } = context.runtime
  if (action.quarantine) {
    try {
      const note = noteOf(evaluation.verdict, action.text)
      const record = recordOf(connection, transaction, note, evaluation.finding)
      const copy = await keepCopy(
        quarantinePlugin(plugin),
        connection,
        transaction,
        settings.quarantineFolder,
        record,
      )
      connection.lognotice(plugin, `copy kept: ${copy}`)
      tell(plugin, (recorder) => recorder.countAction('copy', 'kept'))
    } catch (error) {
      connection.logerror(plugin, `message deferred, no copy could be kept: ${String(error)}`)
      tell(plugin, (recorder) => recorder.countAction('copy', 'failed'))
      return { ending: 'defer', answer: notKept }
    }
  }
  // Who has gone meanwhile will send the message again.
  if (context.dropped.aborted) return { ending: 'defer', answer: notKept }
  const isDone = !action.bounce || (await report(message, evaluation, action))
  const ending = isDone ? action.ending : withoutReport(action).ending
  // Other plugins had their hands on the headers since the scan.
  if (delivers({ ending })) mark(transaction, evaluation.verdict, settings.detailsHeader)
  return outcomeOf(message, evaluation, ending)
}

/** The ending with its answer. */
export function outcomeOf(message: Message, evaluation: Evaluation, ending: Ending): Outcome {
  if (ending !== 'reject' && ending !== 'defer') return { ending }
  return { ending, answer: answerFor(message, evaluation, ending) }
}

function answerFor(
  { context }: Message,
  { verdict, decision }: Evaluation,
  ending: 'reject' | 'defer',
): Answer {
  return answerTo(verdict, decision.finding, ending, context.runtime.settings.message)
}

/** Sends the report to the sender through Haraka's outbound queue. @returns false if there is none */
async function report(message: Message, evaluation: Evaluation, action: Action): Promise<boolean> {
  const { plugin, connection, transaction, context } = message
  const { bounce } = context.runtime.settings
  const user = userOf(connection) ?? ''
  if (!limiter.allow(user, bounce.limit, performance.now())) {
    connection.lognotice(plugin, `no report: ${user} has had as many as the limit allows`)
    tell(plugin, (recorder) => recorder.countAction('report', 'withheld'))
    return false
  }
  try {
    const ending = action.ending === 'defer' ? 'defer' : 'reject'
    const refused = {
      ...bounceContext(transaction),
      me: serverName(plugin.config.get('me', 'value')),
      answer: answerFor(message, evaluation, ending),
      verdict: evaluation.verdict,
    }
    const whole = await composeReport(bounce, refused)
    const contents = (await isClean(message, whole)) ? whole : await composeReport(bounce, refused, true)
    // Who has gone meanwhile will send the message again.
    if (context.dropped.aborted) return false
    await sendReport(plugin.haraka_require('outbound') as Outbound, transaction.mail_from.address, contents)
    connection.lognotice(plugin, `report sent to ${transaction.mail_from.address}`)
    tell(plugin, (recorder) => recorder.countAction('report', 'sent'))
    return true
  } catch (error) {
    connection.logerror(plugin, `no report: ${stackOf(error)}`)
    tell(plugin, (recorder) => recorder.countAction('report', 'failed'))
    return false
  }
}

/** A virus may stand in a header, and a subject or an address is the sender's to choose, too. */
async function isClean(message: Message, contents: string): Promise<boolean> {
  const { plugin, connection, context } = message
  const signal = new Deadline(
    context.dropped,
    reportScanMs,
    () => new Error(`not done within ${reportScanMs} ms`),
  )
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
