// @ts-check
/*
 * Elements, and how times, sizes and numbers are written. Every string is inserted as text, never as HTML.
 */

export const dayMs = 24 * 60 * 60 * 1000

const wholes = new Intl.NumberFormat()
const percents = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 0 })
const clocks = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const days = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' })

/** @param {string} id */
export function place(id) {
  const found = document.getElementById(id)
  if (!found) throw new Error(`no ${id}`)
  return found
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

/** @param {string} label @param {() => void} act */
export function button(label, act, attributes = {}) {
  const made = element('button', { type: 'button', ...attributes }, label)
  made.addEventListener('click', act)
  return made
}

/** Text from a message, isolated so that its writing direction cannot affect the page. @param {string} text */
export const foreign = (text) => element('bdi', {}, text)

/** The same, for where it may take several lines: they end after a dot or a dash, not inside a word. @param {string} text */
export function breakable(text) {
  const pieces = text.split(/(?<=[.@_/:,-])/)
  return element(
    'bdi',
    {},
    ...pieces.flatMap((piece, at) => (at === 0 ? [piece] : [element('wbr', {}), piece])),
  )
}

/** For a list of terms; fields without a value are left out. @param {readonly [string, string | Node | null][]} fields */
export const rowsOf = (fields) =>
  fields.flatMap(([name, value]) =>
    value
      ? [element('dt', {}, name), element('dd', {}, typeof value === 'string' ? breakable(value) : value)]
      : [],
  )

/** @param {number} count */
export const whole = (count) => wholes.format(count)

/** @param {number} share 0 to 1 */
export const percent = (share) => percents.format(share)

/** @param {number} ms */
export const clock = (ms) => clocks.format(ms)

/** @param {number} ms */
export const fullTime = (ms) => full.format(ms)

/** The clock, with the day if it is another one. @param {number} ms @param {number} now */
export function moment(ms, now = Date.now()) {
  const isToday = new Date(ms).toDateString() === new Date(now).toDateString()
  const text = isToday ? clock(ms) : `${days.format(ms)} ${clock(ms)}`
  return element('time', { datetime: new Date(ms).toISOString(), title: fullTime(ms) }, text)
}

/** @param {number | null} ms */
export function duration(ms) {
  if (ms === null) return '–'
  if (ms < 1000) return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${unit === 0 || value >= 100 ? whole(Math.round(value)) : value.toFixed(1)} ${units[unit] ?? ''}`
}

/** @param {number} ms */
export function age(ms) {
  /** @param {number} count @param {string} unit */
  const of = (count, unit) => `${count} ${unit}${count === 1 ? '' : 's'}`
  if (ms < 3_600_000) return of(Math.max(0, Math.floor(ms / 60_000)), 'minute')
  return ms < 2 * dayMs ? of(Math.floor(ms / 3_600_000), 'hour') : of(Math.floor(ms / dayMs), 'day')
}

/**
 * Replaces the children, and leaves alone those that stay: focus, selection and open details stay with them.
 * @param {Element} parent
 * @param {readonly Node[]} children
 */
export function keep(parent, children) {
  const wanted = new Set(children)
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove()
  children.forEach((child, at) => {
    const there = parent.childNodes[at]
    if (there !== child) parent.insertBefore(child, there ?? null)
  })
}

/** A command with a button that copies it. @param {string} command @param {string} what for a screen reader */
export function copyable(command, what) {
  const code = element('code', {}, command)
  const copy = button('Copy', () => void copied(code, copy), { 'aria-label': `Copy ${what}` })
  return element('div', { class: 'command' }, code, copy)
}

/** Browsers have a clipboard only with HTTPS or on the own machine. @param {HTMLElement} code @param {HTMLElement} copy */
async function copied(code, copy) {
  try {
    await navigator.clipboard.writeText(code.textContent)
  } catch {
    getSelection()?.selectAllChildren(code)
    document.execCommand('copy')
  }
  copy.textContent = 'Copied'
  setTimeout(() => (copy.textContent = 'Copy'), 2000)
}

/** @param {string} where below clamav-stream/ */
export async function fetchJson(where, init = {}) {
  const response = await fetch(`clamav-stream/${where}`, init)
  if (!response.ok) throw new Error(`${response.status} ${(await response.text()).trim()}`)
  return response.json()
}
