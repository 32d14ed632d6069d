// What lint cannot hold of the structure: that no file imports itself by way of others, types included, and that what is
// optional is not loaded with the plugin. That imports point down the list of rooms is held by eslint.config.mjs.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

const root = path.resolve(__dirname, '..', '..')
const files = readdirSync(path.join(root, 'lib'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => path.join('lib', name))

interface Import {
  readonly from: string
  readonly to: string
  readonly isType: boolean
}

const imports: Import[] = [...files, 'index.ts'].flatMap((from) => {
  const source = readFileSync(path.join(root, from), 'utf8')
  return [...source.matchAll(/^(?:import|export) (type )?[^'"]*?from '([^']+)'/gms)].map(
    ([, type, to = '']) => ({
      from,
      to: to.startsWith('.') ? `${path.join(path.dirname(from), to)}.ts` : to,
      isType: type !== undefined,
    }),
  )
})

test('the imports were seen', () => {
  assert.ok(imports.length > 300)
  assert.ok(imports.some(({ from, to }) => from === 'index.ts' && to === 'lib/plugin/runtime.ts'))
})

test('no file imports itself by way of others, types included', () => {
  const reach = (from: string, seen: Set<string>): Set<string> => {
    for (const { to } of imports.filter((one) => one.from === from && !seen.has(one.to))) {
      seen.add(to)
      reach(to, seen)
    }
    return seen
  }
  for (const file of files) assert.ok(!reach(file, new Set()).has(file), file)
})

test('prom-client is loaded with the metrics, and not with the plugin', () => {
  const found = imports.filter(({ to }) => to === 'prom-client')
  assert.ok(found.length > 0)
  for (const { from, isType } of found) assert.ok(isType, from)
})

test('the library for archives is loaded in its own thread, and the one for regular expressions with the first of them', () => {
  const importing = (name: string) =>
    imports.filter(({ to, isType }) => to.endsWith(name) && !isType).map(({ from }) => from)
  assert.deepEqual(importing('7z-wasm'), ['lib/attachments/archives/library-worker.ts'])
  assert.deepEqual(importing('library-worker.ts'), [])
  assert.deepEqual(importing('re2js'), [])
})

test('the path of a message knows one file of the metrics and the page', () => {
  const below = imports.filter(
    ({ from, to, isType }) =>
      !isType && !/^lib\/(monitoring|cli)\//.test(from) && to.startsWith('lib/monitoring/'),
  )
  assert.deepEqual(below.map(({ from, to }) => `${from} ${to}`).sort(), [
    'index.ts lib/monitoring/serve.ts',
    'lib/plugin/record.ts lib/monitoring/recorder.ts',
  ])
})

test('the types of the package import nothing, so that they hold in any project', () => {
  assert.ok(files.includes('lib/policy/note.ts'))
  assert.deepEqual(
    imports.filter(({ from }) => from === 'lib/policy/note.ts'),
    [],
  )
})
