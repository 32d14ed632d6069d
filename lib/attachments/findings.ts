/*
 * The result of reading one message: its names, the first one that a mask denies, and why names may be missing.
 */

import type { Name } from './filenames'
import { deniedBy, type Mask } from './masks'
import { displayForms, nameForLog } from './normalize'

export interface Inspected {
  /** The first denied name; reading ends there. */
  readonly denied: { readonly mask: string; readonly name: string } | null
  /** Why there may be names that were not read, and where; null when all were. */
  readonly unreadable: string | null
  /** Every name seen, cleaned for a log, each once; the first 1000. */
  readonly names: readonly string[]
}

const maxNamesKept = 1000

/** Takes nothing after the first denied name. */
export class Findings {
  readonly #names = new Set<string>()
  #nameCount = 0
  #denied: Inspected['denied'] = null
  #unreadable: string | null = null

  /** @param maxInParts maximum number of names outside of archives, which have their own limit */
  constructor(
    private readonly masks: readonly Mask[],
    private readonly maxInParts: number,
    private readonly onDenied: () => void,
  ) {}

  get outcome(): Inspected {
    return { denied: this.#denied, unreadable: this.#unreadable, names: [...this.#names] }
  }

  /** Something that may hide names; the first counts. */
  trouble(where: string, what: string): void {
    if (!this.#denied) this.#unreadable ??= `${where}: ${what}`
  }

  /** @returns whether others would be looked at */
  nameInPart(name: Name, where: string): boolean {
    if (++this.#nameCount <= this.maxInParts) this.name(name)
    else this.trouble(where, `more than ${this.maxInParts} names`)
    return !this.#denied && this.#nameCount <= this.maxInParts
  }

  name(name: Name): void {
    if (this.#denied) return
    if (this.#names.size < maxNamesKept) this.#names.add(nameForLog(name[0]))
    for (const reading of name) {
      const mask = deniedBy(this.masks, displayForms(reading))
      if (!mask) continue
      this.#denied = { mask: mask.text, name: nameForLog(reading) }
      this.#names.add(this.#denied.name)
      this.onDenied()
      return
    }
  }
}
