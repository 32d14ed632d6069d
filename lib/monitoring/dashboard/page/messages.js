// @ts-check
/*
 * The last messages that were not simply clean, of all processes.
 */

import {
  button,
  copyable,
  duration,
  element,
  fetchJson,
  fullTime,
  moment,
  place,
  rowsOf,
  size,
  whole,
} from './dom.js'
import { saveCsv, saveJson } from './export.js'
import { createList } from './list.js'
import { hashOf } from './search.js'

/** @typedef {import('../view').View} View */
/** @typedef {import('../listed-message').ListedMessage} ListedMessage */
/** @typedef {import('../message-log').LogPage} LogPage */

/** @type {Record<ListedMessage['kind'], { name: string, class: string }>} */
const kinds = {
  infected: { name: 'Infected', class: 'bad' },
  unscanned: { name: 'Not scanned', class: 'warn' },
  denied: { name: 'Denied', class: 'bad' },
  unreadable: { name: 'Unreadable', class: 'warn' },
  'copy failed': { name: 'Copy failed', class: 'bad' },
}

/** @param {ListedMessage} message */
function recipientsOf({ to, recipients }) {
  const others = recipients - to.length
  return `${to.join(', ')}${others > 0 ? ` and ${whole(others)} more` : ''}`
}

/** @param {ListedMessage} message */
function clientOf({ ip, host }) {
  return host && host !== ip ? `${host} [${ip}]` : ip
}

/** @type {import('./list.js').ListParts<ListedMessage>} */
const parts = {
  name: 'messages',
  title: 'Messages',
  note: 'Clean and exempt mail is only counted.',
  none: 'None since the start.',
  columns: [
    { key: 'time', label: 'Time', value: ({ time }) => time, cell: ({ time }) => moment(time) },
    {
      key: 'verdict',
      label: 'Verdict',
      value: ({ kind }) => kinds[kind].name,
      cell: ({ kind }) => element('span', { class: kinds[kind].class }, kinds[kind].name),
    },
    { key: 'reason', label: 'Reason', value: ({ what }) => what },
    { key: 'sender', label: 'Sender', value: ({ from }) => from || '<>' },
    { key: 'recipients', label: 'Recipients', value: recipientsOf },
    { key: 'client', label: 'Client', value: ({ ip }) => ip },
    { key: 'action', label: 'Action', value: ({ action }) => action },
  ],
  filters: [
    {
      key: 'kind',
      label: 'Verdict',
      of: ({ kind }) => kind,
      shown: (kind) => Object.entries(kinds).find(([one]) => one === kind)?.[1].name ?? kind,
    },
    { key: 'action', label: 'Action', of: ({ action }) => action },
    { key: 'reason', label: 'Reason', of: ({ what }) => what },
    { key: 'address', label: 'Address', of: ({ clamd }) => clamd ?? 'none' },
  ],
  keyOf: ({ uuid, kind, time }) => `${uuid} ${kind} ${time}`,
  idOf: ({ uuid }) => uuid,
  timeOf: ({ time }) => time,
  details: detailsOf,
  tools: (shown) => [
    button('CSV', () => saveCsv('clamav-stream-messages.csv', shown()), {
      'aria-label': 'Save these as CSV',
    }),
    button('JSON', () => saveJson('clamav-stream-messages.json', shown()), {
      'aria-label': 'Save these as JSON',
    }),
  ],
}

const list = createList(place('messages'), parts)

/** The newest first. @type {ListedMessage[]} */
let known = []
let cursor = { epoch: 0, seq: 0 }
let isLoading = false

/** Asks for those that are new. @param {View} view */
export function showMessages({ messages }) {
  list.draw()
  if (isLoading || (messages.epoch === cursor.epoch && messages.seq === cursor.seq)) return
  isLoading = true
  load()
    .catch(() => undefined)
    .finally(() => (isLoading = false))
}

async function load() {
  const page = /** @type {LogPage} */ (await fetchJson(`messages?epoch=${cursor.epoch}&seq=${cursor.seq}`))
  const before = page.epoch === cursor.epoch ? known : []
  cursor = { epoch: page.epoch, seq: page.seq }
  known = [...page.messages.toReversed(), ...before].slice(0, page.total)
  list.set(known)
}

/** @param {ListedMessage} message */
function detailsOf(message) {
  const { kind, what, why, verdict, action, clamd, engine, protocol, bytes, ms } = message
  /** @type {[string, string | Node | null][]} */
  const fields = [
    ['Time', fullTime(message.time)],
    ['Verdict', verdict === 'unscanned' ? 'not scanned' : verdict],
    [kind === 'infected' ? 'Signature' : kind === 'denied' ? 'Mask' : 'Reason', what],
    ['Cause', why],
    ['Action', action],
    ['Subject', message.subject],
    ['Sender', message.from || '<>'],
    ['Recipients', recipientsOf(message)],
    ['Client', clientOf(message)],
    ['User', message.user],
    [
      'Scanned by',
      clamd === null
        ? 'no clamd was asked'
        : [clamd, protocol?.toUpperCase(), engine].filter(Boolean).join(', '),
    ],
    ['Size, time', `${size(bytes)}, ${duration(ms)}`],
    ['Not plain', message.oddity],
    [
      'Parts',
      message.readings === 0
        ? null
        : `${whole(message.readings)} contents of ${whole(message.parts)} parts scanned`,
    ],
    ['Found in', message.part],
    ['Message-ID', message.messageId],
    ['UUID', message.uuid],
  ]
  const isName = /^[0-9A-F-]{8,64}(\.\d+)*$/i.test(message.uuid)
  return element(
    'div',
    {},
    element('dl', { class: 'fields' }, ...rowsOf(fields)),
    element(
      'p',
      { class: 'links' },
      element('a', { href: hashOf('messages', { id: message.uuid }) }, 'Link to this message'),
      ...(action.includes('quarantine') && kind !== 'copy failed'
        ? [
            ' ',
            element('a', { href: hashOf('quarantine', { q: message.uuid }) }, 'Its copy in the quarantine'),
          ]
        : []),
    ),
    ...(isName ? [copyable(`grep -F '${message.uuid}' haraka.log`, 'the search in the log')] : []),
  )
}
