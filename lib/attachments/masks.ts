/*
 * The items of `[attachments] deny` and `allow`: masks as James' AttachmentFileNameIs has them (`*.exe`, `setup*`,
 * `invoice.doc`), regular expressions, types of files, Content-Types; each also for files within archives alone.
 * Takes names in the forms of normalize.ts.
 */

import { Invalid } from '../base/invalid'
import { linearRegExp } from '../base/linear-regexp'
import { matcherOf } from '../base/wildcards'
import { containerTypes, typeNames } from './file-types'

export interface Mask {
  /** As written in the setting. */
  readonly text: string
  readonly of: 'name' | 'type' | 'content-type'
  /** What the file has to lie in: `archive`, or a kind of it; null: it need not lie in anything. */
  readonly inside: string | null
  /** @param text in small letters; of names, as displayForms gives them */
  readonly matches: (text: string) => boolean
}

/** What is known of one file, or of one name of it. */
export interface Traits {
  /** Forms of one reading of its name. */
  readonly names: readonly string[]
  readonly types: ReadonlySet<string>
  readonly contentTypes: readonly string[]
  /** What it lies in; empty: it is attached by itself. */
  readonly kinds: readonly string[]
}

/** A regular expression with its blanks, or what has none. */
const items = /(?<=^|[\s,;])\/(?:\\.|[^\\/])+\/(?=[\s,;]|$)|[^\s,;]+/g

/**
 * Reads items separated by spaces, commas or semicolons. In masks `*` stands for any characters, `?` for one; without either
 * the whole name must be the same. Not case-sensitive. `*.com` fits `report for example.com`, as in James.
 * @returns Invalid: the first that is wrong, and why
 */
export function parseMasks(setting: string): Mask[] | Invalid {
  const masks: Mask[] = []
  let inside: string | null = null
  for (const [word] of setting.matchAll(items)) {
    const kind = /^in:(.*)$/i.exec(word)?.[1]?.toLowerCase()
    if (kind !== undefined) {
      if (inside !== null) return new Invalid(`in:${inside} needs a mask behind it`)
      if (!insideKinds.has(kind)) return new Invalid(`${word} is no kind of archive`)
      inside = kind
      continue
    }
    const mask = maskOf(word, inside)
    if (mask instanceof Invalid) return mask
    masks.push(mask)
    inside = null
  }
  return inside === null ? masks : new Invalid(`in:${inside} needs a mask behind it`)
}

const insideKinds = new Set([...containerTypes, 'docx', 'xlsx', 'pptx', 'odf', 'jar'])

function maskOf(word: string, inside: string | null): Mask | Invalid {
  const text = inside === null ? word : `in:${inside} ${word}`
  const [, prefix, value = ''] = /^(type|content-type):(.*)$/i.exec(word) ?? []
  if (prefix?.toLowerCase() === 'type') {
    const type = value.toLowerCase()
    return typeNames.has(type)
      ? { text, of: 'type', inside, matches: (name) => name === type }
      : new Invalid(`${word} is no known type`)
  }
  if (prefix !== undefined) {
    if (!/^[\w.+*?-]+\/[\w.+*?-]+$/.test(value)) return new Invalid(`${word}: a Content-Type is TYPE/SUBTYPE`)
    return { text, of: 'content-type', inside, matches: matcherOf(value.toLowerCase()) }
  }
  if (word.startsWith('/')) {
    if (word.length < 3 || !word.endsWith('/')) return new Invalid(`${word}: a regular expression ends in /`)
    const matches = linearRegExp(word.slice(1, -1))
    return matches instanceof Invalid
      ? new Invalid(`${word}: ${matches.why}`)
      : { text, of: 'name', inside, matches }
  }
  // Probably an extension is meant: the mask matches only a file of exactly that name.
  if (/^\.[^*?]*$/.test(word)) return new Invalid(`did you mean *${word}?`)
  if (/^[a-z0-9]{2,4}$/i.test(word)) return new Invalid(`did you mean *.${word}?`)
  if (!/^[^"'<>/\\#:]{1,64}$/.test(word)) return new Invalid(word)
  return { text, of: 'name', inside, matches: matcherOf(word.normalize('NFKC').toLowerCase()) }
}

/** The first mask, in the order of the setting, that fits. */
export function fittingMask(
  masks: readonly Mask[],
  { names, types, contentTypes, kinds }: Traits,
): Mask | null {
  const fits = ({ of, inside, matches }: Mask) => {
    if (inside !== null && !kinds.includes(inside)) return false
    if (of === 'name') return names.some(matches)
    return of === 'type' ? [...types].some(matches) : contentTypes.some(matches)
  }
  return masks.find(fits) ?? null
}
