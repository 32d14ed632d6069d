/*
 * S/MIME messages (RFC 5652): what a signed one holds, and whether it is closed. Reads BER as far as it has to: definite
 * and indefinite lengths, octet strings in pieces. Never throws for any bytes, and gives up where they make no sense.
 */

import { type Budget, OverBudget } from '../budget'

const oidPrefix = Buffer.from('2a864886f70d01', 'hex')
/** What follows the prefix: signedData, compressedData (RFC 3274), and what only the recipient opens. */
const kinds: readonly (readonly [kind: CmsKind, oid: string])[] = [
  ['signed', '0702'],
  ['compressed', '09100109'],
  ['encrypted', '0703'],
  ['encrypted', '0704'],
  ['encrypted', '0706'],
  ['encrypted', '09100117'],
]

export type CmsKind = 'signed' | 'compressed' | 'encrypted'

const tags = { end: 0x00, octets: 0x04, sequence: 0x30, octetsInPieces: 0x24, explicit: 0xa0 }
/** Where the content lies, from the outside: the message, its body, the data in it, the content of that. */
const way = [tags.sequence, tags.explicit, tags.sequence, tags.sequence, tags.explicit]
/** Of the data: version and algorithms come before the content. */
const [dataDepth, elementsBefore] = [3, 2]
/** Elements within elements; a signed message has a dozen. */
const maxDepth = 64
/** Elements between two looks at the clock. */
const elementsPerTurn = 1024
/** Bytes of a length that is said in more than one, at most; most of them are zeros, which OpenSSL passes over. */
const maxLengthBytes = 126
/** Of those, that count: more than that is no file. */
const maxCountedBytes = 6
/** Bytes from the beginning in which the kind is told: behind the longest lengths of message and identifier. */
const headBytes = 2 * (2 + maxLengthBytes) + 16

interface Element {
  readonly tag: number
  readonly from: number
  /** Behind the content; of an indefinite length, of everything that is left. */
  readonly to: number
  readonly isIndefinite: boolean
}

/** Null: no such message. */
export function cmsKind(content: Buffer): CmsKind | null {
  if (content[0] !== tags.sequence) return null
  const head = content.subarray(0, headBytes)
  const at = head.indexOf(oidPrefix)
  if (at < 2) return null
  const rest = head.toString('hex', at + oidPrefix.length, at + oidPrefix.length + 4)
  return kinds.find(([, oid]) => rest.startsWith(oid))?.[0] ?? null
}

/**
 * What a signed or a compressed message holds; of the latter, as it is compressed. Every element is looked at once.
 * @throws OverBudget
 */
export async function cmsContent(content: Buffer, budget: Budget): Promise<Buffer | null> {
  const walk = new Walk(content)
  for (let count = 1; walk.next(); count++) if (count % elementsPerTurn === 0) await budget.breathe()
  return walk.found
}

/** Of an element that has been entered: those within so far, and how far it is on the way. */
interface Open {
  readonly element: Element
  children: number
  /** Elements of the way that are open, this one counted; 0: it is another one. */
  readonly steps: number
}

class Walk {
  readonly #open: Open[] = []
  readonly #octets: Buffer
  #octetBytes = 0
  #hasOctets = false
  #at = 0

  constructor(private readonly bytes: Buffer) {
    this.#octets = Buffer.allocUnsafe(bytes.length)
  }

  get found(): Buffer | null {
    return this.#hasOctets ? this.#octets.subarray(0, this.#octetBytes) : null
  }

  /** Goes on by an element. @returns false: that was all, or all that matters @throws OverBudget */
  next(): boolean {
    for (let around = this.#open.at(-1); around && this.#at >= around.element.to; around = this.#open.at(-1))
      if (!this.#leave()) return false
    const around = this.#open.at(-1)
    const element = elementAt(this.bytes, this.#at, around?.element.to ?? this.bytes.length)
    if (element === null) return false
    if (around?.element.isIndefinite && element.tag === tags.end && element.to === element.from) {
      this.#at = element.to
      return this.#leave()
    }
    if (around) around.children++
    const steps = this.#stepsTo(element, around)
    if (steps > way.length && element.tag === tags.octets) this.#take(element)
    if (steps > 0 || element.isIndefinite) this.#enter(element, steps)
    else this.#at = element.to
    return true
  }

  /** Behind the way there are octet strings, and such in pieces. */
  #stepsTo({ tag }: Element, around: Open | undefined): number {
    const steps = around?.steps ?? 0
    if (around && steps === 0) return 0
    if (steps >= way.length) return tag === tags.octets || tag === tags.octetsInPieces ? steps + 1 : 0
    if (steps === dataDepth && (around?.children ?? 0) <= elementsBefore) return 0
    return tag === way[steps] ? steps + 1 : 0
  }

  #take({ from, to }: Element): void {
    this.#octetBytes += this.bytes.copy(this.#octets, this.#octetBytes, from, to)
    this.#hasOctets = true
  }

  #enter(element: Element, steps: number): void {
    this.#at = element.tag === tags.octets ? element.to : element.from
    if (element.tag === tags.octets) return
    if (this.#open.length === maxDepth) throw new OverBudget(`S/MIME of more than ${maxDepth} levels`)
    this.#open.push({ element, children: 0, steps })
  }

  /** @returns false: it was the content, behind which nothing matters */
  #leave(): boolean {
    return this.#open.pop()?.steps !== way.length || !this.#hasOctets
  }
}

function elementAt(bytes: Buffer, at: number, limit: number): Element | null {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return null
  if (first === 0x80) return { tag, from: at + 2, to: limit, isIndefinite: true }
  if (first < 0x80) return { tag, from: at + 2, to: Math.min(limit, at + 2 + first), isIndefinite: false }
  const count = first & 0x7f
  const from = at + 2 + count
  if (count > maxLengthBytes || from > limit) return null
  let lengthAt = at + 2
  while (lengthAt < from - 1 && bytes[lengthAt] === 0) lengthAt++
  if (from - lengthAt > maxCountedBytes) return null
  const length = bytes.readUIntBE(lengthAt, from - lengthAt)
  return { tag, from, to: Math.min(limit, from + length), isIndefinite: false }
}
