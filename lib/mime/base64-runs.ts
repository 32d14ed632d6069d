/*
 * Lines of base64 as nearly all programs write it: all of one length, and nothing but digits. Native code decodes many at
 * once; what is not like that takes its reader's own way.
 */

const [newline, carriageReturn, dash, equalsSign, underscore] = [10, 13, 45, 61, 95]

/** Bytes of text that are decoded in one go. */
export const runBytes = 64 * 1024

/**
 * Where such lines end, as far as their line ends show: what is within the lines may be anything.
 * @param length characters of each line; a multiple of four
 * @param lineEndBytes 2: CRLF, 1: LF
 */
export function endOfRun(bytes: Buffer, from: number, length: number, lineEndBytes: 1 | 2 = 2): number {
  const stride = length + lineEndBytes
  const maxEnd = Math.min(bytes.length, from + Math.floor(runBytes / stride) * stride)
  let end = from
  while (end + stride <= maxEnd && bytes[end + stride - 1] === newline) {
    if (lineEndBytes === 2 && bytes[end + length] !== carriageReturn) break
    end += stride
  }
  // The last line may have padding.
  return end > from && bytes[end - lineEndBytes - 1] === equalsSign ? end - stride : end
}

/**
 * @param digits how many there have to be: what is less is something else, which native code skips
 * @param out has room for all of it
 * @returns bytes decoded; -1: there is something else than digits and line ends
 */
export function decodeDigits(bytes: Buffer, from: number, to: number, digits: number, out: Buffer): number {
  const decoded = out.write(bytes.toString('latin1', from, to), 'base64')
  // Node takes `-` and `_` for digits as well, and ends at padding.
  const isAll = decoded === Math.floor((digits * 3) / 4) && !hasOneOf(bytes.subarray(from, to))
  return isAll ? decoded : -1
}

function hasOneOf(stretch: Buffer): boolean {
  return stretch.includes(dash) || stretch.includes(underscore) || stretch.includes(equalsSign)
}

export interface Run {
  /** Where the next line begins. */
  readonly end: number
  /** Bytes that are in `out` now. */
  readonly decoded: number
}

const scratch = Buffer.alloc(runBytes)

/**
 * Such lines from here on, decoded; a part of them if they are many.
 * @param out has room for three quarters of their bytes
 * @returns null: there are none
 */
export function takeRun(bytes: Buffer, from: number, out = scratch): Run | null {
  const lineEnd = bytes.indexOf(newline, from)
  if (lineEnd < 0) return null
  const lineEndBytes = bytes[lineEnd - 1] === carriageReturn ? 2 : 1
  const length = lineEnd + 1 - lineEndBytes - from
  if (length <= 0 || length % 4 !== 0 || length > runBytes / 2) return null
  const end = endOfRun(bytes, from, length, lineEndBytes)
  const lines = (end - from) / (length + lineEndBytes)
  const decoded = lines === 0 ? -1 : decodeDigits(bytes, from, end, lines * length, out)
  return decoded < 0 ? null : { end, decoded }
}
