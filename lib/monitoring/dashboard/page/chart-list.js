// @ts-check
/*
 * Which charts there are, and in which units.
 */

import { whole } from './dom.js'

/** @typedef {import('../figures').Figures} Figures */
/** @typedef {(number | null)[]} Values */
/** @typedef {{ name: string, values: Values, line?: string }} Series */
/** @typedef {{ title: string, unit: string, isBars?: boolean, isWhole?: boolean, isByAddress?: boolean, text: (value: number) => string, series: (figures: Figures) => Series[] }} Chart */

/** @param {number} value */
const number = (value) =>
  value >= 10 || value === 0 ? whole(Math.round(value)) : String(Number(value.toPrecision(2)))
/** @param {number} ms */
const milliseconds = (ms) => (ms >= 1000 ? `${number(ms / 1000)} s` : `${number(ms)} ms`)

/**
 * How much of it there was in a unit of time. Null for a bucket that has only just begun.
 * @param {Figures} figures @param {number[]} values @param {number} unitMs
 */
function rates({ times, widthMs, untilMs }, values, unitMs) {
  return values.map((value, at) => {
    const ms = Math.min(widthMs, untilMs - (times[at] ?? 0))
    return ms < widthMs / 3 ? null : (value * unitMs) / ms
  })
}

const minuteMs = 60_000

/** @param {number} bytes */
function perSecond(bytes) {
  if (bytes < 1000) return `${number(bytes)} B/s`
  return bytes < 1e6 ? `${number(bytes / 1000)} kB/s` : `${number(bytes / 1e6)} MB/s`
}

/** @type {Chart[]} */
export const charts = [
  {
    title: 'Messages',
    unit: 'per minute',
    isBars: true,
    text: number,
    series: (figures) => {
      const all = figures.counts.map((one) => one.clean + one.infected + one.unscanned + one.exempt)
      return [{ name: 'All messages', values: rates(figures, all, minuteMs) }]
    },
  },
  {
    title: 'Not clean',
    unit: 'messages',
    isBars: true,
    isWhole: true,
    text: number,
    series: ({ counts }) => [
      { name: 'Infected', line: 'bad', values: counts.map((one) => one.infected) },
      { name: 'Not scanned', line: 'warn', values: counts.map((one) => one.unscanned) },
      { name: 'Denied', line: '2', values: counts.map((one) => one.denied) },
    ],
  },
  {
    title: 'Time per scan',
    unit: 'milliseconds, seconds',
    text: milliseconds,
    series: ({ scans }) => [
      { name: 'p50', values: scans.map(({ p50 }) => p50) },
      { name: 'p95', values: scans.map(({ p95 }) => p95) },
      { name: 'p99', values: scans.map(({ p99 }) => p99) },
    ],
  },
  {
    title: 'Throughput',
    unit: 'bytes scanned per second',
    isBars: true,
    text: perSecond,
    series: (figures) => {
      const bytes = figures.scans.map((one) => one.bytes)
      return [{ name: 'Scanned', values: rates(figures, bytes, 1000) }]
    },
  },
  {
    title: 'Scans by address',
    unit: 'per minute',
    isByAddress: true,
    text: number,
    series: (figures) =>
      figures.addresses.map(({ text, scans }) => ({
        name: text,
        values: rates(
          figures,
          scans.map((one) => one.scans),
          minuteMs,
        ),
      })),
  },
  {
    title: 'p95 by address',
    unit: 'milliseconds, seconds',
    isByAddress: true,
    text: milliseconds,
    series: ({ addresses }) =>
      addresses.map(({ text, scans }) => ({ name: text, values: scans.map(({ p95 }) => p95) })),
  },
]
