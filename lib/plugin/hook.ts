/*
 * One message on its way through the hooks: what is known of it so far, and the rule that every hook answers exactly once,
 * and for its own message. pipeline.ts and apply-action.ts do the work.
 */

import constants from 'haraka-constants'
import { Cancellation, type CancelSignal } from '../base/cancellation'
import { removeForged } from '../haraka/headers'
import type { Connection, Next, Plugin, Transaction } from '../haraka/types'
import type { Action } from '../policy/action'
import type { Decision } from '../policy/rules'
import type { AttachmentFinding, Verdict } from '../policy/verdict'
import { type MessageFacts, messageFacts } from './message-facts'
import { type Runtime, runtimeOf } from './runtime'

/** The results of the scan, of the attachment check and of the rules. */
export interface Evaluation {
  readonly verdict: Verdict
  readonly finding: AttachmentFinding
  readonly decision: Decision
}

/** What is done because of an evaluation: as the rules decided, or as another plugin overruled it. */
export interface Settlement {
  readonly evaluation: Evaluation
  readonly action: Action
}

/** What one hook leaves to the next. No other plugin can reach it; the note is a copy for them. */
export interface MessageContext {
  /** Settings that were in force when the message came; a reload does not change them. */
  readonly runtime: Runtime
  /** Aborted by `cancel` alone: client gone, hook timer fired, connection reset. Ends all work on the message. */
  readonly cancelled: CancelSignal
  /** Written by `evaluate` alone. */
  evaluation: Evaluation | null
  /** Written by `resolveAction` alone. */
  settlement: Settlement | null
}

/** The part that only this file knows. */
interface OwnContext extends MessageContext {
  readonly cancelled: Cancellation
  /** The hook that works on this message now. Written by `runHook` alone. */
  call: HookCall | null
}

/** The message as the body of one hook sees it. */
export class Message {
  #facts: MessageFacts | null = null

  constructor(
    readonly plugin: Plugin,
    readonly connection: Connection,
    readonly transaction: Transaction,
    readonly context: MessageContext,
  ) {}

  /** Read once in each hook: other plugins may change the message between two hooks. */
  get facts(): MessageFacts {
    this.#facts ??= messageFacts(this.connection, this.transaction)
    return this.#facts
  }
}

/** Returns no promise where it waits for nothing: on the way of every message, that was measured to cost time. */
export type HookBody = (message: Message) => NextArgs | Promise<NextArgs>

/** What `next` is called with; nothing: continue. */
export type NextArgs = readonly [code?: number, message?: unknown]

/** The next plugin's turn. */
export const proceed: NextArgs = []

/**
 * The answer to every fault: the client keeps the message and tries again. Haraka writes its text; smtp-reply.ts has all
 * others.
 */
export const deferred: NextArgs = [constants.denysoft]

const contexts = new WeakMap<Transaction, OwnContext>()

/**
 * One hook's time with a message, which ends with exactly one call of `next`. An object and not a closure: closures that are
 * kept in a context reach V8's old space, and collecting them there takes a third of the time of a scan.
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

/** The method that Haraka calls for a hook, around the body that answers for one message. */
export function messageHook(body: HookBody): (this: Plugin, next: Next, connection: Connection) => void {
  return function (next, connection) {
    runHook(this, next, connection, body)
  }
}

/**
 * Runs the body of a hook for the current message and calls `next` exactly once: with the answer of the body, or with
 * DENYSOFT if it throws or the message is dropped. So a late answer never reaches another message, and a fault never means
 * "continue". A hook whose timer has fired may still run when another plugin overrides Haraka's DENYSOFT for it: until it
 * ends, the message is deferred.
 */
export function runHook(plugin: Plugin, next: Next, connection: Connection, body: HookBody): void {
  const { transaction } = connection
  const call = new HookCall(next, connection, transaction)
  if (!transaction) {
    call.defer()
    return
  }
  let context: OwnContext | null = null
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
    answer = body(new Message(plugin, connection, transaction, context))
  } catch (error) {
    fail(error)
    return
  }
  if (answer instanceof Promise) answer.then(end, fail)
  else end(answer)
}

/** Ends all work on a message that Haraka drops, with its sockets, timers and reading. Synchronous. */
export function cancel({ transaction }: Connection): void {
  if (!transaction) return
  const context = contexts.get(transaction)
  // Otherwise the entry keeps the whole message in memory until V8's old space is collected.
  contexts.delete(transaction)
  if (!context?.call) return
  const { call } = context
  try {
    context.cancelled.abort(new Error('the message was dropped'))
  } finally {
    call.defer()
  }
}

/** Created by the first hook of a message, which also removes forged headers. */
function contextOf(plugin: Plugin, transaction: Transaction): OwnContext {
  const known = contexts.get(transaction)
  if (known) return known
  const runtime = runtimeOf(plugin)
  removeForged(transaction, runtime.settings.detailsHeader)
  const context: OwnContext = {
    runtime,
    cancelled: new Cancellation(),
    evaluation: null,
    settlement: null,
    call: null,
  }
  contexts.set(transaction, context)
  return context
}

export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
