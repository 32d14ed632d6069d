/*
 * What is seen in an archive.
 */

import type { Budget } from '../../mime/budget'
import type { Name } from '../filenames'

/** Where in a message a file lies. */
export interface Place {
  /** Names of the archives around it, the outermost first, without the attachment itself. */
  readonly within: readonly string[]
  /** What the innermost of them is: `archive`, and its types, such as `zip`, `docx`, `disk-image`. Empty: it lies in none. */
  readonly kinds: readonly string[]
}

/** A name, what the file of a name is (null: it has none of its own), or why there may be files that were not seen. */
export type Sighting =
  | { readonly name: Name; readonly place: Place }
  | { readonly types: ReadonlySet<string>; readonly of: Name | null; readonly place: Place }
  | { readonly unreadable: string; readonly within: readonly string[] }

/** All files in a file that may be an archive. Throws OverBudget, or with the budget's signal. */
export type LookInside = (
  content: Buffer,
  budget: Budget,
  within: readonly string[],
) => AsyncGenerator<Sighting>
