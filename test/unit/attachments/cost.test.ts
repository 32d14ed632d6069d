// What one message may hold, open and take in time, and how many messages may do so at once.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Archive, ArchiveWatch, type Interest } from '../../../lib/attachments/archives/archive-detector'
import { archiveSemaphore, Semaphore } from '../../../lib/attachments/archives/semaphore'
import type { Sighting } from '../../../lib/attachments/archives/sighting'
import { tnefNames } from '../../../lib/attachments/archives/tnef'
import { zipNames } from '../../../lib/attachments/archives/zip'
import { zipHeaders } from '../../../lib/attachments/archives/zip-headers'
import type { Name } from '../../../lib/attachments/filenames'
import { Budget, defaultLimits, type Limits } from '../../../lib/mime/budget'
import {
  attached,
  base64,
  inspected,
  lines,
  mixed,
  raw,
  withHeaders,
} from '../../support/smtp/attachment-mails'
import { record, zip } from '../../support/zip-builder'

const never = new AbortController().signal
const twice = ['Content-Transfer-Encoding: 7bit', 'Content-Transfer-Encoding: quoted-printable']

function keeping(archives: Archive[]): Interest {
  return {
    onTypes: () => undefined,
    onTypesOfEnd: () => undefined,
    holds: (types) => types.has('zip'),
    findsZips: true,
    onArchive: (archive) => archives.push(archive),
    onOverBudget: (why) => assert.fail(why),
  }
}

/** An archive of about so many bytes, the same in either encoding. */
function archiveOf(bytes: number): Buffer {
  return zip([{ name: 'a.bin', content: Buffer.alloc(bytes, 'x'), method: 0 }])
}

/** `content` within so many messages, of which each is to be read in two ways. */
function inMessages(times: number, content: Buffer): Buffer {
  const header = lines('Content-Type: application/octet-stream; name=a.eml', ...twice, '')
  return raw(header.repeat(times), lines('Content-Type: application/zip', ''), content)
}

describe('what is held', () => {
  test('by all readings of one attachment counts together', async () => {
    const twoReadings = mixed([['Content-Type: application/zip', ...twice], archiveOf(15_000)])
    const { unreadable } = await inspected(twoReadings, { limits: { heldBytes: 20_000 } })
    assert.equal(unreadable, 'part 1: more than 20000 bytes of archives')
  })

  test('is released when an archive has been read, or is none of interest', async () => {
    const archive = archiveOf(15_000)
    const tnef = Buffer.concat([Buffer.from('789f3e220100', 'hex'), Buffer.alloc(15_000)])
    const parts = [archive, tnef, archive, tnef].map((content) => attached('a', content))
    for (const insideArchives of [true, false]) {
      const trial = { insideArchives, limits: { heldBytes: 20_000 }, chunkBytes: 4096 }
      const { unreadable } = await inspected(mixed(...parts), trial)
      assert.equal(unreadable, null)
    }
  })

  test('is released when it is too much, and a bad name behind it counts', async () => {
    const large = attached('large.zip', archiveOf(30_000))
    const limits = { heldBytes: 20_000 }
    const small = attached('small.zip', zip([{ name: 'a.bin', content: randomBytes(15_000) }, 'evil.exe']))
    assert.equal((await inspected(mixed(large, small), { limits })).denied?.name, 'evil.exe')
  })

  test('is one copy, however small the pieces', () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const content = archiveOf(4_000_000)
    const archives: Archive[] = []
    const budget = new Budget(defaultLimits, never)
    const watch = new ArchiveWatch(budget, keeping(archives))
    collect()
    const before = process.memoryUsage().heapUsed
    for (let at = 0; at < content.length; at += 45) watch.write(Buffer.from(content.subarray(at, at + 45)))
    collect()
    const objects = process.memoryUsage().heapUsed - before
    assert.ok(objects < 2_000_000, `${objects} bytes of objects`)
    watch.end()
    assert.ok(archives[0]?.content.equals(content))
  })

  test('does not keep the chunk that it came in', () => {
    const content = archiveOf(100_000)
    const archives: Archive[] = []
    const budget = new Budget(defaultLimits, never)
    const watch = new ArchiveWatch(budget, keeping(archives))
    const chunk = Buffer.from(content)
    watch.write(chunk)
    chunk.fill(0)
    watch.end()
    assert.ok(archives[0]?.content.equals(content))
  })
})

describe('messages within the message', () => {
  test('are read in so many ways at one time', async () => {
    const { unreadable } = await inspected(inMessages(5, archiveOf(1000)))
    assert.match(unreadable ?? '', /^message.*: messages are to be read in more than 16 ways$/)
  })

  test('are read in a few ways', async () => {
    const evil = inMessages(2, zip(['evil.exe']))
    assert.equal((await inspected(evil)).denied?.name, 'evil.exe')
    assert.equal((await inspected(inMessages(2, archiveOf(1000)))).unreadable, null)
  })

  test('may be many, one after the other', async () => {
    const message = mixed()
    const parts = Array.from({ length: 50 }, (_, i) => attached(`${i}.eml`, message))
    assert.equal((await inspected(mixed(...parts))).unreadable, null)
  })
})

describe('TNEF', () => {
  const title = (name: string) => {
    const bytes = Buffer.from(name, 'latin1')
    return record([1, 2], [4, 0x00018010], [4, bytes.length], bytes, [2, 0])
  }
  const head = Buffer.from('789f3e220100', 'hex')
  const budget = () => new Budget(defaultLimits, never)
  // In CPU time, which a busy machine does not stretch.
  const cpuMs = () => (process.cpuUsage().user + process.cpuUsage().system) / 1000

  /** Milliseconds of CPU of the longest turn of the event loop. */
  async function longestTurn(work: () => Promise<unknown>): Promise<number> {
    let longest = 0
    let last = cpuMs()
    const turn = () => {
      longest = Math.max(longest, cpuMs() - last)
      last = cpuMs()
    }
    const watching = setInterval(turn, 1)
    await work()
    turn()
    clearInterval(watching)
    return longest
  }

  test('names are read one by one, and no further than the limit', async () => {
    const content = Buffer.concat([head, ...Array.from({ length: 1000 }, (_, i) => title(`${i}.txt`))])
    const names = tnefNames(content, budget())
    assert.deepEqual(await names.next(), { done: false, value: ['0.txt'] })
    const outcome = await inspected(mixed(attached('winmail.dat', content)), { limits: { names: 40 } })
    assert.equal(outcome.unreadable, 'part 1 (winmail.dat): more than 40 names')
    assert.equal(outcome.names.length, 40)
  })

  test('a million names block nobody', async () => {
    const content = Buffer.concat([head, Buffer.alloc(20_000_000, title('a'))])
    const message = mixed(attached('winmail.dat', content))
    const longest = await longestTurn(async () => {
      const { unreadable } = await inspected(message)
      assert.match(unreadable ?? '', /more than 10000 names/)
    })
    assert.ok(longest < 400, `${longest} ms`)
  })

  test('long names that lie in one another block nobody', async () => {
    const property = record([4, 0x3704001f], [4, 1], [4, 2048])
    const properties = Buffer.alloc(property.length * 12_000, property)
    const content = Buffer.concat([head, record([1, 2], [4, 0x00069005], [4, properties.length]), properties])
    const longest = await longestTurn(() => inspected(mixed(attached('winmail.dat', content))))
    assert.ok(longest < 400, `${longest} ms`)
  })

  test('a long run of NULs within a name costs little', { timeout: 20_000 }, async () => {
    const content = Buffer.concat([head, title(`${'\0'.repeat(1_000_000)}x`), title('evil.exe\0\0')])
    const names: Name[] = []
    for await (const name of tnefNames(content, budget())) names.push(name)
    assert.deepEqual(names, [['evil.exe']])
  })
})

describe('headers of many encoded words', () => {
  const words = Array.from({ length: 24_000 }, (_, i) => `=?a${i % 2000}?q??=`).join(' ')
  for (const [what, fields] of [
    ['in a transfer encoding', [`Content-Transfer-Encoding: ${words}`]],
    ['in that of a message', ['Content-Type: message/rfc822', `Content-Transfer-Encoding: ${words}`]],
    ['in a disposition', [`Content-Disposition: attachment; filename="${words}"`]],
    [
      'in many fields',
      Array.from({ length: 900 }, (_, i) => `Content-Transfer-Encoding: =?a${i}?q??= =?b${i}?q??=`),
    ],
  ] as const) {
    test(`${what} are not all decoded`, async () => {
      const before = process.cpuUsage()
      const { denied } = await inspected(
        mixed([[...fields], Buffer.from('x')], attached('evil.exe', Buffer.from('x'))),
      )
      const { user, system } = process.cpuUsage(before)
      assert.equal(denied?.name, 'evil.exe', 'what follows is looked at')
      assert.ok((user + system) / 1000 < 400, `${(user + system) / 1000} ms of work`)
    })
  }
})

describe('time', () => {
  let now = 0
  const budgetOf = (limits: Partial<Limits>) => {
    const budget = new Budget({ ...defaultLimits, ...limits }, never, () => now)
    budget.enter()
    return budget
  }

  test("others' turns do not count", async () => {
    const budget = budgetOf({ ms: 100 })
    now += 20
    const turn = budget.breathe()
    now += 1000
    await turn
    budget.checkTime()
    now += 81
    assert.throws(() => budget.checkTime(), /more than 100 ms/)
  })

  test('waiting for the thread pool does not count', async (t) => {
    const inner = zip([{ name: 'a.bin', content: randomBytes(1_000_000).toString('hex'), method: 0 }])
    const seen: Sighting[] = []
    const budget = budgetOf({ ms: 100 })
    const offTheClock = budget.offTheClock.bind(budget)
    const { mock } = t.mock.method(budget, 'offTheClock', (wait: () => Promise<unknown>) =>
      offTheClock(() => {
        now += 1000
        return wait()
      }),
    )
    for await (const finding of zipNames(zip([{ name: 'b.zip', content: inner }]), budget)) seen.push(finding)
    assert.equal(mock.callCount(), 1)
    const kinds = ['archive', 'zip']
    assert.deepEqual(
      seen.filter((sighting) => 'name' in sighting),
      [
        { name: ['b.zip'], place: { within: [], kinds } },
        { name: ['a.bin'], place: { within: ['b.zip'], kinds } },
      ],
    )
  })

  test('content that inflates to nothing is paid for by what goes in', async () => {
    const nothing = Buffer.alloc(500_000, Buffer.from('000000ffff', 'hex'))
    const entries = ['a.zip', 'b.zip', 'c.zip'].map((name) => ({ name, content: nothing, method: 12 }))
    const seen: Sighting[] = []
    for await (const finding of zipNames(zip(entries), budgetOf({ inflatedBytes: 1_000_000 }))) {
      seen.push(finding)
    }
    assert.match(JSON.stringify(seen), /more than 1000000 bytes when unpacked/)
  })
})

describe('archives of several messages', () => {
  const message = mixed([['Content-Transfer-Encoding: base64'], base64(zip(['evil.exe']))])

  /** Both slots taken until `release` is called. */
  function takeAll() {
    let release: () => void = () => undefined
    const until = new Promise<void>((resolve) => (release = resolve))
    const taken = Promise.all([1, 2].map(() => archiveSemaphore.run(() => until, never)))
    return { release, taken }
  }

  test('wait for each other, and not on the clock', async (t) => {
    let now = 0
    t.mock.method(performance, 'now', () => now)
    const { release, taken } = takeAll()
    let done = false
    const result = inspected(message, { limits: { ms: 250 } }).finally(() => (done = true))
    for (let turns = 0; turns < 20; turns++) await nextTurn()
    now += 1000
    for (let turns = 0; turns < 20; turns++) await nextTurn()
    assert.equal(done, false)
    release()
    assert.equal((await result).denied?.name, 'evil.exe')
    await taken
  })

  test('a message without archives waits for nobody', async () => {
    const { release, taken } = takeAll()
    assert.equal((await inspected(mixed([[], Buffer.alloc(1_000_000, 'x')]))).unreadable, null)
    release()
    await taken
  })

  test('waiting ends with the signal', async () => {
    const { release, taken } = takeAll()
    const controller = new AbortController()
    const result = inspected(message, { signal: controller.signal })
    await nextTurn()
    await nextTurn()
    controller.abort(new Error('client is gone'))
    await assert.rejects(result, /client is gone/)
    release()
    await taken
    assert.equal((await inspected(message)).denied?.name, 'evil.exe')
  })
})

describe('slots', () => {
  test('are given in the order of asking, also after work that failed and waiting that was given up', async () => {
    const slots = new Semaphore(2)
    const controller = new AbortController()
    const order: number[] = []
    let running = 0
    let maxBytes = 0
    const work = (id: number) => async () => {
      order.push(id)
      maxBytes = Math.max(maxBytes, ++running)
      await nextTurn()
      running--
      if (id === 0) throw new Error('it failed')
    }
    const results = [0, 1, 2, 3, 4, 5].map((id) => slots.run(work(id), id === 3 ? controller.signal : never))
    controller.abort(new Error('given up'))
    const outcomes = await Promise.allSettled(results)
    assert.deepEqual(
      outcomes.map(({ status }) => status === 'fulfilled'),
      [false, true, true, false, true, true],
    )
    assert.deepEqual({ order, maxBytes }, { order: [0, 1, 2, 4, 5], maxBytes: 2 })
    await assert.rejects(slots.run(work(6), controller.signal), /given up/)
  })
})

test('a header section of nothing but names is not read to its end', async () => {
  const header = `Content-Type: x/y;${' name==?jis?q?\xe9N=1b$B?=;'.repeat(250)}`
  const { unreadable } = await inspected(withHeaders(...Array<string>(5).fill(header)))
  assert.match(unreadable ?? '', /too many names/)
})

test('a signature that lies across two stretches of an archive is seen, and others get their turn between', () => {
  for (const at of [262_142, 262_143, 262_144]) {
    const content = Buffer.alloc(600_000, 'P')
    zip(['evil.exe']).copy(content, at)
    const found = [...zipHeaders(content)]
    assert.equal(found.filter((header) => header?.kind === 'local').length, 1, String(at))
    assert.ok(found.filter((header) => header === null).length >= 2)
  }
})
