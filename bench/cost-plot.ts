// The plotted figures: CPU time and message time that scanning adds to the mail server.
import { type ContenderName, titles } from './contenders'
import { added, primaryTable } from './figures'
import type { Plot, Series } from './plot'
import type { CostTable, Results } from './results'

const colours: Partial<Record<ContenderName, number>> = {
  clamd: 0,
  instream: 1,
  stream: 2,
  milter: 3,
  null: 4,
  bare: 5,
}

/** Undefined without figures of costs. */
export function costPlot(results: Results): Plot | undefined {
  const table = primaryTable(results)
  if (!table || table.sizes.length < 2) return undefined
  return {
    description: 'Cost of scanning against the size of the message, from bench/results.json',
    panels: [
      {
        title: 'CPU added to the mail server',
        series: seriesOf(table, ['clamd', 'milter', 'stream', 'instream', 'null'], 'server'),
      },
      {
        title: 'Time added',
        series: seriesOf(table, ['clamd', 'milter', 'stream', 'instream', 'bare'], 'wall'),
      },
    ],
    xTitle: 'size of the message',
    yTitle: 'milliseconds per message',
    xTicks: table.sizes.map(({ bytes, label }) => ({ at: bytes, text: label })),
  }
}

function seriesOf(table: CostTable, names: readonly ContenderName[], kind: 'wall' | 'server'): Series[] {
  return names.flatMap((name) => {
    const points = table.sizes.flatMap((size) => {
      const found = added(size, name, kind)
      return found ? [{ x: size.bytes, y: found.median, range: [found.min, found.max] as const }] : []
    })
    return points.length > 0 ? [{ title: titles[name], colour: colours[name] ?? 0, points }] : []
  })
}
