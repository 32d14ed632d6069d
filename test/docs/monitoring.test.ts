// What an administrator copies from docs/: metrics, alert rules and dashboard agree with one another and with the code.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { exposition, Metrics } from '../../lib/monitoring/metrics'
import { loadProm } from '../../lib/monitoring/recorder'
import { clean, someAddress, unscanned } from '../support/monitoring-site'
import { TemporaryDirectory } from '../support/process'
import { checkMetrics, promtool, promtoolOrSkip } from '../support/promtool'

const docs = path.resolve(__dirname, '..', '..', 'docs')
const read = (...name: string[]) => readFileSync(path.join(docs, ...name), 'utf8')

interface Dashboard {
  panels: {
    id: number
    type: string
    title: string
    gridPos: { x: number; w: number }
    targets: { expr: string }[]
    fieldConfig: { defaults: { unit: string; noValue?: string } }
  }[]
  annotations: { list: { expr: string }[] }
}
const dashboard = JSON.parse(read('grafana', 'clamav-stream.json')) as Dashboard

/** What is served once everything has happened that is counted, and the names in it with their labels. */
async function served() {
  const prom = await loadProm()
  const engine = {
    release: 'ClamAV 1.4.6',
    signatures: { number: 27500, builtMs: Date.UTC(2026, 0, 15) },
    line: '',
  }
  const metrics = new Metrics(prom, '1.0.0', () => [{ ...someAddress, engine }])
  metrics.count(clean, null, 'accept')
  metrics.count(unscanned('x'), { unreadable: 'x' }, 'defer')
  const { text } = await exposition(prom, [await metrics.snapshot()])
  const labels = new Map<string, Set<string>>()
  for (const [, name = '', inside = ''] of text.matchAll(/^(clamav_stream_\w+)(?:\{(.*)\})? /gm)) {
    labels.set(name, new Set([...inside.matchAll(/(\w+)="/g)].map(([, label = '']) => label)))
  }
  return { text, labels }
}

test('parts, readings, and what was found in a part alone are counted', async () => {
  const prom = await loadProm()
  const metrics = new Metrics(prom, '1.0.0', () => [])
  const scan = { ...clean, oddity: 'multipart/signed', parts: 3, readings: 2 }
  metrics.count({ ...scan, part: null }, null, 'accept')
  for (const part of ['part 2 (base64)', null])
    metrics.count({ ...scan, outcome: 'infected', virus: 'x', part }, null, 'reject')
  const { text } = await exposition(prom, [await metrics.snapshot()])
  for (const [name, count] of Object.entries({ parts: 9, readings: 6, found_in_parts: 1 }))
    assert.match(text, new RegExp(`^clamav_stream_${name}_total ${count}$`, 'm'))
})

test('promtool has nothing to say about the metrics, with signatures and all', async (t) => {
  if (!promtoolOrSkip(t)) return
  const { text } = await served()
  assert.equal(checkMetrics(text), '')
  assert.match(
    text,
    /^clamav_stream_signatures_timestamp_seconds\{address="192\.0\.2\.10:3310"\} 1768435200$/m,
  )
})

test('docs/guide/monitoring.md lists every metric with its labels, and every alert', async () => {
  const { labels } = await served()
  const rows = read('guide', 'monitoring.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  for (const [name, ofIt] of labels) {
    const base = name.replace(/(_seconds|_bytes)_(bucket|sum|count)$/, '$1')
    const row = rows.find((line) => line.startsWith(`| \`${base}\``))
    assert.ok(row, base)
    for (const label of ofIt) if (label !== 'le') assert.ok(row.includes(`\`${label}\``), `${base}: ${label}`)
  }
  for (const [, alert = ''] of read('prometheus', 'clamav-stream.rules.yml').matchAll(/- alert: (\w+)/g)) {
    assert.ok(
      rows.some((row) => row.startsWith(`| \`${alert}\``)),
      alert,
    )
    assert.ok(read('prometheus', 'clamav-stream.test.yml').includes(alert), `${alert} has a test`)
  }
})

test('rules and dashboard ask for metrics and labels that there are', async () => {
  const { labels } = await served()
  const expressions = [
    read('prometheus', 'clamav-stream.rules.yml').replace(/^.*(summary|description|alert):.*$/gm, ''),
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ]
  const asked = expressions.join('\n')
  for (const [, name = '', inside = ''] of asked.matchAll(/(clamav_stream_\w+)(?:\{([^}]*)\})?/g)) {
    const known = labels.get(name)
    assert.ok(known, name)
    for (const [, label = ''] of inside.matchAll(/(\w+)\s*(?:=~|!=|=)/g)) {
      assert.ok(known.has(label) || ['job', 'instance'].includes(label), `${name}: ${label}`)
    }
  }
})

test('the dashboard has units that people read, and a value for nothing', () => {
  for (const { title, type, targets, fieldConfig } of dashboard.panels) {
    const { unit, noValue } = fieldConfig.defaults
    assert.ok(noValue, `${title}: "No data" is no value`)
    assert.doesNotMatch(unit, /^c?p[sm]$/, title)
    if (type === 'stat' && noValue === '0')
      for (const { expr } of targets) assert.match(expr, / or vector\(0\)$/, title)
    if (unit === 'suffix: /min') for (const { expr } of targets) assert.match(expr, /^60 \* /, title)
  }
})

test('what the alerts and the dashboard count is there before the first message', async () => {
  const prom = await loadProm()
  const { text } = await exposition(prom, [await new Metrics(prom, '1.0.0', () => []).snapshot()])
  const first = (labels: string) =>
    assert.match(text, new RegExp(`^clamav_stream_messages_total\\{${labels},address="none".*\\} 0$`, 'm'))
  first('outcome="unscanned",reason="error",action="accept"')
  first('outcome="infected",reason="none",action="reject"')
})

test('promtool accepts the alert rules, and they go off when they have to', (t) => {
  if (!promtoolOrSkip(t)) return
  const directory = path.join(docs, 'prometheus')
  assert.equal(promtool(['check', 'rules', 'clamav-stream.rules.yml'], '', directory), '')
  assert.equal(promtool(['test', 'rules', 'clamav-stream.test.yml'], '', directory), '')
})

test('promtool accepts every expression of the dashboard', (t) => {
  if (!promtoolOrSkip(t)) return
  const expressions = [
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...dashboard.annotations.list.map(({ expr }) => expr),
  ].map((expr) => expr.replaceAll('$__rate_interval', '5m'))
  assert.ok(expressions.length > 15)
  const rules = expressions.map((expr, index) => ({ record: `dashboard:${index}`, expr }))
  const directory = new TemporaryDirectory('promtool')
  t.after(() => directory.remove())
  // JSON is YAML.
  writeFileSync(
    path.join(directory.path, 'rules.yml'),
    JSON.stringify({ groups: [{ name: 'dashboard', rules }] }),
  )
  assert.equal(promtool(['check', 'rules', 'rules.yml'], '', directory.path), '')
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
  for (const { gridPos } of dashboard.panels) assert.ok(gridPos.x + gridPos.w <= 24)
})
