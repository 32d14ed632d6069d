/*
 * The result of reading one message: its names, the first file that a mask denies, and why names may be missing.
 */

import { type ContentHeader, mediaTypesOf } from '../mime/part-headers'
import { type Name, namesOf } from './filenames'
import { fittingMask, type Mask } from './masks'
import { displayForms, nameForLog } from './normalize'

export interface Inspected {
  /** The first denied file; reading ends there. Its name as far as there is one. */
  readonly denied: { readonly mask: string; readonly name: string } | null
  /** Why there may be names that were not read, and where; null when all were. */
  readonly unreadable: string | null
  /** Every name seen, cleaned for a log, each once; the first 1000. */
  readonly names: readonly string[]
}

/** A file as far as it is known: what is left out has been told, or will be. */
export interface FoundFile {
  readonly names: readonly Name[]
  readonly types?: ReadonlySet<string>
  readonly contentTypes?: readonly string[]
  /** What it lies in. */
  readonly kinds?: readonly string[]
}

const maxNamesKept = 1000
const none: readonly string[] = []
const noTypes: ReadonlySet<string> = new Set()
/** What a packing program adds: unpacked, `invoice.scr.xz` is `invoice.scr`. */
const packingSuffix = /(?<=.)\.(?:gz|bz2|xz|zst|lzma|lz|lz4|br|z)[ .]*$/i

/** Takes nothing after the first denied file. */
export class Findings {
  readonly #names = new Set<string>()
  #nameCount = 0
  #denied: Inspected['denied'] = null
  #unreadable: string | null = null

  /** @param maxInParts maximum number of names outside of archives, which have their own limit */
  constructor(
    private readonly deny: readonly Mask[],
    private readonly allow: readonly Mask[],
    private readonly maxInParts: number,
    private readonly onDenied: () => void,
  ) {}

  get outcome(): Inspected {
    return { denied: this.#denied, unreadable: this.#unreadable, names: [...this.#names] }
  }

  get isDenied(): boolean {
    return this.#denied !== null
  }

  /** There are more names than are looked at. */
  get isFull(): boolean {
    return this.#nameCount > this.maxInParts
  }

  /** Something that may hide names; the first counts. */
  trouble(where: string, what: string): void {
    if (!this.#denied) this.#unreadable ??= `${where}: ${what}`
  }

  /** Names and types in the headers of a part. @returns the names */
  headers(
    headers: readonly ContentHeader[],
    where: string,
    contentTypes: readonly string[] = mediaTypesOf(headers),
  ): readonly Name[] {
    const { names, complete } = namesOf(headers)
    for (const name of names) this.nameInPart(name, where)
    this.file({ names, contentTypes })
    if (!complete) this.trouble(where, 'too many names in one header, or too long ones')
    return names
  }

  /** @returns whether others would be looked at */
  nameInPart(name: Name, where: string): boolean {
    if (++this.#nameCount <= this.maxInParts) this.file({ names: [name] })
    else this.trouble(where, `more than ${this.maxInParts} names`)
    return !this.#denied && this.#nameCount <= this.maxInParts
  }

  /**
   * Denied by one reading of one name, or by what it is unless each of its names is allowed.
   * @returns whether the message is denied
   */
  file(found: FoundFile): boolean {
    this.#see(found)
    return this.isDenied
  }

  #see({ names, types = noTypes, contentTypes = none, kinds = none }: FoundFile): void {
    let areAllowed = names.length > 0
    for (const name of names) {
      if (this.#denied) return
      if (this.#names.size < maxNamesKept) this.#names.add(nameForLog(name[0]))
      for (const reading of withoutPacking(name)) {
        const traits = { names: [...displayForms(reading)], types: noTypes, contentTypes: none, kinds }
        if (fittingMask(this.allow, traits)) continue
        areAllowed = false
        if (this.#deny(fittingMask(this.deny, traits), reading)) return
      }
    }
    if (areAllowed || (types.size === 0 && contentTypes.length === 0)) return
    const traits = { names: none, types, contentTypes, kinds }
    if (!fittingMask(this.allow, traits))
      this.#deny(fittingMask(this.deny, traits), names[0]?.[0] ?? '(no name)')
  }

  #deny(mask: Mask | null, name: string): boolean {
    if (!mask) return false
    this.#denied = { mask: mask.text, name: nameForLog(name) }
    this.#names.add(this.#denied.name)
    this.onDenied()
    return true
  }
}

function* withoutPacking(name: Name): Generator<string> {
  for (const reading of name) {
    yield reading
    const unpacked = reading.slice(-64).replace(packingSuffix, '')
    const cut = Math.min(64, reading.length) - unpacked.length
    if (cut > 0) yield reading.slice(0, reading.length - cut)
  }
}
