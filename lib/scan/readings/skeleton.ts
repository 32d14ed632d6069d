/*
 * A plain message taken apart: what is left without its base64 attachments, and each of these decoded. clamd scans both in
 * half the time that the whole message takes it. Only for messages that are plain (lib/mime/plain/): there is one way to
 * read them, and Node's own decoder will do.
 */

import type { CancelSignal } from '../../base/cancellation'
import type { MessageSource } from '../../base/message-source'
import { Budget } from '../../mime/budget'
import { bodiesIn } from './bodies'
import { defaultReadingLimits } from './limits'
import { messageBytes } from './message-bytes'
import type { Content } from './readings'

export interface Skeleton {
  /** The message without the bodies of the attachments, one piece behind the other. */
  readonly rest: readonly Buffer[]
  /** Decodes one attachment after the other, as they are asked for. */
  contents(): Generator<Content, void>
}

const isBase64 = /encoding:\s*base64\s*$/im

/** @param minBytes of an encoded body that is left out; smaller ones cost more to send by themselves */
export async function skeletonOf(
  source: MessageSource,
  minBytes: number,
  signal: CancelSignal,
): Promise<Skeleton> {
  const message = await messageBytes(source, signal)
  const budget = new Budget(defaultReadingLimits, signal)
  const rest: Buffer[] = []
  const parts: { readonly name: string; readonly body: Buffer }[] = []
  let from = 0
  budget.enter()
  for await (const { name, head, bytes } of bodiesIn(message, defaultReadingLimits.parts).bodies(budget)) {
    if (bytes.length < minBytes || !isBase64.test(head) || bytes.buffer !== message.buffer) continue
    const at = bytes.byteOffset - message.byteOffset
    rest.push(message.subarray(from, at))
    parts.push({ name, body: bytes })
    from = at + bytes.length
  }
  budget.leave()
  rest.push(message.subarray(from))
  function* contents(): Generator<Content, void> {
    for (const { name, body } of parts) yield { name, bytes: Buffer.from(body.toString('latin1'), 'base64') }
  }
  return { rest, contents }
}
