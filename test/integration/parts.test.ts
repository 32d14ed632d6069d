// scan=parts: of a plain message with a large attachment clamd gets the rest as mail, and the attachments decoded. Through
// the scanner and a real clamd.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { FakeClamd } from '../support/clamd/fake-clamd'
import { BufferMessage, Scanning, type ScanningOptions } from '../support/clamd/scanning'
import { StreamFront } from '../support/clamd/stream-front'
import { eicar } from '../support/eicar'
import { withAttachments } from '../support/smtp/mails'
import { ordinaryMails } from '../support/smtp/ordinary-mails'
import { flag, zip } from '../support/zip-builder'

const skip = skipWithoutClamd()

let clamd: RealClamd
before(async () => {
  if (skip === false) clamd = await startClamd()
})
after(() => (skip === false ? clamd.stop() : undefined))

function scanningBy(options: ScanningOptions = {}): Scanning {
  const address = { host: clamd.host, port: clamd.port }
  return new Scanning([address], { protocol: 'instream', sessions: true, scope: 'parts', ...options })
}

// By chance, random bytes may begin like a message.
const picture = Buffer.from('ffd8ffe000104a464946', 'hex')
const large = (content: string | Buffer = picture) =>
  Buffer.concat([Buffer.from(content), randomBytes(60_000)])
const attached = (...contents: (string | Buffer)[]) =>
  withAttachments(...contents.map((content, index) => ({ name: `${index}.bin`, content })))
const replaced = (mail: Buffer, from: string, to: string) =>
  Buffer.from(mail.toString('latin1').replace(from, to), 'latin1')

test(
  'a plain message is sent without the encoding of its attachments, and is read once',
  { skip },
  async () => {
    const scanning = scanningBy()
    const message = new BufferMessage(attached(large(), 'small', large()))
    const verdict = await scanning.scan(message)
    assert.equal(verdict.outcome, 'clean')
    assert.equal(verdict.oddity, null)
    assert.equal(verdict.readings, 2)
    assert.equal(message.readings, 1)
    assert.ok(verdict.bytes > 120_000 && verdict.bytes < message.bytes.length * 0.8, `${verdict.bytes} bytes`)
    assert.equal(scanning.sockets.length, 1, 'all of it in one session')
  },
)

test('a smaller message, and one without an attachment, are sent as they are', { skip }, async () => {
  const small = new BufferMessage(attached('small'))
  const text = new BufferMessage(replaced(attached(''), 'See the', `${'some text\r\n'.repeat(8000)}See the`))
  for (const message of [small, text]) {
    const verdict = await scanningBy().scan(message)
    assert.equal(verdict.outcome, 'clean')
    assert.equal(verdict.readings, 0)
    assert.equal(message.readings, 1)
    assert.ok(verdict.bytes > message.bytes.length)
  }
})

const nested = zip([{ name: 'a.zip', content: zip([{ name: 'b.txt', content: eicar(), method: 8 }]) }])
const inMail = (part: Buffer) =>
  Buffer.from(
    [
      'From: a@example.com',
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary=outer',
      '',
      '--outer',
      'Content-Type: message/rfc822',
      '',
      `${part.toString('latin1')}--outer--`,
      '',
    ].join('\r\n'),
    'latin1',
  )
const places: readonly (readonly [where: string, mail: () => Buffer, part: string | null])[] = [
  ['the text', () => replaced(attached(large()), 'See the attachment.', eicar()), null],
  ['a header', () => replaced(attached(large()), 'With attachments', eicar()), null],
  ['a small attachment', () => attached(large(), eicar(), large()), null],
  ['the first attachment', () => attached(large(eicar()), large()), 'part 2'],
  ['the last attachment', () => attached(large(), large(), large(eicar())), 'part 4'],
  [
    'a zip in a zip',
    () =>
      attached(
        large(),
        zip([
          { name: 'x', content: large() },
          { name: 'n.zip', content: nested },
        ]),
      ),
    'part 3',
  ],
  ['an attachment of a mail in the mail', () => inMail(attached(large(eicar()))), 'part 4'],
]

for (const [where, mail, part] of places) {
  test(`a virus in ${where} is found`, { skip }, async () => {
    for (const sessions of [true, false]) {
      const scanning = scanningBy({ sessions })
      const verdict = await scanning.scan(mail())
      assert.equal(verdict.outcome, 'infected')
      assert.equal(verdict.oddity, null, 'it is plain')
      assert.equal(verdict.part, part)
      if (!sessions) assert.deepEqual(scanning.leftovers(), [])
    }
  })
}

test('over STREAM as well', { skip }, async () => {
  const front = await new StreamFront({ clamd: { host: clamd.host, port: clamd.port } }).start()
  try {
    const scanning = new Scanning([front.address], { protocol: 'stream', scope: 'parts' })
    assert.equal((await scanning.scan(attached(large()))).outcome, 'clean')
    const verdict = await scanning.scan(attached(large(), large(eicar())))
    assert.equal(verdict.outcome, 'infected')
    assert.equal(verdict.part, 'part 3')
    assert.deepEqual(scanning.leftovers(), [])
  } finally {
    await front.stop()
  }
})

test('what is closed is not clean, in an attachment of any size', { skip }, async () => {
  const closed = (content: Buffer | string) => zip([{ name: 'secret.bin', content, flags: flag.encrypted }])
  for (const mail of [attached(closed(large())), attached(large(), closed('secret'))]) {
    const verdict = await scanningBy().scan(mail)
    assert.equal(verdict.outcome, 'unscanned')
    assert.equal('reason' in verdict && verdict.reason, 'encrypted')
  }
})

test('ordinary mail gets the verdict that it has with auto', { skip }, async () => {
  const [auto, parts] = [scanningBy({ scope: 'auto' }), scanningBy()]
  for (const mail of ordinaryMails) {
    const bytes = await mail.bytes()
    const { outcome } = await auto.scan(bytes)
    assert.equal((await parts.scan(bytes)).outcome, outcome, mail.name)
  }
})

test(
  'an address that fails over a part has failed, and the next one begins at the start',
  { skip },
  async () => {
    const failing = await new FakeClamd().start()
    failing.queue([], [{ at: 'first', do: 'reset' }])
    const scanning = new Scanning([failing.address, { host: clamd.host, port: clamd.port }], {
      protocol: 'instream',
      scope: 'parts',
    })
    try {
      const message = new BufferMessage(attached(large()))
      const verdict = await scanning.scan(message)
      assert.equal(verdict.outcome, 'clean')
      assert.equal(verdict.clamd, `${clamd.host}:${clamd.port}`)
      assert.equal(verdict.readings, 1)
      assert.equal(message.readings, 1)
      assert.deepEqual(scanning.leftovers(), [])
    } finally {
      await failing.stop()
    }
  },
)
