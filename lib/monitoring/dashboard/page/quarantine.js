// @ts-check
/*
 * The newest copies of the quarantine, what can be done with each, and whether they would still be kept today.
 */

import {
  age,
  button,
  copyable,
  element,
  fetchJson,
  fullTime,
  moment,
  place,
  rowsOf,
  size,
  whole,
} from './dom.js'
import { createList } from './list.js'
import { hashOf } from './search.js'

/** @typedef {import('../view').View} View */
/** @typedef {import('../quarantine-summary').CopySummary} Copy */
/** @typedef {import('../rescan').RescanResult} RescanResult */

/** Milliseconds after which the list is asked for again while it is looked at. */
const freshMs = 15_000

/** What a rescan has found, by UUID; until the page is closed. @type {Map<string, { text: string, class: string }>} */
const results = new Map()
/** Where each result is shown. @type {Map<string, HTMLElement[]>} */
const outputs = new Map()
/** @type {readonly Copy[]} */
let copies = []
let readMs = 0
let isLoading = false
let isRescanning = false

/** @param {Copy} copy */
function recipientsOf({ to, recipients }) {
  const others = recipients - to.length
  return `${to.join(', ')}${others > 0 ? ` and ${whole(others)} more` : ''}`
}

/** The plugin names copies so; no other name gets into a command. @param {Copy} copy */
const hasName = ({ uuid }) => /^[0-9A-F-]{8,64}(\.\d{1,6})*$/i.test(uuid)

const rescanAll = button('Rescan these', () => void toggleRescan())

const list = createList(place('quarantine'), {
  name: 'quarantine',
  title: 'Quarantine',
  note: '',
  none: 'No copies, or their folder cannot be read.',
  columns: [
    { key: 'time', label: 'Kept', value: ({ time }) => time, cell: ({ time }) => moment(time) },
    {
      key: 'age',
      label: 'Age',
      isNumber: true,
      value: ({ time }) => -time,
      cell: ({ time }) => element('span', { 'data-since': String(time) }, age(Date.now() - time)),
    },
    { key: 'reason', label: 'Reason', value: ({ what }) => what },
    { key: 'sender', label: 'Sender', value: ({ from }) => from || '<>' },
    { key: 'recipients', label: 'Recipients', value: recipientsOf },
    {
      key: 'size',
      label: 'Size',
      isNumber: true,
      value: ({ bytes }) => bytes,
      cell: ({ bytes }) => element('span', {}, size(bytes)),
    },
    {
      key: 'today',
      label: 'Found today',
      value: ({ uuid }) => results.get(uuid)?.text ?? '',
      cell: (copy) => output(copy, '–'),
    },
  ],
  filters: [{ key: 'reason', label: 'Reason', of: ({ what }) => what }],
  keyOf: ({ day, uuid, time }) => `${day} ${uuid} ${time}`,
  idOf: ({ uuid }) => uuid,
  timeOf: ({ time }) => time,
  details: detailsOf,
  tools: () => [rescanAll],
})

/** @param {View} view */
export function showQuarantine({ kept }) {
  const shownOf = kept && kept.count > copies.length && copies.length > 0
  const about = kept
    ? `${kept.isPartial ? 'More than ' : ''}${whole(kept.count)} ${kept.count === 1 ? 'copy' : 'copies'}, ${size(kept.bytes)}.${
        shownOf
          ? ` Here are the newest ${whole(copies.length)}; for the others: npx clamav-stream quarantine list`
          : ''
      }`
    : ''
  const note = place('quarantine').querySelector('.note')
  if (note && note.textContent !== about) note.textContent = about
  for (const one of document.querySelectorAll('[data-since]'))
    if (one instanceof HTMLElement) one.textContent = age(Date.now() - Number(one.dataset.since))
  list.draw()
  if (isLoading || Date.now() - readMs < freshMs) return
  isLoading = true
  load()
    .catch(() => undefined)
    .finally(() => (isLoading = false))
}

async function load() {
  copies = /** @type {readonly Copy[]} */ (await fetchJson('quarantine'))
  readMs = Date.now()
  const there = new Set(copies.map(({ uuid }) => uuid))
  for (const uuid of [...results.keys(), ...outputs.keys()])
    if (!there.has(uuid)) for (const each of [results, outputs]) each.delete(uuid)
  list.set(copies)
}

/** A place that shows the result of a rescan, now and later. @param {Copy} copy */
function output({ uuid }, none = 'not rescanned') {
  const made = element('span', { 'data-none': none })
  outputs.set(uuid, [...(outputs.get(uuid) ?? []).filter(({ isConnected }) => isConnected), made])
  fill(made, uuid)
  return made
}

/** @param {HTMLElement} where @param {string} uuid */
function fill(where, uuid) {
  const result = results.get(uuid)
  where.className = result?.class ?? 'none'
  where.textContent = result?.text ?? where.dataset.none ?? ''
}

/** @param {Copy} copy @returns {Promise<boolean>} false: the server has enough to do */
async function rescan(copy) {
  const { day, uuid } = copy
  results.set(uuid, { text: 'scanning', class: 'none' })
  show(uuid)
  try {
    const answer = await fetchJson('rescan', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ day, uuid }),
    })
    results.set(uuid, resultOf(/** @type {RescanResult} */ (answer)))
    return true
  } catch (error) {
    results.set(uuid, { text: error instanceof Error ? error.message : String(error), class: 'warn' })
    return false
  } finally {
    show(uuid)
  }
}

/** @param {RescanResult} result */
function resultOf({ outcome, what, engine }) {
  const by = engine === null ? '' : ` (${engine})`
  if (outcome === 'infected') return { text: `✗ found: ${what}${by}`, class: 'bad' }
  if (outcome === 'clean') return { text: `✓ not found${by}`, class: 'good' }
  return { text: `not scanned: ${what}`, class: 'warn' }
}

/** @param {string} uuid */
function show(uuid) {
  for (const one of outputs.get(uuid) ?? []) fill(one, uuid)
}

/** One after the other, until the page is closed or the button stops it. */
async function toggleRescan() {
  isRescanning = !isRescanning
  rescanAll.textContent = isRescanning ? 'Stop' : 'Rescan these'
  for (const copy of isRescanning ? list.shown().filter(hasName) : []) {
    if (!isRescanning || !(await rescan(copy))) break
  }
  isRescanning = false
  rescanAll.textContent = 'Rescan these'
}

/** @param {Copy} copy */
function detailsOf(copy) {
  const { uuid } = copy
  const once = button('Rescan', () => void rescan(copy))
  /** @type {[string, string | Node][]} */
  const fields = [
    ['Kept', fullTime(copy.time)],
    ['Reason', copy.what],
    ['Found by', copy.engine],
    ['Sender', copy.from || '<>'],
    ['Recipients', recipientsOf(copy)],
    ['Client', copy.ip],
    ['User', copy.user],
    ['Size', size(copy.bytes)],
    ['Message-ID', copy.messageId],
    ['UUID', uuid],
    ['Found today', element('span', {}, output(copy), ' ', ...(hasName(copy) ? [once] : []))],
  ]
  const commands = [
    ['Show', 'show'],
    ['Release', 'release'],
    ['Delete', 'delete'],
  ].flatMap(([what = '', verb = '']) => [
    element('dt', {}, what),
    element('dd', {}, copyable(`npx clamav-stream quarantine ${verb} ${uuid}`, `the command to ${verb} it`)),
  ])
  return element(
    'div',
    {},
    element('dl', { class: 'fields' }, ...rowsOf(fields), ...(hasName(copy) ? commands : [])),
    element(
      'p',
      { class: 'links' },
      element('a', { href: hashOf('quarantine', { id: uuid }) }, 'Link to this copy'),
      ' ',
      element('a', { href: hashOf('messages', { id: uuid }) }, 'Its message'),
    ),
  )
}
