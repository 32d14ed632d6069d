/*
 * From message to action: facts, verdict, finding, decision, each a value that is made once; then the decided action, or
 * the one of another plugin. The hooks in index.ts call these; apply-action.ts carries the action out.
 */

import { inspect as inspectValue } from 'node:util'
import { exemptedBy } from '../config/exemptions'
import { type Action, delivers, parseAction } from '../policy/action'
import { decide, exemptsSender, isDecidedByScan, possible } from '../policy/rules'
import { exemptVerdict, isExempt } from '../policy/verdict'
import { annotate, annotateAction, notedAction } from './annotate'
import type { Evaluation, Message } from './hook'
import { record } from './record'
import { inspectAttachments, newGlance, scanMessage } from './scan-message'

/**
 * Scans the message and checks the names of its attachments, unless it is exempt, and records the result. Records nothing
 * for a message that is dropped during the scan.
 */
export async function evaluate(message: Message): Promise<Evaluation> {
  const { context } = message
  const { rules } = context.runtime.settings
  const { sender } = message.facts
  const exemption = exemptionOf(message)
  const glance = exemption === null ? newGlance(message) : null
  const verdict = exemption === null ? await scanMessage(message, glance) : exemptVerdict(exemption)
  const needsFinding = exemption === null && !isDecidedByScan(rules, verdict, sender)
  const finding = needsFinding ? await inspectAttachments(message, glance) : null
  const decision = decide(rules, verdict, finding, sender)
  const evaluation = { verdict, finding, decision }
  if (context.cancelled.aborted) return evaluation
  context.evaluation = evaluation
  annotate(message, evaluation)
  record(message, evaluation)
  return evaluation
}

/** The evaluation, if it still holds: an exemption ends when another plugin adds a recipient that no entry covers. */
export function currentEvaluation(message: Message): Evaluation | null {
  const { plugin, connection, context } = message
  const { evaluation, settlement } = context
  if (evaluation === null || !isExempt(evaluation.verdict)) return evaluation
  const isStopped = settlement !== null && !delivers(settlement.action)
  if (isStopped || exemptionOf(message) !== null) return evaluation
  connection.lognotice(plugin, 'no longer exempt, scanned after all: its envelope has changed')
  return null
}

/** The entries that exempt the message, empty if [check] does; null: it is to be scanned. */
function exemptionOf({ context, facts }: Message): string | null {
  const { check, exemptions } = context.runtime.settings
  return exemptsSender(check, facts.sender) ? '' : exemptedBy(exemptions, facts.envelope)
}

/** The decision, or what another plugin has written into the note since; the first call for an evaluation settles it. */
export function resolveAction(message: Message, evaluation: Evaluation): Action {
  const { plugin, connection, context } = message
  if (context.settlement?.evaluation === evaluation) return context.settlement.action
  const decided = evaluation.decision.action
  const noted = notedAction(message) ?? decided.text
  const wanted = noted === decided.text ? decided : overruled(message, decided, noted)
  // Checked again: since the decision, another plugin may have added a header that forbids a report.
  const action = possible(wanted, message.facts.sender)
  if (action.text !== decided.text)
    connection.lognotice(plugin, `another plugin made "${decided.text}" into "${action.text}"`)
  context.settlement = { evaluation, action }
  annotateAction(message, evaluation, action)
  return action
}

function overruled({ plugin, connection }: Message, decided: Action, noted: unknown): Action {
  const overruling = parseAction(noted)
  if (!overruling)
    connection.logerror(plugin, `note.action ${inspectValue(noted)} is no action, "${decided.text}" stays`)
  return overruling ?? decided
}
