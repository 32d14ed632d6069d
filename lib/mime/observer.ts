/*
 * What a reading of a message reports besides its contents: headers and file names.
 */

import type { ContentHeader } from './part-headers'

/** `where` is for a log: `part 3`. */
export interface ReadingObserver {
  /** Headers of a part, or of what some program would show as one. */
  headers(where: string, headers: readonly ContentHeader[]): void
  /** The name of a file within text, as it is written there; one character per byte. */
  fileName(where: string, name: string): void
  /** Something that may hide names. */
  trouble(where: string, what: string): void
}
