/*
 * What a daemon says of itself in answer to VERSION.
 */

/** As in `ClamAV 1.4.6/27500/Sun Nov 22 08:00:00 2026`. Plain JSON. */
export interface Engine {
  /** `ClamAV 1.4.6` */
  readonly release: string
  /** `builtMs`: milliseconds since the epoch. */
  readonly signatures: { readonly number: number; readonly builtMs: number } | null
  /** The whole line, printable. */
  readonly line: string
}
