// @ts-check
/*
 * The charts, drawn by uPlot, each with a table of the same figures.
 */

import { charts } from './chart-list.js'
import { optionsOf, timeFormat } from './chart-options.js'
import { element, foreign, place } from './dom.js'

/** @typedef {import('../figures').Figures} Figures */
/** @typedef {import('./chart-list.js').Chart} Chart */
/** @typedef {import('./chart-list.js').Series} Series */
/** @typedef {import('uplot')} Plot */

const { uPlot } = /** @type {{ uPlot: typeof import('uplot') }} */ (/** @type {unknown} */ (globalThis))

const height = 150
/** Lines in one chart. */
const maxLines = 6

const drawn = charts.map(placeOf)
/** @type {Figures | null} */
let latest = null

/** @param {Figures} figures */
export function drawCharts(figures) {
  latest = figures
  drawn.forEach((one) => one.draw(figures))
}

// Colours are those of the scheme.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  drawn.forEach((one) => one.forget())
  if (latest) drawCharts(latest)
})

/** @param {Chart} chart */
function placeOf(chart) {
  const { title, unit } = chart
  const canvas = element('div', { class: 'chart', role: 'img' })
  const legend = element('ul', { class: 'legend' })
  const table = element('div', {
    class: 'scroll',
    tabindex: '0',
    role: 'group',
    'aria-label': `${title}: table`,
  })
  const details = element('details', {}, element('summary', {}, 'As a table'), table)
  const caption = element('figcaption', {}, element('strong', {}, title), ` ${unit}`)
  place('charts').append(element('figure', {}, caption, canvas, legend, details))
  /** @type {{ plot: Plot, shape: string } | null} */
  let made = null
  /** What the tooltip shows. @type {{ times: readonly number[], series: Series[] }} */
  const shown = { times: [], series: [] }
  const fillTable = () => {
    if (latest && details.open) table.replaceChildren(tableOf(chart, latest))
  }
  details.addEventListener('toggle', fillTable)
  new ResizeObserver(() => made?.plot.setSize({ width: canvas.clientWidth, height })).observe(canvas)
  return {
    /** @param {Figures} figures */
    draw(figures) {
      const series = seriesOf(chart, figures)
      Object.assign(shown, { series, times: figures.times })
      const data = dataOf(chart, figures, series)
      const shape = JSON.stringify([figures.span, series.map(({ name }) => name)])
      if (made?.shape === shape) made.plot.setData(data)
      else {
        made?.plot.destroy()
        const options = optionsOf(uPlot, chart, figures, shown)
        made = { shape, plot: new uPlot({ ...options, width: canvas.clientWidth, height }, data, canvas) }
        legend.replaceChildren(
          ...series.map(({ name, line }) => element('li', { class: `line-${line}` }, foreign(name))),
        )
        legend.hidden = series.length < 2
      }
      canvas.setAttribute('aria-label', `${title}, ${unit}: ${summary(chart, series)}`)
      fillTable()
    },
    forget() {
      made?.plot.destroy()
      made = null
    },
  }
}

/** The first ones, by name, each with a colour. @param {Chart} chart @param {Figures} figures @returns {Series[]} */
function seriesOf(chart, figures) {
  const all = chart.series(figures).slice(0, maxLines)
  if (!chart.isByAddress) return all.map((one, at) => ({ line: String(at), ...one }))
  return all.sort((a, b) => a.name.localeCompare(b.name)).map((one, at) => ({ ...one, line: String(at) }))
}

/**
 * Bars are stacked: each begins where the one before it ends, and the highest is drawn first.
 * @param {Chart} chart @param {Figures} figures @param {Series[]} series
 */
function dataOf({ isBars }, { times }, series) {
  const values = series.map((one) => one.values)
  const stacked = values.map((_, at) =>
    times.map((_, step) => values.slice(0, at + 1).reduce((sum, one) => sum + (one[step] ?? 0), 0)),
  )
  return /** @type {import('uplot').AlignedData} */ ([
    times.map((ms) => ms / 1000),
    ...(isBars ? stacked.reverse() : values),
  ])
}

/** @param {Chart} chart @param {Series[]} series */
function summary({ text }, series) {
  const highest = series.map(
    ({ name, values }) => `${name} at most ${text(Math.max(0, ...values.map(Number)))}`,
  )
  return `${highest.join(', ') || 'nothing'}; the figures are in the table`
}

/** Newest first. @param {Chart} chart @param {Figures} figures */
function tableOf(chart, figures) {
  const columns = seriesOf(chart, figures)
  const { point } = timeFormat(figures.span)
  const head = element(
    'tr',
    {},
    element('th', { scope: 'col' }, 'From'),
    ...columns.map(({ name }) => element('th', { scope: 'col', class: 'number' }, foreign(name))),
  )
  const rows = figures.times.map((ms, at) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, point.format(ms)),
      ...columns.map(({ values }) => {
        const value = values[at]
        return element('td', { class: 'number' }, typeof value === 'number' ? chart.text(value) : '–')
      }),
    ),
  )
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows.reverse()))
}
