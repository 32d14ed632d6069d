// What an administrator should plan for, from the costs of this plugin by INSTREAM.
import { primaryTable } from './figures'
import { short } from './report'
import type { Results, SizeCosts } from './results'
import { median } from './statistics'
import type { Table } from './table'

/** Number of each size in a hundred messages: an example, near what many sites see. */
const mix: Record<string, number> = { '5 kB': 60, '100 kB': 30, '1 MB': 9, '10 MB': 1 }
/** So much of a core may be busy on average, that peaks and retries find room. */
const load = 0.5

/** Undefined without the costs of every size of the mix. */
export function planningTable(results: Results): Table | undefined {
  const sizes = primaryTable(results)?.sizes ?? []
  const rows = sizes.map((size) => ({ label: size.label, ...cpuOf(size) }))
  const parts = Object.entries(mix).map(([label, share]) => {
    const row = rows.find((each) => each.label === label)
    return { server: ((row?.server ?? NaN) * share) / 100, clamd: ((row?.clamd ?? NaN) * share) / 100 }
  })
  const sum = (kind: 'server' | 'clamd') => parts.reduce((all, part) => all + part[kind], 0)
  const mixed = { label: mixText(), server: sum('server'), clamd: sum('clamd') }
  if (Number.isNaN(mixed.server + mixed.clamd)) return undefined
  return {
    head: [
      'Size',
      'CPU of Haraka, ms',
      'CPU of clamd, ms',
      'messages a second, a core of Haraka',
      'messages a second, a core of clamd',
      'messages a second, a core for both',
    ],
    rows: [...rows, mixed].map(({ label, server, clamd }) => [
      label,
      short(server),
      short(clamd),
      perSecond(server),
      perSecond(clamd),
      perSecond(server + clamd),
    ]),
  }
}

function cpuOf({ rounds }: SizeCosts): { server: number; clamd: number } {
  const own = rounds.instream ?? []
  return { server: median(own.map(({ server }) => server)), clamd: median(own.map(({ clamd }) => clamd)) }
}

function perSecond(cpuMs: number): string {
  const rate = (1000 / cpuMs) * load
  return rate >= 10 ? String(Math.round(rate)) : rate.toPrecision(1)
}

function mixText(): string {
  const shares = Object.entries(mix).map(([label, share]) => `${share} % of ${label}`)
  return `a mix: ${shares.join(', ')}`
}
