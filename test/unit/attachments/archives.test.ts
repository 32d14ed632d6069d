// Archives of every kind, made by real programs: names in them, names in archives within them, what cannot be read; and
// what a hostile one costs.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { library } from '../../../lib/attachments/archives/library'
import { containerOf, typesOf } from '../../../lib/attachments/file-types'
import { archiveKinds, archiveOf } from '../../support/made-archives'
import { attached, inspected, mixed, type Trial } from '../../support/smtp/attachment-mails'
import { zip } from '../../support/zip-builder'

const inMail = (content: Buffer, name = 'a.bin') => mixed([[], 'hello'], attached(name, content))

function looked(content: Buffer, trial: Trial = {}, name?: string) {
  return inspected(inMail(content, name), { masks: '*.exe', ...trial })
}

const closed: Readonly<Record<string, RegExp>> = {
  '7z, names encrypted': /^part 2 \(a\.bin\): 7z \(encrypted names\)$/,
  'rar 4, names encrypted': /^part 2 \(a\.bin\): rar \(encrypted names\)$/,
  'rar 5, names encrypted': /^part 2 \(a\.bin\): rar \(encrypted names\)$/,
}
const nameless = new Set(['macros in a document', 'xz', 'lzma'])

describe('a denied name is seen in every kind of archive, by content', () => {
  for (const kind of archiveKinds.filter((one) => !(one in closed) && !nameless.has(one))) {
    test(kind, async () => {
      const { denied } = await looked(archiveOf(kind))
      assert.equal(denied?.mask, '*.exe')
    })
  }

  test('and not with inside_archives=false', async () => {
    const { denied, unreadable } = await looked(archiveOf('7z'), { insideArchives: false })
    assert.deepEqual({ denied, unreadable }, { denied: null, unreadable: null })
  })
})

test('names are read in any script', async () => {
  for (const kind of ['7z', 'tar', 'iso (Joliet)', 'rar 5', 'wim', 'cab'])
    assert.equal((await looked(archiveOf(kind), { masks: 'übel.*' })).denied?.mask, 'übel.*', kind)
  for (const kind of ['7z', 'tar.xz', 'iso (Rock Ridge)'])
    assert.equal(
      (await looked(archiveOf(kind), { masks: 'неделя*週.txt' })).denied?.mask,
      'неделя*週.txt',
      kind,
    )
})

describe('archives within archives', () => {
  const rows: Readonly<Record<string, Buffer>> = {
    '7z in zip': zip([{ name: 'a', content: archiveOf('7z') }]),
    'rar in a zip that only stores it': zip([{ name: 'a', content: archiveOf('rar 5'), method: 0 }]),
    'iso in gz': gzipSync(archiveOf('iso (Joliet)')),
    'zip in gz': gzipSync(zip(['evil.exe'])),
    'vhd in gz in zip': zip([{ name: 'a', content: gzipSync(archiveOf('vhd')) }]),
    'four times gz': [1, 2, 3, 4].reduce((inner) => gzipSync(inner), archiveOf('tar')),
  }
  for (const [what, content] of Object.entries(rows)) {
    test(what, async () => assert.equal((await looked(content)).denied?.mask, '*.exe'))
  }

  test('are unreadable where they are too deep', async () => {
    const content = Array.from({ length: 7 }).reduce<Buffer>((inner) => gzipSync(inner), archiveOf('tar'))
    assert.match((await looked(content)).unreadable ?? '', /archives are nested more than 5 deep$/)
  })
})

describe('what cannot be read is unreadable, by its kind', () => {
  const rows: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
    ...Object.fromEntries(Object.entries(closed).map(([kind, why]) => [kind, [archiveOf(kind), why]])),
    'cut off': [archiveOf('cab').subarray(0, 60), /: cab \(damaged\)$/],
    'a beginning and nothing else': [
      Buffer.from('Rar!\x1a\x07\x01\0evil.exe', 'latin1'),
      /: rar \(damaged\)$/,
    ],
    'a kind that nobody opens': [
      Buffer.from('0000000000000000002a2a4143452a2a00'.slice(4), 'hex'),
      /: ace \(not opened here\)$/,
    ],
    'one in a zip': [
      zip([{ name: 'b', content: archiveOf('7z, names encrypted') }]),
      /a\.bin\) > b: 7z \(encrypted names\)$/,
    ],
    'an encrypted archive in a zip': [
      zip([{ name: 'b.rar', content: Buffer.alloc(50, 0xff), method: 0, flags: 1 }]),
      /b\.rar: it is encrypted$/,
    ],
  }
  for (const [what, [content, why]] of Object.entries(rows)) {
    test(what, async () => {
      const { denied, unreadable } = await looked(content)
      assert.equal(denied, null)
      assert.match(unreadable ?? '', why)
    })
  }

  test('names that can be read although contents cannot, count', async () => {
    assert.equal((await looked(archiveOf('7z, encrypted'))).denied?.mask, '*.exe')
    const { unreadable } = await looked(archiveOf('7z, encrypted'), { masks: '*.scr' })
    assert.match(unreadable ?? '', /7z \(encrypted\)$/)
  })
})

describe('a packing suffix is taken off for one reading', () => {
  for (const name of ['evil.exe.xz', 'evil.exe.GZ', 'evil.exe.zst ']) {
    test(name, async () => assert.equal((await looked(archiveOf('xz'), {}, name)).denied?.mask, '*.exe'))
  }
  test('and one of another kind is not', async () => {
    for (const name of ['evil.exe.txt', '.gz', 'exe.xz'])
      assert.equal((await looked(archiveOf('xz'), {}, name)).denied, null)
  })
})

describe('what a hostile archive costs', () => {
  test('time is bounded, and the next one is read', async () => {
    // Three gigabytes of zeros, once more packed.
    const bomb = gzipSync(gzipSync(Buffer.alloc(300_000_000)))
    const content = zip([
      { name: 'a.gz', content: gzipSync(bomb) },
      { name: 'b.gz', content: bomb },
    ])
    const began = performance.now()
    const { unreadable } = await looked(content, { limits: { libraryMs: 20 } })
    assert.match(unreadable ?? '', /gz \(it takes more than \d+ ms\)$|nothing is left of the time/)
    assert.ok(performance.now() - began < 60_000)
    assert.equal((await looked(archiveOf('rar 5'))).denied?.mask, '*.exe')
  })

  test('of a large file only the beginning is kept', async () => {
    const archive = new Uint8Array(gzipSync(Buffer.alloc(50_000_000)))
    const { members } = await library.open(
      { archive, maxEntries: 10, keep: 'beginnings', maxBytes: 1_000_000 },
      60_000,
      new AbortController().signal,
    )
    assert.deepEqual(
      members.map(({ bytes, size }) => [bytes.length, size]),
      [[48 * 1024, 50_000_000]],
    )
  })

  test('what would be kept beyond the limit is unreadable', async () => {
    const inner = gzipSync(Buffer.concat([archiveOf('tar'), Buffer.alloc(3_000_000)]))
    const { unreadable } = await looked(inner, { masks: '*.xyz', limits: { inflatedBytes: 1_000_000 } })
    assert.match(unreadable ?? '', /: gz \(more than 1000000 bytes when unpacked\)$/)
  })

  test('entries are counted', async () => {
    const { unreadable } = await looked(archiveOf('7z'), { masks: '*.xyz', limits: { entries: 2 } })
    assert.match(unreadable ?? '', /: 7z \(more than 2 entries\)$/)
  })

  test('one that takes long gives way to others, and is read to its end', async () => {
    const signal = new AbortController().signal
    const ended: string[] = []
    const open = async (name: string, content: Buffer) => {
      const request = {
        archive: new Uint8Array(content),
        maxEntries: 10,
        keep: 'beginnings',
        maxBytes: 1_000_000,
      } as const
      const answer = await library.open(request, 60_000, signal)
      ended.push(name)
      return answer
    }
    const large = gzipSync(Buffer.alloc(500_000_000))
    const [first, second, small] = await Promise.all([
      open('large', large),
      open('large', large),
      open('small', archiveOf('7z')),
    ])
    assert.deepEqual(ended, ['small', 'large', 'large'])
    assert.ok(small.names.length > 0 && small.trouble === null)
    for (const answer of [first, second]) {
      assert.equal(answer.trouble, null)
      assert.equal(answer.members[0]?.size, 500_000_000)
    }
  })

  test('an abort ends the work', async () => {
    const controller = new AbortController()
    const archive = new Uint8Array(gzipSync(Buffer.alloc(300_000_000)))
    const answer = library.open(
      { archive, maxEntries: 10, keep: 'beginnings', maxBytes: 1_000_000 },
      60_000,
      controller.signal,
      () => controller.abort(new Error('client is gone')),
    )
    await assert.rejects(answer, /client is gone/)
  })
})

test('the contents of what is harmless are told apart from archives', () => {
  for (const content of ['hello', 'BZh is bzip2', '#!/bin/sh', 'PK is not zip', '<html>', '`\xea', ']\0\0'])
    assert.equal(containerOf(typesOf(Buffer.from(content, 'latin1'))), null, content)
})
