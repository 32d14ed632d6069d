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
export function displayForms(raw: string): Set<string> {
  if (plainName.test(raw) && raw.length <= longest) return new Set([raw.toLowerCase()])
  const forms = new Set<string>()
  const nul = raw.indexOf('\0')
  // To many a program a name ends at its first NUL.
  for (const name of nul < 0 ? [raw] : [raw, raw.slice(0, nul)])
    for (const piece of ends(name)) for (const text of unfolded(piece)) addForms(forms, text)
  return forms
}

/** A name, or both ends of one that is too long: where it is cut, depends on the program. */
function ends(name: string): string[] {
  return name.length > longest ? [name.slice(-longest), name.slice(0, longest)] : [name]
}

/** One line for log and note: cleaned, path and all, at most 255 characters. */
export function nameForLog(raw: string): string {
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

/** Without what says no more than "here" at the end: `a.exe/`, `a.exe/./.`. */
function lastComponent(path: string): string {
  let end = path.length
  while (isSlash(path[end - 1]) || (path[end - 1] === '.' && isSlash(path[end - 2]))) end--
  const trimmed = path.slice(0, end)
  return trimmed.slice(Math.max(trimmed.lastIndexOf('/'), trimmed.lastIndexOf('\\')) + 1)
}

function isSlash(character: string | undefined): boolean {
  return character === '/' || character === '\\'
}

/** By hand: a regular expression would take the square of a long run of spaces. */
function trimEdges(name: string): string {
  let from = 0
  let to = name.length
  while (from < to && edge.has(name.charAt(from))) from++
  while (to > from && (edge.has(name.charAt(to - 1)) || name.charAt(to - 1) === '.')) to--
  return name.slice(from, to)
}
