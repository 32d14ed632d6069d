// `clamav-stream check`: findings for real and scripted clamds.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { check, site, sites } from '../support/check-site'
import { openBlackHole } from '../support/clamd/black-hole'
import {
  clamdOrSkip,
  findClamd,
  freePort,
  hasStream,
  type RealClamd,
  startClamd,
} from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { clamavStream } from '../support/command'

let clamd: RealClamd | undefined
let host = ''
let protocols = ['INSTREAM']

before(async () => {
  if (!findClamd()) return
  // Those of 1.x by default; before, they were lower.
  const limits = { MaxFileSize: '100M', MaxScanSize: '400M' }
  clamd = await startClamd({ config: { StreamMaxLength: '40M', AlertExceedsMax: 'yes', ...limits } })
  host = `127.0.0.1:${clamd.port}`
  if (await hasStream(clamd)) protocols = ['STREAM', 'INSTREAM']
})
after(() => clamd?.stop())

test('no problems', async (t) => {
  if (!clamdOrSkip(t)) return
  const ran = await check(site({ 'clamav-stream.ini': `host=${host}\nmax_size=25M\n` }))
  assert.equal(ran.error, '')
  assert.match(
    ran.text,
    new RegExp(`^ok +${host} +ClamAV \\d.*, has ${protocols.join(' and ')}, uses ${protocols[0]}$`, 'm'),
  )
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
    /^WARN .* says OK where it stops at a limit of its own: files larger than 20MB in an archive, more than 90MB unpacked from a message, more than 15 archives in one another, more than 9900 files in an archive\n.*-> set AlertExceedsMax yes .*, and MaxFileSize 41943040 or more and MaxScanSize 125829120 or more, in clamd\.conf$/m,
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
  assert.match(none.text, /^CLAMAV-STREAM CRITICAL: 127.*ECONNREFUSED\) \| usable=0;;1:;0;1\n$/)
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
  assert.deepEqual(addresses[0].protocols, protocols)
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

async function listen(onPeer: (peer: Socket) => void) {
  const server = createServer((peer) => onPeer(peer.on('error', () => undefined))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

test('each fault of a clamd has its advice', async (t) => {
  const fake = await startFakeClamd()
  const socket = path.join(sites.path, 'clamd.sock')
  const stale = path.join(sites.path, 'stale.sock')
  const smtp = await listen((peer) => peer.end('220 mx.example.com ESMTP\r\n'))
  const silent = await listen(() => undefined)
  const full = await openBlackHole()
  t.after(async () => {
    for (const { server } of [smtp, silent]) server.close()
    await Promise.all([fake.stop(), full.close()])
  })
  await fake.play([{ at: 'reply', do: 'stall' }])
  const killed = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', killed, stale])
  const told = async (host: string, line: string, advice: RegExp) => {
    const ini = `host=${host}\nconnect_timeout=1s\nscan_timeout=2s\nmax_signature_age=0\n`
    const { text, code } = await check(site({ 'clamav-stream.ini': ini }), '--quick')
    const [, at = '', remedy = ''] = /^FAIL +(.*)\n +-> (.*)$/m.exec(text) ?? []
    assert.ok(at.includes(line), text)
    assert.match(remedy, advice, text)
    assert.doesNotMatch(at, /version unknown, signatures/, 'without a version nothing is known of them')
    assert.equal(code, 2)
  }
  const closed = `127.0.0.1:${await freePort()}`
  await told(closed, 'ECONNREFUSED', /^systemctl start clamav-daemon, .*; TCPSocket and TCPAddr/)
  await told(
    socket,
    'ENOENT',
    /^systemctl start clamav-daemon, .*; LocalSocket in clamd\.conf must be this path$/,
  )
  await told(stale, 'ECONNREFUSED', /^systemctl start clamav-daemon, which needs up to a minute$/)
  const restart = /^clamd hangs: systemctl restart clamav-daemon; its log: journalctl /
  await told(`127.0.0.1:${silent.port}`, 'within 1000 ms', restart)
  await told(`127.0.0.1:${full.port}`, 'within 1000 ms', restart)
  await told(addressText(fake.address), ' within ', restart)
  await told(
    `127.0.0.1:${smtp.port}`,
    'not PONG',
    /^another program answers there: correct \[main\] host and port$/,
  )
  await told(
    'no-such-host.invalid',
    'no host resolves',
    /^correct \[main\] host, or repair the resolver: getent/,
  )
})

test('for Nagios, figures for graphs', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const files = { 'clamav-stream.ini': `host=${addressText(fake.address)} 127.0.0.1:${await freePort()}\n` }
  const ran = await check(site(files), '--quick', '--nagios')
  assert.match(
    ran.text,
    /^CLAMAV-STREAM WARNING: [^|]* \| usable=1;;1:;0;2 connect=[\d.]+ms;;;0 signature_age=\d+s;259200;;0\n$/,
  )
})

test('for Nagios, a check that cannot run is UNKNOWN', async () => {
  const ran = await check(tmpdir(), '--nagios', '--config', '/nowhere/at/all')
  assert.match(ran.text, /^CLAMAV-STREAM UNKNOWN: .*has no Haraka configuration\n$/)
  assert.equal(ran.code, 3)
})
