// The pages of docs/guide agree with the code: the runbook searches for lines that are logged, and the page for users
// of haraka-plugin-clamd has every key of it.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ClamdError, errorText } from '../../lib/clamd/errors'
import { logLine, resultOf } from '../../lib/policy/verdict'
import { repository } from '../support/haraka/haraka-install'
import { clean } from '../support/monitoring-site'

const read = (...name: string[]) => readFileSync(path.join(repository, ...name), 'utf8')
const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, part = '']) => part)

/** The sources, with string literals that are added up over several lines as one. */
function sources(): string {
  const files = readdirSync(path.join(repository, 'lib'), { recursive: true, encoding: 'utf8' })
  const all = files.filter((name) => name.endsWith('.ts')).map((name) => read('lib', name))
  return all.join('\n').replaceAll(/['`]\s*\+\s*['`]/g, '')
}

/** Lines that are made of parts, made here as the plugin makes them. */
const examples = [
  ...(['too_large', 'encrypted', 'unscannable', 'in_progress'] as const).map((reason) =>
    logLine({ ...clean, outcome: 'unscanned', reason, text: '' }, null, 'reject'),
  ),
  errorText(new ClamdError('data connect', 'no connection')),
  ...['ECONNREFUSED', 'ENOENT', 'EACCES'].map((code) =>
    errorText(
      new ClamdError('connect', 'no connection', { cause: Object.assign(new Error(code), { code }) }),
    ),
  ),
  // Haraka's own, about a hook that takes too long.
  ...found(read('node_modules', 'Haraka', 'plugins.js'), /(timed out on hook)/g),
  // Each file's name stands in front of what is wrong with it.
  'clamav-stream.ini: ',
]

test('the runbook searches for what is logged', () => {
  const searches = found(read('docs', 'guide', 'runbook.md'), /^grep -F ((?:-e )?'.*') haraka\.log$/gm)
  const texts = searches.flatMap((search) => found(search, /'([^']+)'/g))
  assert.ok(texts.length > 20)
  const logged = [sources(), ...examples].join('\n')
  assert.deepEqual(
    texts.filter((text) => !logged.includes(text)),
    [],
  )
})

test('the runbook uses commands of a fresh Debian, of Haraka and of this package', () => {
  const blocks = found(read('docs', 'guide', 'runbook.md'), /^```sh\n([\s\S]*?)^```$/gm).join('\n')
  const commands = blocks.split('\n').flatMap((line) => line.replace(/'[^']*'/g, '').split(/\s*\|\s*/))
  const base = 'bash df getent grep journalctl ls sudo systemctl tail'.split(' ')
  const known = [...base, 'npx', 'haraka', '']
  assert.deepEqual(
    commands.map((command) => command.split(' ')[0] ?? '').filter((name) => !known.includes(name)),
    [],
  )
})

test('every key of haraka-plugin-clamd is on the page for its users', () => {
  const code = read('node_modules', 'haraka-plugin-clamd', 'index.js')
  const [booleans = ''] = found(code, /booleans: \[([\s\S]*?)\]/g)
  const [defaults = ''] = found(code, /const defaults = \{([\s\S]*?)\}/g)
  const keys = [
    ...found(booleans, /'[+-]main\.(\w+)'/g),
    ...found(booleans, /'[+-]((?:reject|check)\.[\w.]+)'/g).map((key) => key.replace(/^(\w+)\./, '[$1] ')),
    ...found(defaults, /^ *(\w+):/gm),
  ]
  assert.ok(keys.includes('clamd_socket') && keys.includes('[reject] Broken.Executable'))
  const page = read('docs', 'guide', 'from-haraka-plugin-clamd.md')
  assert.deepEqual(
    keys.filter((key) => !page.includes(`\n| \`${key}\``)),
    [],
  )
})

test("karma scores the results by the page's lines", async () => {
  const page = read('docs', 'guide', 'from-haraka-plugin-clamd.md')
  const awards = [...page.matchAll(/^(\d+) = (clamav-stream .*)$/gm)].map(
    ([, id = '', line = '']) => [id, line] as const,
  )
  const { default: karma } = await import('haraka-plugin-karma')
  const plugin = Object.assign(Object.create(karma) as typeof karma, {
    cfg: { result_awards: Object.fromEntries(awards) },
    result_awards: {},
  })
  plugin.preparse_result_awards()
  const results = [
    { ...clean, outcome: 'unscanned', reason: 'encrypted', text: '' },
    { ...clean, outcome: 'infected', virus: 'PUA.Win.Packer' },
    { ...clean, outcome: 'infected', virus: 'Heuristics.Phishing.Email.SpoofedDomain' },
  ] as const
  const given: unknown[] = []
  const connection = {
    results: {
      has: () => false,
      incr: () => undefined,
      push: (_: object, { awards: id }: { awards?: string }) => id === undefined || given.push(id),
    },
  }
  for (const verdict of results) {
    const message = JSON.stringify({ plugin: 'clamav-stream', result: resultOf(verdict, null) })
    plugin.check_result(connection, message)
  }
  assert.ok(awards.length > 2)
  assert.deepEqual(
    given,
    awards.map(([id]) => id),
  )
})

test('every key of haraka-plugin-attachment is on that page', () => {
  const code = read('node_modules', 'haraka-plugin-attachment', 'index.js')
  const keys = [
    ...found(code, /cfg\.(?:main|archive)\??\.(\w+)/g).filter(
      (key) => key !== 'exts' && key !== 'archive_max_depth',
    ),
    ...found(code, /'(attachment\.[\w.]+\.regex)'/g),
  ]
  assert.ok(keys.includes('disallowed_extensions') && keys.length > 8)
  const page = read('docs', 'guide', 'from-haraka-plugin-clamd.md')
  assert.deepEqual(
    keys.filter((key) => !page.includes(key)),
    [],
  )
})
