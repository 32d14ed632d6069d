// Settings in force: at start, where a mistake stops Haraka, and when a file changes, where it leaves the old ones alone.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { reportMs } from '../../../lib/actions/bounce'
import { copyMs } from '../../../lib/actions/quarantine'
import { ConfigError } from '../../../lib/base/config-error'
import { load } from '../../../lib/plugin/load'
import { attachmentTimeoutMs, runtimeOf, stop } from '../../../lib/plugin/runtime'
import { begin } from '../../../lib/plugin/start'
import { FakeSite, type SiteOptions } from '../../support/haraka/fake-haraka'

function setUp(t: TestContext, options: SiteOptions = {}) {
  const site = new FakeSite(t, options)
  load(site.plugin)
  t.after(() => stop(site.plugin))
  const host = `[main]\nhost=${path.join(site.folder, 'clamd.ctl')}\n`
  return { site, host, runtime: () => runtimeOf(site.plugin) }
}

const reloaded = 'info settings reloaded'

test('the hook timer leaves time for a scan, a wait, the attachments, a copy and a report', (t) => {
  const neededMs = 90_000 + 7000 + attachmentTimeoutMs + copyMs + reportMs + 5000
  const ini = 'scan_timeout=90s\nconnect_timeout=7s\n'
  for (const [timeout, seconds] of [
    [30, Math.ceil(neededMs / 1000)],
    [600, 600],
    [0, 0],
  ] as const)
    assert.equal(setUp(t, { ini, timeout }).site.plugin.timeout, seconds)
})

test('a mistake stops Haraka, and so does a setting that is made elsewhere', (t) => {
  assert.throws(() => setUp(t, { ini: 'max_size=much\n' }), ConfigError)
  const site = new FakeSite(t)
  const { config } = site.plugin
  const elsewhere = { get: () => ({ main: { port: '3311' } }), overrides_path: site.folder }
  Object.assign(site.plugin, { config: { ...config, ...elsewhere } })
  assert.throws(() => load(site.plugin), /\[main\] port is set elsewhere/)
  assert.throws(() => runtimeOf(site.plugin), /not registered/)
})

test('a change takes effect, with the hook timer; a mistake does not', async (t) => {
  const { site, host, runtime } = setUp(t)
  const before = site.plugin.timeout
  assert.equal(await site.change('ini', `${host}max_pings=0\nscan_timeout=80s\n`), reloaded)
  assert.equal(runtime().settings.scan.scanMs, 80_000)
  assert.equal(site.plugin.timeout, before + 20)
  const { settings } = runtime()
  assert.match(
    await site.change('ini', `${host}scan_timeout=soon\n`),
    /^error settings not reloaded, the old ones stay in force: .*scan_timeout/,
  )
  assert.equal(runtime().settings, settings)
})

test('a file that is gone, or says nothing any more, is no change', async (t) => {
  const { site, runtime } = setUp(t)
  const { settings } = runtime()
  assert.match(
    await site.change('ini', '; nothing\n'),
    /^error settings not reloaded.* says nothing any more$/,
  )
  assert.match(await site.change('ini', null), /^error settings not reloaded.*clamav-stream\.ini is gone$/)
  assert.equal(runtime().settings, settings)
})

test('a list that is empty or gone is no change; comments alone are', async (t) => {
  const { site, runtime } = setUp(t, { signatures: 'PUA.* ignore\n', exempt: 'network 192.0.2.0/24\n' })
  const { settings } = runtime()
  for (const kind of ['signatures', 'exempt'] as const) {
    const file = `clamav-stream\\.${kind}`
    const refused = (why: string) => new RegExp(`^error settings not reloaded.*${file} is ${why}$`)
    assert.match(await site.change(kind, ' \n'), refused('empty'))
    assert.match(await site.change(kind, null), refused('gone'))
    assert.equal(runtime().settings, settings)
    // The next change of another file does not bring it into force either.
    assert.match(await site.change('ini', '[main]\nmax_pings=0\n'), refused('gone'))
    site.write(kind, kind === 'exempt' ? 'network 192.0.2.0/24\n' : 'PUA.* ignore\n')
  }
  for (const kind of ['signatures', 'exempt'] as const)
    assert.equal(await site.change(kind, '# none\n'), reloaded)
  const { rules } = runtime().settings
  assert.notDeepEqual(rules, settings.rules)
  // Nothing was said before, and nothing is said now.
  assert.equal(await site.change('exempt', ''), reloaded)
})

test('a host that nobody knows is refused', async (t) => {
  const { site, host, runtime } = setUp(t)
  const said = await site.change('ini', `${host.trimEnd()} nobody.invalid\n`)
  assert.match(said, /^error settings not reloaded.*\[main\] host or backup: .*nobody\.invalid/)
  assert.equal(runtime().settings.hosts.hosts.length, 1)
})

test('of two changes at once, the last one counts', async (t) => {
  const { site, host, runtime } = setUp(t)
  const first = site.change('ini', `${host}scan_timeout=70s\n`)
  const second = site.change('ini', `${host}scan_timeout=80s\n`)
  await Promise.all([first, second])
  assert.equal(runtime().settings.scan.scanMs, 80_000)
  assert.deepEqual(
    site.log.filter((line) => line.includes('reloaded')),
    [reloaded],
  )
})

test('what is known of the clamds stays unless the change concerns them', async (t) => {
  const { site, host, runtime } = setUp(t)
  const first = runtime()
  assert.equal(await site.change('signatures', 'PUA.* ignore\n'), reloaded)
  assert.notEqual(runtime().scanner, first.scanner)
  assert.equal(runtime().hosts, first.hosts)
  assert.equal(await site.change('exempt', 'network 192.0.2.0/24\n'), reloaded)
  assert.equal(runtime().hosts, first.hosts)
  assert.equal(
    await site.change('ini', `${host}max_pings=0\nmax_size=30M\n[main]\nunscannable_after=9\n`),
    reloaded,
  )
  const { hosts, clamd, failures } = runtime()
  assert.notEqual(hosts, first.hosts)
  assert.equal(clamd, first.clamd)
  assert.equal(failures, first.failures)
  assert.equal(failures.unscannableAfter, 9)
})

test('the check of clamds begins anew with the ini and with other clamds, and not with the lists', async (t) => {
  const { site, host, runtime } = setUp(t, { maxPings: 1 })
  begin(site.plugin, {})
  const { healthCheck: check } = runtime()
  begin(site.plugin, {})
  assert.equal(runtime().healthCheck, check)
  await site.change('exempt', 'network 192.0.2.0/24\n')
  assert.equal(runtime().healthCheck, check)
  assert.equal(check?.signal.aborted, false)
  await site.change('ini', `${host}max_pings=1\n`)
  assert.notEqual(runtime().healthCheck, check)
  assert.equal(check.signal.aborted, true)
  assert.equal(runtime().healthCheck?.signal.aborted, false)
  const off = await site.change('ini', `${host}max_pings=0\n`)
  assert.deepEqual([off, runtime().healthCheck], [reloaded, null])
})

test('the quarantine is tried at the start and at a reload, but not by a master, which keeps no copies', async (t) => {
  const nowhere = { get_base_dir: () => '/dev/null/nowhere' }
  const options = {
    ini: '[infected]\naction=quarantine\n',
    plugins: { registered_plugins: { 'queue/quarantine': nowhere } },
  }
  for (const [server, times] of [
    [{}, 2],
    [{ cluster: { isMaster: false } }, 2],
    [{ cluster: { isMaster: true } }, 0],
  ] as const) {
    const { site } = setUp(t, options)
    begin(site.plugin, server)
    assert.equal(await site.change('exempt', 'network 192.0.2.0/24\n'), reloaded)
    assert.equal(site.log.filter((line) => line.includes('no copy can be kept')).length, times)
  }
})
