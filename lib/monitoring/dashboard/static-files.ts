/*
 * The files of the page, as the browser asks for them. `npm run build` puts those from elsewhere beside the others
 * (scripts/copy-page.mjs); in a clone they are read where they are.
 */

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const folder = path.join(__dirname, 'page')

const modules = [
  'page.js',
  'dom.js',
  'state.js',
  'charts.js',
  'chart-list.js',
  'chart-options.js',
  'figures.js',
  'list.js',
  'messages.js',
  'search.js',
  'export.js',
  'quarantine.js',
  'runbook.js',
]

/** Files that others have, and where a clone has them. */
const elsewhere: ReadonlyMap<string, () => string> = new Map([
  ['uplot.js', () => require.resolve('uplot/dist/uPlot.iife.min.js')],
  ['uplot.css', () => require.resolve('uplot/dist/uPlot.min.css')],
  ['runbook.md', () => path.join(__dirname, '..', '..', '..', 'docs', 'guide', 'runbook.md')],
])

/** Content types by name. */
export const staticFiles: ReadonlyMap<string, string> = new Map([
  ...[...modules, 'uplot.js'].map((name) => [name, 'text/javascript'] as const),
  ['page.css', 'text/css'],
  ['uplot.css', 'text/css'],
  ['runbook.md', 'text/markdown'],
])

const texts = new Map<string, string>()

/** Read once. @throws if there is no such file */
export function fileText(name: string): string {
  const known = texts.get(name)
  if (known !== undefined) return known
  const beside = path.join(folder, name)
  const text = readFileSync(existsSync(beside) ? beside : (elsewhere.get(name)?.() ?? beside), 'utf8')
  texts.set(name, text)
  return text
}
