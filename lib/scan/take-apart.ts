/*
 * What is sent of a message with `[main] scan=parts`: of a plain one with a large attachment its headers and texts as mail,
 * and the attachments decoded; of every other one the whole, as with `auto`. The message is read once, and is in memory
 * until its verdict.
 */

import type { CancelSignal } from '../base/cancellation'
import { bytesMessage, pieceBytes } from '../base/made-message'
import type { MessageSource } from '../base/message-source'
import { receivedLine } from '../clamd/protocol'
import { Budget, OverBudget } from '../mime/budget'
import { PlainCheck, type PlainResult } from '../mime/plain/plain-check'
import { defaultReadingLimits } from './readings/limits'
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
 * Rejects with the signal's reason, or with what kept the message from being read.
 * @returns null: the whole message is to be sent
 */
export async function takeApart(message: MessageSource, signal: CancelSignal): Promise<Apart | null> {
  const release = await apartMemory.take(message.maxBytes, signal)
  let apart: Apart | null = null
  try {
    const bytes = await messageBytes(message, signal)
    const plain = await plainCheck(bytes, signal)
    if (plain.oddity !== null) return null
    const skeleton = await skeletonOf(bytes, minBodyBytes, signal)
    const parts: Contents = {
      contents: () => skeleton.contents(plain.containers.size > 0),
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
    if (apart === null) release()
  }
}

/** As it is checked while it is sent, our own line in front. */
async function plainCheck(bytes: Buffer, signal: CancelSignal): Promise<PlainResult> {
  const budget = new Budget(defaultReadingLimits, signal)
  const check = new PlainCheck()
  check.write(receivedLine)
  budget.enter()
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    check.write(bytes.subarray(at, at + pieceBytes))
    await budget.breathe()
  }
  return check.end()
}
