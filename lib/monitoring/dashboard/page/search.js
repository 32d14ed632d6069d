// @ts-check
/*
 * View and search in the hash of the address, as in `#messages?q=invoice&kind=infected`: a link to what is on the screen.
 */

/** @returns {{ view: string, search: URLSearchParams }} */
export function readHash() {
  const [view = '', search = ''] = location.hash.slice(1).split(/\?(.*)/s)
  return { view, search: new URLSearchParams(search) }
}

/** Without an entry in the history: searching is not going elsewhere. @param {string} view @param {URLSearchParams} search */
export function writeHash(view, search) {
  const hash = hashOf(view, search)
  if (hash !== location.hash) history.replaceState(null, '', hash)
}

/** @param {string} view @param {URLSearchParams | Record<string, string>} search */
export function hashOf(view, search) {
  const given = new URLSearchParams(search)
  for (const [name, value] of [...given]) if (value === '') given.delete(name)
  const text = given.toString()
  return `#${view}${text ? `?${text}` : ''}`
}

/** All words have to be there. @param {string} text @param {string} words */
export function hasWords(text, words) {
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word))
}

/** All values of an object in one string, in lower case. @param {object} entry @returns {string} */
export function allText(entry) {
  const texts = Object.values(entry)
    .flat()
    .filter((value) => value !== null)
  return texts.join('\n').toLowerCase()
}
