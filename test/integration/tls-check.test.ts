// The commands over TLS: `check` names each fault of the other end with what to do, and `scan` scans.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { check, site } from '../support/check-site'
import { clamdOrSkip, freePort, startClamd } from '../support/clamd/clamd'
import {
  type FrontOptions,
  type Identity,
  opensslOrSkip,
  proxyOrSkip,
  startStunnel,
  TestCa,
  TlsFront,
} from '../support/clamd/tls'
import { clamavStream } from '../support/command'
import { eicar } from '../support/eicar'

async function fronts(t: TestContext) {
  const clamd = await startClamd({ config: { StreamMaxLength: '40M', AlertExceedsMax: 'yes' } })
  t.after(() => clamd.stop())
  const ca = new TestCa(t)
  const start = async (identity: Identity, options: FrontOptions = {}) =>
    (await new TlsFront({ host: clamd.host, port: clamd.port }, identity, options).start(t)).port
  return { clamd, ca, start }
}

/** A site whose ca.pem lies beside the ini. */
function siteOf(ca: TestCa, port: number, more = ''): string {
  const directory = site({ 'clamav-stream.ini': `host=tls://127.0.0.1:${port}\n[tls]\nca=ca.pem\n${more}` })
  copyFileSync(ca.cert, path.join(directory, 'config', 'ca.pem'))
  return directory
}

test('check and scan over TLS, with a client certificate', async (t) => {
  if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
  const { ca, start } = await fronts(t)
  const port = await start(ca.issue(), { clientCa: ca.cert })
  const client = ca.issue({ name: 'haraka.example.com' })
  const directory = siteOf(ca, port, `cert=${client.cert}\nkey=${client.key}\n`)
  const ran = await check(directory, '--quick')
  assert.match(ran.text, new RegExp(`^ok +tls://127\\.0\\.0\\.1:${port} +ClamAV .*, uses INSTREAM$`, 'm'))
  assert.equal(ran.code, 0, ran.text)

  const mail = path.join(directory, 'mail')
  writeFileSync(mail, `Subject: x\r\n\r\n${eicar()}\r\n`)
  const scanned = await clamavStream(['scan', '--config', directory, mail])
  assert.equal(scanned.code, 1, scanned.error)
  assert.match(scanned.text, /FOUND/)
})

test('check says what is wrong with the other end, and what to do', async (t) => {
  if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
  const { clamd, ca, start } = await fronts(t)
  const other = ca.issue({ name: 'other.example.com' })
  const cases: readonly (readonly [port: number, fault: RegExp, advice: RegExp])[] = [
    [await start(ca.issue({ days: -1 })), /connect: certificate has expired/, /renew the certificate/],
    [await start(ca.selfSigned()), /connect: self-signed certificate: set \[tls\] ca/, /\[tls\] ca=/],
    [await start(new TestCa(t).issue()), /connect: certificate of an unknown CA/, /\[tls\] ca=/],
    [await start(other), /connect: certificate is not for 127\.0\.0\.1/, /\[tls\] servername/],
    [clamd.port, /connect: (the server speaks no TLS|connected, but no TLS)/, /has no TLS/],
    [await freePort(), /connect: no connection \(ECONNREFUSED\)/, /start the TLS proxy/],
    [
      await start(ca.issue(), { onConnection: (socket) => !socket.end() }),
      /closed without/,
      /TLS proxy says why/,
    ],
    [await start(ca.issue(), { clientCa: ca.cert }), /client certificate|connection/, /\[tls\] cert/],
  ]
  await Promise.all(
    cases.map(async ([port, fault, advice]) => {
      const ran = await check(siteOf(ca, port), '--quick')
      const [line = '', remedy = ''] = /^FAIL +tls:.*\n.*/m.exec(ran.text)?.[0].split('\n') ?? []
      assert.match(line, fault)
      assert.match(remedy, advice)
      assert.equal(ran.code, 2)
    }),
  )
})

test('check names a file that cannot be read', async (t) => {
  if (!opensslOrSkip(t)) return
  const ran = await check(siteOf(new TestCa(t), 1, 'cert=gone.pem\nkey=gone.key\n'))
  assert.match(ran.text, /^FAIL +settings +.*\[tls\] cert = gone\.pem \(ENOENT/m)
  assert.match(ran.text, /^FAIL +settings +.*\[tls\] key = gone\.key \(ENOENT/m)
  assert.equal(ran.code, 2)
})

test('the guide: its commands make certificates, its stunnel lets in only Haraka, and check is content', async (t) => {
  if (!clamdOrSkip(t) || !opensslOrSkip(t) || !proxyOrSkip(t, 'stunnel')) return
  const guide = readFileSync(path.resolve(__dirname, '..', '..', 'docs', 'guide', 'install.md'), 'utf8')
  const [, section = ''] = guide.split('\n## TLS\n')
  const block = (start: string) => new RegExp(`\`\`\`\\w+\\n(${start}[^\`]*)\`\`\``).exec(section)?.[1] ?? ''
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const port = await freePort()
  const directory = site({})
  const config = path.join(directory, 'config')
  for (const name of ['clamd.example.com', 'haraka.example.com'])
    execFileSync('sh', ['-c', block('openssl').replaceAll('NAME', name)], { cwd: config, stdio: 'pipe' })
  const service = block('pid =')
    .replace(/^pid.*\n/, '')
    .replace('accept = 3311', `accept = 127.0.0.1:${port}`)
    .replace(/connect = \S+/, `connect = ${clamd.socketPath}`)
    .replaceAll('/etc/stunnel', config)
  await startStunnel(t, port, service)

  const ini = block('host').replace('clamd.example.com:3311', `127.0.0.1:${port}`)
  writeFileSync(path.join(config, 'clamav-stream.ini'), `${ini}servername=clamd.example.com\n`)
  const ran = await check(directory, '--quick')
  assert.match(ran.text, new RegExp(`^ok +tls://127\\.0\\.0\\.1:${port} +ClamAV `, 'm'), ran.text)

  // Another certificate of the same name is not Haraka's.
  execFileSync('sh', ['-c', block('openssl').replaceAll('NAME', 'haraka.example.com')], {
    cwd: config,
    stdio: 'pipe',
  })
  const stranger = await check(directory, '--quick')
  assert.match(stranger.text, /^FAIL +tls:.*\n.*\[tls\] cert/m)
})
