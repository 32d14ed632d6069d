// @ts-check
/*
 * The overview: sums, charts, addresses and signatures of the last hour, day or week.
 */

import { drawCharts } from './charts.js'
import { duration, element, fetchJson, foreign, percent, place, size, whole } from './dom.js'
import { hashOf } from './search.js'
import { daemonOf, signaturesOf, stateOf } from './state.js'

/** @typedef {import('../view').View} View */
/** @typedef {import('../figures').Figures} Figures */
/** @typedef {import('../figures').ScanFigures} ScanFigures */

/** Milliseconds after which the figures are asked for again. */
const freshMs = 10_000

/** @type {Figures | null} */
let figures = null
let readMs = 0
let isLoading = false
let isWanted = false
/** @type {View | null} */
let latest = null

const spans = place('spans')
spans.addEventListener('change', () => {
  readMs = 0
  if (latest) showFigures(latest)
})

/** @param {boolean} isOpen nothing is requested while it is closed */
export function showsFigures(isOpen) {
  isWanted = isOpen
}

/** @param {View} view */
export function showFigures(view) {
  latest = view
  place('addresses').replaceChildren(...addressRows(view))
  if (!isWanted || isLoading || Date.now() - readMs < freshMs) return
  isLoading = true
  load()
    .catch(() => undefined)
    .finally(() => (isLoading = false))
}

async function load() {
  const asked = span()
  const answer = /** @type {Figures} */ (await fetchJson(`figures?span=${asked}`))
  // Another one was chosen meanwhile: the next event asks for it.
  if (asked !== span()) return
  figures = answer
  readMs = Date.now()
  place('sums').replaceChildren(...sumsOf(figures))
  place('signatures').replaceChildren(...signatureRows(figures))
  if (latest) place('addresses').replaceChildren(...addressRows(latest))
  drawCharts(figures)
}

function span() {
  const chosen = spans.querySelector(':checked')
  return chosen instanceof HTMLInputElement ? chosen.value : 'hour'
}

/** @param {Figures} figures */
function sumsOf({ sum: { counts, scans } }) {
  /** @param {string} name @param {Node | string} value */
  const sum = (name, value) => element('div', {}, element('dt', {}, name), element('dd', {}, value))
  /** @param {number} count @param {string} kind @param {string} to */
  const linked = (count, kind, to) =>
    count === 0 ? '0' : element('a', { class: kind, href: hashOf('messages', { kind: to }) }, whole(count))
  return [
    sum('Clean', whole(counts.clean)),
    sum('Infected', linked(counts.infected, 'bad', 'infected')),
    sum('Not scanned', linked(counts.unscanned, 'warn', 'unscanned')),
    sum('Exempt', whole(counts.exempt)),
    sum('Denied', linked(counts.denied, 'bad', 'denied')),
    sum('Copies failed', linked(counts.copiesFailed, 'bad', 'copy failed')),
    sum('Scanned', size(scans.bytes)),
    sum('Time per scan: p50, p95, p99', [scans.p50, scans.p95, scans.p99].map(duration).join(' · ')),
  ]
}

/** States are of this moment, and figures of the span. @param {View} view */
function addressRows({ addresses }) {
  const now = Date.now()
  const scansOf = new Map(figures?.sum.addresses)
  const rows = addresses.map((address) =>
    addressRow(
      address.text,
      daemonOf(address),
      stateOf(address),
      whole(address.inFlight),
      signaturesOf(address, now),
      scansOf.get(address.text),
    ),
  )
  const gone = [...scansOf].filter(([text]) => !addresses.some((address) => address.text === text))
  const others = gone.map(([text, scans]) => addressRow(text, '', ['not in use now'], '–', '–', scans))
  return rows.length + others.length > 0 ? [...rows, ...others] : [noneRow(10, 'No address is known.')]
}

/**
 * @param {string} text @param {string} about @param {(Node | string)[]} state
 * @param {string} inFlight @param {string} signatures @param {ScanFigures | undefined} scans
 */
function addressRow(text, about, state, inFlight, signatures, scans) {
  const total = figures?.sum.scans.scans ?? 0
  /** @type {[string, string][]} */
  const numbers = [
    ['In flight', inFlight],
    ['Scans', whole(scans?.scans ?? 0)],
    ['Share', scans && total > 0 ? percent(scans.scans / total) : '–'],
    ['p50', duration(scans?.p50 ?? null)],
    ['p95', duration(scans?.p95 ?? null)],
    ['p99', duration(scans?.p99 ?? null)],
    ['Slowest', duration(scans?.slowest ?? null)],
  ]
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, foreign(text), element('span', { class: 'small' }, about)),
    element('td', { class: 'state' }, ...state),
    ...numbers.map(([label, number]) => element('td', { class: 'number', 'data-label': label }, number)),
    element('td', { class: 'wide', 'data-label': 'Signatures' }, signatures),
  )
}

/** @param {Figures} figures */
function signatureRows({ sum: { signatures } }) {
  const rows = signatures.slice(0, 10).map(([name, count]) => {
    const link = element('a', { href: hashOf('messages', { reason: name }) }, foreign(name))
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, link),
      element('td', { class: 'number' }, whole(count)),
    )
  })
  return rows.length > 0 ? rows : [noneRow(2, 'None.')]
}

/** @param {number} columns @param {string} text */
function noneRow(columns, text) {
  return element('tr', {}, element('td', { class: 'none', colspan: String(columns) }, text))
}
