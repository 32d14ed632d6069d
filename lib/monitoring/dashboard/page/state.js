// @ts-check
/*
 * The state of the whole, in words: nothing when all is well. And what each address is doing.
 */

import { age, clock, dayMs, element, foreign, place, size } from './dom.js'

/** @typedef {import('../view').View} View */
/** @typedef {import('../addresses').AddressView} AddressView */

let shown = ''

/** @param {View} view */
export function showState({ alerts, processes }) {
  place('about').textContent =
    `Sum of ${processes === 1 ? 'one process' : `${processes} processes`} since the start of Haraka, at most one week. Message contents are neither shown nor stored.`
  // Screen readers read it aloud when it changes.
  const now = JSON.stringify(alerts)
  if (now === shown) return
  shown = now
  place('alerts').replaceChildren(...alerts.map(alertOf))
}

/** @param {View['alerts'][number]} alert */
function alertOf({ level, text, sinceMs, section }) {
  const isLong = sinceMs !== null && Date.now() - sinceMs > dayMs
  const since =
    sinceMs === null ? '' : ` since ${isLong ? `${age(Date.now() - sinceMs)} ago, ` : ''}${clock(sinceMs)}`
  const help = element('a', { href: `clamav-stream/runbook#${section}` }, 'What to do')
  return element('p', { class: `alert ${level}` }, foreign(`${text}${since}.`), ' ', help)
}

/** @param {AddressView} address */
export function stateOf({ up, resting, untrusted }) {
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
  return words.flatMap((word, at) => (at === 0 ? [word] : [', ', word]))
}

/** @param {AddressView} address @param {number} now */
export function signaturesOf({ signatures }, now) {
  return signatures === null ? '–' : `${signatures.number}, ${age(now - signatures.builtMs)} old`
}

/** @param {AddressView} address */
export function daemonOf({ role, engine, protocol, maxScannableBytes }) {
  const parts = [
    role === 'backup' && 'backup',
    engine,
    protocol?.toUpperCase(),
    maxScannableBytes !== null && `up to ${size(maxScannableBytes)}`,
  ]
  return parts.filter((part) => typeof part === 'string').join(', ') || '–'
}
