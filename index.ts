/*
 * The Haraka adapter: hooks, `next`, notes, results, log. What clamd says is lib/clamd's business, which
 * address is asked lib/scanner's, what is done about a verdict lib/policy's; how settings come and go is
 * lib/live's. The way of one message through these hooks is drawn in docs/architecture.md.
 */

import constants from 'haraka-constants'
import DSN from 'haraka-dsn'
import { answerTo } from './lib/answer'
import type { Connection, Next, Plugin, Transaction } from './lib/haraka'
import { mark, removeForged } from './lib/headers'
import { currentOf, load, mustStandFirst, startCheck, stop, warnOfLargerMail, type Live } from './lib/live'
import { TransactionMessage } from './lib/message'
import { decide, isExempt, parseAction, type Action, type SenderFacts } from './lib/policy'
import {
  exemptVerdict,
  failedVerdict,
  logLine,
  noteOf,
  resultOf,
  type Note,
  type Verdict,
} from './lib/verdict'

export type { Action } from './lib/policy'
export type { Note, Protocol, Reason } from './lib/verdict'

/** One message on its way through the hooks. The verdict is kept here; the note is a copy for others. */
interface Passage {
  /** What was in force when the message came; a reload does not touch it. */
  readonly live: Live
  verdict: Verdict | null
  note: Note | null
  /** What the rules made of the verdict; null until they have spoken. */
  action: Action | null
  /** Aborted when the message is dropped: client gone, hook timer fired, connection reset. */
  readonly dropped: AbortController
  /** Answers for the hook that works on this message when it is dropped. */
  leave: (() => void) | null
}

/** What `next` is called with. */
type NextArgs = [] | [code: number] | [code: number, message: DSN]

const passages = new WeakMap<Transaction, Passage>()

export function register(this: Plugin): void {
  mustStandFirst(this)
  load(this)
  warnOfLargerMail(this)
  this.register_hook('data_post', 'clamav_strip', -100)
  this.register_hook('data_post', 'clamav_scan', 0)
  this.register_hook('data_post', 'clamav_rules', 50)
  this.register_hook('queue', 'clamav_gate', -100)
  this.register_hook('queue_outbound', 'clamav_gate', -100)
  this.register_hook('deny', 'clamav_final', -100)
  this.register_hook('reset_transaction', 'clamav_drop', 0)
  this.register_hook('disconnect', 'clamav_drop', 0)
  this.register_hook('init_master', 'clamav_check', 0)
  this.register_hook('init_child', 'clamav_check', 0)
}

/** Called by Haraka when it stops or is reloaded. */
export function shutdown(this: Plugin): void {
  stop(this)
}

/** init_master, init_child: begins the check of every address and waits for nothing. */
export function clamav_check(this: Plugin, next: Next, server: { cluster?: { isMaster: boolean } }): void {
  // The master of a cluster sees no mail; its workers check for themselves.
  if (!server.cluster?.isMaster) startCheck(this)
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

/** data_post, late: turns the verdict into an action; reject and defer are answered here. */
export function clamav_rules(this: Plugin, next: Next, connection: Connection): void {
  whileHere(this, next, connection, (message) => {
    const { verdict } = message.passage
    // Without a verdict the message was steered past the scan; the gate will see to it.
    if (!verdict) return []
    const action = settle(message, verdict)
    return action === 'reject' || action === 'defer' ? refusal(message, verdict, action) : []
  })
}

/**
 * queue, queue_outbound, before everybody else: lets a message pass only with a verdict that allows it,
 * scans it if it has none, and answers DENYSOFT to whatever goes wrong here.
 */
export function clamav_gate(this: Plugin, next: Next, connection: Connection): void {
  whileHere(this, next, connection, async (message) => {
    const { passage, transaction } = message
    const verdict = passage.verdict ?? (await examine(message))
    const action = passage.action ?? settle(message, verdict)
    switch (action) {
      case 'accept':
      case 'tag':
        // Other plugins had their hands on the headers since the scan.
        mark(transaction, verdict, passage.live.settings.detailsHeader)
        return []
      case 'discard':
        return [constants.ok]
      case 'reject':
      case 'defer':
        return refusal(message, verdict, action)
    }
  })
}

/** deny, before everybody else: no other plugin turns a rejection of ours into acceptance. */
export function clamav_final(this: Plugin, next: Next, _connection: Connection, params?: unknown[]): void {
  if (params?.[2] === this.name) next(constants.stop)
  else next()
}

/** reset_transaction, disconnect: ends the scan in flight with its sockets, timers and reading. Synchronous. */
export function clamav_drop(this: Plugin, next: Next, connection: Connection): void {
  const passage = connection.transaction && passages.get(connection.transaction)
  if (passage?.leave) {
    passage.dropped.abort()
    passage.leave()
  }
  next()
}

/** What the body of a hook is given. */
interface Message {
  readonly plugin: Plugin
  readonly connection: Connection
  readonly transaction: Transaction
  readonly passage: Passage
}

/**
 * Runs the body of a hook for the message of this moment and calls `next` exactly once: with what the body
 * answers, or with DENYSOFT if it throws or the message is dropped meanwhile. So a late answer never meets
 * another message, and what goes wrong here never means "continue".
 */
function whileHere(
  plugin: Plugin,
  next: Next,
  connection: Connection,
  body: (message: Message) => NextArgs | Promise<NextArgs>,
): void {
  let isOpen = true
  const answer = (...args: NextArgs) => {
    if (!isOpen) return
    isOpen = false
    next(args[0], args[1])
  }
  const { transaction } = connection
  if (!transaction) {
    answer(constants.denysoft)
    return
  }
  const work = async (): Promise<NextArgs> => {
    const passage = passageOf(plugin, transaction)
    passage.leave = () => answer(constants.denysoft)
    try {
      return await body({ plugin, connection, transaction, passage })
    } finally {
      passage.leave = null
    }
  }
  work().then(
    (args) => {
      if (connection.transaction === transaction) answer(...args)
      else answer(constants.denysoft)
    },
    (error: unknown) => {
      connection.logerror(plugin, `message deferred for a fault in this plugin: ${stackOf(error)}`)
      answer(constants.denysoft)
    },
  )
}

/** The message's passage; at its beginning the forged headers go, whichever hook comes first. */
function passageOf(plugin: Plugin, transaction: Transaction): Passage {
  const known = passages.get(transaction)
  if (known) return known
  const live = currentOf(plugin)
  removeForged(transaction)
  const passage: Passage = {
    live,
    verdict: null,
    note: null,
    action: null,
    dropped: new AbortController(),
    leave: null,
  }
  passages.set(transaction, passage)
  return passage
}

/** Scans, unless [check] exempts the sender, and writes verdict, header, note and result. */
async function examine(message: Message): Promise<Verdict> {
  const { plugin, connection, transaction, passage } = message
  const { signal } = passage.dropped
  const { settings, scanner } = passage.live
  const sender = senderOf(connection)
  const verdict = isExempt(settings.check, sender)
    ? exemptVerdict()
    : await scanner
        .scan(new TransactionMessage(transaction, settings.scan.connectMs), signal, {
          trace: (text) => connection[settings.debug ? 'loginfo' : 'logdebug'](plugin, text),
          warn: (text) => connection.logwarn(plugin, text),
        })
        .catch((error: unknown) => failedVerdict(stackOf(error)))
  if (signal.aborted) return verdict

  passage.verdict = verdict
  passage.note = noteOf(verdict, decide(settings.rules, verdict, sender))
  transaction.notes.clamav_stream = passage.note
  transaction.results.add(plugin, resultOf(verdict))
  mark(transaction, verdict, settings.detailsHeader)
  const level = { clean: 'loginfo', infected: 'lognotice', unscanned: 'logwarn' } as const
  const isExpected = verdict.outcome === 'unscanned' && verdict.reason === 'exempt'
  connection[isExpected ? 'loginfo' : level[verdict.outcome]](plugin, logLine(verdict, passage.note.action))
  return verdict
}

/** The rules' action, or the one that another plugin has put into the note since; from now on it stands. */
function settle({ plugin, connection, passage }: Message, verdict: Verdict): Action {
  const decided = decide(passage.live.settings.rules, verdict, senderOf(connection))
  const noted = passage.note?.action ?? decided
  const action = parseAction(noted)
  if (action === null) connection.logerror(plugin, `note.action "${noted}" is no action, ${decided} stays`)
  else if (action !== decided) connection.lognotice(plugin, `another plugin made ${decided} into ${action}`)
  passage.action = action ?? decided
  if (passage.note) passage.note.action = passage.action
  return passage.action
}

function refusal({ passage }: Message, verdict: Verdict, action: 'reject' | 'defer'): NextArgs {
  const { code, text, subject, detail } = answerTo(verdict, action, passage.live.settings.message)
  return [action === 'reject' ? constants.deny : constants.denysoft, DSN.create(code, text, subject, detail)]
}

function senderOf({ notes, relaying, remote }: Connection): SenderFacts {
  return {
    isAuthenticated: Boolean(notes.auth_user),
    isRelaying: relaying,
    isPrivate: remote.is_private,
    isLocal: remote.is_local,
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
