// The last step of `npm run build`: the files of the page, with those that others have, beside the compiled code that
// serves them (lib/monitoring/dashboard/static-files.ts).
import { copyFileSync, cpSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const repository = path.resolve(import.meta.dirname, '..')
const below = path.join('lib', 'monitoring', 'dashboard', 'page')
const target = path.join(repository, 'dist', below)
const uplot = path.dirname(createRequire(import.meta.url).resolve('uplot/package.json'))

cpSync(path.join(repository, below), target, { recursive: true })
copyFileSync(path.join(uplot, 'dist', 'uPlot.iife.min.js'), path.join(target, 'uplot.js'))
copyFileSync(path.join(uplot, 'dist', 'uPlot.min.css'), path.join(target, 'uplot.css'))
copyFileSync(path.join(uplot, 'LICENSE'), path.join(target, 'uplot.LICENSE'))
copyFileSync(path.join(repository, 'docs', 'guide', 'runbook.md'), path.join(target, 'runbook.md'))
// The package is CommonJS, and the page has ES modules.
writeFileSync(path.join(target, 'package.json'), '{ "type": "module" }\n')
