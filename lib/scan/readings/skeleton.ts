/*
 * A plain message taken apart: what is left without its large base64 bodies, and each of these decoded. clamd scans both in
 * half the time that the whole message takes it. Only for messages that are plain (lib/mime/plain/): there is one way to
 * read them, and Node's own decoder will do.
 */

import { type Budget, OverBudget } from '../../mime/budget'
import { decoderOf } from '../../mime/transfer-encodings'
import { bodiesIn, type Body } from './bodies'
import type { Content, Summary } from './readings'

/** Bytes of base64 that are decoded at a time. Node takes over ten times as long for them where strings are larger than 100 kB. */
const pieceBytes = 48 * 1024

export class Skeleton {
  #overLimit: string | null = null

  /**
   * @param rest the message without the bodies that are left out, one piece behind the other
   * @param leftOut bodies that clamd gets by themselves
   * @param others bodies that are in the rest
   */
  constructor(
    readonly rest: readonly Buffer[],
    private readonly leftOut: readonly Body[],
    private readonly others: readonly Body[],
    private readonly parts: number,
    private readonly budget: Budget,
  ) {}

  get summary(): Omit<Summary, 'readings'> {
    return { encrypted: null, incompleteBecause: this.#overLimit, parts: this.parts }
  }

  /**
   * Decodes one body after the other, as they are asked for.
   * @param withOthers also those in the rest, `isScanned`
   */
  async *contents(withOthers: boolean): AsyncGenerator<Content, void> {
    const { budget } = this
    try {
      for (const body of this.leftOut) yield { name: body.name, bytes: await decoded(body, budget) }
      for (const body of withOthers ? this.others : [])
        yield { name: body.name, bytes: await decoded(body, budget), isScanned: true }
    } catch (error) {
      if (!(error instanceof OverBudget)) throw error
      this.#overLimit = error.message
    }
  }
}

/**
 * Rejects with an OverBudget, or with the signal's reason.
 * @param minBytes of an encoded body that is left out; smaller ones cost more to send by themselves
 */
export async function skeletonOf(message: Buffer, minBytes: number, budget: Budget): Promise<Skeleton> {
  const rest: Buffer[] = []
  const leftOut: Body[] = []
  const others: Body[] = []
  const reading = bodiesIn(message, budget.limits.parts)
  let from = 0
  for await (const body of reading.bodies(budget)) {
    if (body.bytes.length === 0) continue
    const at = body.bytes.byteOffset - message.byteOffset
    const isCopy = body.bytes.buffer !== message.buffer || at < from
    if (isCopy || body.bytes.length < minBytes || encodingOf(body) !== 'base64') {
      others.push(body)
      continue
    }
    rest.push(message.subarray(from, at))
    leftOut.push(body)
    from = at + body.bytes.length
  }
  rest.push(message.subarray(from))
  return new Skeleton(rest, leftOut, others, reading.parts, budget)
}

/** A plain message names one, in one word. */
function encodingOf({ head }: Body): 'base64' | 'quoted-printable' | 'identity' {
  const word = /encoding:\s*(?<word>[a-z0-9-]+)\s*$/im.exec(head)?.groups?.word?.toLowerCase()
  return word === 'base64' || word === 'quoted-printable' ? word : 'identity'
}

async function decoded(body: Body, budget: Budget): Promise<Buffer> {
  const encoding = encodingOf(body)
  budget.enter()
  try {
    if (encoding === 'base64') return await decodedBase64(body.bytes, budget)
    const decoder = decoderOf(encoding)
    return Buffer.concat([decoder.write(body.bytes), decoder.end()])
  } finally {
    budget.leave()
  }
}

/** All lines but the last have one length, of whole groups of four digits: nothing is cut between them. */
async function decodedBase64(body: Buffer, budget: Budget): Promise<Buffer> {
  const lineBytes = body.indexOf('\n') + 1 || body.length
  const step = Math.ceil(pieceBytes / Math.max(1, lineBytes)) * lineBytes
  const bytes = Buffer.allocUnsafe(Math.ceil((body.length * 3) / 4))
  let length = 0
  for (let at = 0; at < body.length; at += step) {
    length += bytes.write(body.toString('latin1', at, at + step), length, 'base64')
    await budget.breathe()
  }
  return bytes.subarray(0, length)
}
