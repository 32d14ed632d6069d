// `clamav-stream check`: findings for sites with faults, each with the line to add.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { check, site } from '../support/check-site'
import { startFakeClamd } from '../support/clamd/fake-clamd'

test('the site: each fault, and the line to add', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const ini = `host=${addressText(fake.address)}\nmax_signature_age=0\n`
  const told = async (files: Record<string, string>, ...expected: RegExp[]) => {
    const ran = await check(site({ 'clamav-stream.ini': ini, ...files }), '--quick')
    for (const pattern of expected) assert.match(ran.text, pattern)
    return ran.code
  }
  assert.equal(
    await told(
      { plugins: 'queue/smtp_forward\n' },
      /^FAIL +config\/plugins +clamav-stream is not listed.*\n.*-> config\/plugins: add clamav-stream as the first line$/m,
    ),
    2,
  )
  assert.equal(
    await told(
      { 'connection.ini': '[max]\nbytes=50000000\n' },
      /^WARN +size +Haraka accepts up to 47\.68MB, max_size is 25MB.*too_large=reject\)\n +-> connection\.ini: \[max\] bytes=26214400/m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'connection.ini': '[max]\nbytes=20M\n' },
      /^WARN +size +Haraka accepts messages of any size, /m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'smtp.ini': 'inactivity_timeout=45\n' },
      /^WARN +time +inactivity_timeout is 45 s.*\n.*-> smtp\.ini: inactivity_timeout=120/m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'smtp.ini': 'ignore_bad_plugins=true\n' },
      /^WARN +smtp\.ini +ignore_bad_plugins: .* nothing is scanned\n +-> smtp\.ini: remove ignore_bad_plugins$/m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'smtp.ini': 'inactivity_timeout=0\n', 'connection.ini': '[max]\nbytes=\n' },
      /^ok +time +inactivity_timeout is 300 s, above scan_timeout$/m,
      /^WARN +size +Haraka accepts messages of any size, /m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': `${ini}scan_timeout=2m\n` },
      /^WARN +time +scan_timeout is 2m, clamd's MaxScanTime 2m by default.*\n.*-> set a MaxScanTime above scan_timeout in clamd\.conf, or a shorter scan_timeout$/m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': `${ini}[notify]\ncommand=/nonexistent/tell\n` },
      /^FAIL +notify +.*\[notify\] command = \/nonexistent\/tell: it cannot be run: ENOENT.*\n.*-> correct it/m,
    ),
    2,
  )
  assert.equal(await told({ plugin_timeout: '0\n' }, /^note +time +the hook timer is off/m), 0)
  assert.equal(
    await told(
      { plugins: 'karma\nclamav-stream\n' },
      /^note +karma .*the gate rejects again.*\n.*-> .*karma\.ini: \[deny_excludes\] plugins=access, .*, clamav-stream$/m,
    ),
    0,
  )
  assert.equal(
    await told(
      { plugins: 'karma\nclamav-stream\n', 'karma.ini': '[deny_excludes]\nplugins=tls, clamav-stream\n' },
      /^ok +karma +does not override rejections by clamav-stream$/m,
    ),
    0,
  )
  const redis = "exports.register = function () { this.inherits('haraka-plugin-redis') }\n"
  assert.equal(
    await told(
      { plugins: 'limits\nclamav-stream\nlater\n', 'plugins/limits.js': redis, 'plugins/later.js': redis },
      /^note +limits +is listed before clamav-stream and connects to redis at start: .*\n.*-> .*above limits$/m,
      /^(?![^]* later )/,
    ),
    0,
  )
  const hook = (name: string, priority: number) =>
    `exports.register = function () { this.register_hook('${name}', 'x', ${priority}) }\n`
  assert.equal(
    await told(
      { plugins: 'early\nclamav-stream\n', 'plugins/early.js': hook('queue', -100) },
      /^FAIL +early +has priority -100 on the hook queue .*\n.*-> config\/plugins: move clamav-stream above early/m,
    ),
    2,
  )
  assert.equal(
    await told({ plugins: 'clamav-stream\nlate\n', 'plugins/late.js': hook('queue', -200) }, /none is known/),
    0,
  )
  assert.equal(
    await told(
      { plugins: 'early\nclamav-stream\n', 'plugins/early.js': hook('data_post', -100) },
      /^note +early +runs before clamav-stream on data_post/m,
    ),
    0,
  )
  assert.equal(
    await told(
      { plugins: 'clamav-stream\nclamav-stream\n' },
      /^FAIL +config\/plugins +clamav-stream is listed twice: Haraka will not start$/m,
    ),
    2,
  )
  assert.equal(
    await told(
      { plugins: 'clamav-stream\nclamd\nnowhere\n', 'plugins/clamd.js': '' },
      /^note +clamd +is listed too: every message is scanned twice$/m,
      /^note +other plugins +not found, so not checked: nowhere$/m,
      /^ok +other plugins +none of the others is known to bypass the scan$/m,
      /^CLAMAV-STREAM OK: no problem found; some plugins could not be checked$/m,
    ),
    0,
  )
  assert.equal(
    await told(
      { plugins: 'clamav-stream\nodd\n', 'plugins/odd.js': 'txn.notes.skip_plugins = []' },
      /^WARN +odd +sets notes\.skip_plugins/m,
    ),
    1,
  )
  const keeping = `${ini}[infected]\naction=quarantine reject\n`
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping },
      /^FAIL +settings .*queue\/quarantine/m,
      /^CLAMAV-STREAM CRITICAL: settings: /m,
    ),
    2,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': 'hots=1\nport=x\n' },
      /^FAIL +settings .*hots is no key; did you mean host\?$/m,
      /^FAIL +settings .*port = x/m,
    ),
    2,
  )
})

test('an exception that is hardly intended is a failure, a forgeable one a warning', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const ini = `host=${addressText(fake.address)}\nmax_signature_age=0\n`
  const cases: [files: Record<string, string>, line: RegExp, code: number][] = [
    [
      { 'clamav-stream.exempt': 'network 0.0.0.0/0\n' },
      /^FAIL +exceptions +clamav-stream\.exempt: no message from the internet \(IPv4\) is scanned, by "network 0\.0\.0\.0\/0"\n +-> /m,
      2,
    ],
    [
      { 'clamav-stream.exempt': 'recipient *@example.com\n', host_list: 'example.com\n' },
      /^FAIL +exceptions +clamav-stream\.exempt: no message from the internet .*"recipient \*@example\.com"$/m,
      2,
    ],
    [
      { 'clamav-stream.signatures': '* tag\n' },
      /^FAIL +exceptions +clamav-stream\.signatures: "\* tag" delivers every infected message; \[infected\] action=reject never/m,
      2,
    ],
    [
      { 'clamav-stream.ini': `${ini}max_size=1000\n[unscanned]\ntoo_large=accept\n` },
      /^FAIL +size +.*max_size is 1000B: larger messages are not scanned \(too_large=accept\)$/m,
      2,
    ],
    [
      { 'clamav-stream.exempt': 'sender <>\n' },
      /^WARN +exceptions +clamav-stream\.exempt: "sender <>" exempts by MAIL FROM alone, which anyone can forge$/m,
      1,
    ],
    [
      { 'clamav-stream.ini': `${ini}[check]\nauthenticated=no\nrelay=no\nprivate_ip=no\nlocal_ip=no\n` },
      /^WARN +exceptions +\[check\] exempts all mail except from public addresses without login/m,
      1,
    ],
  ]
  for (const [files, line, code] of cases) {
    const ran = await check(site({ 'clamav-stream.ini': ini, ...files }), '--quick')
    assert.match(ran.text, line)
    assert.equal(ran.code, code, ran.text)
    assert.doesNotMatch(ran.text, /every message is scanned/)
  }
})

test('without Haraka, plugins that could not be checked are listed as such', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const files = {
    'clamav-stream.ini': `host=${addressText(fake.address)}\nmax_signature_age=0\n`,
    plugins: 'clamav-stream\nnowhere\nelsewhere\n',
  }
  const ran = await check(site(files), '--quick')
  assert.match(ran.text, /^note +other plugins +not found, so not checked: nowhere, elsewhere$/m)
  assert.doesNotMatch(ran.text, /known to bypass|every message is scanned/)
  assert.equal(ran.code, 0)
})

test('exceptions from the scan are noted and do not change the exit code', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const ini = `host=${addressText(fake.address)}\nmax_signature_age=0\n`
  const all = await check(site({ 'clamav-stream.ini': ini }), '--quick')
  assert.match(all.text, /CLAMAV-STREAM OK: every message is scanned, within the limits of clamd\n$/)
  const lenient = `${ini}self_test=off\n[check]\nprivate_ip=false\n[unscanned]\nerror=accept\n[infected]\naction=tag\n[attachments]\ndeny=*.exe\naction=tag\n`
  const ran = await check(
    site({ 'clamav-stream.ini': lenient, 'clamav-stream.exempt': 'network 10.0.0.0/8\nuser jane\n' }),
    '--quick',
  )
  for (const pattern of [
    /^note +exceptions +\[check\] exempts private_ip senders$/m,
    /^note +exceptions +clamav-stream\.exempt has 2 entries$/m,
    /^note +exceptions +\[unscanned\] error=accept delivers unscanned messages$/m,
    /^note +exceptions +\[infected\] action=tag$/m,
    /^note +exceptions +\[attachments\] action=tag$/m,
    /^note +exceptions +detection is not checked/m,
    /CLAMAV-STREAM OK: no problem found; exceptions from the scan are noted\n$/,
  ])
    assert.match(ran.text, pattern)
  assert.equal(ran.code, 0)
})

test('every action that delivers or discards infected mail is noted, the default rule as a default', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const ini = `host=${addressText(fake.address)}\nmax_signature_age=0\n`
  const shipped = /^note +rules +Heuristics\.Phishing\.\* \(clamav-stream\.signatures\): tag, by default$/m
  const told = async (files: Record<string, string>, ...expected: RegExp[]) => {
    const ran = await check(site({ 'clamav-stream.ini': ini, ...files }), '--quick')
    for (const pattern of expected) assert.match(ran.text, pattern)
    assert.equal(ran.code, 0)
    return ran.text
  }
  const noted = /CLAMAV-STREAM OK: no problem found; exceptions from the scan are noted\n$/
  const authenticated = `${ini}[infected]\nauthenticated=tag\n`
  await told(
    { 'clamav-stream.ini': authenticated },
    /^note +exceptions +\[infected\] authenticated=tag$/m,
    shipped,
    noted,
  )
  const rules = await told(
    {
      'clamav-stream.signatures': 'Heuristics.Phishing.* tag\n/^PUA\\./ discard\nWin.* reject\nOther.* tag\n',
    },
    /^note +exceptions +\/\^PUA\\\.\/ \(clamav-stream\.signatures\): discard$/m,
    /^note +exceptions +Other\.\* \(clamav-stream\.signatures\): tag$/m,
    shipped,
    noted,
  )
  assert.doesNotMatch(rules, /Win\.\*/)
  const attachments = `${ini}[attachments]\ndeny=*.exe\naction=discard\nunreadable=defer\n`
  await told(
    { 'clamav-stream.ini': attachments },
    /^note +exceptions +\[attachments\] action=discard$/m,
    noted,
  )
  const all = await told(
    {},
    shipped,
    /CLAMAV-STREAM OK: every message is scanned, within the limits of clamd\n$/,
  )
  assert.doesNotMatch(all, /exceptions/)
  const own = await told(
    { 'clamav-stream.signatures': 'Heuristics.Phishing.* reject\n' },
    /OK: every message is scanned, within the limits of clamd\n$/,
  )
  assert.doesNotMatch(own, /Heuristics/)
})
