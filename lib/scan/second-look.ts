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
import { closedIn, scanTotal } from './readings/closed'
import { scanLimits } from './readings/limits'
import { readingMemory } from './readings/memory'
import { type Content, Readings, type Summary } from './readings/readings'
import { ScanTotal } from './readings/scan-total'

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
  /** In one piece, or to be read. */
  readonly message: MessageSource
  readonly plain: PlainResult
  /** Parts that were left out of what was sent; null: the whole message was. */
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
  { oddity, hasContainers }: PlainResult,
  isApart: boolean,
): boolean {
  return scope === 'all' || isApart || oddity !== null || hasContainers
}

/**
 * For a message that needs it.
 * Rejects as `send` does, or with what kept the message from being read.
 * @param send sends one content as a file
 * @returns `end`: the first answer that is a virus, an error or over StreamMaxLength, by which the look ended
 */
export async function secondLook<T extends { readonly reply: Reply }>(
  look: Look,
  send: (content: Content) => Promise<T>,
): Promise<{ readonly insight: Insight; readonly end: T | null }> {
  const { message, plain, parts, scope, maxBytes, budget } = look
  const isPlain = plain.oddity === null
  const sendsParts = scope === 'all' || parts !== null || !isPlain
  const mayBeClosed = !isPlain || plain.hasContainers

  const { signal } = budget
  const isInMemory = parts !== null || message.whole !== undefined
  const release = isInMemory ? () => undefined : await readingMemory.take(message.maxBytes, signal)
  const contents = parts ?? new Readings(message, { signal, budget, isPlain })
  const seen = new Seen(look)
  const insight = (part: string | null) => seen.insight(contents.summary, sendsParts, part)
  try {
    for await (const content of contents.contents()) {
      const members = mayBeClosed ? await seen.lookInto(content, sendsParts) : []
      const isUnseen = sendsParts && !content.isScanned
      for (const file of isUnseen ? [content, ...members] : members) {
        const { name, bytes } = file
        if (bytes.length > maxBytes) {
          seen.incompleteBecause ??= `${name} has ${bytes.length} bytes`
          continue
        }
        if (!seen.maySend(bytes.length)) return { insight: insight(null), end: null }
        const answer = await send(file)
        if (!seen.mayGoOn(name, answer.reply)) return { insight: insight(name), end: answer }
      }
    }
    return { insight: insight(null), end: null }
  } finally {
    release()
  }
}

/** What is known of a message so far. */
class Seen {
  incompleteBecause: string | null = null
  #encrypted: string | null
  #sent = 0
  #sentBytes = 0
  readonly #ignored = new Set<string>()
  /** Of the message as clamd has scanned it. */
  readonly #whole: ScanTotal

  constructor(private readonly look: Look) {
    this.#encrypted = look.plain.encrypted
    this.#whole = scanTotal(look.silentLimits)
    this.#whole.add(look.message.maxBytes)
  }

  /**
   * @param isSent the content is scanned by itself, if it was not with the rest of the message
   * @returns files in it that clamd does not see by itself
   */
  async lookInto(content: Content, isSent: boolean): Promise<Content[]> {
    const { name, bytes, isScanned, isPart } = content
    const { silentLimits, budget } = this.look
    const isOfWhole = isScanned === true || (!isSent && isPart === true)
    // Another reading of a part, which clamd has not made, counts nowhere.
    const whole = isOfWhole ? this.#whole : isSent ? null : new ScanTotal(Infinity)
    budget.enter()
    const { encrypted, limits, members } = await closedIn(bytes, silentLimits, budget, whole)
    budget.leave()
    if (encrypted !== null) this.#encrypted ??= `${name}: ${encrypted}`
    if (limits !== null) this.incompleteBecause ??= `${name}: ${limits}`
    return members.map((member) => ({ name: `${name} > ${member.name}`, bytes: member.bytes }))
  }

  /** Counts one more content. @param bytes its length @returns false: it would be too much for one message */
  maySend(bytes: number): boolean {
    const { contents, bytesPerByte, extraBytes } = this.look.sends ?? scanLimits
    const maxBytes = bytesPerByte * this.look.message.maxBytes + extraBytes
    if (this.#sent === contents) this.incompleteBecause ??= `more than ${contents} contents`
    else if (this.#sentBytes + bytes > maxBytes)
      this.incompleteBecause ??= `contents of more than ${maxBytes} bytes`
    else {
      this.#sent++
      this.#sentBytes += bytes
      return true
    }
    return false
  }

  /** @returns false: the reply ends the look */
  mayGoOn(name: string, reply: Reply): boolean {
    if (reply.kind !== 'found') return reply.kind === 'clean'
    if (isEncryptedName(reply.name)) this.#encrypted ??= `${name}: ${reply.name}`
    else if (isLimitName(reply.name)) this.incompleteBecause ??= `${name}: ${reply.name}`
    else if (isIgnored(this.look.signatures, reply.name)) this.#ignored.add(reply.name)
    else return false
    return true
  }

  insight(summary: Contents['summary'], sendsParts: boolean, part: string | null): Insight {
    return {
      oddity: this.look.plain.oddity,
      parts: sendsParts ? summary.parts : 0,
      readings: this.#sent,
      part,
      encrypted: this.#encrypted ?? summary.encrypted,
      incompleteBecause: this.incompleteBecause ?? summary.incompleteBecause,
      ignored: [...this.#ignored],
    }
  }
}
