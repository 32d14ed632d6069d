// @ts-check
/*
 * The page in the browser: follows the event stream, and shows one of three views, as the hash of the address says.
 */

import { clock, place } from './dom.js'
import { showFigures, showsFigures } from './figures.js'
import { showMessages } from './messages.js'
import { showQuarantine } from './quarantine.js'
import { readHash } from './search.js'
import { showState } from './state.js'

/** @typedef {import('../view').View} View */

const retryMs = 10_000
const views = ['overview', 'messages', 'quarantine']

/** The last one from the server, and the one that is shown. @type {View | null} */
let latest = null
/** @type {View | null} */
let shown = null
let isPaused = false

/** What is in the view that is open. */
function show() {
  const { view } = readHash()
  const now = views.includes(view) ? view : 'overview'
  for (const one of views) {
    place(one).hidden = one !== now
    if (one === now) place(`to-${one}`).setAttribute('aria-current', 'page')
    else place(`to-${one}`).removeAttribute('aria-current')
  }
  showsFigures(now === 'overview' && !isPaused)
  if (!isPaused) shown = latest
  if (!shown) return
  place('updated').textContent = `as of ${clock(shown.timeMs)}`
  showState(shown)
  if (now === 'overview') showFigures(shown)
  if (now === 'messages') showMessages(shown)
  if (now === 'quarantine') showQuarantine(shown)
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
    latest = /** @type {View} */ (JSON.parse(data))
    if (!isPaused) show()
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
  show()
})
addEventListener('hashchange', show)

show()
watch()
