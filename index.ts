/*
 * The Haraka adapter: which hook does what, and what Haraka is answered. Below the hooks, a message goes through
 * lib/plugin/pipeline.ts and then lib/plugin/apply-action.ts; docs/internals/architecture.md has a drawing of it. Settings, start and reload
 * are in lib/plugin/load.ts and lib/plugin/start.ts.
 */

import constants from 'haraka-constants'
import DSN from 'haraka-dsn'
import { gatePriority, onListening, requireFirstInLine } from './lib/haraka/environment'
import type { Connection, Next, Plugin, Server } from './lib/haraka/types'
import { connectWorkers, serve, stopServing } from './lib/monitoring/serve'
import { applyAction } from './lib/plugin/apply-action'
import { cancel, deferred, messageHook, type NextArgs, proceed, stackOf } from './lib/plugin/hook'
import { load } from './lib/plugin/load'
import { currentEvaluation, evaluate, resolveAction } from './lib/plugin/pipeline'
import { runtimeOf, stop } from './lib/plugin/runtime'
import { begin } from './lib/plugin/start'
import { type Outcome, outcomeOf } from './lib/policy/smtp-reply'

/** Haraka calls a method by its name; of one hook, the lowest priority comes first. */
export function register(this: Plugin): void {
  requireFirstInLine(this)
  load(this)
  const hooks = [
    ['init_master', -100, { clamav_check }],
    ['init_child', -100, { clamav_check }],
    ['init_http', -100, { clamav_serve }],
    ['data_post', -100, { clamav_strip }],
    ['data_post', 0, { clamav_scan }],
    ['data_post', 50, { clamav_rules }],
    ['queue', gatePriority, { clamav_gate }],
    ['queue_outbound', gatePriority, { clamav_gate }],
    ['deny', gatePriority, { clamav_final }],
    ['reset_transaction', 0, { clamav_drop }],
    ['disconnect', 0, { clamav_drop }],
  ] as const
  for (const [hook, priority, method] of hooks)
    for (const name of Object.keys(method)) this.register_hook(hook, name, priority)
  onListening(this, (server) => start(this, server))
}

/** Called by Haraka when it stops or is reloaded. */
export function shutdown(this: Plugin): void {
  stop(this)
  stopServing(this)
}

/** init_master, init_child, before others: begins the check of every address and waits for nothing. */
export function clamav_check(this: Plugin, next: Next, server: Server): void {
  start(this, server)
  next()
}

/** init_http, before others, so that Haraka's own files and its 404 come after: metrics and page. */
export function clamav_serve(this: Plugin, next: Next, server: Server): void {
  try {
    serve(this, server, () => runtimeOf(this))
  } catch (error) {
    this.logerror(`cannot serve metrics and page: ${stackOf(error)}`)
  }
  next()
}

/** data_post, first: removes headers of ours that a sender may have forged, as the first hook of any message does. */
export const clamav_strip = messageHook(() => proceed)

/** data_post: scans. */
export const clamav_scan = messageHook(async (message) => {
  await evaluate(message)
  return proceed
})

/** data_post, late: turns the verdict into an action; a plain reject or defer is answered here. */
export const clamav_rules = messageHook((message) => {
  const { evaluation, runtime } = message.context
  // Without one, another plugin made Haraka skip the scan; the gate scans the message.
  if (!evaluation) return proceed
  const { quarantine, bounce, ending } = resolveAction(message, evaluation)
  if (quarantine || bounce || ending === 'discard') return proceed
  const { verdict, decision } = evaluation
  return nextArgs(outcomeOf(verdict, decision.finding, ending, runtime.settings.infectedText))
})

/**
 * queue, queue_outbound, before other plugins: lets a message pass only with a verdict that allows it, and
 * scans it if it has none. Copies and reports are made here. Any fault defers the message.
 */
export const clamav_gate = messageHook(async (message) => {
  const evaluation = currentEvaluation(message) ?? (await evaluate(message))
  if (message.context.cancelled.aborted) return deferred
  const action = resolveAction(message, evaluation)
  return nextArgs(await applyAction(message, evaluation, action))
})

/**
 * deny, before other plugins: a rejection at the gate is final. Other plugins see a rejection in data_post and may override
 * it; the gate then rejects the message again.
 */
export function clamav_final(this: Plugin, next: Next, _connection: Connection, params?: unknown[]): void {
  const [, , plugin, , , hook] = params ?? []
  if (plugin === this.name && hook !== 'data_post') next(constants.stop)
  else next()
}

/** reset_transaction, disconnect: ends the scan in flight. Synchronous, as reset_transaction has to be. */
export function clamav_drop(this: Plugin, next: Next, connection: Connection): void {
  cancel(connection)
  next()
}

function start(plugin: Plugin, server: Server): void {
  begin(plugin, server)
  if (server.cluster?.isMaster) connectWorkers(plugin, server)
}

function nextArgs(outcome: Outcome): NextArgs {
  switch (outcome.ending) {
    case 'accept':
    case 'tag':
      return proceed
    case 'discard':
      return [constants.ok]
    case 'reject':
    case 'defer': {
      const { code, subject, detail, text } = outcome.answer
      const answer = DSN.create(code, text, subject, detail)
      return [outcome.ending === 'reject' ? constants.deny : constants.denysoft, answer]
    }
  }
}
