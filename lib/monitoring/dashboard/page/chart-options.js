// @ts-check
/*
 * How a chart looks: axes, colours, lines or bars, and the box with the figures beside the cursor.
 */

import { element, foreign } from './dom.js'

/** @typedef {import('../figures').Figures} Figures */
/** @typedef {import('./chart-list.js').Chart} Chart */
/** @typedef {import('./chart-list.js').Series} Series */
/** @typedef {import('uplot')} Plot */
/** @typedef {{ times: readonly number[], series: Series[] }} Shown */

/** For the axis, and for one point. @param {Figures['span']} span */
export function timeFormat(span) {
  /** @type {Intl.DateTimeFormatOptions} */
  const clock = { hour: '2-digit', minute: '2-digit' }
  /** @type {Intl.DateTimeFormatOptions} */
  const day = { weekday: 'short', day: 'numeric' }
  return {
    axis: new Intl.DateTimeFormat(undefined, span === 'week' ? day : clock),
    point: new Intl.DateTimeFormat(undefined, span === 'hour' ? clock : { ...day, ...clock }),
  }
}

/**
 * @param {typeof import('uplot')} uPlot @param {Chart} chart @param {Figures} figures
 * @param {Shown} shown may change later
 */
export function optionsOf(uPlot, chart, { span, widthMs }, shown) {
  const { isBars, isWhole, text } = chart
  const style = getComputedStyle(document.documentElement)
  /** @param {string} name */
  const colour = (name) => style.getPropertyValue(`--${name}`).trim()
  const { axis, point } = timeFormat(span)
  const common = {
    stroke: colour('quiet'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: colour('line'), width: 1 },
    ticks: { stroke: colour('line'), width: 1, size: 4 },
  }
  const bars = isBars && uPlot.paths.bars ? uPlot.paths.bars({ size: [0.8, 24], align: 1 }) : null
  /** @param {Series} series @param {number} at */
  const lineOf = ({ name, line }, at) => ({
    label: name,
    stroke: colour(`line-${line}`),
    ...(bars ? { fill: colour(`line-${line}`), width: 0, paths: bars, points: { show: false } } : {}),
    // Told apart without colours as well. Points, since one between two gaps is no line.
    ...(bars
      ? {}
      : { width: 1.5, points: { show: true, size: 3 }, ...(at > 0 ? { dash: [8 - at, 2 + at] } : {}) }),
  })
  const lines = shown.series.map(lineOf)
  return /** @type {Omit<import('uplot').Options, 'width' | 'height'>} */ ({
    legend: { show: false },
    padding: [8, 18, 0, 0],
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      y: {
        /** @param {Plot} _plot @param {number} _low @param {number} high @returns {[number, number]} */
        range: (_plot, _low, high) => [0, Math.max(high * 1.1, 1)],
      },
    },
    axes: [
      {
        ...common,
        size: 26,
        space: 60,
        ...(span === 'week' ? { incrs: [86_400, 2 * 86_400] } : {}),
        /** @param {Plot} _plot @param {number[]} splits */
        values: (_plot, splits) => splits.map((at) => axis.format(at * 1000)),
      },
      {
        ...common,
        size: 64,
        space: 28,
        ...(isWhole ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000] } : {}),
        /** @param {Plot} _plot @param {number[]} splits */
        values: (_plot, splits) => splits.map(text),
      },
    ],
    series: [{}, ...(bars ? lines.reverse() : lines)],
    plugins: [
      tooltip(
        shown,
        (ms) =>
          `${point.format(ms)}, ${widthMs < 3_600_000 ? `${widthMs / 60_000} min` : `${widthMs / 3_600_000} h`}`,
        text,
      ),
    ],
  })
}

/** @param {Shown} shown @param {(ms: number) => string} timeText @param {(value: number) => string} text */
function tooltip(shown, timeText, text) {
  const box = element('div', { class: 'tooltip' })
  box.hidden = true
  return {
    hooks: {
      /** @param {Plot} plot */
      init: (plot) => void plot.over.append(box),
      /** @param {Plot} plot */
      setCursor: (plot) => {
        const { idx: index, left = 0 } = plot.cursor
        box.hidden = typeof index !== 'number' || left < 0
        if (typeof index !== 'number') return
        const lines = shown.series.map(({ name, line, values }) => {
          const value = values[index]
          return element(
            'div',
            { class: `line-${line}` },
            foreign(name),
            ` ${typeof value === 'number' ? text(value) : '–'}`,
          )
        })
        box.replaceChildren(element('strong', {}, timeText(shown.times[index] ?? 0)), ...lines)
        const isRight = left > plot.over.clientWidth / 2
        box.style.left = isRight ? 'auto' : `${left + 8}px`
        box.style.right = isRight ? `${plot.over.clientWidth - left + 8}px` : 'auto'
      },
    },
  }
}
