/*
 * Bytes that tell a file wherever they lie in it: those who read a mail as it is sent look for them, and those who open files.
 */

/** RAR archives also lie behind programs that unpack them. */
export const rarMark = Buffer.from('Rar!\x1a\x07', 'latin1')

/** Of disk images that may begin with anything: somewhere in their last bytes, which are as many as this. */
export const footers = [
  { type: 'vhd', mark: Buffer.from('conectix') },
  { type: 'dmg', mark: Buffer.from('koly') },
]
export const footerBytes = 512
/** Bytes at the end of a file that may tell its type: of a footer, and of a line end that the message has put there. */
export const endBytes = footerBytes + 2
