// `clamav-stream check`: findings for real and scripted clamds, and for sites with faults.
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { clamdOrSkip, findClamd, freePort, type RealClamd, startClamd } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { clamavStream, type Ran } from '../support/command'
import { TemporaryDirectory } from '../support/process'

let clamd: RealClamd | undefined
let host = ''
const sites = new TemporaryDirectory('check-command')
let count = 0

before(async () => {
  if (!findClamd()) return
  clamd = await startClamd({ config: { StreamMaxLength: '40M', AlertExceedsMax: 'yes' } })
  host = `127.0.0.1:${clamd.port}`
})
after(async () => {
  await clamd?.stop()
  sites.remove()
})

/** A folder of a Haraka with these files of config/. */
function site(files: Record<string, string>): string {
  const directory = path.join(sites.path, String(++count))
  mkdirSync(path.join(directory, 'config'), { recursive: true })
  mkdirSync(path.join(directory, 'plugins'))
  const all = { plugins: 'clamav-stream\nqueue/smtp_forward\n', ...files }
  for (const [name, text] of Object.entries(all))
    writeFileSync(path.join(directory, name.includes('/') ? '' : 'config', name), text)
  return directory
}

const check = (directory: string, ...args: string[]): Promise<Ran> =>
  clamavStream(['check', ...args], { cwd: directory })

test('no problems', async (t) => {
  if (!clamdOrSkip(t)) return
  const ran = await check(site({ 'clamav-stream.ini': `host=${host}\nmax_size=25M\n` }))
  assert.equal(ran.error, '')
  assert.match(ran.text, new RegExp(`^ok +${host} +ClamAV \\d.*, has INSTREAM, uses INSTREAM$`, 'm'))
  assert.match(ran.text, /^ok .* finds the EICAR test file, also at the end of 25MB \(max_size\)$/m)
  assert.match(ran.text, /^ok +size +Haraka accepts up to 25MB, max_size is 25MB$/m)
  assert.match(ran.text, /^ok +quarantine +no rule quarantines messages$/m)
  assert.match(ran.text, /\n\nCLAMAV-STREAM OK: every message is scanned, within the limits of clamd\n$/)
  assert.equal(ran.code, 0)
})

test('limits that clamd passes over in silence are a warning that names the lines of clamd.conf', async (t) => {
  if (!clamdOrSkip(t)) return
  const silent = await startClamd({ config: { MaxFileSize: '25M', MaxScanSize: '100M' } })
  t.after(() => silent.stop())
  const directory = site({ 'clamav-stream.ini': `host=127.0.0.1:${silent.port}\nmax_size=10M\n` })
  const ran = await check(directory)
  assert.match(
    ran.text,
    /^WARN .* says OK where it stops at a limit of its own: files larger than 20MB in an archive, more than 15 archives in one another, more than 9900 files in an archive\n.*-> set AlertExceedsMax yes .*, and MaxFileSize 41943040 or more and MaxScanSize 125829120 or more, in clamd\.conf$/m,
  )
  assert.equal(ran.code, 1)
  const nagios = await check(directory, '--quick', '--nagios')
  assert.match(nagios.text, /^CLAMAV-STREAM WARNING: .*: archives in archives; size: /)
  assert.equal(nagios.code, 1)
})

test('one dead address is a warning, none alive a failure', async (t) => {
  if (!clamdOrSkip(t)) return
  const dead = `127.0.0.1:${await freePort()}`
  const one = await check(site({ 'clamav-stream.ini': `host=${host} ${dead}\n` }), '--quick')
  assert.match(one.text, new RegExp(`^WARN +${dead} +connect: no connection \\(ECONNREFUSED\\)$`, 'm'))
  assert.match(one.text, /\nCLAMAV-STREAM WARNING: 127[^;]*ECONNREFUSED\)\n$/)
  assert.equal(one.code, 1)
  const none = await check(site({ 'clamav-stream.ini': `host=${dead}\n` }), '--nagios')
  assert.match(none.text, /^CLAMAV-STREAM CRITICAL: 127.*ECONNREFUSED\)\n$/)
  assert.equal(none.code, 2)
})

test('a limit below max_size, signatures that are old, EICAR that is not found', async (t) => {
  if (!clamdOrSkip(t)) return
  const directory = site({
    'clamav-stream.ini': `host=${host}\nmax_size=60M\nscan_timeout=119s\n`,
    'connection.ini': '[max]\nbytes=1000\n',
  })
  const ran = await check(directory, '--json')
  const { addresses, findings, code } = JSON.parse(ran.text) as {
    addresses: { maxScannableBytes: number; findsTestFile: boolean; protocols: string[] }[]
    findings: { level: string; text: string; remedy?: string }[]
    code: number
  }
  assert.equal(addresses[0]?.findsTestFile, true)
  assert.deepEqual(addresses[0].protocols, ['INSTREAM'])
  const mega = 1024 * 1024
  assert.ok(addresses[0].maxScannableBytes > 20 * mega && addresses[0].maxScannableBytes <= 40 * mega)
  const warning = findings.find(({ level }) => level === 'warning')
  assert.match(warning?.text ?? '', /only, max_size is 60MB$/)
  assert.match(warning?.remedy ?? '', /StreamMaxLength and MaxFileSize in clamd\.conf to 62914560 or more/)
  assert.deepEqual([code, ran.code], [1, 1])

  const fake = await startFakeClamd({
    protocols: ['INSTREAM'],
    version: 'ClamAV 1.4.6/27500/Sat Nov 22 09:00:00 2014',
  })
  t.after(() => fake.stop())
  await fake.play([{ at: 'reply', do: 'answer', text: 'stream: OK' }])
  const blind = await check(site({ 'clamav-stream.ini': `host=${addressText(fake.address)}\n` }))
  assert.match(blind.text, /^ok .*ClamAV 1\.4\.6, signatures 27500, \d{4} days old/m)
  assert.match(blind.text, /^FAIL .*does not find the EICAR test file in an attachment$/m)
  assert.match(blind.text, /^WARN .*signatures 27500 are \d+ days old \(max_signature_age\)$/m)
  assert.equal(blind.code, 2)
})

test('STREAM: the data port', async (t) => {
  const fake = await startFakeClamd()
  t.after(() => fake.stop())
  await fake.play((scan) => (scan === 0 ? [{ at: 'dataConnect', do: 'refuse' }] : []))
  const directory = site({ 'clamav-stream.ini': `host=${addressText(fake.address)}\nmax_signature_age=0\n` })
  const closed = await check(directory, '--quick')
  assert.match(
    closed.text,
    /^WARN .*the STREAM data port cannot be reached; INSTREAM is used instead\n.*-> open StreamMinPort/m,
  )
  assert.equal(closed.code, 1)
  await fake.play([])
  const open = await check(directory, '--quick')
  assert.match(open.text, /has STREAM and INSTREAM, uses STREAM$/m)
  assert.match(open.text, /^ok .*the STREAM data port can be reached$/m)
  assert.equal(open.code, 0)
})

test('STREAM: an error in place of the port, as mail meets it', async (t) => {
  const fake = await startFakeClamd()
  t.after(() => fake.stop())
  await fake.play((scan) =>
    scan === 0 ? [{ at: 'port', do: 'answer', text: 'Error binding data port. ERROR' }] : [],
  )
  const directory = site({ 'clamav-stream.ini': `host=${addressText(fake.address)}\nmax_signature_age=0\n` })
  const ran = await check(directory, '--quick')
  assert.match(ran.text, /^ok .*uses INSTREAM$/m)
  assert.match(ran.text, /^WARN .*STREAM failed \(port: Error binding .*\); INSTREAM is used instead$/m)
  assert.equal(ran.code, 1)
})

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
      /^FAIL +config\/plugins +clamav-stream is not listed.*\n.*-> config\/plugins: /m,
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
      { 'smtp.ini': 'inactivity_timeout=0\n', 'connection.ini': '[max]\nbytes=\n' },
      /^ok +time +inactivity_timeout is 300 s, above scan_timeout$/m,
      /^WARN +size +Haraka accepts messages of any size, /m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': `${ini}scan_timeout=2m\n` },
      /^WARN +time +scan_timeout is 2m, clamd's MaxScanTime 2m by default.*\n.*-> set AlertExceedsMax yes/m,
    ),
    1,
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
  const plugins = 'clamav-stream\nqueue/quarantine\n'
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}/none\n` },
      /^WARN +quarantine .*\/none does not exist/m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}\n` },
      /^ok +quarantine .* is writable$/m,
    ),
    0,
  )
  writeFileSync(path.join(sites.path, 'infected'), '')
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}\n` },
      /^FAIL +quarantine .*\/infected is not a folder \(EEXIST\): messages for the quarantine are deferred\n +-> install -d -o HARAKA -m 700 /m,
    ),
    2,
  )
  rmSync(path.join(sites.path, 'infected'))
  const here = { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}\n` }
  for (const name of ['infected', 'tmp']) {
    symlinkSync('.', path.join(sites.path, name))
    const link = new RegExp(
      `^FAIL +quarantine .*/${name} is a symbolic link: messages for the quarantine are deferred$`,
      'm',
    )
    assert.equal(await told(here, link), 2)
    rmSync(path.join(sites.path, name))
  }
  mkdirSync(path.join(sites.path, 'infected'), { mode: 0o700 })
  mkdirSync(path.join(sites.path, 'tmp'))
  chmodSync(path.join(sites.path, 'tmp'), 0o777)
  assert.equal(await told(here, /^WARN +quarantine .*\/tmp is writable for all users/m), 1)
  chmodSync(path.join(sites.path, 'tmp'), 0o700)
  if (isRoot) {
    chownSync(path.join(sites.path, 'infected'), 65534, 65534)
    assert.equal(
      await told(here, /^FAIL +quarantine .*\/infected belongs to nobody: messages .* deferred$/m),
      2,
    )
    chownSync(path.join(sites.path, 'infected'), 0, 0)
  }
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'smtp.ini': 'user=who-is-this\n' },
      /^note +quarantine +cannot check whether who-is-this may write to .*$/m,
    ),
    isRoot ? 2 : 0,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': `${ini}[attachments]\naction=quarantine\n` },
      /^ok +quarantine +no rule quarantines/m,
    ),
    0,
    'nothing is denied',
  )
  // The settings themselves.
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

test('--host takes the place of a wrong host, also where messages are kept', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const directory = site({
    plugins: 'clamav-stream\nqueue/quarantine\n',
    'clamav-stream.ini': 'host=1.2.3.4.5\nmax_signature_age=0\n[infected]\naction=quarantine reject\n',
    'quarantine.ini': `quarantine_path=${path.join(sites.path, 'of-host')}\n`,
  })
  const address = addressText(fake.address)
  mkdirSync(path.join(sites.path, 'of-host', 'infected'), { recursive: true, mode: 0o700 })
  const ran = await check(directory, '--quick', '--host', address)
  assert.match(ran.text, new RegExp(`^ok +${address} +finds the EICAR test file$`, 'm'))
  assert.match(ran.text, /^ok +quarantine .*of-host\/infected is writable$/m)
  assert.equal(ran.code, 0)
  const rescan = await clamavStream(['quarantine', 'rescan', '--host', address], { cwd: directory })
  assert.deepEqual([rescan.code, rescan.error], [0, ''])
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

const isRoot = process.geteuid?.() === 0
test(
  'a unix socket, with the permissions of Haraka',
  { skip: isRoot ? false : 'only root can be another' },
  async (t) => {
    const place = new TemporaryDirectory('check-socket')
    t.after(() => place.remove())
    chmodSync(place.path, 0o755)
    const socket = path.join(place.path, 'clamd.sock')
    const fake = await startFakeClamd({ path: socket, protocols: ['INSTREAM'] })
    t.after(() => fake.stop())
    const nogroup = Number(/^nogroup:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))?.[1])
    chownSync(socket, 0, nogroup)
    const told = async (mode: number, smtpIni: string) => {
      chmodSync(socket, mode)
      const ini = `host=${socket}\nmax_signature_age=0\n`
      return check(site({ 'clamav-stream.ini': ini, 'smtp.ini': smtpIni }), '--quick')
    }
    assert.equal((await told(0o600, '')).code, 0, 'as root')
    const unknown = await told(0o666, 'user=who-is-this\n')
    assert.match(unknown.text, /^FAIL +smtp\.ini +Haraka cannot become its user and group: .*who-is-this/m)
    assert.equal(unknown.code, 2)
    const shut = await told(0o660, 'user=nobody\n')
    assert.match(
      shut.text,
      /^FAIL .*connect: no connection \(EACCES\), as user nobody \(user in smtp\.ini\)\n +-> set LocalSocketGroup/m,
    )
    assert.equal(shut.code, 2)
    for (const [mode, smtpIni] of [
      [0o660, 'user=nobody\ngroup=nogroup\n'],
      [0o666, 'user=nobody\n'],
    ] as const) {
      const open = await told(mode, smtpIni)
      assert.match(open.text, /^ok .*finds the EICAR test file$/m, smtpIni)
      assert.equal(open.code, 0, open.text)
    }
  },
)

test(
  'copies, with the permissions of Haraka',
  { skip: isRoot ? false : 'only root can be another' },
  async (t) => {
    const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
    t.after(() => fake.stop())
    const nobody = 65534
    const told = async (make: (base: string) => void, smtpIni: string) => {
      const place = new TemporaryDirectory('check-copies')
      t.after(() => place.remove())
      chmodSync(place.path, 0o755)
      const base = path.join(place.path, 'quarantine')
      make(base)
      const entries = () => readdirSync(place.path, { recursive: true, encoding: 'utf8' }).sort()
      const before = entries()
      const directory = site({
        plugins: 'clamav-stream\nqueue/quarantine\n',
        'clamav-stream.ini': `host=${addressText(fake.address)}\nmax_signature_age=0\n[infected]\naction=quarantine reject\n`,
        'quarantine.ini': `quarantine_path=${base}\n`,
        'smtp.ini': smtpIni,
      })
      const ran = await check(directory, '--quick')
      assert.deepEqual(entries(), before, 'something was left')
      return { ...ran, base }
    }
    const folder = (directory: string, uid: number, mode = 0o700) => {
      mkdirSync(directory, { mode })
      chownSync(directory, uid, uid)
    }
    const ownBy = (uids: Record<string, number>) => (base: string) => {
      for (const [name, uid] of Object.entries(uids)) folder(path.join(base, name), uid)
    }
    const today = () => new Date().toLocaleDateString('sv').replaceAll('-', '')
    const unusable = {
      // As Haraka's master leaves it.
      tmp: ownBy({ '': nobody, tmp: 0 }),
      infected: ownBy({ '': nobody, tmp: nobody, infected: 0 }),
      [`infected/${today()}`]: ownBy({
        '': nobody,
        tmp: nobody,
        infected: nobody,
        [`infected/${today()}`]: 0,
      }),
      '': (base: string) => {
        folder(base, 0, 0o711)
        for (const name of ['tmp', 'infected']) folder(path.join(base, name), nobody)
      },
    }
    for (const [name, make] of Object.entries(unusable)) {
      const { text, code, base } = await told(make, 'user=nobody\nnodes=2\n')
      const [line = '', remedy = ''] = text
        .split('\n')
        .flatMap((one, at, all) => (one.startsWith('FAIL') ? [one, all[at + 1] ?? ''] : []))
      assert.ok(
        line.includes(
          ` ${path.join(base, name)} cannot be read and written (EACCES) by nobody: messages for`,
        ),
        text,
      )
      assert.ok(remedy.includes(`-> install -d -o nobody -m 700 ${base} ${base}/tmp ${base}/infected`), text)
      assert.equal(code, 2)
    }
    const fresh = await told(ownBy({ '': nobody }), 'user=nobody\nnodes=2\n')
    assert.match(
      fresh.text,
      /^FAIL +quarantine .*\/tmp does not exist, and Haraka would create it as root, not as nobody/m,
    )
    assert.equal(fresh.code, 2)
    for (const [make, smtpIni] of [
      [ownBy({ '': nobody }), 'user=nobody\n'],
      [ownBy({ '': nobody, tmp: nobody }), 'user=nobody\nnodes=2\n'],
      [ownBy({ '': nobody, tmp: nobody, infected: nobody }), 'user=nobody\nnodes=2\n'],
    ] as const) {
      const { text, code } = await told(make, smtpIni)
      assert.match(text, /^ok +quarantine +.*\/infected is writable by nobody$/m)
      assert.equal(code, 0, text)
    }
  },
)

test('for Nagios, a check that cannot run is UNKNOWN', async () => {
  const ran = await check(tmpdir(), '--nagios', '--config', '/nowhere/at/all')
  assert.match(ran.text, /^CLAMAV-STREAM UNKNOWN: .*has no Haraka configuration\n$/)
  assert.equal(ran.code, 3)
})
