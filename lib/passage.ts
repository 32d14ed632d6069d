/*
 * One message on its way through the hooks: what is known of it so far, and the rule that every hook answers
 * exactly once, for this very message, whatever goes wrong. What is done with it is treatment.ts.
 */

import type { Action } from './action'
import type { Connection, Next, Plugin, Transaction } from './haraka'
import { removeForged } from './headers'
import { currentOf, type Live } from './live'
import type { Decision } from './policy'
import type { Finding, Verdict } from './verdict'

/** What the scan, the attachments and the rules came to. */
export interface Judgement {
  readonly verdict: Verdict
  readonly finding: Finding
  readonly decision: Decision
}

/** The judgement is kept here, where nobody else can reach it; the note is a copy for others. */
export interface Passage {
  /** What was in force when the message came; a reload does not touch it. */
  readonly live: Live
  judgement: Judgement | null
  /** What is done: as decided, or as another plugin overruled it; null until that is settled. */
  action: Action | null
  /** Aborted when the message is dropped: client gone, hook timer fired, connection reset. */
  readonly dropped: AbortController
  /** Answers for the hook that works on this message when it is dropped. */
  leave: (() => void) | null
}

/** What the body of a hook is given. */
export interface Message {
  readonly plugin: Plugin
  readonly connection: Connection
  readonly transaction: Transaction
  readonly passage: Passage
}

/** What `next` is called with; nothing: continue. */
export type NextArgs = readonly [code?: number, message?: unknown]

const passages = new WeakMap<Transaction, Passage>()

/**
 * Runs the body of a hook for the message of this moment and calls `next` exactly once: with what the body
 * answers, or with `otherwise` if it throws or the message is dropped meanwhile. So a late answer never meets
 * another message, and what goes wrong here never means "continue".
 */
export function whileHere(
  plugin: Plugin,
  next: Next,
  connection: Connection,
  otherwise: NextArgs,
  body: (message: Message) => NextArgs | Promise<NextArgs>,
): void {
  let isOpen = true
  const answer = (args: NextArgs) => {
    if (!isOpen) return
    isOpen = false
    next(args[0], args[1])
  }
  const { transaction } = connection
  if (!transaction) {
    answer(otherwise)
    return
  }
  const work = async (): Promise<NextArgs> => {
    const passage = passageOf(plugin, transaction)
    passage.leave = () => answer(otherwise)
    try {
      return await body({ plugin, connection, transaction, passage })
    } finally {
      passage.leave = null
    }
  }
  work().then(
    (args) => answer(connection.transaction === transaction ? args : otherwise),
    (error: unknown) => {
      connection.logerror(plugin, `message deferred for a fault in this plugin: ${stackOf(error)}`)
      answer(otherwise)
    },
  )
}

/** The message's way is over: ends whatever still works on it, with its sockets, timers and reading. Synchronous. */
export function drop({ transaction }: Connection): void {
  if (!transaction) return
  const passage = passages.get(transaction)
  // Left to the collector, the entry would keep the whole message until old memory is swept.
  passages.delete(transaction)
  if (!passage?.leave) return
  passage.dropped.abort()
  passage.leave()
}

/** The message's passage; at its beginning the forged headers go, whichever hook comes first. */
function passageOf(plugin: Plugin, transaction: Transaction): Passage {
  const known = passages.get(transaction)
  if (known) return known
  removeForged(transaction)
  const passage: Passage = {
    live: currentOf(plugin),
    judgement: null,
    action: null,
    dropped: new AbortController(),
    leave: null,
  }
  passages.set(transaction, passage)
  return passage
}

export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
