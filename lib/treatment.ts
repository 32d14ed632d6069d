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
import type { Outbound } from './haraka'
import { mark } from './headers'
import { quarantinePlugin } from './live'
import { TransactionMessage } from './message'
import { stackOf, type Message } from './passage'
import { decide, isExempt, possible, type Finding } from './policy'
import { recordOf, refusedOf, senderOf, userOf } from './sender'
import { exemptVerdict, failedVerdict, logLine, noteOf, resultOf, type Note, type Verdict } from './verdict'

/** How a message ends, and the answer that goes with `reject` and `defer`. */
export type Outcome =
  | { readonly ending: 'accept' | 'tag' | 'discard' }
  | { readonly ending: 'reject' | 'defer'; readonly answer: Answer }

const limiter = new ReportLimiter()

/**
 * Scans and looks at the attachments, unless [check] exempts the sender; writes verdict, header, note and
 * result. Writes nothing of a message that is dropped meanwhile.
 */
export async function examine(message: Message): Promise<Verdict> {
  const { plugin, connection, transaction, passage } = message
  const { settings } = passage.live
  const sender = senderOf(connection, transaction)
  const isOurs = !isExempt(settings.check, sender)
  const verdict = isOurs ? await scan(message) : exemptVerdict()
  const isSettled =
    verdict.outcome === 'infected' && !delivers(decide(settings.rules, verdict, null, sender).action)
  const finding = isOurs && !isSettled ? await lookInside(message) : null
  if (passage.dropped.signal.aborted) return verdict

  const { action } = decide(settings.rules, verdict, finding, sender)
  passage.verdict = verdict
  passage.finding = finding
  passage.note = noteOf(verdict, action.text)
  transaction.notes.clamav_stream = passage.note
  transaction.results.add(plugin, resultOf(verdict, finding))
  mark(transaction, verdict, settings.detailsHeader)
  const isFine =
    verdict.outcome === 'clean' || (verdict.outcome === 'unscanned' && verdict.reason === 'exempt')
  const level =
    isFine && finding === null ? 'loginfo' : verdict.outcome === 'unscanned' ? 'logwarn' : 'lognotice'
  connection[level](plugin, logLine(verdict, finding, action.text))
  return verdict
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
  try {
    const found = await inspect(source, { masks: deny, insideArchives, signal: passage.dropped.signal })
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

/** What the rules decide, or what another plugin has put into the note since; from now on it stands. */
export function settle(message: Message, verdict: Verdict): Action {
  const { plugin, connection, transaction, passage } = message
  const { settings } = passage.live
  const sender = senderOf(connection, transaction)
  const decided = decide(settings.rules, verdict, passage.finding, sender)
  const usual = decided.action.text
  const noted = (transaction.notes.clamav_stream as Partial<Note> | undefined)?.action ?? usual
  const overruling = parseAction(noted)
  const action = overruling ? possible(overruling, sender) : decided.action
  if (!overruling)
    connection.logerror(plugin, `note.action ${inspectValue(noted)} is no action, "${usual}" stays`)
  else if (action.text !== usual)
    connection.lognotice(plugin, `another plugin made "${usual}" into "${action.text}"`)
  passage.decision = { ...decided, action }
  // A new one, for a neighbour may have frozen or replaced the old.
  passage.note = noteOf(verdict, action.text)
  transaction.notes.clamav_stream = passage.note
  if (action.quarantine) {
    // Other plugins go by these; the copy itself is made at the gate.
    transaction.notes.quarantine = settings.quarantineFolder
    transaction.notes.set('queue.wants', 'quarantine')
  }
  return action
}

/** Keeps the copy and sends the report that the action asks for; what cannot be kept is deferred. */
export async function carryOut(message: Message, verdict: Verdict, action: Action): Promise<Outcome> {
  const { plugin, connection, transaction, passage } = message
  const { settings } = passage.live
  if (action.quarantine) {
    try {
      const note = passage.note ?? noteOf(verdict, action.text)
      const record = recordOf(connection, transaction, note, passage.finding)
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
  const isDone = !action.bounce || (await report(message, verdict, action))
  const ending = isDone ? action.ending : withoutReport(action).ending
  // Other plugins had their hands on the headers since the scan.
  if (ending === 'accept' || ending === 'tag') mark(transaction, verdict, settings.detailsHeader)
  return outcomeOf(message, verdict, ending)
}

/** The ending with its answer. */
export function outcomeOf(message: Message, verdict: Verdict, ending: Ending): Outcome {
  if (ending !== 'reject' && ending !== 'defer') return { ending }
  return { ending, answer: answerFor(message, verdict, ending) }
}

function answerFor({ passage }: Message, verdict: Verdict, ending: 'reject' | 'defer'): Answer {
  return answerTo(verdict, passage.decision?.finding ?? null, ending, passage.live.settings.message)
}

/** Sends the report to the sender through Haraka's outbound queue. @returns false if there is none */
async function report(message: Message, verdict: Verdict, action: Action): Promise<boolean> {
  const { plugin, connection, transaction, passage } = message
  const { bounce } = passage.live.settings
  const user = userOf(connection) ?? ''
  if (!limiter.allow(user, bounce.limit, performance.now())) {
    connection.lognotice(plugin, `no report: ${user} has had as many as the limit allows`)
    return false
  }
  try {
    const ending = action.ending === 'defer' ? 'defer' : 'reject'
    const { code, subject, detail, text } = answerFor(message, verdict, ending)
    const contents = await composeReport(bounce, {
      ...refusedOf(transaction),
      me: String(plugin.config.get('me', 'value')),
      answer: `${code} ${code < 500 ? 4 : 5}.${subject}.${detail} ${text}`,
      verdict,
    })
    await sendReport(plugin.haraka_require('outbound') as Outbound, transaction.mail_from.address, contents)
    connection.lognotice(plugin, `report sent to ${transaction.mail_from.address}`)
    return true
  } catch (error) {
    connection.logerror(plugin, `no report: ${stackOf(error)}`)
    return false
  }
}
