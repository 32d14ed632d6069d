/*
 * One message on its way through the hooks: what is known of it so far, and the rule that every hook answers
 * exactly once, for this very message, whatever goes wrong. What is done with it is treatment.ts.
 */

import constants from 'haraka-constants'
import { Cancellation } from '../base/cancellation'
import { removeForged } from '../haraka/headers'
import type { Connection, Next, Plugin, Transaction } from '../haraka/types'
import type { Action } from '../policy/action'
import type { Decision } from '../policy/rules'
import type { AttachmentFinding, Verdict } from '../policy/verdict'
import { type Runtime, runtimeOf } from './runtime'

/** What the scan, the attachments and the rules came to. */
export interface Evaluation {
  readonly verdict: Verdict
  readonly finding: AttachmentFinding
  readonly decision: Decision
}

/** The judgement is kept here, where nobody else can reach it; the note is a copy for others. */
export interface MessageContext {
  /** What was in force when the message came; a reload does not touch it. */
  readonly runtime: Runtime
  evaluation: Evaluation | null
  /** What is done: as decided, or as another plugin overruled it; null until that is settled. */
  action: Action | null
  /** Ends all work when the message is dropped: client gone, hook timer fired, connection reset. */
  readonly dropped: Cancellation
  /** The hook that works on this message now. */
  call: HookCall | null
}

/** What the body of a hook is given. */
export interface Message {
  readonly plugin: Plugin
  readonly connection: Connection
  readonly transaction: Transaction
  readonly context: MessageContext
}

/** What `next` is called with; nothing: continue. */
export type NextArgs = readonly [code?: number, message?: unknown]

/** For whatever goes wrong: the client keeps the message and tries again. */
export const deferred: NextArgs = [constants.denysoft]

const contexts = new WeakMap<Transaction, MessageContext>()

/**
 * One hook's time with a message, which ends with exactly one call of `next`. An object and not a closure: closures that are
 * kept in a passage reach V8's old space, and collecting them there takes a third of the time of a scan.
 */
class HookCall {
  #isOpen = true

  constructor(
    private readonly next: Next,
    private readonly connection: Connection,
    private readonly transaction: Transaction | null,
  ) {}

  /** Answers with `args`, unless the connection has moved on to another message. */
  end(args: NextArgs): void {
    this.#answer(this.connection.transaction === this.transaction ? args : deferred)
  }

  defer(): void {
    this.#answer(deferred)
  }

  #answer([code, message]: NextArgs): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.next(code, message)
  }
}

/**
 * Runs the body of a hook for the message of this moment and calls `next` exactly once: with what the body
 * answers, or with DENYSOFT if it throws or the message is dropped meanwhile. So a late answer never meets
 * another message, and what goes wrong here never means "continue". A hook whose timer has fired may still be at work when
 * another plugin overrides Haraka's DENYSOFT for it: until it is done, the message is deferred.
 */
export function runHook(
  plugin: Plugin,
  next: Next,
  connection: Connection,
  body: (message: Message) => NextArgs | Promise<NextArgs>,
): void {
  const { transaction } = connection
  const call = new HookCall(next, connection, transaction)
  if (!transaction) {
    call.defer()
    return
  }
  let context: MessageContext | null = null
  const end = (args: NextArgs) => {
    if (context) context.call = null
    call.end(args)
  }
  const fail = (error: unknown) => {
    if (context) context.call = null
    connection.logerror(plugin, `message deferred for a fault in this plugin: ${stackOf(error)}`)
    call.defer()
  }
  let answer: NextArgs | Promise<NextArgs>
  try {
    const known = contextOf(plugin, transaction)
    if (known.call) {
      call.defer()
      return
    }
    context = known
    context.call = call
    answer = body({ plugin, connection, transaction, context })
  } catch (error) {
    fail(error)
    return
  }
  if (answer instanceof Promise) answer.then(end, fail)
  else end(answer)
}

/** The message's way is over: ends whatever still works on it, with its sockets, timers and reading. Synchronous. */
export function cancel({ transaction }: Connection): void {
  if (!transaction) return
  const context = contexts.get(transaction)
  // Left to the collector, the entry would keep the whole message until old memory is swept.
  contexts.delete(transaction)
  if (!context?.call) return
  const { call } = context
  try {
    context.dropped.abort(new Error('the message was dropped'))
  } finally {
    call.defer()
  }
}

/** The message's passage; at its beginning the forged headers go, whichever hook comes first. */
function contextOf(plugin: Plugin, transaction: Transaction): MessageContext {
  const known = contexts.get(transaction)
  if (known) return known
  removeForged(transaction)
  const context: MessageContext = {
    runtime: runtimeOf(plugin),
    evaluation: null,
    action: null,
    dropped: new Cancellation(),
    call: null,
  }
  contexts.set(transaction, context)
  return context
}

export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
