// What the command `scan` makes of files: lines as SMTP has them, messages of an mbox, mail or not mail.
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { measure } from '../../../lib/base/measure'
import { SmtpLines } from '../../../lib/base/smtp-lines'
import { contentsOf, looksLikeMail } from '../../../lib/cli/mail-file/content'
import { walk } from '../../../lib/cli/mail-file/walk'
import { TemporaryDirectory } from '../../support/process'

function temporary(t: TestContext): string {
  const directory = new TemporaryDirectory('scan-files')
  t.after(() => directory.remove())
  return directory.path
}

async function lines(text: string, isQuoted: boolean, pieceBytes: number): Promise<string> {
  const bytes = Buffer.from(text, 'latin1')
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, index) =>
    bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes),
  )
  return (await buffer(Readable.from(pieces).pipe(new SmtpLines(isQuoted)))).toString('latin1')
}

test('lines end in CRLF, however they were written and wherever a piece ends', async () => {
  const cases: [string, string][] = [
    ['a\nb\n', 'a\r\nb\r\n'],
    ['a\r\nb\r\n', 'a\r\nb\r\n'],
    ['a\nb\r\nc', 'a\r\nb\r\nc\r\n'],
    ['\n\n', '\r\n\r\n'],
    ['a\rb\n', 'a\rb\r\n'],
    ['a\r\r\n', 'a\r\r\n'],
    ['a\r', 'a\r\n'],
    ['', ''],
    ['.\n..\n', '.\r\n..\r\n'],
    ['\x00\xff\n', '\x00\xff\r\n'],
    ['>From x\n>>From y\n', '>From x\r\n>>From y\r\n'],
  ]
  for (const [text, expected] of cases) {
    for (const piece of [1, 2, 3, 1000]) {
      assert.equal(await lines(text, false, piece), expected, JSON.stringify([text, piece]))
    }
  }
})

test('a line of any length passes, with its end in one piece', async () => {
  const long = `${'x'.repeat(200_000)}\r\n${'y'.repeat(65_536)}\r\n${'z'.repeat(65_537)}`
  for (const piece of [1024, 65_537, 300_000]) assert.equal(await lines(long, true, piece), `${long}\r\n`)
})

test('of an mbox one quote is taken, at the start of a line', async () => {
  const quoted = '>From a\n>>From b\nx>From c\n> From d\n>FROM e\n>'
  for (const piece of [1, 4, 1000]) {
    assert.equal(
      await lines(quoted, true, piece),
      'From a\r\n>From b\r\nx>From c\r\n> From d\r\n>FROM e\r\n>\r\n',
    )
  }
  const inside = `${'x'.repeat(70_000)}>From no\n`
  assert.equal(await lines(inside, true, 70_000), inside.replace('\n', '\r\n'))
})

async function messagesIn(file: string, isMail = false): Promise<string[]> {
  const found: string[] = []
  for await (const content of contentsOf(file, isMail)) {
    const message = content.message((error) => assert.fail(error))
    const parts: Buffer[] = []
    const sink = Object.assign(new EventEmitter(), {
      write: (chunk: Buffer) => {
        parts.push(chunk)
        return true
      },
      end: () => sink.emit('finish'),
    })
    await new Promise((resolve) => {
      sink.once('finish', resolve)
      void message.open(sink)
    })
    const text = Buffer.concat(parts).toString('latin1')
    const again = await measure(message, new AbortController().signal)
    assert.equal(again, text.length, 'it cannot be read twice')
    assert.ok(
      message.minBytes <= again && again <= message.maxBytes,
      `${message.minBytes} ${again} ${message.maxBytes}`,
    )
    found.push(text)
  }
  return found
}

test('an mbox is its messages, as they would have been delivered', async (t) => {
  const file = path.join(temporary(t), 'mbox')
  const mbox = (text: string) => {
    writeFileSync(file, text, 'latin1')
    return messagesIn(file)
  }
  const from = 'From ann@example.com Mon Jan  2 10:00:00 2023\n'
  assert.deepEqual(await mbox(`${from}Subject: a\n\none\n\n${from}Subject: b\n\ntwo\n\n`), [
    'Subject: a\r\n\r\none\r\n',
    'Subject: b\r\n\r\ntwo\r\n',
  ])
  // No empty line at the end, CRLF, and a message without a body.
  assert.deepEqual(await mbox(`${from}A: 1\n\n${from}B: 2\n\nx`.replaceAll('\n', '\r\n')), [
    'A: 1\r\n',
    'B: 2\r\n\r\nx\r\n',
  ])
  // A `From ` inside a paragraph is text, one behind an empty line is not, unless nothing speaks for it.
  assert.deepEqual(await mbox(`${from}A: 1\n\nx\nFrom here\n\nFrom there on\nwe go\n>From quoted\n`), [
    'A: 1\r\n\r\nx\r\nFrom here\r\n\r\nFrom there on\r\nwe go\r\nFrom quoted\r\n',
  ])
  assert.deepEqual(await mbox(`${from}A: 1\n\nx\n\nFrom MAILER-DAEMON\nB: 2\n\ny\n`), [
    'A: 1\r\n\r\nx\r\n',
    'B: 2\r\n\r\ny\r\n',
  ])
  assert.deepEqual(await mbox(from), [''])
  const large = `A: 1\n\n${'text of a long message\n'.repeat(20_000)}`
  const both = await mbox(`${from}${large}\n${from}${large}`)
  assert.deepEqual(both, [large.replaceAll('\n', '\r\n'), large.replaceAll('\n', '\r\n')])
})

test('mail is told from other files, which become attachments', async (t) => {
  const directory = temporary(t)
  for (const [text, isMail] of [
    ['Subject: x\n\nbody', true],
    ['Received: from a\n\tby b\nX: y\r\n\r\n', true],
    ['X-Foo: 1\nFrom: a\n', true],
    ['From: a\nno header', true],
    ['\u00ef\u00bb\u00bfFrom: a\n\n', true],
    ['key: value\nother: value\n', false],
    ['MZ\x90\x00', false],
    ['plain text', false],
    ['\n\n', false],
  ] as const) {
    assert.equal(looksLikeMail(Buffer.from(text, 'latin1')), isMail, text)
  }
  const file = path.join(directory, 'x.bin')
  writeFileSync(file, 'MZ\n\x00\n')
  const [mail = ''] = await messagesIn(file)
  assert.match(mail, /^Content-Type: application\/octet-stream; name=file\r$/m)
  assert.match(mail, new RegExp(Buffer.from('MZ\n\x00\n').toString('base64')))
  // In a Maildir a message is one, whatever it looks like.
  assert.deepEqual(await messagesIn(file, true), ['MZ\r\n\x00\r\n'])
})

test('the walk follows what was named, not what lies in it, and says what it leaves out', async (t) => {
  const directory = temporary(t)
  const file = path.join(directory, 'inside', 'cur', 'one')
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, 'x')
  writeFileSync(path.join(directory, 'empty'), '')
  symlinkSync(path.join(directory, 'inside'), path.join(directory, 'link'))
  symlinkSync(path.join(directory), path.join(directory, 'loop'))
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/caf`), Buffer.from([0xe9])]), 'x')
  const all = []
  for await (const { path: where, kind, ...more } of walk([
    directory,
    `${directory}/link`,
    `${directory}/no`,
  ])) {
    all.push([where.toString('latin1').slice(directory.length), kind, 'why' in more ? more.why : more.isMail])
  }
  assert.deepEqual(all, [
    ['/caf\xe9', 'file', false],
    ['/empty', 'skipped', 'Empty file'],
    ['/inside/cur/one', 'file', true],
    ['/link', 'skipped', 'Symbolic link'],
    ['/loop', 'skipped', 'Symbolic link'],
    ['/link/cur/one', 'file', true],
    ['/no', 'error', 'No such file or directory'],
  ])
})
