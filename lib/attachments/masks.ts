/*
 * The masks of `[attachments] deny`, those of James' AttachmentFileNameIs: `*.exe`, `setup*`, `invoice.doc`.
 * Takes names in the forms of normalize.ts.
 */

import { matcherOf } from '../base/wildcards'

export interface Mask {
  /** As written in the setting. */
  readonly text: string
  /** Whether a name in small letters, as displayForms gives it, fits. */
  matches(name: string): boolean
}

/**
 * Reads masks separated by spaces, commas or semicolons. `*` stands for any characters, `?` for one; without either the
 * whole name must be the same. Not case-sensitive. `*.com` fits `report for example.com`, as in James.
 */
export function parseMasks(setting: string): Mask[] {
  return setting
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map((text) => ({ text, matches: matcherOf(text.normalize('NFKC').toLowerCase()) }))
}

/** The first mask, in the order of the setting, that any of the names fits. */
export function deniedBy(masks: readonly Mask[], names: Iterable<string>): Mask | null {
  const forms = [...names]
  return masks.find((mask) => forms.some((name) => mask.matches(name))) ?? null
}
