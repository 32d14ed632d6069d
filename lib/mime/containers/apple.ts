/*
 * Files as Apple's programs wrap them: AppleSingle and AppleDouble (RFC 1740), MacBinary. Their data fork is what is saved on
 * any other system.
 */

export interface DataFork {
  readonly bytes: Buffer
  /** Of the file, one character per byte; empty: it has none here. */
  readonly name: string
}

/** AppleSingle, and AppleDouble, which should hold all but the data fork. */
const magics = [0x00051600, 0x00051607]
const entriesAt = 26
const entryBytes = 12
/** Numbers of entries: data fork, name. */
const entryIds = { data: 1, name: 3 }

/** Never throws for any bytes; what lies outside of the content is left out. */
export function* appleFiles(content: Buffer): Generator<DataFork> {
  if (content.length < entriesAt) return
  if (magics.includes(content.readUInt32BE(0))) yield* appleSingle(content)
  else if (startsAsMacBinary(content)) yield macBinary(content)
}

function* appleSingle(content: Buffer): Generator<DataFork> {
  const end = Math.min(content.length, entriesAt + entryBytes * content.readUInt16BE(entriesAt - 2))
  let name = ''
  // Names first, as entries may come in any order.
  for (const wanted of [entryIds.name, entryIds.data]) {
    for (let at = entriesAt; at + entryBytes <= end; at += entryBytes) {
      if (content.readUInt32BE(at) !== wanted) continue
      const from = content.readUInt32BE(at + 4)
      const bytes = content.subarray(from, from + content.readUInt32BE(at + 8))
      if (wanted === entryIds.name) name = bytes.toString('latin1', 0, maxNameBytes)
      else if (bytes.length > 0) yield { bytes, name }
    }
  }
}

const maxNameBytes = 255
const macBinaryBytes = 128
const [macNameAt, macDataLengthAt] = [2, 83]
/** Bytes that are NUL in every MacBinary header: version, and two that fill up. */
const nulsAt = [0, 74, 82]
/** Of a file on the first Macintosh. */
const maxMacNameBytes = 63

/** Whether it may be one of them. @param head its first bytes, at least 64 of a longer one */
export function beginsAsApple(head: Buffer): boolean {
  return head.length >= entriesAt && (magics.includes(head.readUInt32BE(0)) || beginsAsMacBinary(head))
}

/** A name without controls right behind a NUL and its length is what no common file begins with. */
function beginsAsMacBinary(head: Buffer): boolean {
  const length = head[macNameAt - 1] ?? 0
  if (head[0] !== 0 || length === 0 || length > maxMacNameBytes) return false
  return head.subarray(macNameAt, macNameAt + length).every((byte) => byte >= 0x20 && byte !== 0x7f)
}

function startsAsMacBinary(content: Buffer): boolean {
  if (content.length <= macBinaryBytes || nulsAt.some((at) => content[at] !== 0)) return false
  return content.readUInt32BE(macDataLengthAt) > 0 && beginsAsMacBinary(content)
}

function macBinary(content: Buffer): DataFork {
  const length = content.readUInt32BE(macDataLengthAt)
  return {
    bytes: content.subarray(macBinaryBytes, macBinaryBytes + length),
    name: content.toString('latin1', macNameAt, macNameAt + (content[macNameAt - 1] ?? 0)),
  }
}
