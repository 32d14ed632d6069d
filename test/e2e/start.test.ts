// What is said at start of settings and folders with which mail is not scanned, or not kept, against the administrator's intention.
import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { freePort } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { startHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { sendMessage } from '../support/smtp/smtp'

test('what the list exempts for everybody is an error, what can be forged a warning', async (t) => {
  const haraka = await startHaraka({
    ini: 'max_pings=0\n',
    files: { 'clamav-stream.exempt': 'network 0.0.0.0/1\nnetwork 128.0.0.0/1\nsender <>\n' },
  })
  t.after(() => haraka.stop())
  const own = haraka.log.filter((line) => line.includes('[clamav-stream] clamav-stream.exempt'))
  assert.deepEqual(
    own.map((line) => / \[(ERROR|WARN)\] /.exec(line)?.[1]),
    ['ERROR', 'WARN'],
  )
  assert.match(
    own[0] ?? '',
    /no message from the internet \(IPv4\) is scanned, by "network 0\.0\.0\.0\/1", "network 128/,
  )
  assert.match(own[1] ?? '', /"sender <>" exempts by MAIL FROM alone, which anyone can forge; better: /)
})

const isRoot = process.geteuid?.() === 0
const nobody = 65534

test(
  'a folder that Haraka has made as root keeps no copies for its workers: that is said at start',
  { skip: isRoot ? false : 'only root can be another' },
  async (t) => {
    const clamd = await startFakeClamd()
    t.after(() => clamd.stop())
    const kept = new TemporaryDirectory('start')
    t.after(() => kept.remove())
    chmodSync(kept.path, 0o755)
    const base = path.join(kept.path, 'quarantine')
    mkdirSync(base, { mode: 0o700 })
    chownSync(base, nobody, nobody)
    const start = async () =>
      startHaraka({
        ini: `host=${addressText(clamd.address)}\nmax_pings=0\n[infected]\naction=quarantine reject\n`,
        plugins: ['clamav-stream', 'queue/quarantine'],
        files: { 'quarantine.ini': `quarantine_path=${base}\n` },
        smtpIni: 'user=nobody\n',
        nodes: 1,
      })

    const first = await start()
    try {
      const line = await first.waitForLog(/\[clamav-stream\] no copy can be kept/)
      assert.match(line, / \[ERROR\] /)
      assert.ok(line.includes(`${base}/tmp cannot be read and written (EACCES) by nobody; as root: `), line)
      assert.ok(line.includes(`install -d -o nobody -m 700 ${base} ${base}/tmp ${base}/infected`), line)
      const reply = await sendMessage(first.port, { data: mails.eicarBody() })
      assert.match(`${reply.code} ${reply.text}`, /^45\d 4\.3\.0 /)
    } finally {
      await first.stop()
    }
    assert.equal(statSync(path.join(base, 'tmp')).uid, 0)

    // As the command does.
    for (const name of ['tmp', 'infected']) {
      mkdirSync(path.join(base, name), { recursive: true })
      chownSync(path.join(base, name), nobody, nobody)
    }
    const second = await start()
    try {
      const reply = await sendMessage(second.port, { data: mails.eicarBody() })
      assert.match(`${reply.code} ${reply.text}`, /^550 5\.7\.1 /)
      assert.equal(readdirSync(path.join(base, 'infected'), { recursive: true }).length, 3)
      assert.ok(!second.log.some((line) => line.includes('no copy can be kept')))
    } finally {
      await second.stop()
    }
  },
)

test('a page that cannot be served, and a token that all may read, are said at start; the token is not', async (t) => {
  const kept = new TemporaryDirectory('start')
  t.after(() => kept.remove())
  chmodSync(kept.path, 0o755)
  const file = path.join(kept.path, 'token')
  writeFileSync(file, 'correct-horse-battery\n')
  chmodSync(file, 0o644)
  const haraka = await startHaraka({ ini: `max_pings=0\n[http]\npage=true\ntoken_file=${file}\n` })
  t.after(() => haraka.stop())
  const own = haraka.log.filter((line) => / \[WARN\] .*\[clamav-stream\] /.test(line)).join('\n')
  assert.match(own, /page=true, but Haraka's HTTP server is off: there is no page; http\.ini: listen=/)
  assert.match(own, /all users of this machine may read the token in .* \(mode 644\); chmod o= /)
  assert.doesNotMatch(haraka.log.join('\n'), /correct-horse/)
})

test('a clamd that is down is one line at start and one for each message, and one when it works again', async (t) => {
  const port = await freePort()
  const haraka = await startHaraka({
    ini: `host=127.0.0.1:${port}\nmax_pings=2\nping_interval=24h\nhost_rest=0\nself_test=off\n`,
  })
  t.after(() => haraka.stop())
  const first = await haraka.waitForLog(/\[clamav-stream\] clamd .* try 1 of 2/)
  assert.match(first, / \[WARN\] .*connect: no connection \(ECONNREFUSED\); next try in 1d$/)
  const before = haraka.log.length
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 451)
  await haraka.waitForLog(/unscanned \(error\)/)
  const lines = haraka.log.slice(before).filter((line) => / \[(WARN|ERROR|CRIT)\] /.test(line))
  assert.equal(lines.length, 1, lines.join('\n'))
  assert.match(lines[0] ?? '', /unscanned \(error\) .*action=defer: 127\.0\.0\.1:\d+ .*ECONNREFUSED/)

  const clamd = await startFakeClamd({ port })
  t.after(() => clamd.stop())
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 250)
  const again = await haraka.waitForLog(/works again/)
  assert.match(again, / \[NOTICE\] \[-\] \[clamav-stream\] clamd 127\.0\.0\.1:\d+ works again$/)
})
