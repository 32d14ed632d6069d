// What clamd gets: one Received line of ours and then, byte for byte, what is delivered, but for the header that only
// the verdict brings. And what it does not get: a message larger than max_size, to the byte.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { receivedLine } from '../../lib/clamd/protocol'
import { type Protocol, startFakeClamd } from '../support/clamd/fake-clamd'
import { startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { bounded, messagePlugins, messageSources, post, type Role, users } from './messages'

const mega = 1024 * 1024

const samples: Record<string, () => Buffer> = {
  clean: mails.clean,
  eicarAttachment: mails.eicarAttachment,
  eicarBody: mails.eicarBody,
  phishing: mails.phishing,
  oddlyNamed: mails.oddlyNamed,
  eightBit: mails.eightBit,
  emptyBody: mails.emptyBody,
  headersOnly: mails.headersOnly,
  noHeaderEnd: mails.noHeaderEnd,
  bodyOnly: mails.bodyOnly,
  dotLines: mails.dotLines,
  noFinalNewline: mails.noFinalNewline,
  longLines: mails.longLines,
  forged: mails.forged,
  'nothing at all': () => Buffer.alloc(0),
  'an empty line': () => Buffer.from('\r\n'),
  'an empty line, then something like headers': () =>
    Buffer.from('\r\nX-MessageIsInfected: false\r\nSubject: none\r\n\r\nbody\r\n'),
  'dots in the headers': () => Buffer.from('Subject: x\r\n.dot: y\r\n\r\n.\r\n..\r\n'),
  'eight bits in the headers': () => Buffer.from('Subject: na\xefve \xff\r\n\r\nna\xefve\r\n', 'latin1'),
  'a folded header': () => Buffer.from('Subject: x\r\n\ty\r\n z\r\nX-Empty:\r\n\r\nbody\r\n'),
  '3 MB': () => mails.big(3 * mega),
  '20 MB': () => mails.big(20 * mega),
}

/** The message without the headers that the verdict brings, which stand at the end of its headers. */
function withoutVerdict(message: Buffer): Buffer {
  const text = message.toString('latin1')
  const end = text.indexOf('\r\n\r\n') + 2
  const head = text.slice(0, end).replace(/X-MessageIsInfected: (true|false)\r\n$/, '')
  return Buffer.from(head + text.slice(end), 'latin1')
}

function assertSame(actual: Buffer, expected: Buffer, what: string): void {
  if (actual.equals(expected)) return
  const at = actual.findIndex((byte, index) => byte !== expected[index])
  const part = (bytes: Buffer) => JSON.stringify(bytes.toString('latin1', Math.max(0, at - 60), at + 60))
  assert.fail(`${what}: ${actual.length} and ${expected.length} bytes, ${part(actual)} and ${part(expected)}`)
}

interface Site {
  protocol: Protocol
  bufferBytes: number
  /** Haraka keeps messages larger than that on disk. */
  spoolAfter: number
}

const sites: Site[] = [
  { protocol: 'INSTREAM', bufferBytes: 1000, spoolAfter: 0 },
  { protocol: 'INSTREAM', bufferBytes: 8192, spoolAfter: -1 },
  { protocol: 'STREAM', bufferBytes: 1000, spoolAfter: -1 },
  { protocol: 'STREAM', bufferBytes: 8192, spoolAfter: 0 },
]

for (const { protocol, bufferBytes, spoolAfter } of sites) {
  const where = spoolAfter === 0 ? 'on disk' : 'in memory'
  test(`${protocol}, ${bufferBytes} bytes at a time, messages ${where}`, bounded, async (t) => {
    const clamd = await startFakeClamd({ protocols: [protocol] })
    t.after(() => clamd.stop())
    const haraka = await startHaraka({
      ini: [
        `host=${addressText(clamd.address)}`,
        'self_test=off',
        // What a second look sends is no message.
        'scan=message',
        `protocol=${protocol.toLowerCase()}`,
        `stream_buffer_size=${bufferBytes}`,
        '[infected]',
        'action=tag',
      ].join('\n'),
      plugins: [...messagePlugins, 'clamav-stream'],
      sources: messageSources,
      connection: { spool_after: spoolAfter },
    })
    t.after(() => haraka.stop())

    for (const [name, sample] of Object.entries(samples)) {
      await t.test(name, async () => {
        const data = sample()
        const { reply, delivered, told } = await post(haraka, data, { timeoutMs: 60_000 })
        assert.equal(reply.code, 250, reply.text)
        assert.equal(delivered.length, 1)
        const message = delivered[0]?.message ?? Buffer.alloc(0)
        const scan = clamd.scans.at(-1)
        assert.ok(scan?.complete)
        const sent = scan.bytes

        assertSame(sent.subarray(0, receivedLine.length), receivedLine, 'the line in front')
        assertSame(sent.subarray(receivedLine.length), withoutVerdict(message), 'sent and delivered')
        assert.notEqual(withoutVerdict(message).length, message.length, 'the verdict is in the message')
        assert.equal(told.note?.bytes, sent.length)

        // The comparison above would not notice if both were wrong: the body is what the client sent.
        const body = data.subarray(data.indexOf('\r\n\r\n') + 4)
        if (data.includes('\r\n\r\n') && !data.subarray(0, 2).equals(Buffer.from('\r\n'))) {
          const got = message.subarray(message.indexOf('\r\n\r\n') + 4)
          const isOpen = body.length > 0 && !body.subarray(-2).equals(Buffer.from('\r\n'))
          assertSame(got, isOpen ? Buffer.concat([body, Buffer.from('\r\n')]) : body, 'the body')
        }

        const last = scan.frames.at(-1) ?? 0
        if (protocol === 'INSTREAM') {
          assert.ok(scan.frames.slice(0, -1).every((length) => length === bufferBytes))
          assert.ok(last > 0 && last <= bufferBytes, `the last chunk has ${last} bytes`)
        }
      })
    }
    await clamd.idle()
    assert.deepEqual(clamd.violations, [])
  })
}

test(
  'after an address that broke off in the middle, the next one gets the message from its beginning',
  bounded,
  async (t) => {
    const [broken, sound] = [await startFakeClamd(), await startFakeClamd()]
    t.after(() => Promise.all([broken.stop(), sound.stop()]))
    await broken.play([{ at: 'middle', after: 100_000, do: 'reset', on: 'both' }])
    const haraka = await startHaraka({
      ini: `host=${addressText(broken.address)} ${addressText(sound.address)}\nmax_pings=0\nhost_rest=0\n`,
      plugins: [...messagePlugins, 'clamav-stream'],
      sources: messageSources,
      connection: { spool_after: 0 },
    })
    t.after(() => haraka.stop())

    for (let message = 0; message < 4; message++) {
      const { reply, delivered } = await post(haraka, mails.big(mega))
      assert.equal(reply.code, 250, reply.text)
      const got = sound.scans.at(-1)?.bytes ?? Buffer.alloc(0)
      assertSame(
        got.subarray(receivedLine.length),
        withoutVerdict(delivered[0]?.message ?? Buffer.alloc(0)),
        'sent',
      )
    }
    assert.equal(sound.scans.length, 4)
    assert.ok(broken.scans.length >= 2, `${broken.scans.length} messages broke off`)
    await Promise.all([broken.idle(), sound.idle()])
  },
)

/** `size` bytes of lines, every third of which begins with a dot that SMTP doubles on the way. */
function dotted(size: number): Buffer {
  const head = Buffer.from('Subject: dots\r\n\r\n')
  const lines = '.\r\n..x\r\nplain\r\n'.repeat(Math.ceil(size / 15))
  return Buffer.concat([head, Buffer.from(lines)])
}

/** The message with that number of bytes more, at least 100, in lines at its end. */
function longer(message: Buffer, bytes: number): Buffer {
  const lines = Math.floor(bytes / 50) - 1
  const last = `${'y'.repeat(bytes - lines * 50 - 2)}\r\n`
  return Buffer.concat([message, Buffer.from(`${'x'.repeat(48)}\r\n`.repeat(lines) + last)])
}

for (const [name, make] of [
  ['plain', () => mails.big(30_000)],
  ['dot-stuffed', () => dotted(30_000)],
] as const) {
  for (const spoolAfter of [-1, 0]) {
    test(`the limit is exact: ${name}, ${spoolAfter === 0 ? 'on disk' : 'in memory'}`, async (t) => {
      const clamd = await startFakeClamd()
      t.after(() => clamd.stop())
      const maxSize = 40_000
      const haraka = await startHaraka({
        ini: `host=${addressText(clamd.address)}\nmax_size=${maxSize}\nmax_pings=0\nscan=message\n`,
        plugins: [...messagePlugins, 'clamav-stream'],
        sources: messageSources,
        users,
        connection: { spool_after: spoolAfter },
      })
      t.after(() => haraka.stop())

      for (const role of ['inbound', 'relaying'] satisfies Role[]) {
        // How much Haraka itself adds, the first message tells.
        const data = make()
        const aim = await post(haraka, data, { role })
        assert.equal(aim.reply.code, 250, aim.reply.text)
        const room = maxSize - (aim.told.note?.bytes ?? 0)
        assert.ok(room >= 100, `${room} bytes of room`)

        const exact = await post(haraka, longer(data, room), { role })
        assert.equal(exact.told.note?.bytes, maxSize, 'the test did not hit the limit')
        assert.equal(exact.reply.code, 250, exact.reply.text)
        assert.equal(clamd.scans.at(-1)?.size, maxSize)

        const { connections } = clamd
        const over = await post(haraka, longer(data, room + 1), { role })
        assert.match(`${over.reply.code} ${over.reply.text}`, /^552 5\.3\.4 /)
        assert.deepEqual(over.delivered, [])
        assert.deepEqual([over.told.note?.reason, over.told.note?.bytes], ['too_large', maxSize + 1])
        assert.equal(clamd.connections, connections, 'clamd was asked about a message that is too large')
      }
      await clamd.idle()
      assert.deepEqual(clamd.violations, [])
    })
  }
}
