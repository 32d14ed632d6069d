// What the contents of a message are called, what is said to be closed, and what happens at each bound.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget, OverBudget } from '../../../lib/mime/budget'
import { uncompressedRtf } from '../../../lib/mime/containers/compressed-rtf'
import { outlookContents } from '../../../lib/mime/containers/outlook-item'
import { namesUuencode } from '../../../lib/mime/lenient-decodings'
import { sectionsIn } from '../../../lib/mime/stretches'
import { defaultReadingLimits } from '../../../lib/scan/readings/limits'
import { Readings } from '../../../lib/scan/readings/readings'
import { skeletonOf } from '../../../lib/scan/readings/skeleton'
import { compoundFile, type Storage } from '../../support/compound-file'
import { archiveOf } from '../../support/made-archives'
import { damaged, seeded } from '../../support/random'
import { contentsOf, sourceOf } from '../../support/readings'

const crlf = (...lines: string[]) => lines.map((line) => `${line}\r\n`).join('')
const base64 = (content: string | Buffer) =>
  Buffer.from(content)
    .toString('base64')
    .replace(/.{1,76}/g, '$&\r\n')
const file = (body: string, type = 'application/octet-stream') =>
  `Content-Type: ${type}\r\nContent-Transfer-Encoding: base64\r\n\r\n${body}`
const text = crlf('Content-Type: text/plain', '', 'Hello, world!')
const mail = (parts: string[], type = 'multipart/mixed') =>
  Buffer.from(
    crlf('Subject: test', `Content-Type: ${type}; boundary=b1`, '') +
      `${parts.map((part) => `--b1\r\n${part}`).join('')}--b1--\r\n`,
    'latin1',
  )
const named = (contents: readonly { name: string; bytes: Buffer }[]) =>
  Object.fromEntries(contents.map(({ name, bytes }) => [name, bytes.toString('latin1')]))
const enveloped = Buffer.from('308006092a864886f70d010703a080308002010231', 'hex')

test('each content comes once, with a name that says where it is and how it was read', async () => {
  const { contents, summary } = await contentsOf(
    mail([
      text,
      file('SGVsbG8sIA==d29ybGQ/\r\n'),
      file(base64('a file; of text')),
      file(base64('a file; of text')),
    ]),
  )
  assert.equal(named(contents)['part 1'], 'Hello, world!')
  assert.equal(named(contents)['part 2 (base64)'], 'Hello, world?')
  assert.equal(contents.filter(({ bytes }) => bytes.toString() === 'a file; of text').length, 1)
  assert.equal(named(contents)['part 2 (base64, up to padding)'], 'Hello, ')
  assert.equal(named(contents)['part 2 (base64, behind padding)'], 'world?')
  assert.equal(summary.readings, contents.length)
  assert.equal(summary.parts, 5)
  assert.deepEqual([summary.encrypted, summary.incompleteBecause], [null, null])
})

test('what lies in a message in an encoded part has the names of both', async () => {
  const inner = mail([file(base64('deep, down below'))])
  const { contents } = await contentsOf(mail([text, file(base64(inner))]))
  const found = contents.find(({ bytes }) => bytes.toString() === 'deep, down below')
  assert.equal(found?.name, 'part 2 (base64) > part 1 (base64)')
})

/** Example of MS-OXRTFCP 4.1: references into what the dictionary holds at the beginning. */
const example = Buffer.from(
  '2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c09002062' + '7705b06c647d0a800fa0',
  'hex',
)
const budget = () => new Budget(defaultReadingLimits, new AbortController().signal)

test('compressed RTF in TNEF is undone, and what makes no sense in it ends it', async () => {
  const text = '{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n'
  assert.equal((await uncompressedRtf(example, budget())).toString(), text)
  const property = Buffer.concat([Buffer.from('02010910010000002d000000', 'hex'), example])
  property.writeUInt32LE(example.length, 8)
  const attribute = Buffer.alloc(9)
  attribute.writeUInt32LE(0x00069003, 1)
  attribute.writeUInt32LE(property.length, 5)
  const tnef = Buffer.concat([Buffer.from('789f3e220100', 'hex'), attribute, property, Buffer.alloc(2)])
  const { contents } = await contentsOf(mail([file(base64(tnef))]))
  assert.equal(named(contents)['part 1 (base64) > TNEF 1 > RTF'], text)
  // From a place ahead of what was written, a run of itself, and cut off.
  const bytes = (hex: string) => Buffer.concat([example.subarray(0, 16), Buffer.from(hex, 'hex')])
  for (let length = 0; length <= example.length; length++)
    await uncompressedRtf(example.subarray(0, length), budget())
  assert.equal((await uncompressedRtf(bytes('02610cf3'), budget())).toString(), 'aaaaaa')
  assert.ok((await uncompressedRtf(bytes('ff' + 'ffff'.repeat(8)), budget())).length > 100)
})

const outlookItem = (...files: readonly (Buffer | Storage)[]): Storage => ({
  '__properties_version1.0': Buffer.alloc(64),
  '__substg1.0_0037001F': Buffer.from('subject', 'utf16le'),
  ...Object.fromEntries(
    files.map((held, at) => [
      `__attach_version1.0_#0000000${at}`,
      Buffer.isBuffer(held) ? { '__substg1.0_37010102': held } : { '__substg1.0_3701000D': held },
    ]),
  ),
})

test('files in an Outlook item are contents, also those of an item within and of a signed message', async () => {
  const large = Buffer.alloc(70_000, 'large')
  const signed = mail([text, file(base64('a signed file'))], 'multipart/signed')
  const inner = outlookItem(Buffer.from('deep'), signed)
  const item = compoundFile({
    ...outlookItem(Buffer.from('small'), large, outlookItem(inner)),
    '__substg1.0_10090102': example,
  })
  const { contents, summary } = await contentsOf(mail([file(base64(item))]))
  const found = contents.map(({ bytes }) => bytes.toString('latin1'))
  for (const content of ['small', large.toString(), 'deep', 'a signed file'])
    assert.ok(found.includes(content))
  assert.ok(found.some((content) => content.includes('hello world')))
  assert.equal(summary.incompleteBecause, null)
  assert.ok(
    (await contentsOf(mail([file(base64(archiveOf('msg')))]))).contents.some(({ name }) =>
      name.includes('Outlook item'),
    ),
  )
})

test('no bytes of an Outlook item make it throw, nor take more than twice its size', async () => {
  const item = compoundFile(outlookItem(Buffer.from('small'), Buffer.alloc(5000, 7)))
  const random = seeded(5)
  for (let count = 0; count < 400; count++) {
    const bytes = count % 2 === 0 ? damaged(item, random, [item]) : Buffer.from(item)
    for (let flips = random(6); flips >= 0; flips--) bytes[random(Math.min(bytes.length, 4096))] = random(256)
    let taken = 0
    try {
      for await (const inner of outlookContents(bytes, budget())) taken += inner.length
    } catch (error) {
      assert.ok(error instanceof OverBudget || bytes.length <= 512, String(error))
    }
    assert.ok(taken <= 2 * bytes.length)
  }
})

const uuencoded = ['#86)C', '#9&5F']
const found: readonly (readonly [name: string, mail: string, content: string])[] = [
  [
    'a body behind its headers, with an equals sign where a field has its colon',
    crlf('Subject: test', 'Content-Type: application/x', 'Content-Transfer-Encoding: quoted-printable') +
      crlf('first=', ' and second', 'third'),
    'first and second\r\nthird',
  ],
  [
    'a soft break with more blanks than a line may have',
    crlf('Subject: test', 'Content-Transfer-Encoding: quoted-printable', '', `fi=${' '.repeat(5000)}`, 'rst'),
    'first',
  ],
  [
    'a soft break with blanks across pieces',
    crlf('Subject: test', 'Content-Transfer-Encoding: quoted-printable', '') +
      crlf('x'.repeat(70_000), `fi=${' \t'.repeat(70_000)}`, 'rst'),
    `${'x'.repeat(70_000)}\r\nfirst`,
  ],
  ...['\v', '\0', ' \t\f', '\r text'].map((between): readonly [string, string, string] => [
    `a soft break with ${JSON.stringify(between)} behind its sign`,
    crlf('Subject: test', 'Content-Transfer-Encoding: quoted-printable', '') + `fi=${between}\r\nrst`,
    'first',
  ]),
  [
    'a delimiter behind a tab',
    crlf('Subject: test', 'Content-Type: multipart/mixed; boundary=b', '', '\t--b', 'Content-Type: x/y') +
      crlf('Content-Transfer-Encoding: quoted-printable', '', '=66irst', '\t--b--'),
    'first',
  ],
  [
    'quoted-printable with doubled signs',
    crlf('Subject: test', 'Content-Transfer-Encoding: quoted-printable', '') + 'a==41=42',
    'a=41B',
  ],
  [
    'uuencode behind a line that says base64',
    crlf('Subject: test', 'Content-Transfer-Encoding: x-uuencode', '', 'begin-base64 644 a') +
      crlf(uuencoded[0] ?? '', '`', 'end'),
    'abc',
  ],
  [
    'uuencode with lines of something else in it',
    crlf(
      'Subject: test',
      '',
      'begin 644 a',
      uuencoded[0] ?? '',
      '',
      'X-A: b',
      uuencoded[1] ?? '',
      '`',
      'end',
    ),
    'abcdef',
  ],
  [
    'uuencode with another beginning in it',
    crlf('Subject: test', '', 'begin 644 a', uuencoded[0] ?? '', 'begin 644 b', uuencoded[1] ?? '', 'end'),
    'abcdef',
  ],
]
for (const [name, bytes, content] of found) {
  test(`found: ${name}`, async () => {
    const { contents } = await contentsOf(Buffer.from(bytes))
    assert.ok(contents.some((one) => one.bytes.toString() === content))
  })
}

const closed: readonly (readonly [name: string, mail: Buffer, where: string])[] = [
  ['by type', mail([text, text], 'multipart/encrypted'), 'message: multipart/encrypted'],
  ['by the identifier within', mail([file(base64(enveloped))]), 'part 1 (base64): S/MIME enveloped data'],
  ['in text', mail([crlf('', '-----BEGIN PGP MESSAGE-----')]), 'message, PGP message'],
]
for (const [name, bytes, where] of closed) {
  test(`closed: ${name}`, async () => assert.equal((await contentsOf(bytes)).summary.encrypted, where))
}

const many = mail([text, file(base64('first; file')), file(base64('second; file'))])
const nested = (times: number): Buffer =>
  times === 0 ? many : mail([file(base64(nested(times - 1)), 'message/rfc822')])
const limits: readonly (readonly [limits: object, mail: Buffer, says: string])[] = [
  [{ readings: 2 }, many, 'more than 2 contents'],
  [{ contentBytes: 20 }, many, 'contents of more than 20 bytes'],
  [{ depth: 3 }, nested(4), 'more than 3 levels'],
  [{ documents: 2 }, nested(4), 'more than 2 messages in messages'],
  [{ parts: 2 }, many, 'more than 2 parts'],
  [{ ms: -1 }, many, 'more than -1 ms'],
]
for (const [bounds, bytes, says] of limits) {
  test(`over a limit: ${says}`, async () => {
    assert.equal((await contentsOf(bytes, { limits: bounds })).summary.incompleteBecause, says)
  })
}

test('nothing is read ahead of what is asked for, and work that waits costs no time', async () => {
  const limits = { ms: 50 }
  const signal = new AbortController().signal
  const readings = new Readings(sourceOf(many), { signal, limits })
  const contents = readings.contents()
  await contents.next()
  assert.equal(readings.summary.readings, 1)
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.equal(readings.summary.readings, 1)
  for (let next = await contents.next(); !next.done; next = await contents.next());
  assert.equal(readings.summary.incompleteBecause, null)
})

test('a source that fails, and a signal, end it', async () => {
  const failing = { ...sourceOf(many), open: () => Promise.reject(new Error('cannot be read')) }
  const controller = new AbortController()
  const { signal } = controller
  await assert.rejects(new Readings(failing, { signal }).contents().next(), /cannot be read/)
  controller.abort(new Error('no longer wanted'))
  await assert.rejects(new Readings(sourceOf(many), { signal }).contents().next(), /no longer wanted/)
})

test('a skeleton has everything but the attachments, and these decoded', async () => {
  const content = 'x'.repeat(1000)
  const whole = mail([text, file(base64(content)), file(base64('small'))])
  const budget = new Budget(defaultReadingLimits, new AbortController().signal)
  const skeleton = await skeletonOf(whole, 100, budget)
  const contents = async (withOthers: boolean) => {
    const found: string[][] = []
    for await (const { name, bytes, isScanned } of skeleton.contents(withOthers))
      found.push([name, bytes.toString(), isScanned ? 'in the rest' : 'left out'])
    return found
  }
  assert.deepEqual(await contents(false), [['part 2', content, 'left out']])
  assert.deepEqual(await contents(true), [
    ['part 2', content, 'left out'],
    ['part 1', 'Hello, world!', 'in the rest'],
    ['part 3', 'small', 'in the rest'],
  ])
  assert.equal(
    Buffer.concat(skeleton.rest).toString(),
    whole.toString().replace(base64(content).trimEnd(), ''),
  )
})

test('a file like a message, in whatever case its headers are', async () => {
  for (const headers of [
    'COntent-Type: text/plain\r\nCOntent-Transfer-ENcoding: base64',
    'cOnTeNt-tYpE: text/plain\r\ncOnTeNt-tRaNsFeR-eNcOdInG: base64',
    'Con\0tent-Type: text/plain\r\nCon\0tent-Transfer-Enco\0ding: base64',
    'Con\rtent-Type: text/plain\r\nCon\rtent-Transfer-Enco\rding: base64',
  ]) {
    const inner = `X-Foo: 1\r\n${'X-Bar: 2\r\n'.repeat(8000)}${headers}\r\n\r\n${base64('deep, down below')}`
    const { contents } = await contentsOf(mail([file(base64(inner))]))
    assert.ok(
      contents.some(({ bytes }) => bytes.toString() === 'deep, down below'),
      JSON.stringify(headers),
    )
  }
})

test('uuencode is told by its header, also behind a fold, in a time that grows with the header alone', async () => {
  const coded = crlf(uuencoded[0] ?? '', '`', 'end')
  for (const value of ['x-uuencode', '\r\n\tx-uuencode', '(a\r\n comment) "UUENCODE"'])
    assert.ok(namesUuencode(`content-transfer-encoding:${value}\ncontent-type:text/plain\n`), value)
  const folded = crlf('Subject: test', 'Content-Transfer-Encoding:', ' x-uuencode', '', coded)
  const { contents } = await contentsOf(Buffer.from(folded))
  assert.ok(contents.some(({ bytes }) => bytes.toString() === 'abc'))
  assert.equal(namesUuencode('content-transfer-encoding:7bit\ncontent-type:text/plain; name=uu\n'), false)
  const began = process.cpuUsage()
  assert.equal(namesUuencode(`content-type:${'encoding'.repeat(50_000)}`), false)
  assert.ok(process.cpuUsage(began).user < 500_000)
})

test('a boundary counts in whatever case it is announced', async () => {
  const budget = new Budget(defaultReadingLimits, new AbortController().signal)
  const text = Buffer.from('BOUNDARY=abc\r\n\r\nabc\r\nContent-Type: text/plain\r\n\r\ntext')
  const sections: string[] = []
  for await (const section of sectionsIn(text, 10, budget)) sections.push(section)
  assert.deepEqual(sections, ['Content-Type: text/plain\r'])
})

test('a text in a slow charset for longer than mail has is a limit that is told', async () => {
  const slow = await contentsOf(
    mail([file(base64(Buffer.alloc(1_100_000, 'x')), 'text/plain; charset=utf-7')]),
  )
  assert.match(slow.summary.incompleteBecause ?? '', /^a text of \d+ bytes in utf-7$/)
})

test('readings of quoted-printable are named by what is done to the text', async () => {
  const body = crlf('a = \r\nb', 'x==41', 'y=ZZ') + '=\rtext\r\nmore\r\n'
  const { contents } = await contentsOf(
    Buffer.from(crlf('Subject: test', 'Content-Transfer-Encoding: quoted-printable', '') + body, 'latin1'),
  )
  const names = contents.map(({ name }) => name)
  for (const how of ['strictly', 'with text behind CR', 'with doubled signs', 'without broken escapes'])
    assert.ok(names.includes(`message (quoted-printable, ${how})`), names.join('; '))
})

test('a message with more bytes than it said is read to its end', async () => {
  const bytes = mail([text, file(base64('a file; of text'))])
  const readings = new Readings(
    { ...sourceOf(bytes, 100), maxBytes: 10 },
    { signal: new AbortController().signal },
  )
  const contents: string[] = []
  for await (const content of readings.contents()) contents.push(content.bytes.toString())
  assert.ok(contents.includes('a file; of text'))
})
