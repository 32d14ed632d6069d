// @ts-check
/*
 * The page in the browser: shows the data of the event stream. Every string is inserted as text, never as HTML. A part of
 * the page is redrawn only if its data changed, so that scroll position and selection stay.
 */

/** @typedef {import('../view').View} View */
/** @typedef {import('../view').AddressView} AddressView */
/** @typedef {import('../stats').RecentMessage} RecentMessage */
/** @typedef {import('../stats').Counts} Counts */
/** @typedef {import('../quarantine-summary').QuarantineSummary} Kept */

const retryMs = 10_000
const dayMs = 24 * 60 * 60 * 1000

const wholes = new Intl.NumberFormat()
const percents = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 0 })
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const dateAndClock = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})

/** The data last drawn, by part. @type {Map<string, string>} */
const drawn = new Map()
/** @type {View | null} */
let latest = null
let isPaused = false

/** @param {string} id */
function place(id) {
  const found = document.getElementById(id)
  if (!found) throw new Error(`no ${id}`)
  return found
}

/**
 * @param {string} tag
 * @param {{ class?: string, scope?: string, colSpan?: number }} properties
 * @param {(Node | string)[]} children
 */
function element(tag, properties, ...children) {
  const made = document.createElement(tag)
  if (properties.class) made.className = properties.class
  if (properties.scope) made.setAttribute('scope', properties.scope)
  if (properties.colSpan) made.setAttribute('colspan', String(properties.colSpan))
  made.append(...children)
  return made
}

/** Text from a message, isolated so that its writing direction cannot affect the page. @param {string} text */
const foreign = (text) => element('bdi', {}, text)

/** @param {string} text */
const small = (text) => element('span', { class: 'small' }, text)

/** @param {number} ms */
function moment(ms) {
  const time = document.createElement('time')
  time.dateTime = new Date(ms).toISOString()
  time.textContent = dateAndClock.format(ms)
  return time
}

/** @param {number} ms */
const duration = (ms) =>
  ms < 1000 ? `${wholes.format(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`

/** @param {number} bytes */
function size(bytes) {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${unit === 0 || value >= 100 ? wholes.format(Math.round(value)) : value.toFixed(1)} ${units[unit] ?? ''}`
}

/** @param {number} ms */
function age(ms) {
  const hours = Math.max(0, Math.round(ms / 3_600_000))
  return ms >= 2 * dayMs ? `${Math.floor(ms / dayMs)} days` : hours === 1 ? '1 hour' : `${hours} hours`
}

/**
 * Bars, scaled to the highest count. The sum is beside them as text.
 * @param {readonly number[]} counts
 * @param {string} kind
 */
function bars(counts, kind) {
  const namespace = 'http://www.w3.org/2000/svg'
  const picture = document.createElementNS(namespace, 'svg')
  picture.setAttribute('class', `bars ${kind}`)
  picture.setAttribute('viewBox', `0 0 ${counts.length} 20`)
  picture.setAttribute('preserveAspectRatio', 'none')
  picture.setAttribute('aria-hidden', 'true')
  const highest = Math.max(1, ...counts)
  counts.forEach((count, index) => {
    if (count === 0) return
    const height = Math.max(1.5, (count / highest) * 20)
    const bar = document.createElementNS(namespace, 'rect')
    const place = { x: index + 0.1, y: 20 - height, width: 0.8, height }
    for (const [name, value] of Object.entries(place)) bar.setAttribute(name, String(value))
    picture.append(bar)
  })
  return picture
}

/** @type {{ name: string, note: string, key: keyof Counts, kind: string }[]} */
const verdictRows = [
  { name: 'Clean', note: '', key: 'clean', kind: '' },
  { name: 'Infected', note: '', key: 'infected', kind: 'bad' },
  { name: 'Not scanned', note: 'failed, limits, too large', key: 'unscanned', kind: 'warn' },
  { name: 'Exempt', note: 'not scanned, by your settings', key: 'exempt', kind: '' },
  { name: 'Attachment denied', note: 'counted above as well', key: 'denied', kind: '' },
]

/** @param {Pick<View, 'hour' | 'day' | 'minutes' | 'quarters'>} view */
function verdicts({ hour, day, minutes, quarters }) {
  return verdictRows.map(({ name, note, key, kind }) => {
    /** @param {Counts} sum @param {readonly Counts[]} steps */
    const cell = (sum, steps) =>
      element(
        'td',
        { class: 'number' },
        element('span', { class: sum[key] > 0 ? kind : 'none' }, wholes.format(sum[key])),
        bars(
          steps.map((step) => step[key]),
          kind,
        ),
      )
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, name, ...(note ? [small(note)] : [])),
      cell(hour, minutes),
      cell(day, quarters),
    )
  })
}

/** @param {AddressView} address */
function stateOf({ up, resting, untrusted, inFlight }) {
  const all = up + resting + untrusted
  /** @param {number} count */
  const where = (count) => (count < all ? ` in ${count} of ${all} processes` : '')
  const words = [
    ...(untrusted > 0
      ? [element('span', { class: 'bad' }, `✗ failed the self test${where(untrusted)}`)]
      : []),
    ...(resting > 0
      ? [element('span', { class: 'warn' }, `● resting after a failure${where(resting)}`)]
      : []),
    ...(up === all ? [element('span', { class: 'good' }, '✓ up')] : []),
  ]
  return element('td', {}, ...words, small(inFlight === 0 ? 'idle' : `${wholes.format(inFlight)} in flight`))
}

/** @param {readonly AddressView[]} addresses @param {number} now */
function addressRows(addresses, now) {
  return addresses.map((address) => {
    const { text, role, protocol, engine, signatures, maxScannableBytes, scans, share, meanMs, slowestMs } =
      address
    const about = [
      role === 'backup' && 'backup',
      engine,
      signatures && `signatures ${signatures.number}, ${age(now - signatures.builtMs)} old`,
      protocol?.toUpperCase(),
      maxScannableBytes !== null && `scans up to ${size(maxScannableBytes)}`,
    ].filter((part) => typeof part === 'string')
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, foreign(text), ...(about.length > 0 ? [small(about.join(', '))] : [])),
      stateOf(address),
      meanMs === null
        ? element('td', { class: 'none' }, 'no scans')
        : element(
            'td',
            { class: 'number' },
            `${duration(meanMs)} on average`,
            small(`slowest ${duration(slowestMs ?? 0)}`),
          ),
      element('td', { class: 'number' }, percents.format(share), small(`${wholes.format(scans)} scans`)),
    )
  })
}

/** @param {View['signatures']} signatures */
function signatureRows(signatures) {
  return signatures.map(([name, count]) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, foreign(name)),
      element('td', { class: 'number' }, wholes.format(count)),
    ),
  )
}

/** @param {RecentMessage} message */
function messageRow({ time, what, why, action, clamd, uuid, from, to, recipients, ip, user, subject }) {
  const others = recipients - to.length
  return element(
    'tr',
    {},
    element('td', { class: 'number' }, moment(time)),
    element(
      'th',
      { scope: 'row' },
      foreign(what),
      small(clamd === null ? action : `${action}, by ${clamd}`),
      ...(why ? [element('span', { class: 'small' }, foreign(why))] : []),
    ),
    element(
      'td',
      {},
      foreign(subject || 'no subject'),
      element(
        'span',
        { class: 'small' },
        foreign(`from ${from || '<>'}`),
        ...to.map((recipient) => foreign(`to ${recipient}`)),
        ...(others > 0 ? [`and ${wholes.format(others)} more`] : []),
        foreign(`client ${ip}${user === null ? '' : `, user ${user}`}`),
        foreign(uuid),
      ),
    ),
  )
}

/** @param {Kept | null} kept */
function drawKept(kept) {
  place('kept-sum').textContent =
    kept === null
      ? 'No copies, or their folder cannot be read.'
      : kept.count === 0
        ? 'Empty.'
        : `${kept.isPartial ? 'More than ' : ''}${wholes.format(kept.count)} ${kept.count === 1 ? 'copy' : 'copies'}, ${size(kept.bytes)}.`
  const rows = (kept?.newest ?? []).map(({ time, uuid, from, what }) =>
    element(
      'tr',
      {},
      element('td', { class: 'number' }, moment(time)),
      element('th', { scope: 'row' }, foreign(what)),
      element('td', {}, foreign(`from ${from || '<>'}`), element('span', { class: 'small' }, foreign(uuid))),
    ),
  )
  place('kept').replaceChildren(...rows)
  place('kept-table').hidden = rows.length === 0
}

/** @param {Node[]} rows @param {number} columns @param {string} text */
function orNone(rows, columns, text) {
  if (rows.length > 0) return rows
  return [element('tr', {}, element('td', { class: 'none', colSpan: columns }, text))]
}

/** Draws a part of the page if its data changed. @param {string} part @param {unknown} figures @param {() => void} draw */
function changed(part, figures, draw) {
  const text = JSON.stringify(figures)
  if (drawn.get(part) === text) return
  drawn.set(part, text)
  draw()
}

/** @param {View} view */
function show(view) {
  const now = Date.now()
  const { hour, day, minutes, quarters, addresses, signatures, infected, unscanned, kept, processes } = view
  /** @param {string} id @param {Node[]} rows */
  const fill = (id, rows) => place(id).replaceChildren(...rows)
  changed('verdicts', [hour, day, minutes, quarters], () =>
    fill('verdicts', verdicts({ hour, day, minutes, quarters })),
  )
  changed('addresses', [addresses, Math.floor(now / 3_600_000)], () =>
    fill('addresses', orNone(addressRows(addresses, now), 4, 'No address is known.')),
  )
  changed('signatures', signatures, () =>
    fill('signatures', orNone(signatureRows(signatures), 2, 'None in the last day.')),
  )
  changed('infected', infected, () =>
    fill('infected', orNone(infected.map(messageRow), 3, 'None since the start.')),
  )
  changed('unscanned', unscanned, () =>
    fill('unscanned', orNone(unscanned.map(messageRow), 3, 'None since the start.')),
  )
  changed('kept', kept, () => drawKept(kept))
  changed('about', processes, () => {
    place('about').textContent =
      `Sum of ${processes === 1 ? 'one process' : `${processes} processes`} since the start of Haraka, at most one day. Message contents are neither shown nor stored.`
  })
  place('updated').textContent = `as of ${clock.format(now)}`
}

/** Screen readers announce it, so it is set only if it changed. @param {string} text @param {boolean} isLost */
function say(text, isLost) {
  document.body.classList.toggle('lost', isLost)
  const status = place('status')
  if (status.textContent !== text) status.textContent = text
}

function watch() {
  const events = new EventSource('clamav-stream/events')
  events.onopen = () => say(isPaused ? 'Paused' : 'Live', false)
  events.onmessage = ({ data }) => {
    latest = JSON.parse(data)
    if (!isPaused && latest) show(latest)
  }
  events.onerror = () => {
    say('Connection lost, reconnecting', true)
    if (events.readyState !== EventSource.CLOSED) return
    say('Connection refused: reload the page if this stays', true)
    setTimeout(watch, retryMs)
  }
}

place('pause').addEventListener('click', () => {
  isPaused = !isPaused
  place('pause').setAttribute('aria-pressed', String(isPaused))
  if (!document.body.classList.contains('lost')) say(isPaused ? 'Paused' : 'Live', false)
  if (!isPaused && latest) show(latest)
})

watch()
