// Clients that do not double the dot in front of a line (RFC 5321, 4.5.2). Haraka keeps what they sent, and the next
// server takes the dot away: what was scanned must be what arrives there.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { eicar } from '../support/eicar'
import { type HarakaOptions, startHaraka } from '../support/haraka/haraka'
import { startSink } from '../support/smtp/sink'
import { connect } from '../support/smtp/smtp'
import { bounded } from './messages'

const encoded = Buffer.from(eicar()).toString('base64')
const half = eicar().slice(0, 30)
const multipart = ['MIME-Version: 1.0', 'Content-Type: multipart/mixed; boundary="b"', '', '--b', '', 'text']

/** As they go over the wire, with the answer. */
const wires: Record<string, [code: number, lines: string[]]> = {
  'a virus in an attachment, for comparison': [
    550,
    [...multipart, '--b', 'Content-Transfer-Encoding: base64', '', encoded, '--b--'],
  ],
  'an attachment behind dots': [
    550,
    [
      ...multipart,
      '.--b',
      '.Content-Type: application/octet-stream; name="a.bin"',
      '.Content-Transfer-Encoding: base64',
      '',
      `.${encoded.slice(0, 40)}`,
      `.${encoded.slice(40)}`,
      '--b--',
    ],
  ],
  'quoted-printable behind dots': [
    550,
    [
      'MIME-Version: 1.0',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      `.${half}=`,
      `.${eicar().slice(30)}`,
    ],
  ],
  'a virus in the very lines with dots': [550, ['Subject: x', '', `.${eicar()}`]],
  'a denied name behind a dot': [
    550,
    [...multipart, '--b', '.Content-Disposition: attachment; filename="evil.exe"', '', 'MZ', '--b--'],
  ],
  'a type behind two dots': [
    250,
    ['Subject: x', '..Content-Type: multipart/mixed; boundary="b"', '', '--b', '', 'MZ', '--b--'],
  ],
  'a forged verdict behind two dots': [
    250,
    ['Subject: x', '..X-MessageIsInfected: true', '..X-Virus-Status: clean', '', '.a', '..b', '...', 'text'],
  ],
}

async function next(t: TestContext, how: 'queue' | 'forward', ini: string) {
  const sink = await startSink()
  t.after(() => sink.stop())
  const forward: Partial<HarakaOptions> =
    how === 'forward'
      ? { files: { 'smtp_forward.ini': `host=127.0.0.1\nport=${sink.port}\nenable_outbound=true\n` } }
      : { relaying: true, nextHop: sink.port }
  const haraka = await startHaraka({
    ini,
    plugins: ['clamav-stream', ...(how === 'forward' ? ['queue/smtp_forward'] : [])],
    deliver: false,
    ...forward,
  })
  t.after(() => haraka.stop())
  return { sink, haraka }
}

for (const how of ['queue', 'forward'] as const) {
  test(`what the next server makes of lone dots is what was scanned, by ${how}`, bounded, async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await startClamd()
    t.after(() => clamd.stop())
    const ini = `host=${clamd.host}:${clamd.port}\nmax_pings=0\n[attachments]\ndeny=*.exe\n`
    const { sink, haraka } = await next(t, how, ini)
    for (const [name, [code, lines]] of Object.entries(wires)) {
      const client = await connect(haraka.port)
      await client.envelope({})
      const before = sink.messages.length
      client.write(Buffer.from(`${lines.join('\r\n')}\r\n.\r\n`))
      const reply = await client.reply()
      await client.quit()
      assert.equal(reply.code, code, `${name}: ${reply.text}`)
      if (code !== 250) continue
      await sink.waitFor(before + 1)
      const arrived = sink.messages[before]?.data.toString('latin1') ?? ''
      assert.equal(await clamd.scan(Buffer.from(arrived, 'latin1')), 'stream: OK', name)
      assert.equal(arrived.match(/^\.?X-MessageIsInfected/gim)?.length, 1, `${name}: ${arrived}`)
      assert.match(arrived, /^X-MessageIsInfected: false\r$/m)
      assert.doesNotMatch(arrived, /X-Virus-Status|Content-Type/)
    }
  })
}

test(
  'lines with a lone dot are scanned as both may read them, by one budget and no more than that',
  bounded,
  async (t) => {
    const clamd = await startFakeClamd({
      judge: (message) =>
        Promise.resolve(message.includes('\n.virus') ? 'stream: Dotted FOUND' : 'stream: OK'),
    })
    t.after(() => clamd.stop())
    const { haraka } = await next(t, 'queue', `host=${addressText(clamd.address)}\nmax_pings=0\n`)
    const send = async (body: string) => {
      const scans = clamd.scans.length
      const client = await connect(haraka.port)
      await client.envelope({})
      client.write(Buffer.from(`Subject: x\r\n\r\n${body}\r\n.\r\n`))
      const reply = await client.reply()
      await client.quit()
      return [reply.code, clamd.scans.slice(scans).map(({ bytes }) => bytes.toString().split('\r\n\r\n')[1])]
    }
    assert.deepEqual(await send('text\r\n..virus'), [550, ['text\r\n.virus\r\n']])
    assert.deepEqual(await send('text\r\n.virus'), [550, ['text\r\nvirus\r\n', 'text\r\n.virus\r\n']])
    assert.deepEqual(await send('text\r\n.a'), [250, ['text\r\na\r\n', 'text\r\n.a\r\n']])
    assert.deepEqual(await send('text\r\n..a'), [250, ['text\r\n.a\r\n']])
  },
)
