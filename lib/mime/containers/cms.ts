/*
 * S/MIME messages (RFC 5652): what a signed one holds, and whether it is closed. Reads BER as far as it has to: definite
 * and indefinite lengths, octet strings in pieces. Never throws, and gives up where the bytes make no sense.
 */

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

const tags = { octets: 0x04, sequence: 0x30, octetsInPieces: 0x24, explicit: 0xa0 }
/** Elements within elements. */
const maxDepth = 16
/** Bytes from the beginning in which the kind is told. */
const headBytes = 64

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

/** What a signed or a compressed message holds; of the latter, as it is compressed. */
export function cmsContent(content: Buffer): Buffer | null {
  const message = elementAt(content, 0, content.length)
  const body = message && first(content, message, tags.explicit)
  const data = body && first(content, body, tags.sequence)
  // Version, algorithms, content.
  const info = data && [...children(content, data)].slice(2).find(({ tag }) => tag === tags.sequence)
  const wrapped = info && first(content, info, tags.explicit)
  if (!wrapped) return null
  const pieces = [...children(content, wrapped)].flatMap((element) => octets(content, element, 0))
  return pieces.length === 0 ? null : Buffer.concat(pieces)
}

function first(bytes: Buffer, parent: Element, tag: number): Element | null {
  for (const child of children(bytes, parent)) if (child.tag === tag) return child
  return null
}

function octets(bytes: Buffer, element: Element, depth: number): Buffer[] {
  if (element.tag === tags.octets) return [bytes.subarray(element.from, element.to)]
  if (element.tag !== tags.octetsInPieces || depth === maxDepth) return []
  return [...children(bytes, element)].flatMap((piece) => octets(bytes, piece, depth + 1))
}

function* children(bytes: Buffer, parent: Element): Generator<Element> {
  for (let at = parent.from; at < parent.to;) {
    const child = elementAt(bytes, at, parent.to)
    // The last is the end of an indefinite length.
    if (child === null || (child.tag === 0 && child.to === child.from)) return
    yield child
    at = endOf(bytes, child, 0)
  }
}

/** Behind the element, and behind the mark that ends one of indefinite length. */
function endOf(bytes: Buffer, element: Element, depth: number): number {
  if (!element.isIndefinite) return element.to
  let at = element.from
  while (at < element.to && depth < maxDepth) {
    const child = elementAt(bytes, at, element.to)
    if (child === null) break
    if (child.tag === 0 && child.to === child.from) return child.to
    at = endOf(bytes, child, depth + 1)
  }
  return element.to
}

function elementAt(bytes: Buffer, at: number, limit: number): Element | null {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return null
  if (first === 0x80) return { tag, from: at + 2, to: limit, isIndefinite: true }
  if (first < 0x80) return { tag, from: at + 2, to: Math.min(limit, at + 2 + first), isIndefinite: false }
  const count = first & 0x7f
  if (count > 6 || at + 2 + count > limit) return null
  const length = bytes.readUIntBE(at + 2, count)
  const from = at + 2 + count
  return { tag, from, to: Math.min(limit, from + length), isIndefinite: false }
}
