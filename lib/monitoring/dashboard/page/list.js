// @ts-check
/*
 * A list that can be searched, filtered, sorted and unfolded, one line for each entry. The hash of the address has the
 * search, so that a link leads to it.
 */

import { button, element, fullTime, keep, whole } from './dom.js'
import { allText, hashOf, hasWords, readHash, writeHash } from './search.js'

/**
 * @template E
 * @typedef {{
 *   name: string, title: string, note: string, none: string,
 *   columns: {
 *     key: string, label: string, isNumber?: boolean,
 *     value: (entry: E) => string | number, cell?: (entry: E) => Node,
 *   }[],
 *   filters: { key: string, label: string, of: (entry: E) => string, shown?: (value: string) => string }[],
 *   keyOf: (entry: E) => string, idOf: (entry: E) => string, timeOf: (entry: E) => number,
 *   details: (entry: E) => Node, tools: (shown: () => E[]) => Node[],
 * }} ListParts
 */

const pageLength = 100

/**
 * The first column is the time, and newest first is the usual order.
 * @template E
 * @param {HTMLElement} root
 * @param {ListParts<E>} parts
 */
export function createList(root, parts) {
  const { name, columns, filters } = parts
  /** @type {readonly E[]} */
  let entries = []
  let limit = pageLength
  /** @type {Map<string, HTMLTableRowElement>} */
  let rows = new Map()
  /** Keys of the open entries, and what is unfolded. @type {Map<string, HTMLTableRowElement>} */
  const open = new Map()
  /** @type {WeakMap<object, string>} */
  const texts = new WeakMap()
  let idOpened = ''

  const search = element('input', {
    type: 'search',
    name: 'q',
    'aria-label': 'Search in all fields',
    placeholder: 'Search in all fields',
  })
  const selects = filters.map(({ key, label }) => element('select', { name: key, 'aria-label': label }))
  const since = element('input', { type: 'datetime-local', name: 'since' })
  const until = element('input', { type: 'datetime-local', name: 'until' })
  const inputs = [search, ...selects, since, until]
  const clear = button('Clear', () => go(new URLSearchParams()))
  const count = element('p', { class: 'count', role: 'status' })
  const heads = columns.map(headOf)
  const body = element('tbody', {})
  const more = button('Show more', () => {
    limit += pageLength
    draw()
  })
  const none = element('p', { class: 'none' })
  const toolbar = element(
    'form',
    { class: 'filters', role: 'search', 'aria-label': parts.title },
    search,
    ...selects,
    element('span', {}, element('label', {}, 'From ', since), ' ', element('label', {}, 'To ', until)),
    clear,
  )
  toolbar.addEventListener('submit', (event) => event.preventDefault())
  toolbar.addEventListener('input', () =>
    go(new URLSearchParams(inputs.map(({ name: key, value }) => [key, value]))),
  )
  root.replaceChildren(
    element(
      'section',
      { 'aria-labelledby': `${name}-title` },
      element(
        'div',
        { class: 'bar' },
        element('h2', { id: `${name}-title` }, parts.title),
        count,
        ...parts.tools(shown),
      ),
      element('p', { class: 'note' }, parts.note),
      toolbar,
      element('table', { class: `list ${name}` }, element('thead', {}, element('tr', {}, ...heads)), body),
      none,
      more,
    ),
  )

  /** @typedef {ListParts<E>['columns'][number]} Column */
  /** @param {Column} column */
  function classOf({ key, isNumber }) {
    return isNumber ? `${key} number` : key
  }

  /** @param {Column} column */
  function headOf(column) {
    const { key, label } = column
    const sort = button(label, () => {
      const now = readHash().search
      const [by, isDown] = order(now)
      now.set('sort', (by === column ? !isDown : column === columns[0]) ? `-${key}` : key)
      go(now)
    })
    return element('th', { scope: 'col', class: classOf(column) }, sort)
  }

  /** Column, and whether the highest is first. @param {URLSearchParams} now @returns {[Column | undefined, boolean]} */
  function order(now) {
    const given = now.get('sort') ?? ''
    const by = columns.find(({ key }) => key === given.replace(/^-/, ''))
    return by ? [by, given.startsWith('-')] : [columns[0], true]
  }

  /** @param {URLSearchParams} now */
  function go(now) {
    const sort = readHash().search.get('sort')
    if (sort && !now.has('sort')) now.set('sort', sort)
    limit = pageLength
    writeHash(name, now)
    draw()
  }

  /** @param {E} entry */
  function textOf(entry) {
    const key = /** @type {object} */ (entry)
    const text = texts.get(key) ?? `${allText(key)}\n${fullTime(parts.timeOf(entry)).toLowerCase()}`
    texts.set(key, text)
    return text
  }

  /** The entries that fit the search, in its order. */
  function shown() {
    const { search: now } = readHash()
    const words = (now.get('q') ?? '').trim()
    const id = now.get('id')
    const wanted = filters.flatMap(({ key, of }) => (now.get(key) ? [{ of, value: now.get(key) }] : []))
    const from = Date.parse(now.get('since') ?? '') || 0
    const to = Date.parse(now.get('until') ?? '') || Infinity
    const found = entries.filter((entry) => {
      const time = parts.timeOf(entry)
      if (time < from || time >= to || (id && parts.idOf(entry) !== id)) return false
      return (
        wanted.every(({ of, value }) => of(entry) === value) && (!words || hasWords(textOf(entry), words))
      )
    })
    const [by, isDown] = order(now)
    const value = by?.value ?? parts.timeOf
    return found.sort((a, b) => {
      const [x, y] = isDown ? [value(b), value(a)] : [value(a), value(b)]
      const first =
        typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y))
      return first || parts.timeOf(b) - parts.timeOf(a)
    })
  }

  /** @param {E} entry */
  function rowOf(entry) {
    const key = parts.keyOf(entry)
    const known = rows.get(key)
    if (known) return known
    const cells = columns.map((column, at) => {
      const { cell, value } = column
      const kind = classOf(column)
      const content = cell ? cell(entry) : element('bdi', {}, String(value(entry)))
      if (at > 0) return element('td', { class: kind }, content)
      const unfold = element('button', { type: 'button', class: 'unfold', 'aria-expanded': 'false' }, content)
      return element('th', { scope: 'row', class: kind }, unfold)
    })
    const row = element('tr', { class: 'entry' }, ...cells)
    row.addEventListener('click', () => {
      if (getSelection()?.isCollapsed === false) return
      if (!open.delete(key)) unfold(entry)
      draw()
    })
    return row
  }

  /** @param {E} entry */
  function unfold(entry) {
    const cell = element('td', {}, parts.details(entry))
    open.set(parts.keyOf(entry), element('tr', { class: 'details' }, cell))
  }

  /** Columns that a narrow screen hides do not count. */
  function spanDetails() {
    const span = heads.filter(({ offsetWidth }) => offsetWidth > 0).length
    for (const row of open.values()) for (const cell of row.cells) cell.colSpan = span
  }
  addEventListener('resize', spanDetails)

  function drawControls() {
    const { search: now } = readHash()
    for (const input of inputs) {
      const value = now.get(input.name) ?? ''
      if (input instanceof HTMLSelectElement) fillSelect(input, value)
      if (input.value !== value) input.value = value
    }
    const [by, isDown] = order(now)
    heads.forEach((head, at) => {
      if (columns[at] === by) head.setAttribute('aria-sort', isDown ? 'descending' : 'ascending')
      else head.removeAttribute('aria-sort')
    })
    clear.hidden = [...now].every(([key, value]) => key === 'sort' || value === '')
  }

  /** The values that occur, and the one that is wanted. @param {HTMLSelectElement} select @param {string} wanted */
  function fillSelect(select, wanted) {
    const filter = filters.find(({ key }) => key === select.name)
    if (!filter) return
    const values = [...new Set([...entries.map(filter.of), wanted])].filter(Boolean).sort()
    if (select.dataset.values === values.join('\n')) return
    select.dataset.values = values.join('\n')
    const choices = values.map((value) => element('option', { value }, filter.shown?.(value) ?? value))
    select.replaceChildren(element('option', { value: '' }, `${filter.label}: all`), ...choices)
  }

  function draw() {
    drawControls()
    const found = shown()
    const id = readHash().search.get('id') ?? ''
    if (id !== idOpened) for (const entry of found) if (id) unfold(entry)
    if (found.length > 0 || !id) idOpened = id
    const drawn = found.slice(0, limit)
    const next = new Map(drawn.map((entry) => [parts.keyOf(entry), rowOf(entry)]))
    rows = next
    spanDetails()
    keep(
      body,
      [...next].flatMap(([key, row]) => {
        const inside = open.get(key)
        row.querySelector('.unfold')?.setAttribute('aria-expanded', String(inside !== undefined))
        return inside ? [row, inside] : [row]
      }),
    )
    count.textContent =
      found.length === entries.length
        ? whole(found.length)
        : `${whole(found.length)} of ${whole(entries.length)}`
    more.hidden = found.length <= limit
    none.hidden = found.length > 0
    none.textContent = entries.length === 0 ? parts.none : 'Nothing fits the search.'
  }

  return {
    /** @param {readonly E[]} now */
    set(now) {
      const keys = new Set(now.map(parts.keyOf))
      for (const key of open.keys()) if (!keys.has(key)) open.delete(key)
      entries = now
      draw()
    },
    draw,
    shown,
    /** @param {E} entry */
    linkTo: (entry) => hashOf(name, { id: parts.idOf(entry) }),
  }
}
