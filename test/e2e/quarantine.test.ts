// Copies kept by Haraka's own queue/quarantine: whole and for the owner only, or the message is deferred. Whatever goes
// wrong with a copy, the message is neither lost nor delivered, and nothing is left that looks like a whole copy.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, type HarakaOptions, StartError, startHaraka } from '../support/haraka/haraka'
import { run, TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import {
  type Fate,
  filesBelow,
  messagePlugins,
  messageSources,
  otherPlugin,
  post,
  type Role,
  roles,
  users,
} from './messages'

const directions: Role[] = ['inbound', 'relaying']
const mode = (file: string) => (statSync(file).mode & 0o777).toString(8)
const lines = (bytes: Buffer) => bytes.toString('latin1').replaceAll('\r\n', '\n')
/** Without what the plugin adds to the message, to the copy for clamd, and what Haraka moves to the top. */
const withoutOurs = (text: string) =>
  text
    .replace(/^X-MessageIsInfected: true\n/m, '')
    .replace(/^Received: by haraka-plugin-clamav-stream\n/, '')
    .replace(/^Authentication-Results: .*\n(\t.*\n)*/m, '')

/** Gone after the test, with a file system that was mounted there. */
function temporary(t: TestContext): string {
  const directory = new TemporaryDirectory('quarantine')
  t.after(async () => {
    await run('umount', ['-l', directory.path])
    directory.remove()
  })
  return directory.path
}

async function fakeClamd(t: TestContext): Promise<FakeClamd> {
  const clamd = await startFakeClamd()
  t.after(() => clamd.stop())
  return clamd
}

/** A site that keeps copies in `base`. Other plugins are chosen by the first word of the sender's address. */
async function startSite(
  t: TestContext,
  options: HarakaOptions & { clamd: FakeClamd; base: string; otherPlugins?: Record<string, string> },
): Promise<Haraka> {
  const { clamd, base, otherPlugins = {}, sources, ...more } = options
  const haraka = await startHaraka({
    ini: `host=${addressText(clamd.address)}\nmax_pings=0\nhost_rest=0\n[infected]\naction=quarantine\n`,
    plugins: [...messagePlugins, ...Object.keys(otherPlugins), 'clamav-stream', 'queue/quarantine'],
    files: { 'quarantine.ini': `quarantine_path=${base}\n` },
    sources: { ...messageSources, ...otherPlugins, ...sources },
    users,
    ...more,
  })
  t.after(() => haraka.stop())
  return haraka
}

/** What the site did with a message that it could not keep, and that it still works. */
async function assertDeferred(haraka: Haraka, { reply, delivered }: Fate): Promise<void> {
  assert.match(`${reply.code} ${reply.text}`, /^45\d 4\.\d\.\d Message could not be processed, try again/)
  assert.doesNotMatch(reply.text, /quarantine|\/|clam/i)
  assert.deepEqual(delivered, [])
  assert.deepEqual(readdirSync(path.join(haraka.site, 'queue')), [])
  const next = await post(haraka, mails.clean())
  assert.equal(next.reply.code, 250, next.reply.text)
  assert.equal(next.delivered.length, 1)
}

const answers = {
  quarantine: /^250 /,
  'quarantine discard': /^250 /,
  'quarantine reject': /^550 5\.7\.1 Message is infected with /,
  'quarantine defer': /^45\d 4\.7\.1 Message is infected with /,
}

test('a copy is kept, whatever the client is told', async (t) => {
  const clamd = await fakeClamd(t)
  const base = temporary(t)
  const seen =
    "connection.lognotice(this, 'SEEN ' + txn.notes.quarantine + ' ' + txn.notes.get('queue.wants'))"
  const haraka = await startSite(t, {
    clamd,
    base,
    otherPlugins: { sees: otherPlugin('sees', 'data_post', 60, `${seen}; next()`) },
    signatures: Object.keys(answers)
      .map((action) => `/^Act\\.${action.replace(' ', '\\.')}$/ ${action}\n`)
      .join(''),
  })
  for (const [action, answer] of Object.entries(answers)) {
    for (const role of roles) {
      await t.test(`${action}, ${role}`, async () => {
        const name = `Act.${action.replace(' ', '.')}`
        const known = filesBelow(base)
        const from = haraka.log.length
        clamd.queue([{ at: 'reply', do: 'answer', text: `stream: ${name} FOUND` }])
        const { reply, delivered, told } = await post(haraka, mails.clean(), { kind: 'sees', role })
        assert.match(`${reply.code} ${reply.text}`, answer)
        assert.equal(reply.lines.length, 1)
        assert.deepEqual(delivered, [])
        assert.deepEqual([told.note?.action, told.note?.virus], [action, name])
        assert.match(await haraka.waitForLog(/SEEN /, 1000, from), /SEEN infected quarantine$/)
        assert.equal(filesBelow(base).length, known.length + 2)
      })
    }
  }
  await t.test('not scanned: [unscanned] error=quarantine', async (t) => {
    const kept = temporary(t)
    await clamd.play([{ at: 'connect', do: 'refuse' }])
    const site = await startSite(t, {
      clamd,
      base: kept,
      ini: `host=${addressText(clamd.address)}\nmax_pings=0\nhost_rest=0\n[unscanned]\nerror=quarantine\n`,
    })
    for (const [index, role] of roles.entries()) {
      const { reply, delivered, told } = await post(site, mails.clean(), { role })
      assert.equal(reply.code, 250, reply.text)
      assert.deepEqual(delivered, [])
      assert.deepEqual([told.note?.reason, told.note?.action], ['error', 'quarantine'])
      assert.equal(filesBelow(kept).length, 2 * (index + 1))
      assert.deepEqual(told.headers, [])
    }
  })
})

test('the copy is the message, byte for byte, and beside it lies what the message does not say', async (t) => {
  const clamd = await fakeClamd(t)
  const base = temporary(t)
  const haraka = await startSite(t, { clamd, base })
  await clamd.play([{ at: 'reply', do: 'answer', text: 'stream: Eicar-Test-Signature FOUND' }])
  const cases = {
    'one of 300 kB': mails.big(300_000),
    dots: mails.dotLines(),
    'eight bit': mails.eightBit(),
    'long lines': mails.longLines(),
    'no body': mails.emptyBody(),
    'no end of the headers': mails.noHeaderEnd(),
    'forged headers': mails.forged(),
  }
  for (const [title, data] of Object.entries(cases)) {
    for (const role of roles) {
      await t.test(`${title}, ${role}`, async () => {
        const before = new Set(filesBelow(base))
        const began = Date.now()
        clamd.forget()
        const to = ['ann@example.com', 'bob@example.com']
        const { told } = await post(haraka, data, { role, to })
        const scan = await clamd.nextScan()
        const [copy = '', json = '', ...others] = filesBelow(base).filter((name) => !before.has(name))
        assert.match(copy, /^infected\/\d{8}\/[0-9A-F-]+\.\d+$/)
        assert.deepEqual([json, others], [`${copy}.json`, []])
        assert.deepEqual([mode(path.join(base, copy)), mode(path.join(base, json))], ['600', '600'])

        const text = readFileSync(path.join(base, copy)).toString('latin1')
        assert.equal(text.match(/^X-MessageIsInfected: true\n/gm)?.length, 1)
        assert.ok(withoutOurs(text) === withoutOurs(lines(scan.bytes)), 'the copy is another message')

        const record = JSON.parse(readFileSync(path.join(base, json), 'utf8')) as Record<string, unknown>
        const { time, ...rest } = record
        const at = Date.parse(String(time))
        assert.ok(at >= began && at <= Date.now(), `time is ${String(time)}`)
        assert.deepEqual(rest, {
          uuid: path.basename(copy),
          envelope: { mail_from: told.from, rcpt_to: to },
          client: { ip: '127.0.0.1', host: 'client.example.com', helo: 'client.example.com' },
          user: role === 'authenticated' ? 'somebody' : null,
          message_id: /^Message-ID: (.*)\r$/m.exec(data.toString())?.[1] ?? null,
          verdict: told.note,
          attachment: null,
        })
        assert.equal(told.note?.action, 'quarantine')
      })
    }
  }
})

/** In data_post, after the rules: `target` is where the copy is going to be. */
const spoiling = (base: string, body: string) => `
  const fs = require('node:fs')
  const path = require('node:path')
  const now = new Date()
  const two = (n) => String(n).padStart(2, '0')
  const day = now.getFullYear() + two(now.getMonth() + 1) + two(now.getDate())
  const target = path.join(${JSON.stringify(base)}, 'infected', day, txn.uuid)
  fs.mkdirSync(path.dirname(target), { recursive: true })
  const link = fs.link
  ${body}
  next()`

/** Faults of another plugin, and what is left then. */
const spoilers: Record<string, [body: string, left: RegExp[]]> = {
  name_taken: [`fs.writeFileSync(target, 'mine')`, [/^infected\/\d+\/[^/.]+\.\d+$/]],
  name_of_a_directory: [`fs.mkdirSync(target)`, []],
  json_taken: [`fs.mkdirSync(target + '.json')`, []],
  json_part_taken: [`fs.writeFileSync(target + '.json.tmp', 'mine')`, [/\.json\.tmp$/]],
  link_impossible: [
    `fs.link = (from, to, done) => { fs.link = link; done(new Error('EPERM: no links here')) }`,
    [],
  ],
  link_truncated: [
    `fs.link = (from, to, done) => { fs.link = link; fs.truncateSync(from, 100); link(from, to, done) }`,
    [],
  ],
  link_grown: [
    `fs.link = (from, to, done) => { fs.link = link; fs.appendFileSync(from, 'x'); link(from, to, done) }`,
    [],
  ],
  tmp_is_a_directory: [
    `fs.mkdirSync(path.join(path.dirname(target), '..', '..', 'tmp', txn.uuid), { recursive: true })`,
    [],
  ],
}

test('no copy, no 250: faults that come one message at a time', async (t) => {
  const clamd = await fakeClamd(t)
  const base = temporary(t)
  const haraka = await startSite(t, {
    clamd,
    base,
    otherPlugins: Object.fromEntries(
      Object.entries(spoilers).map(([name, [body]]) => [
        name,
        otherPlugin(name, 'data_post', 60, spoiling(base, body)),
      ]),
    ),
  })
  for (const [kind, [, left]] of Object.entries(spoilers)) {
    for (const role of directions) {
      await t.test(`${kind}, ${role}`, async () => {
        const before = new Set(filesBelow(base))
        const fate = await post(haraka, mails.eicarBody(), { kind, role })
        await assertDeferred(haraka, fate)
        const after = filesBelow(base).filter((name) => !before.has(name))
        assert.equal(after.length, left.length, after.join(' '))
        for (const [index, pattern] of left.entries()) assert.match(after[index] ?? '', pattern)
        for (const name of after) assert.equal(readFileSync(path.join(base, name), 'utf8'), 'mine')
        const fine = await post(haraka, mails.eicarBody(), { role })
        assert.equal(fine.reply.code, 250, fine.reply.text)
        assert.equal(filesBelow(base).filter((name) => !before.has(name)).length, left.length + 2)
      })
    }
  }
})

/** Makes a directory with a fault; returns quarantine_path, or null where this machine does not let it be made. */
type Place = (directory: string) => string | Promise<string | null>

async function mounted(directory: string, size: string): Promise<string | null> {
  const options = `size=${size},mode=0700`
  const { code } = await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory])
  return code === 0 ? directory : null
}

const places: Record<string, Place> = {
  'a file where the directory should be': (directory) => fileIn(directory, 'file'),
  'a file above the directory': (directory) => path.join(fileIn(directory, 'file'), 'deep', 'inside'),
  'a file where the folder should be': (directory) => path.dirname(fileIn(directory, 'infected')),
  'a file system that is read-only': async (directory) => {
    const base = await mounted(directory, '1m')
    const { code } = await run('mount', ['-o', 'remount,ro', directory])
    return code === 0 ? base : null
  },
}

function fileIn(directory: string, name: string): string {
  const file = path.join(directory, name)
  writeFileSync(file, '')
  return file
}

for (const [title, make] of Object.entries(places)) {
  test(`no copy, no 250: ${title}`, async (t) => {
    const directory = temporary(t)
    const base = await make(directory)
    if (base === null) {
      t.skip('no file system can be mounted here')
      return
    }
    const haraka = await startSite(t, { clamd: await fakeClamd(t), base })
    const before = filesBelow(directory)
    for (const role of directions) {
      const fate = await post(haraka, mails.eicarBody(), { role })
      assert.equal(fate.told.note?.action, 'quarantine')
      await assertDeferred(haraka, fate)
      assert.deepEqual(filesBelow(directory), before)
    }
  })
}

/** A message whose copy has some 400 bytes more. */
const infectedOf = (bytes: number) =>
  Buffer.concat([mails.eicarBody(), Buffer.from(`${'x'.repeat(70)}\r\n`.repeat(Math.ceil(bytes / 71)))])

const sizes: Record<string, [bytes: number, why: RegExp]> = {
  'a disk too small for the copy': [200_000, /stored no copy/],
  'a disk with room for the copy alone': [63_000, /ENOSPC/],
}
for (const [title, [bytes, why]] of Object.entries(sizes)) {
  test(`no copy, no 250: ${title}`, async (t) => {
    const base = await mounted(temporary(t), '64k')
    if (base === null) {
      t.skip('no file system can be mounted here')
      return
    }
    const haraka = await startSite(t, { clamd: await fakeClamd(t), base })
    for (const role of directions) {
      const fate = await post(haraka, infectedOf(bytes), { role })
      await assertDeferred(haraka, fate)
      assert.match(await haraka.waitForLog(/no copy could be kept/), why)
      assert.deepEqual(filesBelow(base), [])
    }
    const small = await post(haraka, mails.eicarBody())
    assert.equal(small.reply.code, 250, small.reply.text)
    assert.equal(filesBelow(base).length, 2)
  })
}

/** A site's own queue/quarantine: `file` is a whole copy, as soon as `copied` is called. */
const own = (base: string) => `
const fs = require('node:fs')
const path = require('node:path')
exports.register = function () {}
exports.quarantine = function (next, connection) {
  const txn = connection.transaction
  const kind = txn.mail_from.address.split('.')[0]
  const file = path.join(${JSON.stringify(base)}, txn.uuid)
  const copy = (done) => {
    const stream = fs.createWriteStream(file)
    stream.on('close', done)
    txn.message_stream.pipe(stream, { line_endings: '\\n' })
  }
  const note = (value) => (txn.notes.quarantined = value)
  const ways = {
    keeps: () => copy(() => (note(file), next())),
    keeps_and_denies: () => copy(() => (note(file), next(DENY, 'no'))),
    answers_twice: () => copy(() => (note(file), next(), next())),
    notes_nothing: () => copy(() => fs.unlink(file, () => next())),
    notes_ok_only: () => next(OK),
    notes_late: () => (next(), copy(() => (note(file), next()))),
    notes_a_part: () => copy(() => (fs.truncateSync(file, 50), note(file), next())),
    notes_an_empty_file: () => copy(() => (fs.truncateSync(file, 0), note(file), next())),
    notes_no_file: () => (note(file + '-elsewhere'), next()),
    notes_true: () => (note(true), next()),
    throws: () => { throw new Error('no quarantine today') },
  }
  ways[kind]()
}
`
const ways: Record<string, 'kept' | 'deferred'> = {
  keeps: 'kept',
  keeps_and_denies: 'kept',
  answers_twice: 'kept',
  notes_nothing: 'deferred',
  notes_ok_only: 'deferred',
  notes_late: 'deferred',
  notes_a_part: 'deferred',
  notes_an_empty_file: 'deferred',
  notes_no_file: 'deferred',
  notes_true: 'deferred',
  throws: 'deferred',
}

test("a queue/quarantine of the site's own is believed as far as its copy goes", async (t) => {
  const clamd = await fakeClamd(t)
  const base = temporary(t)
  const haraka = await startSite(t, { clamd, base, sources: { 'queue/quarantine': own(base) } })
  for (const [kind, outcome] of Object.entries(ways)) {
    for (const role of directions) {
      await t.test(`${kind}, ${role}: ${outcome}`, async () => {
        const before = new Set(filesBelow(base))
        const fate = await post(haraka, mails.eicarBody(), { kind, role })
        const left = filesBelow(base).filter((name) => !before.has(name))
        if (outcome === 'deferred') {
          await assertDeferred(haraka, fate)
          assert.deepEqual(left, [])
        } else {
          assert.equal(fate.reply.code, 250, fate.reply.text)
          assert.deepEqual(fate.delivered, [])
          assert.equal(left.length, 2)
          assert.deepEqual(
            left.map((name) => mode(path.join(base, name))),
            ['600', '600'],
          )
        }
      })
    }
  }
})

const wanting: Record<string, string> = {
  '[infected] action': '[infected]\naction=quarantine\n',
  '[infected] authenticated': '[infected]\nauthenticated=bounce quarantine\n',
  '[unscanned] limits': '[unscanned]\nlimits=quarantine\n',
  '[attachments] action': '[attachments]\ndeny=*.exe\naction=quarantine reject\n',
  '[attachments] unreadable': '[attachments]\ndeny=*.exe\nunreadable=quarantine\n',
}
for (const [key, ini] of Object.entries(wanting)) {
  test(`without queue/quarantine in config/plugins ${key}=quarantine stops the start`, async () => {
    const error = await startHaraka({ ini }).then(
      (haraka) => haraka.stop().then(() => assert.fail('Haraka started')),
      (error: unknown) => error,
    )
    assert.ok(error instanceof StartError)
    const told = error.log.split('\n').filter((line) => line.includes('queue/quarantine'))
    assert.equal(told.length, 1, error.log)
    assert.match(
      told[0] ?? '',
      /config\/plugins: .* needs? queue\/quarantine: add the line queue\/quarantine, and restart Haraka/,
    )
    assert.ok(told[0]?.includes(key), told[0])
  })
}

test('actions that keep no copy do not need queue/quarantine', async (t) => {
  const clamd = await fakeClamd(t)
  const haraka = await startSite(t, {
    clamd,
    base: '',
    plugins: [...messagePlugins, 'clamav-stream'],
    ini: '',
  })
  assert.equal(haraka.log.filter((line) => line.includes('quarantine')).length, 0)
})
