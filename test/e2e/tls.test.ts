// TLS to clamd in a real Haraka with workers: mail is scanned over it, and a reload reads the files again.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { opensslOrSkip, serverName, TestCa, TlsFront } from '../support/clamd/tls'
import { startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { sendMessage } from '../support/smtp/smtp'

test('mail is scanned over TLS by every worker; another CA in the same file ends that', async (t) => {
  if (!clamdOrSkip(t) || !opensslOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const [ca, other] = [new TestCa(t), new TestCa(t)]
  const front = new TlsFront({ host: clamd.host, port: clamd.port }, ca.issue(), { clientCa: ca.cert })
  const { port } = await front.start(t)
  const client = ca.issue({ name: 'haraka.example.com' })
  const tls = `[tls]\nca=ca.pem\ncert=client.pem\nkey=client.key\nservername=${serverName}\n`
  const ini = `host=tls://127.0.0.1:${port}\nmax_size=1M\n${tls}`
  const haraka = await startHaraka({
    ini,
    files: {
      'ca.pem': readFileSync(ca.cert),
      'client.pem': readFileSync(client.cert),
      'client.key': readFileSync(client.key),
    },
    nodes: 2,
    loglevel: 'INFO',
  })
  t.after(() => haraka.stop())

  await haraka.waitForLog(
    new RegExp(`clamd tls://127\\.0\\.0\\.1:${port} answers: ClamAV .*, protocol instream`),
  )
  await haraka.waitForLog(new RegExp(`clamd tls://127\\.0\\.0\\.1:${port}.*scans to the end`))
  for (let i = 0; i < 4; i++) {
    const clean = await sendMessage(haraka.port, { data: mails.clean() })
    const infected = await sendMessage(haraka.port, { data: mails.eicarAttachment() })
    assert.equal(clean.code, 250, clean.text)
    assert.equal(infected.code, 550, infected.text)
  }
  await haraka.waitForLog(new RegExp(`clean clamd=tls://127\\.0\\.0\\.1:${port}`))

  let from = haraka.log.length
  haraka.writeConfig('ca.pem', readFileSync(other.cert, 'utf8'))
  haraka.writeConfig('clamav-stream.ini', `${ini}\n; renewed\n`)
  // The master and both workers.
  for (let i = 0; i < 3; i++) {
    await haraka.waitForLog(/settings reloaded/, 30_000, from)
    from += haraka.log.slice(from).findIndex((line) => line.includes('settings reloaded')) + 1
  }
  const refused = await sendMessage(haraka.port, { data: mails.clean() })
  assert.equal(refused.code, 451, refused.text)
  await haraka.waitForLog(/certificate of an unknown CA: set \[tls\] ca/)
  assert.equal(haraka.delivered().length, 4)
})
