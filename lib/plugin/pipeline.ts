/*
 * What is done with one message, step by step: scanned and looked into, judged by the rules, kept, reported.
 * Which hook does which step, and what Haraka is answered, is index.ts.
 */

import { inspect as inspectValue } from 'node:util'
import { composeReport, ReportLimiter, sendReport } from '../actions/bounce'
import { keepCopy } from '../actions/quarantine'
import { inspect } from '../attachments/inspect'
import { Deadline } from '../base/cancellation'
import type { MessageSource } from '../base/message-source'
import { tooOld } from '../clamd/version'
import { exemptedBy } from '../config/exemptions'
import { quarantinePlugin, serverName } from '../haraka/environment'
import { mark } from '../haraka/headers'
import { TransactionMessage } from '../haraka/transaction-message'
import type { Outbound } from '../haraka/types'
import { tell } from '../monitoring/recorder'
import { type Action, delivers, type Ending, parseAction, withoutReport } from '../policy/action'
import { decide, exemptsSender, isSettledByScan, possible, type SenderFacts } from '../policy/rules'
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
import { type Judgement, type Message, stackOf } from './hook'
import { correspondenceOf, envelopeOf, recordOf, refusedOf, senderOf, userOf } from './message-facts'
import { lookMs } from './runtime'

/** How a message ends, and the answer that goes with `reject` and `defer`. */
export type Disposition =
  | { readonly ending: 'accept' | 'tag' | 'discard' }
  | { readonly ending: 'reject' | 'defer'; readonly answer: Answer }

const limiter = new ReportLimiter()

/**
 * Scans and looks at the attachments, unless the message is exempt; writes verdict, header, note and
 * result. Writes nothing of a message that is dropped meanwhile.
 */
export async function examine(message: Message): Promise<Judgement> {
  const { plugin, connection, transaction, passage } = message
  const { rules, detailsHeader } = passage.live.settings
  const sender = senderOf(connection, transaction)
  const exemption = exemptionOf(message, sender)
  const verdict = exemption === null ? await scan(message) : exemptVerdict(exemption)
  const isSettled = isSettledByScan(rules, verdict, sender)
  const finding = exemption === null && !isSettled ? await lookInside(message) : null
  const decision = decide(rules, verdict, finding, sender)
  const judgement = { verdict, finding, decision }
  if (passage.dropped.aborted) return judgement

  const action = decision.action.text
  passage.judgement = judgement
  transaction.notes.clamav_stream = noteOf(verdict, action)
  const warning = tooOld(verdict.engine, Date.now(), passage.live.settings.proof.maxSignatureAgeMs)
  transaction.results.add(plugin, resultOf(verdict, finding, warning))
  mark(transaction, verdict, detailsHeader)
  const isFine = verdict.outcome === 'clean' || isExempt(verdict)
  const level =
    isFine && finding === null ? 'loginfo' : verdict.outcome === 'unscanned' ? 'logwarn' : 'lognotice'
  connection[level](plugin, logLine(verdict, finding, action))
  tell(plugin, (recorder) =>
    recorder.judged(verdict, finding, action, () => correspondenceOf(connection, transaction)),
  )
  return judgement
}

/** The entries that exempt the message, empty if [check] does; null: it is to be scanned. */
function exemptionOf({ connection, transaction, passage }: Message, sender: SenderFacts): string | null {
  const { check, exemptions } = passage.live.settings
  if (exemptsSender(check, sender)) return ''
  return exemptedBy(exemptions, envelopeOf(connection, transaction))
}

/** Forgets an exemption that no longer holds before the message is delivered: a plugin may have added a recipient. */
export function reconsider(message: Message): void {
  const { plugin, connection, transaction, passage } = message
  const verdict = passage.judgement?.verdict
  const wasExempt = verdict !== undefined && isExempt(verdict)
  const isStopped = passage.action !== null && !delivers(passage.action)
  if (!wasExempt || isStopped || exemptionOf(message, senderOf(connection, transaction)) !== null) return
  connection.lognotice(plugin, 'no longer exempt, scanned after all: its envelope has changed')
  passage.judgement = null
  passage.action = null
}

function scan({ plugin, connection, transaction, passage }: Message): Promise<Verdict> {
  const { settings, scanner } = passage.live
  const source = new TransactionMessage(transaction, settings.scan.connectMs)
  const log = {
    trace: (text: string) => connection[settings.debug ? 'loginfo' : 'logdebug'](plugin, text),
    warn: (text: string) => connection.logwarn(plugin, text),
  }
  return scanner.scan(source, passage.dropped, log).catch((error: unknown) => failedVerdict(stackOf(error)))
}

/** What cannot be looked into, for a fault of ours as well, is unreadable. */
async function lookInside({ plugin, connection, transaction, passage }: Message): Promise<AttachmentFinding> {
  const { deny, insideArchives, debug } = passage.live.settings.attachments
  if (deny.length === 0) return null
  // Each reading goes through the headers in one go; between two of them others have their turn.
  await new Promise((resolve) => setImmediate(resolve))
  const source = new TransactionMessage(transaction, passage.live.settings.scan.connectMs)
  const signal = new Deadline(passage.dropped, lookMs, () => new Error(`not done within ${lookMs} ms`))
  try {
    let unreadable: string | null = null
    for (let one: MessageSource | null = source; one; one = one.otherwise?.() ?? null) {
      const found = await inspect(one, { masks: deny, insideArchives, signal })
      for (const name of debug ? found.names : []) connection.loginfo(plugin, `attachment name: ${name}`)
      if (found.denied) return { denied: found.denied.mask, name: found.denied.name }
      unreadable ??= found.unreadable
    }
    return unreadable === null ? null : { unreadable }
  } catch (error) {
    if (!passage.dropped.aborted) connection.logerror(plugin, `attachments not looked at: ${stackOf(error)}`)
    return { unreadable: 'the message could not be looked into' }
  } finally {
    signal.end()
  }
}

/** What was decided, or what another plugin has put into the note since; from now on it stands. */
export function settle(message: Message, { verdict, decision }: Judgement): Action {
  const { plugin, connection, transaction, passage } = message
  const decided = decision.action
  const noted = (transaction.notes.clamav_stream as Partial<Note> | undefined)?.action ?? decided.text
  const wanted = noted === decided.text ? decided : overruled(message, decided, noted)
  // Once more: a neighbour may have made of it a message whose sender is sent no report.
  const action = possible(wanted, senderOf(connection, transaction))
  if (action.text !== decided.text)
    connection.lognotice(plugin, `another plugin made "${decided.text}" into "${action.text}"`)
  passage.action = action
  // A new one, for a neighbour may have frozen or replaced the old.
  transaction.notes.clamav_stream = noteOf(verdict, action.text)
  if (action.quarantine) {
    // Other plugins go by these; the copy itself is made at the gate.
    transaction.notes.quarantine = passage.live.settings.quarantineFolder
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
export async function carryOut(message: Message, judgement: Judgement, action: Action): Promise<Disposition> {
  const { plugin, connection, transaction, passage } = message
  const { settings } = passage.live
  if (action.quarantine) {
    try {
      const note = noteOf(judgement.verdict, action.text)
      const record = recordOf(connection, transaction, note, judgement.finding)
      const copy = await keepCopy(
        quarantinePlugin(plugin),
        connection,
        transaction,
        settings.quarantineFolder,
        record,
      )
      connection.lognotice(plugin, `copy kept: ${copy}`)
      tell(plugin, (recorder) => recorder.did('copy', 'kept'))
    } catch (error) {
      connection.logerror(plugin, `message deferred, no copy could be kept: ${String(error)}`)
      tell(plugin, (recorder) => recorder.did('copy', 'failed'))
      return { ending: 'defer', answer: notKept }
    }
  }
  // Who has gone meanwhile will send the message again.
  if (passage.dropped.aborted) return { ending: 'defer', answer: notKept }
  const isDone = !action.bounce || (await report(message, judgement, action))
  const ending = isDone ? action.ending : withoutReport(action).ending
  // Other plugins had their hands on the headers since the scan.
  if (delivers({ ending })) mark(transaction, judgement.verdict, settings.detailsHeader)
  return dispositionOf(message, judgement, ending)
}

/** The ending with its answer. */
export function dispositionOf(message: Message, judgement: Judgement, ending: Ending): Disposition {
  if (ending !== 'reject' && ending !== 'defer') return { ending }
  return { ending, answer: answerFor(message, judgement, ending) }
}

function answerFor(
  { passage }: Message,
  { verdict, decision }: Judgement,
  ending: 'reject' | 'defer',
): Answer {
  return answerTo(verdict, decision.finding, ending, passage.live.settings.message)
}

/** Sends the report to the sender through Haraka's outbound queue. @returns false if there is none */
async function report(message: Message, judgement: Judgement, action: Action): Promise<boolean> {
  const { plugin, connection, transaction, passage } = message
  const { bounce } = passage.live.settings
  const user = userOf(connection) ?? ''
  if (!limiter.allow(user, bounce.limit, performance.now())) {
    connection.lognotice(plugin, `no report: ${user} has had as many as the limit allows`)
    tell(plugin, (recorder) => recorder.did('report', 'withheld'))
    return false
  }
  try {
    const ending = action.ending === 'defer' ? 'defer' : 'reject'
    const contents = await composeReport(bounce, {
      ...refusedOf(transaction),
      me: serverName(plugin.config.get('me', 'value')),
      answer: answerFor(message, judgement, ending),
      verdict: judgement.verdict,
    })
    await sendReport(plugin.haraka_require('outbound') as Outbound, transaction.mail_from.address, contents)
    connection.lognotice(plugin, `report sent to ${transaction.mail_from.address}`)
    tell(plugin, (recorder) => recorder.did('report', 'sent'))
    return true
  } catch (error) {
    connection.logerror(plugin, `no report: ${stackOf(error)}`)
    tell(plugin, (recorder) => recorder.did('report', 'failed'))
    return false
  }
}
