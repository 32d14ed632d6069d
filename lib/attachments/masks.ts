/*
 * The masks of `[attachments] deny`, those of James' AttachmentFileNameIs: `*.exe`, `setup*`, `invoice.doc`.
 * Which names a part or an archive has is found out elsewhere; here a name is a string, already cleaned.
 */

export interface Mask {
  /** As written in the setting. */
  readonly text: string
  /** Whether a name in small letters, as shownForms gives it, fits. */
  matches(name: string): boolean
}

/**
 * Reads masks separated by spaces or commas. `*` stands for any characters, `?` for one; without either the
 * whole name must be the same. Not case-sensitive. `*.com` fits `report for example.com`, as in James.
 */
export function parseMasks(setting: string): Mask[] {
  return setting
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((text) => ({ text, matches: matcherOf(text.normalize('NFKC').toLowerCase()) }))
}

/** The first mask, in the order of the setting, that any of the names fits. */
export function deniedBy(masks: readonly Mask[], names: Iterable<string>): Mask | null {
  const forms = [...names]
  return masks.find((mask) => forms.some((name) => mask.matches(name))) ?? null
}

/** @param pattern in small letters, with `*` and `?`; so must be the names it is asked about */
export function matcherOf(pattern: string): Mask['matches'] {
  const body = pattern.slice(1)
  if (pattern.startsWith('*') && !/[*?]/.test(body)) return (name) => name.endsWith(body)
  if (!/[*?]/.test(pattern)) return (name) => name === pattern
  return (name) => matchesWildcards(name, pattern)
}

/** Not a regular expression: a name chosen by a sender must not cost more than name times mask. */
function matchesWildcards(name: string, pattern: string): boolean {
  let [at, next] = [0, 0]
  let star = -1
  let retry = 0
  while (at < name.length) {
    if (pattern[next] === '*') {
      star = next++
      retry = at
    } else if (pattern[next] === '?' || pattern[next] === name[at]) {
      at++
      next++
    } else if (star >= 0) {
      next = star + 1
      at = ++retry
    } else {
      return false
    }
  }
  while (pattern[next] === '*') next++
  return next === pattern.length
}
