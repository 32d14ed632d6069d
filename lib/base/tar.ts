/*
 * Tar archives, which every clamd opens.
 */

/** Every file is padded to whole blocks. */
export const tarBlockBytes = 512

export const tarEnd = Buffer.alloc(2 * tarBlockBytes)

/** POSIX 1003.1, ustar: a header block, then the content, padded to whole blocks. */
export function tarFile(name: string, content: Buffer): Buffer {
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`
  const header = Buffer.alloc(tarBlockBytes)
  header.write(name)
  header.write(octal(0o644, 7), 100)
  header.write(octal(content.length, 11), 124)
  header.write(octal(0, 11), 136)
  // The checksum counts its own field as spaces.
  header.write(' '.repeat(8), 148)
  header.write('0', 156)
  header.write('ustar\0' + '00', 257)
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )} `,
    148,
  )
  return Buffer.concat([header, content, Buffer.alloc(-content.length & (tarBlockBytes - 1))])
}

const [checksumAt, checksumBytes] = [148, 8]

/** Its first header has a checksum, in which it counts itself as blanks; older ones have no mark. */
export function isTar(head: Buffer): boolean {
  if (head.length < tarBlockBytes) return false
  const checksum = /^[ 0]*([0-7]{2,7})[ \0]/.exec(
    head.toString('latin1', checksumAt, checksumAt + checksumBytes),
  )?.[1]
  if (checksum === undefined) return false
  let sum = 0
  for (let at = 0; at < tarBlockBytes; at++)
    sum += at >= checksumAt && at < checksumAt + checksumBytes ? 0x20 : (head[at] ?? 0)
  return sum === parseInt(checksum, 8)
}
