/*
 * The Haraka adapter: which hook does what, and what Haraka is answered. One message's way through the hooks is
 * lib/plugin/hook.ts and lib/plugin/pipeline.ts, and is drawn in docs/internals/architecture.md; how settings come and go is lib/plugin/runtime.ts.
 */

import constants from 'haraka-constants'
import DSN from 'haraka-dsn'
import { gatePriority, onListening, requireFirstInLine } from './lib/haraka/environment'
import type { Connection, Next, Plugin, Server } from './lib/haraka/types'
import { connectWorkers, serve, stopServing } from './lib/monitoring/serve'
import { cancel, deferred, type NextArgs, runHook, stackOf } from './lib/plugin/hook'
import {
  applyAction,
  evaluate,
  type Outcome,
  outcomeOf,
  recheckExemption,
  resolveAction,
} from './lib/plugin/pipeline'
import { begin, load, runtimeOf, stop } from './lib/plugin/runtime'
import { warnOfQuarantine } from './lib/plugin/start-warnings'

export function register(this: Plugin): void {
  requireFirstInLine(this)
  load(this)
  this.register_hook('data_post', 'clamav_strip', -100)
  this.register_hook('data_post', 'clamav_scan', 0)
  this.register_hook('data_post', 'clamav_rules', 50)
  this.register_hook('queue', 'clamav_gate', gatePriority)
  this.register_hook('queue_outbound', 'clamav_gate', gatePriority)
  this.register_hook('deny', 'clamav_final', gatePriority)
  this.register_hook('reset_transaction', 'clamav_drop', 0)
  this.register_hook('disconnect', 'clamav_drop', 0)
  this.register_hook('init_master', 'clamav_check', -100)
  this.register_hook('init_child', 'clamav_check', -100)
  this.register_hook('init_http', 'clamav_serve', -100)
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
    this.logerror(`neither metrics nor page: ${stackOf(error)}`)
  }
  next()
}

/** data_post, first: takes out of the message what a sender may have forged. */
export function clamav_strip(this: Plugin, next: Next, connection: Connection): void {
  runHook(this, next, connection, () => [])
}

/** data_post: scans. */
export function clamav_scan(this: Plugin, next: Next, connection: Connection): void {
  runHook(this, next, connection, async (message) => {
    await evaluate(message)
    return []
  })
}

/** data_post, late: turns the verdict into an action; a plain reject or defer is answered here. */
export function clamav_rules(this: Plugin, next: Next, connection: Connection): void {
  runHook(this, next, connection, (message) => {
    const { evaluation } = message.context
    // Without one the message was steered past the scan; the gate will see to it.
    if (!evaluation) return []
    const action = resolveAction(message, evaluation)
    if (action.quarantine || action.bounce) return []
    const outcome = outcomeOf(message, evaluation, action.ending)
    return 'answer' in outcome ? nextArgs(outcome) : []
  })
}

/**
 * queue, queue_outbound, before everybody else: lets a message pass only with a verdict that allows it, and
 * scans it if it has none. Copies and reports are made here. Whatever goes wrong defers the message.
 */
export function clamav_gate(this: Plugin, next: Next, connection: Connection): void {
  runHook(this, next, connection, async (message) => {
    const { context } = message
    recheckExemption(message)
    const evaluation = context.evaluation ?? (await evaluate(message))
    if (context.dropped.aborted) return deferred
    const action = context.action ?? resolveAction(message, evaluation)
    return nextArgs(await applyAction(message, evaluation, action))
  })
}

/**
 * deny, before everybody else: what is rejected at the gate stays so. Other plugins hear of what is rejected in data_post,
 * and may override it, for the gate comes after that and rejects it again.
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
  const role = begin(plugin, server)
  // The master keeps no copies, and is not yet the user that the workers are.
  if (role !== null && role !== 'master') warnOfQuarantine(plugin, runtimeOf(plugin).settings)
  if (server.cluster?.isMaster) connectWorkers(plugin, server)
}

function nextArgs(outcome: Outcome): NextArgs {
  switch (outcome.ending) {
    case 'accept':
    case 'tag':
      return []
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
