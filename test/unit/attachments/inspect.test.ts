// The reading of a message as a whole: what is reported when it is odd, how it ends, what it costs at most.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MessageSource, Sink } from '../../../lib/base/message-source'
import { type MimeHandler, MimeReader } from '../../../lib/mime/mime-reader'
import { inspect } from '../../../lib/scan/inspect'
import { readingMemory } from '../../../lib/scan/readings/memory'
import {
  attached,
  base64,
  behindClosedMultipart,
  BufferSource,
  inspected,
  lines,
  masksOf,
  mixed,
  raw,
  withHeaders,
} from '../../support/smtp/attachment-mails'
import { zip } from '../../support/zip-builder'

const evil = 'Content-Disposition: attachment; filename="evil.exe"'
const deny = masksOf('*.exe')
const never = new AbortController().signal

test(
  'an odd message is read although scans hold all the memory that they may',
  { timeout: 20_000 },
  async () => {
    const release = await readingMemory.take(1024 ** 3, never)
    try {
      const odd = raw(
        lines(
          'Subject: x',
          '',
          'BEGIN:VCALENDAR',
          'ATTACH;X-FILENAME=evil.exe:http://example.com/',
          '\0',
          '',
        ),
      )
      assert.equal(
        (await inspect(new BufferSource(odd), { deny, insideArchives: true, signal: never })).denied?.mask,
        '*.exe',
      )
    } finally {
      release()
    }
  },
)

describe('messages that come line by line', () => {
  const large = attached('large.bin', Buffer.alloc(100_000, 'x'))

  test('are read to the end, in whatever block a name lies', async () => {
    const archive = zip([{ name: 'a.bin', content: Buffer.alloc(100_000, 'x'), method: 0 }, 'evil.exe'])
    for (const message of [
      mixed(large, attached('evil.exe', Buffer.from('x'))),
      mixed(large, attached('a.zip', archive)),
    ]) {
      const source = new BufferSource(message, 78)
      const { denied } = await inspect(source, { deny, insideArchives: true, signal: never })
      assert.equal(denied?.name, 'evil.exe')
    }
  })

  test('are read no further than the block of the first name that is denied', async () => {
    const source = new BufferSource(mixed(attached('evil.exe', Buffer.from('x')), large, large), 78)
    const { denied } = await inspect(source, { deny, insideArchives: true, signal: never })
    assert.equal(denied?.name, 'evil.exe')
    assert.ok(source.read < 2 * 65_536, `${source.read} bytes`)
  })
})

describe('messages that cannot be read to the end', () => {
  const cases: Record<string, [Buffer, RegExp]> = {
    'several boundaries': [
      raw(lines('Content-Type: multipart/mixed; boundary=a; boundary=b', '', '--a', '', 'x', '--a--')),
      /message: a multipart has several boundaries/,
    ],
    'a delimiter behind a carriage return by itself': [
      raw(lines('Content-Type: multipart/mixed; boundary=a', '', '--a', '', 'x\r--a', 'y\r--a', '--a--')),
      /message: a delimiter stands behind a carriage return by itself/,
    ],
    'a message in pieces': [
      raw(lines('Content-Type: message/partial; id="1@x"; number=2; total=3', '', 'ZXZpbA==')),
      /message: it is one piece of a message/,
    ],
    'content that lies elsewhere': [
      mixed([['Content-Type: Message/External-Body; access-type=URL; URL="http://x/"'], 'Content-Type: x/y']),
      /part 1: its content lies elsewhere/,
    ],
    'headers of more than 32 KiB': [
      withHeaders(...Array.from({ length: 3000 }, () => `Content-Type: ${'y'.repeat(100)}`)),
      /more than 32768 bytes in the headers of a part/,
    ],
    'a name of more than 4096 characters': [
      withHeaders(`Content-Type: x/y; name="${'y'.repeat(4100)}.exe"`),
      /part 2: too many names in one header, or too long ones/,
    ],
    'more than 256 names in one header': [
      withHeaders(`Content-Type: x/y; ${'name=a; '.repeat(256)}name=evil.exe`),
      /part 2: too many names in one header, or too long ones/,
    ],
    'messages too deep in each other': [
      Array.from({ length: 7 }).reduce<Buffer>(
        (inner) =>
          mixed([['Content-Type: message/rfc822', 'Content-Transfer-Encoding: base64'], base64(inner)]),
        mixed(),
      ),
      /part 1, part 1, part 1, part 1, part 1, part 1: messages are nested more than 5 deep/,
    ],
    'too many parts': [
      mixed(...Array.from({ length: 31 }, () => [[], 'x'] as const)),
      /message: more than 30 parts/,
    ],
    'too many names': [
      withHeaders(...Array.from({ length: 41 }, (_, i) => `Content-Disposition: attachment; filename=${i}`)),
      /part 2: more than 40 names/,
    ],
  }
  for (const [what, [message, why]] of Object.entries(cases)) {
    test(what, async () => {
      const outcome = await inspected(message, { limits: { parts: 30, names: 40 } })
      assert.equal(outcome.denied, null)
      assert.match(outcome.unreadable ?? '', why)
    })
  }

  test('a bad name in front of the limit still counts', async () => {
    const parts = Array.from({ length: 50 }, () => [[], 'x'] as const)
    assert.equal(
      (await inspected(mixed([[evil]], ...parts), { limits: { parts: 30 } })).denied?.mask,
      '*.exe',
    )
  })
})

test('headers that say nothing of the content may be as long as they like', async () => {
  const headers = Array.from({ length: 3000 }, () => `X-Long: ${'y'.repeat(100)}\r\n  ${'z'.repeat(100)}`)
  assert.equal((await inspected(withHeaders(...headers))).unreadable, null)
  assert.equal((await inspected(withHeaders(...headers, evil))).denied?.name, 'evil.exe')
})

test('time spent on the message counts as well', async () => {
  const message = mixed([[], Buffer.alloc(500_000, 'x')], [[evil]])
  const outcome = await inspected(message, { limits: { ms: 0 } })
  assert.deepEqual(outcome, { denied: null, unreadable: 'message: more than 0 ms', names: [] })
})

describe('the reading', () => {
  test('ends at the first denied name and is closed', async () => {
    const source = new BufferSource(mixed([[evil]], [[], Buffer.alloc(5_000_000, 'x')]))
    const { denied } = await inspect(source, { deny, insideArchives: true, signal: never })
    assert.equal(denied?.name, 'evil.exe')
    assert.ok(source.read < 1_000_000, `${source.read} bytes read`)
    assert.equal(source.closed, 1)
  })

  test('is closed at the end of the message', async () => {
    const source = new BufferSource(mixed([['Content-Type: text/plain'], 'text']))
    assert.deepEqual(await inspect(source, { deny, insideArchives: true, signal: never }), {
      denied: null,
      unreadable: null,
      names: [],
    })
    assert.equal(source.closed, 1)
  })

  test('waits for nothing after an abort, and is closed', async () => {
    const source = new StalledSource()
    const controller = new AbortController()
    const result = inspect(source, { deny, insideArchives: true, signal: controller.signal })
    controller.abort(new Error('client is gone'))
    await assert.rejects(result, /client is gone/)
    assert.equal(source.closed, 1)
    assert.equal(source.sink?.write(withHeaders(evil)), false)
  })

  test('does not begin after an abort', async () => {
    const source = new StalledSource()
    const signal = AbortSignal.abort(new Error('client is gone'))
    await assert.rejects(inspect(source, { deny, insideArchives: true, signal }), /client is gone/)
    assert.equal(source.sink, null)
  })

  test('an abort ends the reading of an archive', async () => {
    const controller = new AbortController()
    const entries = Array.from({ length: 20_000 }, (_, i) => `${i}`)
    const source = new BufferSource(mixed(attached('a.zip', zip(entries))))
    const result = inspect(source, { deny, insideArchives: true, signal: controller.signal })
    await nextTurn()
    controller.abort(new Error('client is gone'))
    await assert.rejects(result, /client is gone/)
  })

  test('rejects with what kept the message from being read', async () => {
    const source = new StalledSource()
    source.open = () => Promise.reject(new Error('disk is gone'))
    await assert.rejects(inspect(source, { deny, insideArchives: true, signal: never }), /disk is gone/)
    assert.equal(source.closed, 1)
  })

  test('lets others have a turn, and takes what a source sends without waiting', async () => {
    // Lines that might be delimiters cost most: many turns' work.
    const message = mixed([[], Buffer.alloc(4_000_000, '--\n')], attached('a.zip', zip(['evil.exe'])))
    const source = new StalledSource()
    const options = { deny, insideArchives: true, limits: { ms: Infinity }, signal: never }
    const result = inspect(source, options)
    let pauses = 0
    for (let at = 0; at < message.length; at += 65_536) {
      if (source.sink?.write(message.subarray(at, at + 65_536)) === false) pauses++
    }
    source.sink?.end()
    assert.ok(pauses > 0)
    assert.equal((await result).denied?.name, 'evil.exe')
  })

  test('names of a thousand attachments are kept, and no more', async () => {
    const parts = Array.from({ length: 1500 }, (_, i) => [[`Content-Type: x/y; name=${i}.txt`]] as const)
    const { names } = await inspected(mixed(...parts))
    assert.equal(names.length, 1000)
  })
})

class StalledSource implements MessageSource {
  readonly minBytes = 0
  readonly maxBytes = 0
  sink: Sink | null = null
  closed = 0

  open(sink: Sink): Promise<void> {
    this.sink = sink
    return Promise.resolve()
  }

  close(): void {
    this.closed++
  }
}

describe('what only an attacker sends costs in proportion to its size', () => {
  // Some were quadratic in an earlier form; a quadratic one takes minutes of work here, not the seconds of the limit.
  const maxCpuMs = 10_000
  const hostile: Record<string, Buffer> = {
    'a header of parameters without end': withHeaders(`Content-Type: x/y; ${'name='.repeat(50_000)}`),
    'a header of open quotes': withHeaders(`Content-Type: x/y; ${'name="'.repeat(40_000)}`),
    'a header of open encoded words': withHeaders(`Content-Type: x/y; name=${'=?a?q?'.repeat(40_000)}`),
    'headers of charsets that do not exist, in quotes that do not close': mixed(
      ...Array.from({ length: 25 }, (_, part) => {
        const names = Array.from({ length: 250 }, (_, i) => `name="=?x${part}-${i}?q?b?=\xe9`)
        return [[`Content-Type: x/y; ${names.join(' ')}`]] as const
      }),
    ),
    'a header of comments': withHeaders(`Content-Type: x/y; name=${'('.repeat(250_000)}`),
    'a header of spaces': withHeaders(`Content-Type: x/y; name${' '.repeat(250_000)}`),
    'a header of percent signs': withHeaders(`Content-Type: x/y; name=${'%41'.repeat(80_000)}`),
    'a header of folds': withHeaders(`Content-Type: x/y; name=a${'\r\n '.repeat(80_000)}`),
    'a boundary of spaces': withHeaders(`Content-Type: multipart/mixed; boundary=a${' '.repeat(250_000)}b`),
    'a body of lines of dashes': raw(
      lines('Content-Type: multipart/mixed; boundary=a', ''),
      Buffer.alloc(1_000_000, '--b\n'),
    ),
    'a body of closing delimiters': raw(
      lines('Content-Type: multipart/mixed; boundary=a', ''),
      Buffer.alloc(500_000, '--a--\n'),
    ),
    'a body of carriage returns and dashes': raw(
      lines('Content-Type: multipart/mixed; boundary=a', '', '--a', ''),
      Buffer.alloc(2_000_000, '\r--'),
    ),
    'lines of dashes within a message that is to be decoded in two ways': raw(
      lines('Content-Type: message/rfc822', 'Content-Transfer-Encoding: quoted-printable'),
      lines('Content-Transfer-Encoding: base64', ''),
      Buffer.alloc(2_000_000, '--=\r\n'),
    ),
    'a quoted-printable body of signs and blanks': mixed([
      ['Content-Transfer-Encoding: quoted-printable'],
      Buffer.alloc(1_500_000, `=${' '.repeat(99)}`),
    ]),
    'a text of beginnings': mixed([['Content-Type: text/plain'], Buffer.alloc(500_000, 'begin 644 a\n')]),
    'a text without line ends': mixed([['Content-Type: text/plain'], Buffer.alloc(1_000_000, 'begin ')]),
    'a body of signatures': mixed([[], Buffer.alloc(1_000_000, 'PK\x03\x04')]),
  }
  for (const [what, message] of Object.entries(hostile)) {
    test(what, { timeout: 10 * maxCpuMs }, async () => {
      const before = process.cpuUsage()
      const { denied } = await inspected(message, { limits: { ms: Infinity, entries: 5000 } })
      const { user, system } = process.cpuUsage(before)
      assert.equal(denied, null)
      assert.ok((user + system) / 1000 < maxCpuMs)
    })
  }
})

test('behind a delimiter of a multipart that is closed, and a very long line, the name of a file is found', async () => {
  const mail = behindClosedMultipart(
    `X-Note: ${'a'.repeat(20_000)}`,
    'Content-Disposition: attachment; filename=evil.exe',
  )
  for (const chunkBytes of [mail.length, 1000])
    assert.equal((await inspected(mail, { chunkBytes })).denied?.name, 'evil.exe')
})

test('a delimiter of a multipart that is closed is not looked for in all that are open', (t) => {
  const handler: MimeHandler = {
    part: () => ({ write: () => undefined, end: () => undefined }),
    stray: () => undefined,
    epilogue: () => ({ write: () => undefined, end: () => undefined }),
    trouble: () => undefined,
  }
  const reader = new MimeReader(handler, 10_000)
  const multipart = (boundary: string) =>
    lines(`Content-Type: multipart/mixed; boundary=${boundary}`, '', `--${boundary}`)
  reader.write(Buffer.from(`${multipart('A')}${multipart('B')}\r\n--A\r\n`))
  for (let i = 0; i < 1000; i++) reader.write(Buffer.from(multipart(`n${i}`)))
  reader.write(Buffer.from('\r\n'))
  let lookups = 0
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { has } = Set.prototype
  Set.prototype.has = function (this: Set<unknown>, value) {
    lookups++
    return has.call(this, value)
  }
  t.after(() => (Set.prototype.has = has))
  reader.write(Buffer.from('--B--\r\n'.repeat(1000)))
  assert.ok(lookups < 10_000, String(lookups))
})
