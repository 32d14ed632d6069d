// The plot of docs/reports/benchmarks.svg: what scanning adds against the size of the message, on logarithmic axes, drawn so that
// it can be read on a light and on a dark page. Knows nothing of what it draws.

export interface Point {
  x: number
  y: number
  /** From the lowest to the highest that was measured. */
  range: readonly [number, number]
}

export interface Series {
  title: string
  /** A place in the palette, so that a title keeps its colour across panels. */
  colour: number
  points: readonly Point[]
}

export interface Panel {
  title: string
  series: readonly Series[]
}

export interface Plot {
  /** For those who do not see it. */
  description: string
  panels: readonly Panel[]
  xTitle: string
  yTitle: string
  xTicks: readonly { at: number; text: string }[]
}

const panelWidth = 420
const panelHeight = 330
const margin = { left: 62, right: 18, top: 46, bottom: 52 }
const legendRowHeight = 20
const legendColumns = 3
/** By Okabe and Ito, distinct for most colour-blind people; the second is for dark pages. */
const palette = [
  ['#d55e00', '#ff8a3d'],
  ['#0072b2', '#5ab4f0'],
  ['#56b4e9', '#a6dcff'],
  ['#009e73', '#3fd9a8'],
  ['#666666', '#a8a8a8'],
  ['#aa3377', '#ee88bb'],
] as const

/** The whole file, an SVG with its own style. Points that a logarithm does not have (0 and below) are left out. */
export function drawPlot(plot: Plot): string {
  const all = plot.panels.flatMap(({ series }) => series.flatMap(({ points }) => points.filter(isDrawn)))
  const x = scale(
    plot.xTicks.map(({ at }) => at),
    margin.left,
    panelWidth - margin.right,
    0.06,
  )
  const decades = decadesAround(all.flatMap(({ y, range: [low] }) => [y, ...(low > 0 ? [low] : [])]))
  const y = scale(decades, panelHeight - margin.bottom, margin.top, 0)
  const titles = new Map(
    plot.panels.flatMap(({ series }) => series.map(({ title, colour }) => [title, colour])),
  )
  const width = panelWidth * plot.panels.length
  const height = panelHeight + legendRowHeight * Math.ceil(titles.size / legendColumns) + 14
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(plot.description)}">`,
    `<style>${style()}</style>`,
    `<rect class="page" width="${width}" height="${height}"/>`,
    ...plot.panels.map(
      (panel, index) =>
        `<g transform="translate(${index * panelWidth} 0)">\n${drawPanel(panel, plot, decades, x, y)}\n</g>`,
    ),
    ...[...titles].map(([title, colour], index) => legendEntry(title, colour, index, width)),
    '</svg>',
    '',
  ].join('\n')
}

type Scale = (value: number) => number

/** From the logarithm of the values' range, with a share of it free on both sides, to pixels. */
function scale(values: readonly number[], from: number, to: number, free: number): Scale {
  const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))]
  const spare = (high - low) * free
  return (value) => from + ((Math.log10(value) - low + spare) / (high - low + 2 * spare)) * (to - from)
}

/** Powers of ten from below the least to above the greatest. */
export function decadesAround(values: readonly number[]): number[] {
  const positive = values.filter((value) => value > 0)
  if (positive.length === 0) return [1, 10]
  const first = Math.floor(Math.log10(Math.min(...positive)))
  const last = Math.max(Math.ceil(Math.log10(Math.max(...positive))), first + 1)
  return Array.from({ length: last - first + 1 }, (_, index) => Number(`1e${first + index}`))
}

function drawPanel(panel: Panel, plot: Plot, decades: readonly number[], x: Scale, y: Scale): string {
  const [left, right, bottom] = [margin.left, panelWidth - margin.right, panelHeight - margin.bottom]
  const horizontal = decades.map(
    (at) =>
      `<path class="grid" d="M${left} ${px(y(at))}H${right}"/>` +
      `<text class="tick" x="${left - 8}" y="${px(y(at) + 4)}" text-anchor="end">${at}</text>`,
  )
  const vertical = plot.xTicks.map(
    ({ at, text }) =>
      `<path class="grid" d="M${px(x(at))} ${margin.top}V${bottom}"/>` +
      `<text class="tick" x="${px(x(at))}" y="${bottom + 18}" text-anchor="middle">${escaped(text)}</text>`,
  )
  const middle = { x: (left + right) / 2, y: (margin.top + bottom) / 2 }
  return [
    `<text class="title" x="${left}" y="26">${escaped(panel.title)}</text>`,
    ...horizontal,
    ...vertical,
    `<text class="tick" x="${px(middle.x)}" y="${panelHeight - 14}" text-anchor="middle">${escaped(plot.xTitle)}</text>`,
    `<text class="tick" transform="translate(16 ${px(middle.y)}) rotate(-90)" text-anchor="middle">${escaped(plot.yTitle)}</text>`,
    ...panel.series.map((series) => drawSeries(series, x, y)),
  ].join('\n')
}

function drawSeries({ points, colour }: Series, x: Scale, y: Scale): string {
  const drawn = points.filter(isDrawn)
  const line = drawn.map((point) => `${px(x(point.x))},${px(y(point.y))}`).join(' ')
  const marks = drawn.map(({ x: at, y: middle, range: [low, high] }) => {
    const whisker = low > 0 ? `<path class="line" d="M${px(x(at))} ${px(y(low))}V${px(y(high))}"/>` : ''
    return `${whisker}<circle class="dot" cx="${px(x(at))}" cy="${px(y(middle))}" r="4"/>`
  })
  return `<g class="${className(colour)}"><polyline class="line" points="${line}"/>${marks.join('')}</g>`
}

function legendEntry(title: string, colour: number, index: number, width: number): string {
  const column = index % legendColumns
  const left = margin.left + (column * (width - margin.left)) / legendColumns
  const top = panelHeight + 8 + legendRowHeight * Math.floor(index / legendColumns)
  return (
    `<g class="${className(colour)}"><path class="line" d="M${px(left)} ${top}h24"/>` +
    `<circle class="dot" cx="${px(left + 12)}" cy="${top}" r="4"/>` +
    `<text class="name" x="${px(left + 32)}" y="${top + 4}">${escaped(title)}</text></g>`
  )
}

function isDrawn({ y }: Point): boolean {
  return y > 0
}

function className(colour: number): string {
  return `c${colour % palette.length}`
}

function style(): string {
  const coloured = (column: 0 | 1) =>
    palette.map((colours, index) => `.c${index}{color:${colours[column]}}`).join('')
  return [
    'text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-size:13px;fill:#24292f}',
    '.title{font-size:15px;font-weight:600}.tick{fill:#57606a}',
    '.page{fill:#ffffff}.grid{stroke:#d8dee4;stroke-width:1;fill:none}',
    '.line{stroke:currentColor;stroke-width:2;fill:none}.dot{fill:currentColor}',
    coloured(0),
    '@media (prefers-color-scheme:dark){',
    'text{fill:#e6edf3}.tick{fill:#9da7b3}.page{fill:#0d1117}.grid{stroke:#30363d}',
    `${coloured(1)}}`,
  ].join('')
}

/** A tenth of a pixel is enough. */
function px(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')
}
