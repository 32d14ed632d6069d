/*
 * What is in a message besides what clamd has made of the whole of it: each reading of its parts goes to the same clamd as a
 * file, and what cannot be opened is named. A plain message, which clamd and every mail program read alike, needs
 * none of that (lib/mime/plain/).
 */

import type { MessageSource } from '../base/message-source'
import { isEncryptedName, isLimitName, type Reply } from '../clamd/protocol'
import type { SilentLimits } from '../hosts/test-results'
import type { Budget } from '../mime/budget'
import type { PlainResult } from '../mime/plain/plain-check'
import { isIgnored, type SignatureRule } from '../policy/rules'
import { closedIn } from './readings/closed'
import { scanLimits } from './readings/limits'
import { readingMemory } from './readings/memory'
import { type Content, Readings, type Summary } from './readings/readings'

/** `[main] scan`: what of a message is sent. */
export type Scope = 'auto' | 'all' | 'parts' | 'message'

/** What is to be looked into, and what is known of it when it has ended. */
export interface Contents {
  contents(): AsyncGenerator<Content, void>
  readonly summary: Omit<Summary, 'readings'>
}

/** What was found in a message besides clamd's reply to the whole of it. */
export interface Insight {
  /** Why the message is not plain; null: it is, or it was not checked. */
  readonly oddity: string | null
  /** Header sections that were read, and contents that were scanned. */
  readonly parts: number
  readonly readings: number
  /** The content that the reply is about; null: the whole message. */
  readonly part: string | null
  /** What only its recipient can open; null: nothing. */
  readonly encrypted: string | null
  /** Why not all of it was scanned; null: all was. */
  readonly incompleteBecause: string | null
  /** Names that clamd found and that a rule ignores. */
  readonly ignored: readonly string[]
}

export const noInsight: Insight = {
  oddity: null,
  parts: 0,
  readings: 0,
  part: null,
  encrypted: null,
  incompleteBecause: null,
  ignored: [],
}

interface Look {
  readonly message: MessageSource
  readonly plain: PlainResult
  /** What is left to send of a message that was taken apart; null: the whole message was sent. */
  readonly parts: Contents | null
  readonly scope: Scope
  /** Largest content in bytes that may be sent. */
  readonly maxBytes: number
  readonly silentLimits: SilentLimits | null
  readonly signatures: readonly SignatureRule[]
  /** For all that reading the message takes. */
  readonly budget: Budget
  /** What is sent at most. Left out: the usual. */
  readonly sends?: typeof scanLimits
}

/** Whether there is anything to look into: nearly no mail needs it, and each pays for the question. */
export function needsSecondLook(
  scope: Scope,
  { oddity, containers }: PlainResult,
  isApart: boolean,
): boolean {
  return scope === 'all' || isApart || oddity !== null || containers.size > 0
}

/**
 * For a message that needs it.
 * Rejects as `send` does, or with what kept the message from being read.
 * @param send sends one content as a file
 * @returns `end`: the first answer that is a virus, an error or over StreamMaxLength, by which the look ended
 */
export async function secondLook<T extends { readonly reply: Reply }>(
  { message, plain, parts, scope, maxBytes, silentLimits, signatures, budget, sends = scanLimits }: Look,
  send: (content: Content) => Promise<T>,
): Promise<{ readonly insight: Insight; readonly end: T | null }> {
  const { oddity, containers } = plain
  const isPlain = oddity === null
  const sendsParts = scope === 'all' || parts !== null || !isPlain
  const ignored = new Set<string>()
  let { encrypted } = plain
  let incompleteBecause: string | null = null
  let [sent, sentBytes] = [0, 0]
  const maxSentBytes = sends.bytesPerByte * message.maxBytes + sends.extraBytes
  const mayBeClosed = !isPlain || containers.size > 0

  const { signal } = budget
  const release = parts ? () => undefined : await readingMemory.take(message.maxBytes, signal)
  const readings = parts ?? new Readings(message, { signal, budget, isPlain })
  const insight = (part: string | null): Insight => {
    const { summary } = readings
    return {
      oddity,
      parts: sendsParts ? summary.parts : 0,
      readings: sent,
      part,
      encrypted: encrypted ?? summary.encrypted,
      incompleteBecause: incompleteBecause ?? summary.incompleteBecause,
      ignored: [...ignored],
    }
  }
  try {
    for await (const content of readings.contents()) {
      if (mayBeClosed) {
        budget.enter()
        const closed = await closedIn(content.bytes, silentLimits, budget)
        budget.leave()
        if (closed.encrypted !== null) encrypted ??= `${content.name}: ${closed.encrypted}`
        if (closed.limits !== null) incompleteBecause ??= `${content.name}: ${closed.limits}`
      }
      if (!sendsParts || content.isScanned) continue
      if (content.bytes.length > maxBytes) {
        incompleteBecause ??= `${content.name} has ${content.bytes.length} bytes`
        continue
      }
      if (sent === sends.contents || sentBytes + content.bytes.length > maxSentBytes) {
        incompleteBecause ??=
          sent === sends.contents
            ? `more than ${sent} contents`
            : `contents of more than ${maxSentBytes} bytes`
        break
      }
      sent++
      sentBytes += content.bytes.length
      const answer = await send(content)
      const { reply } = answer
      if (reply.kind === 'clean') continue
      if (reply.kind !== 'found') return { insight: insight(content.name), end: answer }
      if (isEncryptedName(reply.name)) encrypted ??= `${content.name}: ${reply.name}`
      else if (isLimitName(reply.name)) incompleteBecause ??= `${content.name}: ${reply.name}`
      else if (isIgnored(signatures, reply.name)) ignored.add(reply.name)
      else return { insight: insight(content.name), end: answer }
    }
    return { insight: insight(null), end: null }
  } finally {
    release()
  }
}
