/*
 * The Haraka adapter: which hook does what, and what Haraka is answered. One message's way through the hooks is
 * lib/plugin/hook.ts and lib/plugin/pipeline.ts, and is drawn in docs/architecture.md; how settings come and go is lib/plugin/runtime.ts.
 */

import constants from 'haraka-constants'
import DSN from 'haraka-dsn'
import { gatePriority, mustStandFirst } from './lib/haraka/environment'
import type { Connection, Next, Plugin, Server } from './lib/haraka/types'
import { introduce, serve, stopServing } from './lib/monitoring/serve'
import { deferred, drop, type NextArgs, stackOf, whileHere } from './lib/plugin/hook'
import { carryOut, type Disposition, dispositionOf, examine, reconsider, settle } from './lib/plugin/pipeline'
import { currentOf, load, startCheck, stop } from './lib/plugin/runtime'

export function register(this: Plugin): void {
  mustStandFirst(this)
  load(this)
  this.register_hook('data_post', 'clamav_strip', -100)
  this.register_hook('data_post', 'clamav_scan', 0)
  this.register_hook('data_post', 'clamav_rules', 50)
  this.register_hook('queue', 'clamav_gate', gatePriority)
  this.register_hook('queue_outbound', 'clamav_gate', gatePriority)
  this.register_hook('deny', 'clamav_final', gatePriority)
  this.register_hook('reset_transaction', 'clamav_drop', 0)
  this.register_hook('disconnect', 'clamav_drop', 0)
  this.register_hook('init_master', 'clamav_check', 0)
  this.register_hook('init_child', 'clamav_check', 0)
  this.register_hook('init_http', 'clamav_serve', -100)
}

/** Called by Haraka when it stops or is reloaded. */
export function shutdown(this: Plugin): void {
  stop(this)
  stopServing(this)
}

/** init_master, init_child: begins the check of every address and waits for nothing. */
export function clamav_check(this: Plugin, next: Next, server: Server): void {
  startCheck(this, server.cluster ? (server.cluster.isMaster ? 'master' : 'worker') : 'alone')
  if (server.cluster?.isMaster) introduce(this, server)
  next()
}

/** init_http, before others, so that Haraka's own files and its 404 come after: metrics and page. */
export function clamav_serve(this: Plugin, next: Next, server: Server): void {
  try {
    serve(this, server, () => currentOf(this))
  } catch (error) {
    this.logerror(`neither metrics nor page: ${stackOf(error)}`)
  }
  next()
}

/** data_post, first: takes out of the message what a sender may have forged. */
export function clamav_strip(this: Plugin, next: Next, connection: Connection): void {
  whileHere(this, next, connection, () => [])
}

/** data_post: scans. */
export function clamav_scan(this: Plugin, next: Next, connection: Connection): void {
  whileHere(this, next, connection, async (message) => {
    await examine(message)
    return []
  })
}

/** data_post, late: turns the verdict into an action; a plain reject or defer is answered here. */
export function clamav_rules(this: Plugin, next: Next, connection: Connection): void {
  whileHere(this, next, connection, (message) => {
    const { judgement } = message.passage
    // Without one the message was steered past the scan; the gate will see to it.
    if (!judgement) return []
    const action = settle(message, judgement)
    if (action.quarantine || action.bounce) return []
    const disposition = dispositionOf(message, judgement, action.ending)
    return 'answer' in disposition ? nextArgs(disposition) : []
  })
}

/**
 * queue, queue_outbound, before everybody else: lets a message pass only with a verdict that allows it, and
 * scans it if it has none. Copies and reports are made here. Whatever goes wrong defers the message.
 */
export function clamav_gate(this: Plugin, next: Next, connection: Connection): void {
  whileHere(this, next, connection, async (message) => {
    const { passage } = message
    reconsider(message)
    const judgement = passage.judgement ?? (await examine(message))
    if (passage.dropped.aborted) return deferred
    const action = passage.action ?? settle(message, judgement)
    return nextArgs(await carryOut(message, judgement, action))
  })
}

/** deny, before everybody else: no other plugin turns a rejection of ours into acceptance. */
export function clamav_final(this: Plugin, next: Next, _connection: Connection, params?: unknown[]): void {
  if (params?.[2] === this.name) next(constants.stop)
  else next()
}

/** reset_transaction, disconnect: ends the scan in flight. Synchronous, as reset_transaction has to be. */
export function clamav_drop(this: Plugin, next: Next, connection: Connection): void {
  drop(connection)
  next()
}

function nextArgs(disposition: Disposition): NextArgs {
  switch (disposition.ending) {
    case 'accept':
    case 'tag':
      return []
    case 'discard':
      return [constants.ok]
    case 'reject':
    case 'defer': {
      const { code, subject, detail, text } = disposition.answer
      const answer = DSN.create(code, text, subject, detail)
      return [disposition.ending === 'reject' ? constants.deny : constants.denysoft, answer]
    }
  }
}
