/*
 * The lines of clamav-stream.signatures and clamav-stream.exempt: where an entry is, and where a comment. What an entry
 * says is read in signatures.ts and exemptions.ts.
 */

/** Without the comment, which `#` begins, as `;` does in front of a line. Empty: the line has no entry. */
export function entryIn(line: string): string {
  return line.replace(/(^|\s)#.*$|^\s*;.*$/, '').trim()
}
