// What the log says at start of settings that work, but deserve a look.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { load } from '../../../lib/plugin/load'
import { runtimeOf } from '../../../lib/plugin/runtime'
import { warnOfQuarantine } from '../../../lib/plugin/start-warnings'
import { FakeSite, type SiteOptions } from '../../support/haraka/fake-haraka'

function logged(t: TestContext, options: SiteOptions): string[] {
  const site = new FakeSite(t, options)
  load(site.plugin)
  return site.log
}

const modules = (bytes: number, seconds: number) => ({
  connection: { cfg: { max: { bytes } } },
  server: { cfg: { main: { inactivity_timeout: seconds } } },
})

test('nothing, where all is well', (t) => {
  assert.deepEqual(logged(t, {}), [])
  assert.deepEqual(logged(t, { modules: modules(25 * 1024 * 1024, 300) }), [])
})

test("Haraka's limits that do not go with ours", (t) => {
  const [larger, ...none] = logged(t, { modules: modules(50 * 1024 * 1024, 300) })
  assert.match(
    larger ?? '',
    /^warn Haraka accepts 50MB \(\[max\] bytes .*, max_size is 25MB: larger ones are not scanned/,
  )
  assert.deepEqual(none, [])
  const [any] = logged(t, { modules: modules(0, 300) })
  assert.match(any ?? '', /^warn Haraka accepts messages of any size /)
  const [off, ...others] = logged(t, { ini: 'scan_timeout=119s\n', modules: modules(1, 100) })
  assert.match(
    off ?? '',
    /^warn scan_timeout is 2m, and Haraka ends connections after 2m .*in the middle of a scan$/,
  )
  assert.deepEqual(others, [])
  const [late] = logged(t, { ini: 'scan_timeout=3m\n' })
  assert.match(
    late ?? '',
    /^warn scan_timeout is 3m, and clamd's MaxScanTime is 2m by default.*has not finished$/,
  )
})

test('settings that exempt everybody are an error in the log; those that exempt many, a warning', (t) => {
  const [everybody] = logged(t, { exempt: 'network 0.0.0.0/0\n' })
  assert.match(everybody ?? '', /^error .*0\.0\.0\.0\/0.*; better: /)
  const [many] = logged(t, { exempt: 'sender *@example.com\n' })
  assert.match(many ?? '', /^warn .*example\.com.*; better: /)
})

test('a page without an HTTP server, or open to everybody', (t) => {
  const page = { ini: '[http]\npage=true\n' }
  const off = logged(t, page).join('\n')
  assert.match(off, /^warn \[http\] page=true, but Haraka's HTTP server is off.*; http\.ini: listen=/m)
  const on = logged(t, {
    ...page,
    modules: { server: { http: { cfg: { listen: '127.0.0.1:8080' } } } },
  }).join('\n')
  assert.doesNotMatch(on, /server is off/)
  assert.match(on, /^warn \[http\] page=true without a token/m)
})

test('a folder that can keep no copy, and the command that makes one', (t) => {
  const warned = (ini: string, registered: (folder: string) => object | undefined) => {
    const site = new FakeSite(t, { ini, plugins: { registered_plugins: {} } })
    const plugins = site.plugin.haraka_require('plugins') as { registered_plugins: Record<string, unknown> }
    plugins.registered_plugins['queue/quarantine'] = registered(site.folder)
    load(site.plugin)
    site.log.length = 0
    warnOfQuarantine(site.plugin, runtimeOf(site.plugin).settings)
    return site.log
  }
  const keeps = '[infected]\naction=quarantine\n'
  const folder = (name: string) => (folder: string) => ({ get_base_dir: () => path.join(folder, name) })
  const file = (folder: string) => {
    writeFileSync(path.join(folder, 'file'), '')
    return { get_base_dir: () => path.join(folder, 'file') }
  }
  const [line] = warned(keeps, file)
  const { username } = userInfo()
  assert.match(
    line ?? '',
    new RegExp(
      `^error no copy can be kept, .*/file.* is not a folder \\(E\\w+\\) by ${username}; as root: install .*/file`,
    ),
  )
  assert.deepEqual(warned(keeps, folder('base')), [])
  assert.deepEqual(warned('', file), [])
  assert.deepEqual(
    warned(keeps, () => undefined),
    [],
  )
  assert.deepEqual(
    warned(keeps, () => ({})),
    [],
  )
})
