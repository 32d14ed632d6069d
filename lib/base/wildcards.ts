/*
 * Matches patterns with `*` and `?` against untrusted text. A regular expression could take exponential time; this takes at
 * most the product of both lengths.
 */

/** True if the whole text matches: `*` stands for any characters, `?` for one. Case-sensitive. */
export function fitsWildcards(text: string, pattern: string): boolean {
  let [at, next] = [0, 0]
  let star = -1
  let retry = 0
  while (at < text.length) {
    if (pattern[next] === '*') {
      star = next++
      retry = at
    } else if (pattern[next] === '?' || pattern[next] === text[at]) {
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

/** @param pattern in lower case, with `*` and `?`; the names must be in lower case, too */
export function matcherOf(pattern: string): (text: string) => boolean {
  const body = pattern.slice(1)
  if (pattern.startsWith('*') && !/[*?]/.test(body)) return (name) => name.endsWith(body)
  if (!/[*?]/.test(pattern)) return (name) => name === pattern
  return (name) => fitsWildcards(name, pattern)
}
