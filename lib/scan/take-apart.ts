/*
 * What is sent of a message with `[main] scan=parts`: of a plain one with a large attachment its headers and texts as mail,
 * and the attachments decoded; of every other one the whole, as with `auto`. The message is read once, and is in memory
 * until its verdict.
 */

import { bytesMessage, pieceBytes } from '../base/made-message'
import type { MessageSource } from '../base/message-source'
import { receivedLine } from '../clamd/protocol'
import { type Budget, OverBudget } from '../mime/budget'
import { PlainCheck, type PlainResult } from '../mime/plain/plain-check'
import { apartMemory } from './readings/memory'
import { messageBytes } from './readings/message-bytes'
import { skeletonOf } from './readings/skeleton'
import type { Contents } from './second-look'

/** Bytes of a base64 body that is sent by itself, and so of a message that is read for one: below, it costs as much. */
export const minBodyBytes = 48 * 1024

export interface Apart {
  readonly plain: PlainResult
  /** Headers and texts, to be sent as mail in place of the message. */
  readonly rest: MessageSource
  /** What is to be sent besides. */
  readonly parts: Contents
  /** Gives the memory back. To be called once. */
  release(): void
}

/**
 * Rejects with the budget's signal's reason, or with what kept the message from being read.
 * @returns null: the whole message is to be sent
 */
export async function takeApart(message: MessageSource, budget: Budget): Promise<Apart | null> {
  const { signal } = budget
  const release = await apartMemory.take(message.maxBytes, signal)
  let apart: Apart | null = null
  try {
    const bytes = await messageBytes(message, signal)
    budget.enter()
    const plain = await plainCheck(bytes, budget)
    if (plain.oddity !== null) return null
    const skeleton = await skeletonOf(bytes, minBodyBytes, budget)
    const parts: Contents = {
      contents: () => skeleton.contents(plain.hasContainers),
      get summary() {
        return skeleton.summary
      },
    }
    apart = { plain, rest: bytesMessage(...skeleton.rest), parts, release }
    return apart
  } catch (error) {
    if (error instanceof OverBudget) return null
    throw error
  } finally {
    budget.leave()
    if (apart === null) release()
  }
}

/** As it is checked while it is sent, our own line in front. */
async function plainCheck(bytes: Buffer, budget: Budget): Promise<PlainResult> {
  const check = new PlainCheck()
  check.write(receivedLine)
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    check.write(bytes.subarray(at, at + pieceBytes))
    await budget.breathe()
  }
  return check.end()
}
