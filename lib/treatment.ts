/*
 * What is done with one message, step by step: scanned and looked into, judged by the rules, kept, reported.
 * Which hook does which step, and what Haraka is answered, is index.ts.
 */

import { inspect as inspectValue } from 'node:util'
import { delivers, parseAction, withoutReport, type Action, type Ending } from './action'
import { composeReport, ReportLimiter, sendReport } from './actions/bounce'
import { keepCopy } from './actions/quarantine'
import { answerTo, notKept, type Answer } from './answer'
import { inspect } from './attachments/inspect'
import { tooOld } from './clamd/engine'
import { recordOf, refusedOf, senderOf, userOf } from './client'
import type { Outbound } from './haraka'
import { mark } from './headers'
import { lookMs, quarantinePlugin } from './live'
import { TransactionMessage } from './message'
import { stackOf, type Judgement, type Message } from './passage'
import { decide, isExempt, possible } from './policy'
import {
  exemptVerdict,
  failedVerdict,
  logLine,
  noteOf,
  resultOf,
  type Finding,
  type Note,
  type Verdict,
} from './verdict'

/** How a message ends, and the answer that goes with `reject` and `defer`. */
export type Outcome =
  | { readonly ending: 'accept' | 'tag' | 'discard' }
  | { readonly ending: 'reject' | 'defer'; readonly answer: Answer }

const limiter = new ReportLimiter()

/**
 * Scans and looks at the attachments, unless [check] exempts the sender; writes verdict, header, note and
 * result. Writes nothing of a message that is dropped meanwhile.
 */
export async function examine(message: Message): Promise<Judgement> {
  const { plugin, connection, transaction, passage } = message
  const { rules, check, detailsHeader } = passage.live.settings
  const sender = senderOf(connection, transaction)
  const isOurs = !isExempt(check, sender)
  const verdict = isOurs ? await scan(message) : exemptVerdict()
  const isSettled = verdict.outcome === 'infected' && !delivers(decide(rules, verdict, null, sender).action)
  const finding = isOurs && !isSettled ? await lookInside(message) : null
  const decision = decide(rules, verdict, finding, sender)
  const judgement = { verdict, finding, decision }
  if (passage.dropped.signal.aborted) return judgement

  const action = decision.action.text
  passage.judgement = judgement
  transaction.notes.clamav_stream = noteOf(verdict, action)
  const warning = tooOld(verdict.engine, Date.now(), passage.live.settings.proof.maxSignatureAgeMs)
  transaction.results.add(plugin, resultOf(verdict, finding, warning))
  mark(transaction, verdict, detailsHeader)
  const isFine =
    verdict.outcome === 'clean' || (verdict.outcome === 'unscanned' && verdict.reason === 'exempt')
  const level =
    isFine && finding === null ? 'loginfo' : verdict.outcome === 'unscanned' ? 'logwarn' : 'lognotice'
  connection[level](plugin, logLine(verdict, finding, action))
  return judgement
}

function scan({ plugin, connection, transaction, passage }: Message): Promise<Verdict> {
  const { settings, scanner } = passage.live
  const source = new TransactionMessage(transaction, settings.scan.connectMs)
  const log = {
    trace: (text: string) => connection[settings.debug ? 'loginfo' : 'logdebug'](plugin, text),
    warn: (text: string) => connection.logwarn(plugin, text),
  }
  return scanner
    .scan(source, passage.dropped.signal, log)
    .catch((error: unknown) => failedVerdict(stackOf(error)))
}

/** What cannot be looked into, for a fault of ours as well, is unreadable. */
async function lookInside({ plugin, connection, transaction, passage }: Message): Promise<Finding> {
  const { deny, insideArchives, debug } = passage.live.settings.attachments
  if (deny.length === 0) return null
  const source = new TransactionMessage(transaction, passage.live.settings.scan.connectMs)
  const signal = AbortSignal.any([passage.dropped.signal, AbortSignal.timeout(lookMs)])
  try {
    const found = await inspect(source, { masks: deny, insideArchives, signal })
    for (const name of debug ? found.names : []) connection.loginfo(plugin, `attachment name: ${name}`)
    if (found.denied) return { denied: found.denied.mask, name: found.denied.name }
    return found.unreadable === null ? null : { unreadable: found.unreadable }
  } catch (error) {
    if (!passage.dropped.signal.aborted)
      connection.logerror(plugin, `attachments not looked at: ${stackOf(error)}`)
    return { unreadable: 'the message could not be looked into' }
  } finally {
    source.close()
  }
}

/** What was decided, or what another plugin has put into the note since; from now on it stands. */
export function settle(message: Message, { verdict, decision }: Judgement): Action {
  const { plugin, connection, transaction, passage } = message
  const decided = decision.action
  const noted = (transaction.notes.clamav_stream as Partial<Note> | undefined)?.action ?? decided.text
  const overruling = parseAction(noted)
  const action = overruling ? possible(overruling, senderOf(connection, transaction)) : decided
  if (!overruling) {
    connection.logerror(plugin, `note.action ${inspectValue(noted)} is no action, "${decided.text}" stays`)
  } else if (action.text !== decided.text) {
    connection.lognotice(plugin, `another plugin made "${decided.text}" into "${action.text}"`)
  }
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

/** Keeps the copy and sends the report that the action asks for; what cannot be kept is deferred. */
export async function carryOut(message: Message, judgement: Judgement, action: Action): Promise<Outcome> {
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
    } catch (error) {
      connection.logerror(plugin, `message deferred, no copy could be kept: ${String(error)}`)
      return { ending: 'defer', answer: notKept }
    }
  }
  // Who has gone meanwhile will send the message again.
  if (passage.dropped.signal.aborted) return { ending: 'defer', answer: notKept }
  const isDone = !action.bounce || (await report(message, judgement, action))
  const ending = isDone ? action.ending : withoutReport(action).ending
  // Other plugins had their hands on the headers since the scan.
  if (ending === 'accept' || ending === 'tag') mark(transaction, judgement.verdict, settings.detailsHeader)
  return outcomeOf(message, judgement, ending)
}

/** The ending with its answer. */
export function outcomeOf({ passage }: Message, judgement: Judgement, ending: Ending): Outcome {
  if (ending !== 'reject' && ending !== 'defer') return { ending }
  return { ending, answer: answerFor(judgement, ending, passage.live.settings.message) }
}

function answerFor({ verdict, decision }: Judgement, ending: 'reject' | 'defer', text: string): Answer {
  return answerTo(verdict, decision.finding, ending, text)
}

/** Sends the report to the sender through Haraka's outbound queue. @returns false if there is none */
async function report(message: Message, judgement: Judgement, action: Action): Promise<boolean> {
  const { plugin, connection, transaction, passage } = message
  const { bounce } = passage.live.settings
  const user = userOf(connection) ?? ''
  if (!limiter.allow(user, bounce.limit, performance.now())) {
    connection.lognotice(plugin, `no report: ${user} has had as many as the limit allows`)
    return false
  }
  try {
    const ending = action.ending === 'defer' ? 'defer' : 'reject'
    const { code, subject, detail, text } = answerFor(judgement, ending, passage.live.settings.message)
    const contents = await composeReport(bounce, {
      ...refusedOf(transaction),
      me: String(plugin.config.get('me', 'value')),
      answer: `${code} ${code < 500 ? 4 : 5}.${subject}.${detail} ${text}`,
      verdict: judgement.verdict,
    })
    await sendReport(plugin.haraka_require('outbound') as Outbound, transaction.mail_from.address, contents)
    connection.lognotice(plugin, `report sent to ${transaction.mail_from.address}`)
    return true
  } catch (error) {
    connection.logerror(plugin, `no report: ${stackOf(error)}`)
    return false
  }
}
