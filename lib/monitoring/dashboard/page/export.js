// @ts-check
/*
 * Saves a list as CSV (RFC 4180) or JSON.
 */

/** Spreadsheets take a cell that begins so for a formula, and strangers choose what is in it. */
const formula = /^[\s\p{Cc}]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]/u

/** @param {unknown} value */
export function csvCell(value) {
  const text = Array.isArray(value) ? value.join(' ') : String(value ?? '')
  const isNumber = typeof value === 'number'
  const safe = !isNumber && formula.test(text) ? `'${text}` : text
  return `"${safe.replaceAll('"', '""')}"`
}

/** The columns are the fields of the first; times are written as ISO 8601. @param {readonly object[]} entries */
export function csvOf(entries) {
  const names = Object.keys(entries[0] ?? {})
  const lines = entries.map((entry) =>
    names.map((name) => {
      const value = /** @type {Record<string, unknown>} */ (entry)[name]
      return csvCell(name === 'time' ? new Date(Number(value)).toISOString() : value)
    }),
  )
  // With the mark, spreadsheets read it as UTF-8.
  return `\ufeff${[names.map(csvCell), ...lines].map((cells) => `${cells.join(',')}\r\n`).join('')}`
}

/** @param {string} name @param {readonly object[]} entries */
export function saveCsv(name, entries) {
  save(name, 'text/csv', csvOf(entries))
}

/** @param {string} name @param {readonly object[]} entries */
export function saveJson(name, entries) {
  save(name, 'application/json', `${JSON.stringify(entries, null, 2)}\n`)
}

/** @param {string} name @param {string} type @param {string} text */
function save(name, type, text) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
