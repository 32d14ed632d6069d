/*
 * One name as it was written, and the names a file would have once a mail program or a file system is done
 * with it: compatibility forms, invisible characters, quotes, paths, what is cut from the end.
 */

/** Longest name in characters that is looked at; file systems stop far below. */
const longest = 1024

const plainName = /^[\w()[\]{}+,\-!@#$^&=~][\w()[\]{}+,\-!@#$^&=~. ]*(?<![. ])$/
// eslint-disable-next-line no-control-regex
const invisible = /[\x00-\x1f\x7f-\x9f]|\p{Default_Ignorable_Code_Point}|\p{Bidi_Control}|[\p{Zl}\p{Zp}]/gu
/** Cut from the end: what Windows drops, and what no file name can hold. */
const edge = new Set(' \t\u1680"\'`“”„‘’‚«»‹›<>?*|')

/** All forms of a name, in small letters, for masks to be held against. */
export function shownForms(raw: string): Set<string> {
  if (plainName.test(raw) && raw.length <= longest) return new Set([raw.toLowerCase()])
  const forms = new Set<string>()
  for (const name of unfolded(raw.length > longest ? raw.slice(-longest) : raw)) {
    const nul = name.indexOf('\0')
    for (const text of nul < 0 ? [name] : [name, name.slice(0, nul)]) addForms(forms, text)
  }
  return forms
}

/** One line for log and note: cleaned, path and all, at most 255 characters. */
export function printable(raw: string): string {
  const text = visible(raw.slice(0, longest).replaceAll('\n', ' '))
  return text.length > 255 ? `${text.slice(0, 254)}…` : text
}

function addForms(forms: Set<string>, name: string): void {
  forms.add(name.toLowerCase())
  const clean = visible(name)
  // An alternate data stream of NTFS: written to `evil.exe:$DATA`, it is `evil.exe`.
  for (const text of [clean, clean.replace(/:{1,4}(?:(?:[^:]{0,64}:)?\$DATA)?$/i, '')]) {
    const whole = trimEdges(text)
    forms.add(whole.toLowerCase())
    forms.add(trimEdges(lastComponent(whole)).toLowerCase())
    if (/["']/.test(whole)) forms.add(trimEdges(whole.replace(/["']/g, '')).toLowerCase())
  }
}

/** A fold, of which part-headers.ts leaves `\n`, stands for a space or for nothing. */
function unfolded(name: string): string[] {
  if (!name.includes('\n')) return [name]
  return [name.replaceAll('\n', ' '), name.replaceAll('\n', '')]
}

function visible(name: string): string {
  return name.normalize('NFKC').replace(invisible, '')
}

function lastComponent(path: string): string {
  const trimmed = path.replace(/[/\\]{1,64}$/, '')
  return trimmed.slice(Math.max(trimmed.lastIndexOf('/'), trimmed.lastIndexOf('\\')) + 1)
}

/** By hand: a regular expression would take the square of a long run of spaces. */
function trimEdges(name: string): string {
  let from = 0
  let to = name.length
  while (from < to && edge.has(name.charAt(from))) from++
  while (to > from && (edge.has(name.charAt(to - 1)) || name.charAt(to - 1) === '.')) to--
  return name.slice(from, to)
}
