/*
 * Patterns with `*` and `?` against text that a stranger chose. Not a regular expression: no text must cost more
 * than its length times that of the pattern.
 */

/** Whether the whole text fits: `*` stands for any characters, `?` for one. Case matters. */
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

/** @param pattern in small letters, with `*` and `?`; so must be the names it is asked about */
export function matcherOf(pattern: string): (text: string) => boolean {
  const body = pattern.slice(1)
  if (pattern.startsWith('*') && !/[*?]/.test(body)) return (name) => name.endsWith(body)
  if (!/[*?]/.test(pattern)) return (name) => name === pattern
  return (name) => fitsWildcards(name, pattern)
}
